//! Names: a restart with or without the state, another name, and two exporters with the same name.

use std::sync::Arc;

use openim_exporter::stats::{Distinct, Stretch};

use crate::fleet::{BEGIN, DAY, FIVE_MINUTES, MINUTE, Member, ONE_DAY, SECOND, assert_near, key, pfcount, round};
use crate::redis_server::Redis;

/// Messages of a thousand people, who differ for each number.
fn talk(member: &Member, now: i64, number: u32) {
    member.tick(now);
    (0..1000).for_each(|person| member.group_message(now, "g", &format!("{number}-{person}")));
}

fn commands(redis: &Redis, name: &str) -> u64 {
    let stats = redis.cli(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.trim().strip_prefix(&format!("cmdstat_{name}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[test]
#[ignore = "needs redis-server"]
fn an_exporter_that_restarts_with_or_without_its_state_or_with_another_name_loses_nobody() {
    let redis = Redis::start(&[]);
    let mut members = vec![Member::new(&redis, "a"), Member::new(&redis, "b")];
    talk(&members[0], BEGIN, 0);
    talk(&members[1], BEGIN, 1);
    round(&mut members, BEGIN);
    let mut now = BEGIN;
    for (number, name, keeps_state) in [(2, "b", true), (3, "b", false), (4, "renamed", true), (5, "renamed", false)] {
        now += 10 * SECOND;
        let old = members.pop().unwrap();
        let state = Arc::clone(&old.stats);
        members.push(if keeps_state { Member::with(&redis, name, state, 0) } else { Member::new(&redis, name) });
        talk(&members[1], now, number);
        let united = round(&mut members, now);
        assert_near(united.windows[0][FIVE_MINUTES], 1000 * (number as usize + 1), &format!("restart {number}"));
        assert_eq!(members[1].metric("name_conflicts_total", ""), 0.0);
    }
    // An exporter that starts later knows all of them too, also those that nobody has any more.
    members.push(Member::new(&redis, "late"));
    let united = round(&mut members, now + 10 * SECOND);
    assert_near(united.windows[0][FIVE_MINUTES], 6000, "late");
}

#[test]
#[ignore = "needs redis-server"]
fn a_restart_with_the_state_makes_nobody_read_everything_again() {
    let redis = Redis::start(&[]);
    let mut members = vec![Member::new(&redis, "a"), Member::new(&redis, "b")];
    for minute in 0..50 {
        talk(&members[1], BEGIN + minute * MINUTE, 0);
    }
    let now = BEGIN + 50 * MINUTE;
    round(&mut members, now);
    let old = members.pop().unwrap();
    members.push(Member::with(&redis, "b", Arc::clone(&old.stats), 0));
    members[1].write(now + 10 * SECOND);
    let before = commands(&redis, "getrange");
    members[0].read(now + 15 * SECOND);
    let reads = commands(&redis, "getrange") - before;
    assert!(reads < 10, "{reads} reads");
}

#[test]
#[ignore = "needs redis-server"]
fn two_exporters_with_one_name_are_noticed_and_lose_nobody() {
    let redis = Redis::start(&[]);
    let mut members = [Member::new(&redis, "same"), Member::new(&redis, "same"), Member::new(&redis, "other")];
    for minute in 0..4 {
        for second in 0..6 {
            let now = BEGIN + minute * MINUTE + second * 10 * SECOND;
            for (number, member) in (0..).zip(&members) {
                member.tick(now);
                let person = |person| format!("{number}-{minute}-{second}-{person}");
                (0..20).for_each(|at| member.group_message(now, "g", &person(at)));
            }
            // At the same time, as the schedule makes them.
            std::thread::scope(|scope| {
                for member in &mut members {
                    scope.spawn(|| member.write(now));
                }
            });
            members.iter_mut().for_each(|member| member.read(now + 5 * SECOND));
        }
    }
    let now = BEGIN + 4 * MINUTE;
    round(&mut members, now);
    round(&mut members, now + 10 * SECOND);
    let united = round(&mut members, now + 20 * SECOND);
    assert_near(united.windows[0][FIVE_MINUTES], 3 * 4 * 6 * 20, "all");
    let keys: Vec<_> = (0..5)
        .flat_map(|minute| {
            ["same", "other"].map(|name| key(Distinct::Senders, Stretch::Minute, BEGIN / MINUTE + minute, name))
        })
        .collect();
    assert_eq!(pfcount(&redis, &keys), united.windows[0][FIVE_MINUTES]);
    assert!(members[0].metric("name_conflicts_total", "") > 10.0);
    assert!(members[1].metric("name_conflicts_total", "") > 10.0);
    assert_eq!(members[2].metric("name_conflicts_total", ""), 0.0);
}

#[test]
#[ignore = "needs redis-server"]
fn what_another_process_with_the_name_lowers_later_is_raised_in_the_next_round() {
    let redis = Redis::start(&[]);
    let [mut first, mut second] = [0, 1].map(|_| Member::new(&redis, "same"));
    talk(&first, BEGIN, 0);
    talk(&second, BEGIN, 1);
    // What the second has without the first.
    let mut alone = Member::with(&redis, "alone", Arc::clone(&second.stats), 0);
    alone.write(BEGIN);
    for now in [BEGIN, BEGIN + 10 * SECOND] {
        second.write(now);
        first.write(now);
    }
    // The second one's write came last, but not its manifest. Nothing is new at the first one.
    let keys = ["alone", "same"].map(|name| key(Distinct::Senders, Stretch::Minute, BEGIN / MINUTE, name));
    assert_eq!(redis.cli(&["COPY", &keys[0], &keys[1], "REPLACE"]), "1");
    assert_near(pfcount(&redis, &keys[1..]), 1000, "before");
    first.write(BEGIN + 20 * SECOND);
    assert_near(pfcount(&redis, &keys[1..]), 2000, "after");
}

#[test]
#[ignore = "needs redis-server"]
fn a_copied_state_is_two_exporters_with_one_name() {
    let redis = Redis::start(&[]);
    let first = Member::new(&redis, "x");
    let name = first.stats.id();
    assert!(name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    // Both have what was in the state.
    talk(&first, BEGIN, 0);
    let mut members = [0, 1].map(|_| Member::with(&redis, &name, Arc::clone(&first.stats), 0));
    for number in 0..3 {
        round(&mut members, BEGIN + number * 10 * SECOND);
    }
    assert_near(members[0].senders(FIVE_MINUTES), 1000, "once");
    assert!(members.iter().all(|member| member.metric("name_conflicts_total", "") > 0.0));
}

#[test]
#[ignore = "needs redis-server"]
fn the_people_of_an_exporter_that_ended_count_until_their_window_is_over() {
    let redis = Redis::start(&[]);
    let mut members = vec![Member::new(&redis, "a"), Member::new(&redis, "ends")];
    talk(&members[0], BEGIN, 0);
    talk(&members[1], BEGIN, 1);
    round(&mut members, BEGIN);
    members.pop();
    for (minutes, exact) in [(5, 2000), (7, 0)] {
        assert_near(round(&mut members, BEGIN + minutes * MINUTE).windows[0][FIVE_MINUTES], exact, "5m");
    }
    members.push(Member::new(&redis, "late"));
    assert_near(round(&mut members, BEGIN + 23 * 60 * MINUTE).windows[0][ONE_DAY], 2000, "24h");
    assert_near(round(&mut members, BEGIN + 2 * DAY).windows[0][ONE_DAY], 0, "24h, later");
    assert_eq!(members[0].metric("active", ""), 2.0);
    // Redis removes its keys by itself.
    let expiry = |what: &str| redis.cli(&["PTTL", what]).parse::<i64>().unwrap();
    for (stretch, length, begin) in [(Stretch::Minute, 70 * MINUTE, MINUTE), (Stretch::Day, 32 * DAY, DAY)] {
        let left = expiry(&key(Distinct::Senders, stretch, BEGIN / begin, "ends"));
        assert!((length - 10 * MINUTE..=length).contains(&left), "{left}");
    }
}
