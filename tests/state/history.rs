//! The history in a state that is opened again.

use openim_exporter::stats::{Gauge, Step as Length};

use super::power_loss::roll_back;
use super::*;

/// The messages in each period, and whether it is over. The time is `now`.
fn messages(stats: &Stats, length: Length, now: UnixMillis) -> Vec<(u64, bool)> {
    let periods = stats.history(length, UnixMillis(0), UnixMillis(i64::MAX), now);
    periods.iter().map(|period| (period.messages(Chat::Group), period.is_complete)).collect()
}

fn sums(stats: &Stats, now: UnixMillis) -> [u64; 3] {
    Length::ALL.map(|length| messages(stats, length, now).iter().map(|(messages, _)| messages).sum())
}

fn send(stats: &Stats, senders: impl IntoIterator<Item = u64>, now: UnixMillis) {
    senders.into_iter().for_each(|sender| record(stats, "g", &sender.to_string(), now));
}

/// The next midnight in UTC after [`NOW`], and some milliseconds.
fn midnight_and(ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 - NOW.0 % 86_400_000 + 86_400_000 + ms)
}

#[test]
fn messages_before_a_kill_at_midnight_are_in_the_day_before() {
    let directory = tempfile::tempdir().unwrap();
    let open_at = |time| try_open(directory.path(), CAPACITIES, BOOT, time).unwrap().0;
    let stats = open_at(midnight_and(-3000));
    stats.tick(midnight_and(-3000));
    send(&stats, 0..5, midnight_and(-2500));
    stats.tick(midnight_and(-1000));
    // After the last tick.
    send(&stats, 5..8, midnight_and(-500));
    drop(stats);
    let stats = open_at(midnight_and(7000));
    send(&stats, 7..9, midnight_and(7500));
    let end = midnight_and(8000);
    stats.tick(end);
    for length in Length::ALL {
        assert_eq!(messages(&stats, length, end), [(8, true), (2, false)], "{length:?}");
        let periods = stats.history(length, UnixMillis(0), end, end);
        let senders: Vec<_> = periods.iter().map(|period| period.gauge(Gauge::Senders)).collect();
        assert_eq!(senders, [8, 2], "{length:?}");
    }
    assert_eq!(stats.messages(), 10);
}

#[test]
fn a_kill_between_any_two_seconds_loses_no_message_and_counts_none_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(3);
    let (mut now, mut sent) = (NOW, 0);
    let mut stats = open(directory.path(), BOOT).0;
    for _ in 0..300 {
        now = UnixMillis(now.0 + random.random_range(500..70_000));
        let count = random.random_range(0..5);
        send(&stats, 0..count, now);
        sent += count;
        if random.random_bool(0.5) {
            stats.tick(now);
        }
        if random.random_bool(0.2) {
            drop(stats);
            stats = try_open(directory.path(), CAPACITIES, BOOT, now).unwrap().0;
        }
    }
    stats.tick(now);
    assert_eq!((stats.messages(), sums(&stats, now)), (sent, [sent; 3]));
}

#[test]
fn the_history_continues_when_the_counters_start_from_0() {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open(directory.path(), BOOT);
    stats.tick(NOW);
    send(&stats, 0..30, NOW);
    stats.tick(later(1000));
    drop(stats);
    let (stats, _) = open(directory.path(), NEXT_BOOT);
    assert_eq!((stats.state_start(), stats.messages()), (StateStart::CountersReset, 0));
    stats.tick(later(2000));
    send(&stats, 0..4, later(2000));
    stats.tick(later(3000));
    assert_eq!((stats.messages(), sums(&stats, later(3000))), (4, [34; 3]));
}

#[test]
fn no_power_loss_makes_a_sum_of_the_history_too_large() {
    let mut random = Pcg64Mcg::seed_from_u64(11);
    for round in 0..200 {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let (stats, _) = open(directory.path(), BOOT);
        let (mut earlier, mut sent) = (Vec::new(), 0);
        for minute in 0..6 {
            earlier.push(fs::read(&state).unwrap());
            let now = later(minute * 60_000);
            stats.tick(now);
            let count = random.random_range(0..40);
            send(&stats, 0..count, now);
            sent += count;
        }
        stats.tick(later(6 * 60_000));
        drop(stats);
        roll_back(&state, &earlier, &mut random);
        let after = later(7 * 60_000);
        let (stats, _) = try_open(directory.path(), CAPACITIES, NEXT_BOOT, after).unwrap();
        stats.tick(after);
        send(&stats, 0..7, after);
        stats.tick(after);
        for sum in sums(&stats, after) {
            assert!((7..=sent + 7).contains(&sum), "round {round}: {sum} of {sent}");
        }
        assert_eq!(messages(&stats, Length::Minute, after).last(), Some(&(7, false)), "round {round}");
    }
}

#[test]
fn a_state_of_other_capacities_keeps_its_history() {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open(directory.path(), BOOT);
    for day in 0..6 {
        stats.tick(later(day * 86_400_000));
        send(&stats, 0..10, later(day * 86_400_000));
    }
    let end = later(5 * 86_400_000 + 1000);
    stats.tick(end);
    let before = messages(&stats, Length::Day, end);
    assert_eq!(before.len(), 6);
    drop(stats);
    for (groups, history_days) in [(200, 40), (100, 3), (100, 500)] {
        let capacities = Capacities { groups, history_days, ..CAPACITIES };
        let (stats, steps) = try_open(directory.path(), capacities, BOOT, end).unwrap();
        assert!(is_converted(&steps), "{steps:?}");
        stats.tick(end);
        let kept = messages(&stats, Length::Day, end);
        // Once dropped, a day does not come back.
        let expected = if groups == 200 { &before[..] } else { &before[2..] };
        assert_eq!(kept, expected, "{history_days}");
        assert_eq!(sums(&stats, end)[1], 60);
    }
}

#[test]
fn a_power_loss_spoils_only_the_days_that_were_being_written() {
    let mut random = Pcg64Mcg::seed_from_u64(5);
    let capacities = Capacities { history_days: 20, ..CAPACITIES };
    for round in 0..60 {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let (stats, _) = open_with(directory.path(), capacities, BOOT);
        let mut earlier = Vec::new();
        for day in 0..30 {
            let now = later(day * 86_400_000);
            stats.tick(now);
            send(&stats, 0..10, now);
            stats.tick(UnixMillis(now.0 + 1000));
            if day >= 27 {
                earlier.push(fs::read(&state).unwrap());
            }
        }
        drop(stats);
        roll_back(&state, &earlier, &mut random);
        let after = later(30 * 86_400_000);
        let (stats, _) = try_open(directory.path(), capacities, NEXT_BOOT, after).unwrap();
        stats.tick(after);
        let days = messages(&stats, Length::Day, after);
        let whole = days.iter().filter(|(messages, _)| *messages == 10).count();
        assert!(whole >= 15, "round {round}: {days:?}");
    }
}
