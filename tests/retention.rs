//! The retention of senders, compared with exact sets of people.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/typical.rs"]
mod typical;

use std::collections::BTreeSet;
use std::time::Duration;

use openim_exporter::domain::{Message, UnixMillis};
use openim_exporter::stats::{Capacities, Stats};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use typical::typical;

/// 2023-11-14 in UTC.
const MIDNIGHT: i64 = 1_699_920_000_000;
const DAY: i64 = 86_400_000;

/// The largest error that the help of the metric allows.
const MOST: f64 = 0.03;

/// Sends a message from each person, some in groups and the others to one person.
fn send(stats: &Stats, people: &BTreeSet<u64>, at: i64) {
    for person in people {
        let (id, now) = (format!("person-{person}"), UnixMillis(at));
        let message = typical("group", &id, now);
        let message = if person % 3 == 0 { Message { group_id: None, ..message } } else { message };
        stats.record(&message, now);
    }
}

/// The estimated and the exact share of `first` that is also in `second`.
fn estimated_and_exact(first: &BTreeSet<u64>, second: &BTreeSet<u64>) -> (f64, f64) {
    let capacities = Capacities {
        groups: 10,
        exported_groups: 1,
        sender_pairs: 10,
        dedup_window: Duration::ZERO,
        online: 1,
        history_days: 1,
    };
    let stats = Stats::in_memory(capacities, UnixMillis(MIDNIGHT)).unwrap();
    for (day, people) in [first, second].into_iter().enumerate() {
        let noon = MIDNIGHT + i64::try_from(day).unwrap() * DAY + DAY / 2;
        stats.tick(UnixMillis(noon));
        send(&stats, people, noon);
        stats.tick(UnixMillis(noon + 1000));
    }
    let estimated = stats.sender_retention(1, UnixMillis(MIDNIGHT + 2 * DAY)).unwrap();
    (estimated, first.intersection(second).count() as f64 / first.len() as f64)
}

#[test]
fn the_error_is_within_three_points_from_2000_people_to_a_million() {
    let mut random = Pcg64Mcg::seed_from_u64(19);
    let mut worst = (0.0, String::new());
    for people in [2000, 5000, 20_000, 100_000, 1_000_000_u64] {
        // Fewer rounds of the large sets, which take seconds.
        let rounds = (200_000 / people).clamp(3, 40);
        for round in 0..rounds {
            let gone = people * (rounds - 1 - round) / (rounds - 1);
            let base = random.random::<u32>();
            let ids = |from: u64| (from..from + people).map(|number| u64::from(base) * 10_000_000 + number).collect();
            let (first, second): (BTreeSet<u64>, BTreeSet<u64>) = (ids(0), ids(gone));
            let (estimated, exact) = estimated_and_exact(&first, &second);
            let error = (estimated - exact).abs();
            if error > worst.0 {
                worst = (error, format!("{people} people: {estimated} instead of {exact}"));
            }
        }
    }
    println!("the largest error: {worst:?}");
    assert!(worst.0 <= MOST && worst.0 > 0.0, "{worst:?}");
}
