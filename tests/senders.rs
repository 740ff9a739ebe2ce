//! Each group's distinct senders over simulated days. They equal a brute-force count while the table of pairs is large
//! enough; beyond that, the missing ones are counted as evicted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use openim_exporter::domain::UnixMillis;
use openim_exporter::stats::{Capacities, Recorded, Stats};
use openim_exporter::wire;
use support::message;

/// The start of a minute, counted from a minute in November 2024.
const fn at(minute: i64) -> UnixMillis {
    UnixMillis((28_872_427 + minute) * 60_000)
}

/// The statistics, and what is expected of them.
struct World {
    stats: Stats,
    /// The last minute of each pair of a group and a sender, while the group was tracked.
    seen: HashMap<(u32, u32), i64>,
    added: usize,
    folded: usize,
}

/// Distinct senders of the last hour and of the last day, by group.
type Senders = BTreeMap<String, [u32; 2]>;

impl World {
    fn new(groups: usize, sender_pairs: usize) -> Self {
        let capacities = Capacities {
            groups,
            exported_groups: 1,
            sender_pairs,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        };
        let stats = Stats::in_memory(capacities, at(-1)).unwrap();
        Self { stats, seen: HashMap::new(), added: 0, folded: 0 }
    }

    fn send(&mut self, group: u32, sender: u32, minute: i64) {
        let body = message(&format!("g{group}"), &format!("u{sender}"));
        let now = UnixMillis(at(minute).0 + i64::from(sender % 60_000));
        match wire::decode_group_message(body.as_bytes(), |message| self.stats.record(message, now)).unwrap() {
            Recorded::Folded => self.folded += 1,
            recorded => {
                self.added += usize::from(matches!(recorded, Recorded::Added(_)));
                self.seen.insert((group, sender), minute);
            }
        }
    }

    /// The brute-force count for the tracked groups.
    fn expected(&self, minute: i64) -> Senders {
        let mut senders: Senders = self.stats.groups().map(|group| (group.name.to_string(), [0, 0])).collect();
        for ((group, _), seen) in &self.seen {
            // A window has whole minutes and the current one.
            let idle = minute - seen;
            if let Some([hour, day]) = senders.get_mut(&format!("g{group}")) {
                *hour += u32::from(idle <= 60);
                *day += u32::from(idle <= 24 * 60);
            }
        }
        senders
    }

    fn found(&self) -> Senders {
        self.stats.groups().map(|group| (group.name.to_string(), group.active_senders)).collect()
    }
}

fn of_a_day(senders: &Senders) -> u64 {
    senders.values().map(|[_, day]| u64::from(*day)).sum()
}

/// Deterministic pseudo-random numbers.
fn noise(a: u32, b: u32) -> u32 {
    (a.wrapping_mul(2_654_435_761) ^ b.wrapping_mul(2_246_822_519)).wrapping_mul(3_266_489_917) >> 8
}

#[test]
fn distinct_senders_equal_brute_force_over_days_with_retired_groups() {
    let mut world = World::new(40, 20_000);
    for minute in 0..3 * 24 * 60_u32 {
        let now = i64::from(minute);
        for turn in 0..8 {
            let drawn = noise(minute, turn);
            // A moving set of groups: each is active for about eight hours, and again on the third day.
            let group = (drawn % 12 + minute / 40) % 80;
            world.send(group, (drawn >> 8) % (20 + group * 3), now);
        }
        world.stats.tick(at(now));
        if minute % 30 == 29 {
            let expected = world.expected(now);
            assert_eq!(world.found(), expected, "minute {minute}");
            assert_eq!(world.stats.sender_pairs_evicted(), 0);
        }
    }
    let retired = usize::try_from(world.stats.groups_retired()).unwrap();
    assert!(retired > 40 && world.added == 40 + retired, "{retired} {}", world.added);
    assert!(world.folded > 100, "{}", world.folded);
    assert!(of_a_day(&world.found()) > 1000);
}

#[test]
fn beyond_the_capacity_missing_senders_are_counted_as_evicted_and_the_last_hour_is_exact() {
    const CAPACITY: usize = 2000;
    let mut world = World::new(40, CAPACITY);
    let mut over = 0;
    // Less than a day, so that no pair expires.
    for minute in 0..23 * 60_u32 {
        let now = i64::from(minute);
        // New senders, and some of the last hour, which still have their entries.
        (0..8).for_each(|new| world.send(noise(minute, new) % 40, minute * 8 + new, now));
        let old = minute.saturating_sub(noise(minute, 9) % 60);
        world.send(noise(old, 3) % 40, old * 8 + 3, now);
        world.stats.tick(at(now));
        let (found, expected) = (world.found(), world.expected(now));
        assert_eq!(of_a_day(&expected) - of_a_day(&found), world.stats.sender_pairs_evicted(), "minute {minute}");
        assert_eq!(world.stats.sender_pairs_tracked(), of_a_day(&found), "minute {minute}");
        for (group, [hour, day]) in found {
            assert!(hour == expected[&group][0] && day <= expected[&group][1], "minute {minute}, {group}");
        }
        over += usize::from(world.stats.sender_pairs_evicted() > 0);
    }
    assert_eq!(world.stats.sender_pairs_tracked(), CAPACITY as u64);
    assert_eq!(world.stats.sender_pairs_evicted(), 23 * 60 * 8 - CAPACITY as u64);
    assert!(over > 18 * 60, "{over}");
}
