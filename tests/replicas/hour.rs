//! An hour of 200,000 people at three exporters.

use std::collections::BTreeSet;
use std::ops::Range;

use openim_exporter::stats::{Distinct, Stretch};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::fleet::{BEGIN, HOUR, MINUTE, Member, SECOND, assert_near, key, pfcount, round};
use crate::redis_server::Redis;

const PEOPLE: u32 = 200_000;
const NAMES: [&str; 3] = ["exporter-0", "exporter-1", "exporter-2"];

/// The people and groups of each minute, by [`Distinct`].
type Minutes = Vec<[BTreeSet<u32>; 4]>;

/// What happens in these seconds of a minute: each person has one of the exporters, unevenly, and sometimes another one.
fn happen(members: &[Member], begin: i64, seconds: Range<i64>, random: &mut Pcg64Mcg, seen: &mut [BTreeSet<u32>; 4]) {
    for _ in 0..i64::from(PEOPLE) / 1200 * (seconds.end - seconds.start) {
        let person = random.random_range(0..PEOPLE);
        let home = match person % 10 {
            0..6 => 0,
            6..9 => 1,
            _ => 2,
        };
        let member = &members[if random.random_ratio(1, 5) { random.random_range(0..3) } else { home }];
        let now = begin + random.random_range(seconds.clone()) * SECOND;
        let (name, group) = (format!("user-{person}"), person % 5000);
        match random.random_range(0..3) {
            0 => {
                member.group_message(now, &format!("group-{group}"), &name);
                seen[0].insert(person);
                seen[3].insert(group);
            }
            1 => {
                member.single_message(now, &name);
                seen[1].insert(person);
            }
            _ => member.reads(now, &name),
        }
        seen[2].insert(person);
    }
}

/// The exact numbers of the last minutes.
fn exact(minutes: &Minutes, complete: usize) -> [usize; 4] {
    let from = minutes.len().saturating_sub(complete + 1);
    [0, 1, 2, 3].map(|of| minutes[from..].iter().flat_map(|minute| &minute[of]).collect::<BTreeSet<_>>().len())
}

/// `PFCOUNT` over the keys of a window that ends now.
fn counted(redis: &Redis, of: Distinct, (stretch, complete): (Stretch, i64), now: i64) -> u64 {
    let length = if stretch == Stretch::Minute { MINUTE } else { HOUR };
    let sources = match of {
        Distinct::Users => vec![Distinct::Users, Distinct::Senders, Distinct::SingleSenders],
        _ => vec![of],
    };
    let numbers = now / length - complete..=now / length;
    let keys = sources
        .iter()
        .flat_map(|of| numbers.clone().flat_map(move |number| NAMES.map(|name| key(*of, stretch, number, name))));
    pfcount(redis, &keys.collect::<Vec<_>>())
}

/// Bytes that Redis has received and sent.
fn traffic(redis: &Redis) -> [u64; 2] {
    let info = redis.cli(&["INFO", "stats"]);
    ["total_net_input_bytes", "total_net_output_bytes"].map(|name| {
        let line = info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.parse().unwrap()
    })
}

#[test]
#[ignore = "needs redis-server"]
fn all_exporters_count_the_same_people_as_redis_within_two_percent_of_the_truth() {
    let redis = Redis::start(&[]);
    let mut members = NAMES.map(|name| Member::new(&redis, name));
    let mut random = Pcg64Mcg::seed_from_u64(21);
    let mut minutes: Minutes = Vec::new();
    for minute in 0..60 {
        let (begin, before) = (BEGIN + minute * MINUTE, traffic(&redis));
        // A round each ten seconds in some minutes, and at the end of the others.
        let length = if minute % 20 == 19 { 10 } else { 60 };
        let (mut seen, mut united) = Default::default();
        for end in (0..60).step_by(10).map(|end| end + 10).filter(|end| end % length == 0) {
            let tick = |second: i64| members.iter().for_each(|member| member.tick(begin + second * SECOND));
            (end - length..end - 6).step_by(3).for_each(tick);
            happen(&members, begin, end - length..end, &mut random, &mut seen);
            united = round(&mut members, begin + (end - 6) * SECOND);
            members.iter().for_each(|member| member.tick(begin + (end - 2) * SECOND));
        }
        minutes.push(seen);
        if minute % 20 != 19 {
            continue;
        }
        let after = traffic(&redis);
        println!(
            "minute {minute}: {} bytes to Redis and {} from it, for each exporter and round",
            (after[0] - before[0]) / 18,
            (after[1] - before[1]) / 18,
        );
        let now = begin + 59 * SECOND;
        for (window, complete, keys) in
            [(0, 5, (Stretch::Minute, 5)), (1, 60, (Stretch::Minute, 60)), (2, 1440, (Stretch::Hour, 24))]
        {
            for ((of, estimate), exact) in Distinct::ALL.into_iter().zip(united.windows).zip(exact(&minutes, complete))
            {
                let what = format!("{} in window {window} at minute {minute}", of.name());
                assert_near(estimate[window], exact, &what);
                assert_eq!(estimate[window], counted(&redis, of, keys, now), "{what}: PFCOUNT");
            }
        }
        let [senders, single, users, groups] = united.windows;
        for windows in [senders, single, users, groups] {
            assert_eq!([windows[3], windows[4]], [windows[2]; 2], "the first day");
        }
        let (_, today) = united.days[0];
        assert_eq!(united.days.len(), 1);
        assert_eq!(
            [today.group_senders, today.single_senders, today.senders, today.active_users, today.active_groups],
            [senders[2], single[2], united.senders[2], users[2], groups[2]]
        );
    }
    print_sizes(&redis);
    // One that starts now, with an empty state, comes to the same numbers.
    let late = Member::new(&redis, "exporter-3");
    let mut members: Vec<_> = members.into_iter().chain([late]).collect();
    members[3].tick(BEGIN + HOUR);
    round(&mut members, BEGIN + HOUR);
}

/// The bytes of an exporter's keys, for docs/replicas.md.
fn print_sizes(redis: &Redis) {
    let keys = redis.cli(&["KEYS", "*:exporter-0"]);
    for what in ["minute-", "hour-", "day-", "date-", "online:", "replica:", "groups:", "disconnects:", "processes:"] {
        let found: Vec<_> = keys.lines().filter(|key| key.contains(what)).collect();
        let bytes = |key: &&str| redis.cli(&["MEMORY", "USAGE", key]).parse::<u64>().unwrap();
        println!("{what} {} keys, {:?} bytes", found.len(), found.iter().map(bytes).max());
    }
}
