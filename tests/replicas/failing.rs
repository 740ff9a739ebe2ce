//! Redis that is down, empty, frozen, full or read-only, and that has lost a part of what was written.

use std::thread::sleep;
use std::time::Duration;

use openim_exporter::stats::{Distinct, Stretch};
use openim_exporter::telemetry::ReplicasFailure;

use crate::fleet::{BEGIN, DAY, FIVE_MINUTES, MINUTE, Member, ONE_DAY, SECOND, assert_near, key, pfcount, round};
use crate::redis_server::Redis;

/// Messages of 500 people at each, who differ for each number.
fn talk(members: &[Member], now: i64, number: i64) {
    for (at, member) in members.iter().enumerate() {
        member.tick(now);
        (0..500).for_each(|person| member.group_message(now, "g", &format!("{number}-{at}-{person}")));
    }
}

fn pair(redis: &Redis) -> [Member; 2] {
    ["a", "b"].map(|name| Member::new(redis, name))
}

/// Fails unless both have the numbers of this many people, and Redis has them too.
fn assert_complete(redis: &Redis, members: &mut [Member], now: i64, people: usize) {
    let united = round(members, now);
    assert_near(united.windows[0][ONE_DAY], people, "united");
    let names = members.iter().map(|member| member.name.clone());
    let keys: Vec<_> = names.map(|name| key(Distinct::Senders, Stretch::Day, BEGIN / DAY, &name)).collect();
    assert_eq!(pfcount(redis, &keys), united.windows[0][ONE_DAY]);
}

#[test]
#[ignore = "needs redis-server"]
fn redis_that_was_killed_and_started_empty_has_everything_again_after_a_round() {
    let mut redis = Redis::start(&[]);
    let mut members = Vec::from(pair(&redis));
    members.push(Member::new(&redis, "ends"));
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    members.pop();
    redis.kill();
    talk(&members, BEGIN + MINUTE, 1);
    for member in &mut members {
        let failure = member.try_write(BEGIN + MINUTE).unwrap_err();
        assert_eq!(failure.reason, ReplicasFailure::Unreachable, "{failure}");
    }
    let redis = Redis::start_at(redis.port, &[]);
    talk(&members, BEGIN + 2 * MINUTE, 2);
    // The people of the exporter that ended are known to the others, which write them for it.
    assert_complete(&redis, &mut members, BEGIN + 2 * MINUTE, 3500);
    let late = Member::new(&redis, "late");
    members.push(late);
    assert_near(round(&mut members, BEGIN + 3 * MINUTE).windows[0][ONE_DAY], 3500, "one that starts later");
}

#[test]
#[ignore = "needs redis-server"]
fn everything_that_redis_removed_is_written_again() {
    let redis = Redis::start(&[]);
    let mut members = pair(&redis);
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    redis.cli(&["FLUSHALL"]);
    assert_complete(&redis, &mut members, BEGIN + 10 * SECOND, 1000);
    // A single key, as Redis may do when its memory is full: noticed in the next sixth round.
    redis.cli(&["DEL", &key(Distinct::Senders, Stretch::Day, BEGIN / DAY, "a")]);
    assert_complete(&redis, &mut members, BEGIN + MINUTE, 1000);
    // The manifest only.
    redis.cli(&["DEL", "{openim-exporter}:replica:a"]);
    redis.cli(&["DEL", &key(Distinct::Senders, Stretch::Day, BEGIN / DAY, "a")]);
    assert_complete(&redis, &mut members, BEGIN + MINUTE + 10 * SECOND, 1000);
}

#[test]
#[ignore = "needs redis-server"]
fn a_failover_that_lost_writes_loses_nobody() {
    let redis = Redis::start(&[]);
    let mut members = pair(&redis);
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    // What a replica with older data has when it is promoted.
    let dump = |what: &str| {
        let keys = redis.cli(&["KEYS", "*"]);
        keys.lines().for_each(|found| drop(redis.cli(&["COPY", found, &format!("{what}{found}"), "REPLACE"])));
    };
    dump("old:");
    talk(&members, BEGIN + 10 * SECOND, 1);
    round(&mut members, BEGIN + 10 * SECOND);
    for old in redis.cli(&["KEYS", "old:*"]).lines() {
        redis.cli(&["COPY", old, old.strip_prefix("old:").unwrap(), "REPLACE"]);
    }
    assert_complete(&redis, &mut members, BEGIN + 20 * SECOND, 2000);
}

#[test]
#[ignore = "needs redis-server"]
fn frozen_redis_fails_an_exchange_in_seconds_and_loses_nobody() {
    let redis = Redis::start(&[]);
    let mut members = pair(&redis);
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    redis.signal("STOP");
    talk(&members, BEGIN + 10 * SECOND, 1);
    let begin = std::time::Instant::now();
    std::thread::scope(|scope| {
        for member in &mut members {
            scope.spawn(|| {
                let failure = member.try_write(BEGIN + 10 * SECOND).unwrap_err();
                assert_eq!(failure.reason, ReplicasFailure::Timeout, "{failure}");
            });
        }
    });
    // The limit of the first answer is 2 s. Then nothing else is tried: that could take up to 5 s.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    redis.signal("CONT");
    talk(&members, BEGIN + 20 * SECOND, 2);
    assert_complete(&redis, &mut members, BEGIN + 20 * SECOND, 3000);
    assert_complete(&redis, &mut members, BEGIN + 30 * SECOND, 3000);
}

#[test]
#[ignore = "needs redis-server"]
fn full_and_read_only_redis_are_told_apart_and_are_complete_afterwards() {
    let redis = Redis::start(&[]);
    let mut members = pair(&redis);
    talk(&members, BEGIN, 0);
    round(&mut members, BEGIN);
    let broken_and_repaired = [
        (["maxmemory", "1"], ["maxmemory", "0"], ReplicasFailure::Full),
        (["replicaof", "x"], ["replicaof", "no one"], ReplicasFailure::ReadOnly),
    ];
    for (number, (broken, repaired, reason)) in (1..).zip(broken_and_repaired) {
        let now = BEGIN + number * MINUTE;
        set(&redis, broken);
        talk(&members, now, number);
        for member in &mut members {
            let failure = member.try_write(now).unwrap_err();
            assert_eq!(failure.reason, reason, "{failure}");
        }
        set(&redis, repaired);
        assert_complete(&redis, &mut members, now + 10 * SECOND, 1000 * (usize::try_from(number).unwrap() + 1));
    }
}

/// Sets a setting. As a replica of a server that does not exist, Redis accepts no writes.
fn set(redis: &Redis, [name, value]: [&str; 2]) {
    let answer = match (name, value) {
        ("replicaof", "x") => redis.cli(&["REPLICAOF", "127.0.0.1", "1"]),
        ("replicaof", _) => redis.cli(&["REPLICAOF", "NO", "ONE"]),
        _ => redis.cli(&["CONFIG", "SET", name, value]),
    };
    assert_eq!(answer, "OK");
}

#[test]
#[ignore = "needs redis-server"]
fn keys_that_redis_evicts_come_back() {
    // Room for about half of the keys.
    let redis = Redis::start(&["--maxmemory-policy", "allkeys-random"]);
    let mut members = pair(&redis);
    for minute in 0..8 {
        talk(&members, BEGIN + minute * MINUTE, minute);
        round(&mut members, BEGIN + minute * MINUTE);
    }
    let used: usize = {
        let info = redis.cli(&["INFO", "memory"]);
        info.lines().find_map(|line| line.trim().strip_prefix("used_memory:")).unwrap().parse().unwrap()
    };
    set(&redis, ["maxmemory", &(used - 400_000).to_string()]);
    sleep(Duration::from_millis(50));
    set(&redis, ["maxmemory", "0"]);
    let evicted = redis.cli(&["INFO", "stats"]);
    assert!(!evicted.contains("evicted_keys:0"), "{evicted}");
    // Until the next sixth round.
    for number in 0..7 {
        round(&mut members, BEGIN + 8 * MINUTE + number * 10 * SECOND);
    }
    assert_complete(&redis, &mut members, BEGIN + 9 * MINUTE + 10 * SECOND, 8000);
    let late = Member::new(&redis, "late");
    let mut members: Vec<_> = members.into_iter().chain([late]).collect();
    let united = round(&mut members, BEGIN + 9 * MINUTE + 20 * SECOND);
    assert_near(united.windows[0][FIVE_MINUTES], 4000, "a new one has all minutes");
}

#[test]
#[ignore = "needs redis-server"]
fn an_exporter_needs_few_commands_and_no_other_keys() {
    let redis = Redis::start(&[]);
    let rights = "on >hunter2 ~{openim-exporter}:* resetchannels -@all +getrange +set +exists +pexpire +zadd \
                  +zrevrangebyscore +zremrangebyscore";
    let command = ["ACL", "SETUSER", "exporter"].into_iter().chain(rights.split_whitespace());
    assert_eq!(redis.cli(&command.collect::<Vec<_>>()), "OK");
    let mut members = ["a", "b"].map(|name| Member::with_user("exporter:hunter2@", &redis, name));
    for minute in 0..3 {
        let now = BEGIN + minute * MINUTE;
        talk(&members, now, minute);
        members[0].online(now, "someone");
        members[0].offline(now, "someone");
        round(&mut members, now);
    }
    assert_eq!(round(&mut members, BEGIN + 3 * MINUTE).online, [0; 12]);
}
