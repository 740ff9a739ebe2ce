use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::domain::{Calendar, Event, Message, Presence};
use crate::stats::Capacities;

/// 2024-11-23, 07:07:58 UTC, which is 15:07:58 in Shanghai.
const NOW: UnixMillis = UnixMillis(1_732_345_678_901);
const HOUR: i64 = 3_600_000;

fn stats() -> Stats {
    let capacities = Capacities {
        groups: 10,
        exported_groups: 10,
        sender_pairs: 10,
        dedup_window: Duration::ZERO,
        online: 100,
        history_days: 3,
    };
    Stats::in_memory(capacities, NOW).unwrap().in_calendar(Calendar::of_zone("Asia/Shanghai").unwrap())
}

fn at(ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

/// The estimates of all sketches, by the number of their stretch.
fn sketches(stats: &Stats, of: Distinct, stretch: Stretch) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    stats.visit_sketches(of, stretch, |number, sketch| {
        let mut union = Union::default();
        union.merge(sketch);
        assert_eq!(found.insert(number, union.estimate()), None);
    });
    found
}

#[test]
fn statistics_in_memory_have_a_random_id() {
    let ids: BTreeSet<_> = (0..20).map(|_| stats().id()).collect();
    assert_eq!(ids.len(), 20);
    assert!(ids.iter().all(|id| id.len() == 16 && u64::from_str_radix(id, 16).unwrap() > 0), "{ids:?}");
}

#[test]
fn every_sketch_with_elements_is_visited_with_the_number_of_its_stretch() {
    let stats = stats();
    // On the next calendar day in Shanghai, but on the same day of UTC.
    let evening = at(12 * HOUR);
    for (now, senders) in [(NOW, 3), (evening, 5)] {
        stats.tick(now);
        for sender in 0..senders {
            stats.record(&Message::of("g", &sender.to_string()), now);
        }
        for sender in 0..=senders {
            stats.record(&Message { group_id: None, ..Message::of("", &format!("{sender} single")) }, now);
        }
        for user_id in ["u", "v"] {
            stats.record_event(Event::Online(Presence { user_id, platform_id: 1 }), now);
        }
        stats.tick(now);
    }
    let number = |time: UnixMillis, length: i64| (time.0 / length).cast_unsigned();
    let [first, last] = [NOW, evening].map(|time| (number(time, 60_000), number(time, HOUR), number(time, 24 * HOUR)));
    let date = stats.calendar().day_of(NOW).0;
    assert_eq!((first.2, date + 1), (last.2, stats.calendar().day_of(evening).0));
    for (of, then, later) in
        [(Distinct::Senders, 3, 5), (Distinct::SingleSenders, 4, 6), (Distinct::Users, 2, 2), (Distinct::Groups, 1, 1)]
    {
        assert_eq!(sketches(&stats, of, Stretch::Minute), [(first.0, then), (last.0, later)].into());
        assert_eq!(sketches(&stats, of, Stretch::Hour), [(first.1, then), (last.1, later)].into());
        assert_eq!(sketches(&stats, of, Stretch::Day), [(first.2, later)].into());
        assert_eq!(sketches(&stats, of, Stretch::Date), [(date, then), (date + 1, later)].into());
    }
}

#[test]
fn who_goes_offline_at_one_exporter_is_offline_at_the_other() {
    let [here, there] = [stats(), stats()];
    there.keep_disconnects();
    let user = |user_id| Presence { user_id, platform_id: 2 };
    for name in ["leaves", "comes back", "stays"] {
        here.record_event(Event::Online(user(name)), at(0));
    }
    for (name, ms) in [("leaves", 10), ("comes back", 20), ("unknown", 25)] {
        there.record_event(Event::Offline(user(name)), at(ms));
    }
    here.record_event(Event::Online(user("comes back")), at(21));
    let (disconnects, dropped) = there.take_disconnects();
    assert_eq!((disconnects.iter().map(|one| one.at.0 - NOW.0).collect(), dropped), (vec![10, 20, 25], 0));
    here.apply_disconnects(&disconnects);
    let online = || here.users_online().map(|(_, users)| users as u64).sum::<u64>();
    assert_eq!(online(), 2);
    assert_eq!(here.online_sketches().iter().map(Union::estimate).sum::<u64>(), 2);
    // Only its own callbacks are counted and reported to others.
    assert_eq!(here.disconnects().map(|(_, count)| count).sum::<u64>(), 0);
    here.keep_disconnects();
    here.apply_disconnects(&disconnects);
    assert_eq!(here.take_disconnects(), (Vec::new(), 0));
}

#[test]
fn united_numbers_are_read_as_they_were_published() {
    let stats = stats();
    assert_eq!(stats.united(), None);
    let counts = UnitedCounts { windows: [[1, 2, 3, 4, 5]; 4], ..UnitedCounts::default() };
    stats.set_united(counts.clone(), Instant::now());
    assert_eq!(stats.united().as_deref(), Some(&counts));
    // Reading took long.
    stats.set_united(counts, Instant::now().checked_sub(Duration::from_mins(1)).unwrap());
    assert_eq!(stats.united(), None);
}
