//! Values in Redis that no exporter writes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use openim_exporter::replicas::fuzz::pack_registers;
use openim_exporter::stats::hyperloglog::{REGISTERS, Union};
use openim_exporter::stats::{Distinct, Stretch};

use crate::fleet::{BEGIN, FIVE_MINUTES, MINUTE, Member, SECOND, assert_near, key, round};
use crate::redis_server::Redis;

/// Sends a command with any bytes, and waits for its answer.
fn command(redis: &Redis, arguments: &[&[u8]]) {
    let mut stream = TcpStream::connect(redis.address()).unwrap();
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        request.extend(format!("${}\r\n", argument.len()).bytes());
        request.extend([argument, &b"\r\n"[..]].concat());
    }
    stream.write_all(&request).unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).unwrap();
    assert!(!answer[..length].starts_with(b"-"), "{}", answer[..length].escape_ascii());
}

fn set(redis: &Redis, key: &str, value: &[u8]) {
    command(redis, &[b"SET", key.as_bytes(), value]);
}

fn talk(members: &[Member], now: i64, number: usize) {
    for (at, member) in members.iter().enumerate() {
        member.tick(now);
        (0..300).for_each(|person| member.group_message(now, "g", &format!("{number}-{at}-{person}")));
    }
}

/// Damaged registers: too short, too long, sparse, with an impossible rank, or no HyperLogLog.
fn damaged_registers() -> Vec<Vec<u8>> {
    let good = pack_registers(&Union::from_registers(&vec![1; REGISTERS]).unwrap());
    let changed = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        changed
    };
    vec![
        good[..5000].to_vec(),
        [&good[..], &[0; 9000]].concat(),
        changed(4, 1),
        changed(20, 0xff),
        changed(0, b'X'),
        b"x".to_vec(),
        vec![0xff; 3_000_000],
    ]
}

#[test]
#[ignore = "needs redis-server"]
fn damaged_registers_are_counted_left_out_and_replaced_by_their_owner() {
    let redis = Redis::start(&[]);
    let mut members = ["a", "b"].map(|name| Member::new(&redis, name));
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    let minute = key(Distinct::Senders, Stretch::Minute, BEGIN / MINUTE, "a");
    // All in the first minute.
    for (number, damaged) in (1..).zip(damaged_registers()) {
        let now = BEGIN + i64::try_from(number).unwrap() * 7 * SECOND;
        talk(&members, now, number);
        members.iter_mut().for_each(|member| member.write(now));
        // After its owner has written it, and before the others read it.
        set(&redis, &minute, &damaged);
        let before = members[1].metric("damaged_total", "registers");
        members.iter_mut().for_each(|member| member.read(now + 5 * SECOND));
        assert_eq!(members[1].metric("damaged_total", "registers"), before + 1.0, "{number}");
        // All of one, and what the other one wrote before its key was damaged.
        assert_near(members[1].senders(FIVE_MINUTES), 300 * (number + 1) + 300, "the rest counts");
    }
    talk(&members, BEGIN + 55 * SECOND, 8);
    assert_near(round(&mut members, BEGIN + 55 * SECOND).windows[0][FIVE_MINUTES], 600 * 9, "all count again");
    // A key of another type.
    let now = BEGIN + 2 * MINUTE;
    round(&mut members, now);
    let minute = key(Distinct::Senders, Stretch::Minute, now / MINUTE, "a");
    talk(&members, now + 10 * SECOND, 20);
    members.iter_mut().for_each(|member| member.write(now + 10 * SECOND));
    redis.cli(&["DEL", &minute]);
    redis.cli(&["LPUSH", &minute, "x"]);
    let before = members[1].metric("damaged_total", "registers");
    members.iter_mut().for_each(|member| member.read(now + 15 * SECOND));
    assert_eq!(members[1].metric("damaged_total", "registers"), before + 1.0);
    talk(&members, now + 20 * SECOND, 21);
    let united = round(&mut members, now + 20 * SECOND);
    assert_near(united.windows[0][FIVE_MINUTES], 600 * 11, "its owner writes it again");
}

#[test]
#[ignore = "needs redis-server"]
fn damaged_manifests_candidates_disconnects_and_names_are_counted_and_left_out() {
    let redis = Redis::start(&[]);
    let mut members = ["a", "b"].map(|name| Member::new(&redis, name));
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    let values: [&[u8]; 6] = [b"", b"{", b"[[\"a\",1e99,null]]", &[b'['; 60_000], &[0xff; 70_000], b"\0\0\0"];
    for (number, value) in (1..).zip(values) {
        let now = BEGIN + number * 10 * SECOND;
        talk(&members, now, usize::try_from(number).unwrap());
        members.iter_mut().for_each(|member| member.write(now));
        let score = now.to_string();
        for name in ["hostile", "with space", "{x}"] {
            redis.cli(&["ZADD", "{openim-exporter}:replicas", &score, name]);
        }
        set(&redis, "{openim-exporter}:replica:hostile", value);
        for name in ["a", "b"] {
            set(&redis, &format!("{{openim-exporter}}:groups:{name}"), value);
        }
        let parts = ["manifest", "groups", "disconnects"];
        let count = |member: &Member| parts.map(|part| member.metric("damaged_total", part));
        let [manifests, groups, _] = count(&members[0]);
        members.iter_mut().for_each(|member| member.read(now + 5 * SECOND));
        let is_damaged = if value.is_empty() { 0.0 } else { 1.0 };
        let [manifests_now, groups_now, _] = count(&members[0]);
        assert_eq!(manifests_now - manifests, 2.0 + is_damaged, "two are no names, and one has no manifest");
        assert_eq!(groups_now - groups, 2.0 * is_damaged);
        assert_near(members[1].senders(FIVE_MINUTES), 600 * (usize::try_from(number).unwrap() + 1), "the rest counts");
    }
    // Who went offline.
    let now = BEGIN + 2 * MINUTE;
    members[0].online(now, "someone");
    members[0].offline(now, "someone");
    members.iter_mut().for_each(|member| member.write(now));
    set(&redis, "{openim-exporter}:disconnects:a", b"not a multiple of 16");
    members.iter_mut().for_each(|member| member.read(now + 5 * SECOND));
    assert_eq!(members[1].metric("damaged_total", "disconnects"), 1.0);
    assert_eq!(members[0].metric("damaged_total", "disconnects"), 0.0, "its own are not read");
}

#[test]
#[ignore = "needs redis-server"]
fn a_replaced_manifest_is_written_again_by_its_owner() {
    let redis = Redis::start(&[]);
    let mut members = ["a", "b"].map(|name| Member::new(&redis, name));
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    for (number, value) in (1..).zip([&b"x"[..], &[0xff; 100_000]]) {
        set(&redis, "{openim-exporter}:replica:a", value);
        let now = BEGIN + number * 10 * SECOND;
        talk(&members, now, usize::try_from(number).unwrap());
        let united = round(&mut members, now);
        assert_near(united.windows[0][FIVE_MINUTES], 600 * (usize::try_from(number).unwrap() + 1), "all");
        assert_eq!(members[0].metric("damaged_total", "manifest"), number as f64);
    }
    let mut members: Vec<_> = members.into_iter().chain([Member::new(&redis, "late")]).collect();
    assert_near(round(&mut members, BEGIN + MINUTE).windows[0][FIVE_MINUTES], 1800, "late");
}

#[test]
#[ignore = "needs redis-server"]
fn a_thousand_exporters_are_united_and_further_ones_are_not() {
    let redis = Redis::start(&[]);
    let mut member = Member::new(&redis, "a");
    member.tick(BEGIN);
    member.group_message(BEGIN, "g", "someone");
    let (score, names) =
        ((BEGIN - SECOND).to_string(), (0..1500).map(|number| format!("n{number}")).collect::<Vec<_>>());
    let pairs = names.iter().flat_map(|name| [score.as_str(), name]);
    redis.cli(&["ZADD", "{openim-exporter}:replicas"].into_iter().chain(pairs).collect::<Vec<_>>());
    member.write(BEGIN);
    member.read(BEGIN + 5 * SECOND);
    assert_eq!(member.senders(FIVE_MINUTES), 1);
    assert_eq!(member.metric("active", ""), 1000.0);
    // Names of the future do not take the place of those that are written now.
    let pairs = names.iter().flat_map(|name| ["99999999999999", name]);
    redis.cli(&["ZADD", "{openim-exporter}:replicas"].into_iter().chain(pairs).collect::<Vec<_>>());
    member.group_message(BEGIN + 10 * SECOND, "g", "someone else");
    member.write(BEGIN + 10 * SECOND);
    member.read(BEGIN + 15 * SECOND);
    assert_eq!((member.senders(FIVE_MINUTES), member.metric("active", "")), (2, 1.0));
}
