//! Users who come online at one exporter and go offline at another.

use std::collections::BTreeSet;

use crate::fleet::{BEGIN, MINUTE, Member, SECOND, agreed, assert_near, round};
use crate::redis_server::Redis;

fn user(number: usize) -> String {
    format!("user-{number}")
}

#[test]
#[ignore = "needs redis-server"]
fn users_online_are_united_within_two_percent_wherever_they_come_and_go() {
    let redis = Redis::start(&[]);
    let mut members = ["a", "b", "c"].map(|name| Member::new(&redis, name));
    let mut online = BTreeSet::new();
    for number in 0..30_000 {
        members[number % 3].online(BEGIN + 5 * SECOND, &user(number));
        // A third has a second connection at another exporter.
        if number % 9 < 3 {
            members[(number + 1) % 3].online(BEGIN + 6 * SECOND, &user(number));
        }
        online.insert(number);
    }
    let united = round(&mut members, BEGIN + 10 * SECOND);
    assert_near(united.online[0], online.len(), "all online");
    // Half of them go offline, at any exporter.
    for number in (0..30_000).filter(|number| number % 7 < 3) {
        members[number / 11 % 3].offline(BEGIN + 12 * SECOND, &user(number));
        online.remove(&number);
    }
    // One round tells the others, and in the next one their registers lack them.
    round(&mut members, BEGIN + 20 * SECOND);
    let united = round(&mut members, BEGIN + 30 * SECOND);
    assert_near(united.online[0], online.len(), "after some went offline");
    for (member, local) in members.iter().zip([11_430, 11_430, 11_430]) {
        let users: usize = member.stats.users_online().map(|(_, users)| users).sum();
        assert!(users < local, "{}: {users}", member.name);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn who_comes_online_again_stays_online() {
    let redis = Redis::start(&[]);
    let mut members = ["a", "b"].map(|name| Member::new(&redis, name));
    members[0].online(BEGIN + SECOND, "moves");
    members[0].online(BEGIN + SECOND, "leaves");
    round(&mut members, BEGIN + 10 * SECOND);
    members[1].offline(BEGIN + 12 * SECOND, "leaves");
    members[1].offline(BEGIN + 12 * SECOND, "moves");
    members[0].online(BEGIN + 13 * SECOND, "moves");
    round(&mut members, BEGIN + 20 * SECOND);
    assert_eq!(round(&mut members, BEGIN + 30 * SECOND).online[0], 1);
    // What another exporter reports again does not remove anybody, either.
    assert_eq!(round(&mut members, BEGIN + 40 * SECOND).online[0], 1);
}

#[test]
#[ignore = "needs redis-server"]
fn users_of_an_exporter_that_ended_stay_for_half_an_hour() {
    let redis = Redis::start(&[]);
    let mut members = vec![Member::new(&redis, "a"), Member::new(&redis, "b")];
    for number in 0..100 {
        members[number % 2].online(BEGIN, &user(number));
    }
    round(&mut members, BEGIN + 10 * SECOND);
    members.pop();
    for minute in 1..30 {
        (0..100).step_by(2).for_each(|number| members[0].online(BEGIN + minute * MINUTE, &user(number)));
        assert_near(round(&mut members, BEGIN + minute * MINUTE).online[0], 100, "while they may be online");
    }
    assert_near(round(&mut members, BEGIN + 31 * MINUTE).online[0], 50, "later");
    assert_near(agreed(&members).online[0], 50, "later");
}

#[test]
#[ignore = "needs redis-server"]
fn the_last_user_of_a_platform_goes_offline_also_while_redis_loses_data() {
    let redis = Redis::start(&[]);
    let mut members = ["a", "b"].map(|name| Member::new(&redis, name));
    members[0].online(BEGIN, "last");
    assert_eq!(round(&mut members, BEGIN).online[0], 1);
    members[0].offline(BEGIN + SECOND, "last");
    redis.cli(&["DEL", "{openim-exporter}:replica:a"]);
    assert_eq!(round(&mut members, BEGIN + 10 * SECOND).online[0], 0);
}

#[test]
#[ignore = "needs redis-server"]
fn many_registers_of_users_online_are_read_in_each_sixth_round() {
    let redis = Redis::start(&[]);
    let mut members: Vec<_> = (0..6).map(|number| Member::new(&redis, &format!("e{number}"))).collect();
    for (number, member) in members.iter().enumerate() {
        (1..=12).for_each(|platform| member.online_on(BEGIN, &user(number), platform));
    }
    // The first round reads all of them: six for each of twelve platforms.
    assert_eq!(round(&mut members, BEGIN + 10 * SECOND).online, [6; 12]);
    members[3].online_on(BEGIN + 12 * SECOND, "one more", 3);
    members[3].offline(BEGIN + 12 * SECOND, &user(3));
    assert_eq!(round(&mut members, BEGIN + 20 * SECOND).online, [6; 12]);
    assert_eq!(round(&mut members, BEGIN + MINUTE).online, [5, 6, 7, 6, 6, 6, 6, 6, 6, 6, 6, 6]);
}
