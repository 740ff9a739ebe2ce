//! The exported groups, on which all exporters agree.

use std::collections::{BTreeMap, BTreeSet};

use openim_exporter::domain::UnixMillis;

use crate::fleet::{BEGIN, MINUTE, Member, SECOND, round, stats};
use crate::redis_server::Redis;

/// The names of the exported groups, with their messages.
fn exported(member: &Member) -> BTreeMap<String, u64> {
    let groups = member.stats.exported_groups().into_iter().filter_map(|slot| member.stats.group(slot));
    groups.map(|group| (group.name.to_string(), group.messages)).collect()
}

#[test]
#[ignore = "needs redis-server"]
fn all_export_the_same_groups_and_their_sums_are_the_truth() {
    let redis = Redis::start(&[]);
    let member = |name| Member::with(&redis, name, stats(BEGIN, "UTC", 4), 0);
    let mut members = ["a", "b", "c"].map(member);
    let mut truth = BTreeMap::<String, u64>::new();
    let mut last = BTreeSet::new();
    for minute in 0..25 {
        for second in 0..6 {
            let now = BEGIN + minute * MINUTE + second * 10 * SECOND;
            for (at, member) in members.iter().enumerate() {
                // Each has groups of its own that are busy there, and some groups are at all of them. Those are first only
                // in the sum.
                let own = (0..6).map(|group| (format!("own-{at}-{group}"), 3 + group));
                let common = (0..6).map(|group| (format!("common-{group}"), 4 + group / 2));
                for (group, messages) in own.chain(common) {
                    (0..messages).for_each(|_| member.group_message(now, &group, "someone"));
                    *truth.entry(group).or_default() += messages;
                }
            }
            (0..2).for_each(|half| members.iter().for_each(|member| member.tick(now + half * 5 * SECOND)));
            if second == 5 || minute == 24 {
                round(&mut members, now);
                let sets = [0, 1, 2].map(|at| exported(&members[at]).into_keys().collect::<BTreeSet<_>>());
                // Those that are exported may not be tracked everywhere, but here all common ones are.
                let all: BTreeSet<_> = sets.iter().flatten().cloned().collect();
                assert!(all.len() <= 4 + usize::from(minute == 0) * 8, "minute {minute}: {all:?}");
                last = all;
            }
        }
    }
    let expected = [2, 3, 4, 5].map(|group| format!("common-{group}")).into();
    assert_eq!(last, expected);
    for group in &last {
        let sum: u64 = members.iter().map(|member| exported(member)[group]).sum();
        assert_eq!(sum, truth[group], "{group}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn the_first_groups_of_a_new_exporter_do_not_replace_busy_ones() {
    let redis = Redis::start(&[]);
    let mut members = vec![Member::with(&redis, "old", stats(BEGIN, "UTC", 4), 0)];
    let busy: Vec<_> = (0..4).map(|number| format!("busy-{number}")).collect();
    let talk = |member: &Member, now: i64| {
        member.tick(now);
        busy.iter().for_each(|group| (0..10).for_each(|_| member.group_message(now, group, "someone")));
    };
    for minute in 0..15 {
        talk(&members[0], BEGIN + minute * MINUTE);
        round(&mut members, BEGIN + minute * MINUTE);
    }
    let now = BEGIN + 15 * MINUTE;
    let new = Member::with(&redis, "new", stats(now, "UTC", 4), 0);
    // It exports the first ones that it sees.
    (0..4).for_each(|number| new.group_message(now, &format!("quiet-{number}"), "someone"));
    members.push(new);
    for second in [0, 10] {
        members.iter().for_each(|member| talk(member, now + second * SECOND));
        round(&mut members, now + second * SECOND);
        assert!(members.iter().all(|member| exported(member).into_keys().eq(busy.clone())), "after {second} s");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn an_erased_group_leaves_redis_with_the_exporter_that_erased_it() {
    let redis = Redis::start(&[]);
    let member = |name| Member::with(&redis, name, stats(BEGIN, "UTC", 4), 0);
    let mut members = ["a", "b"].map(member);
    let told = |name: &str| redis.cli(&["GET", &format!("{{openim-exporter}}:groups:{name}")]).contains("gone");
    let erase = |member: &Member, now| member.stats.erase_group("gone", UnixMillis(now)).unwrap().unwrap().messages;
    let mut now = BEGIN;
    for member in &members {
        ["gone", "stays"].iter().for_each(|group| member.group_message(now, group, "someone"));
    }
    round(&mut members, now);
    assert!(told("a") && told("b"));
    assert_eq!(erase(&members[0], now), 1);
    now += 10 * SECOND;
    round(&mut members, now);
    assert!(!told("a") && told("b"));
    // All agreed on it, so it is exported again at once.
    members[0].group_message(now, "gone", "someone");
    assert_eq!(exported(&members[0])["gone"], 1);
    let again = [0, 1].map(|at| erase(&members[at], now));
    now += 10 * SECOND;
    round(&mut members, now);
    assert_eq!((again, told("a"), told("b")), ([1, 1], false, false));
    assert!(members.iter().all(|member| exported(member).into_keys().eq(["stays".to_owned()])));
}
