use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::domain::{Activity, Chat, Event, Message, Presence, Reason};
use crate::stats::{Capacities, Stats};

/// 2023-11-14, 22:13:20 UTC.
const START: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn stats_in(zone: &str, history_days: usize, begin: i64) -> Stats {
    let capacities = Capacities {
        groups: 100,
        exported_groups: 10,
        sender_pairs: 1000,
        dedup_window: Duration::ZERO,
        online: 100,
        history_days,
    };
    let stats = Stats::in_memory(capacities, UnixMillis(begin)).unwrap();
    stats.in_calendar(Calendar::of_zone(zone).unwrap())
}

fn send(stats: &Stats, sender: &str, at: i64) {
    stats.record(&Message { send_time: Some(UnixMillis(at - 40)), ..Message::of("g", sender) }, UnixMillis(at));
}

fn read(stats: &Stats, step: Step, now: i64) -> Vec<Period> {
    stats.history(step, UnixMillis(0), UnixMillis(i64::MAX), UnixMillis(now))
}

/// When each period begins, in milliseconds after [`START`], and its group messages.
fn messages(stats: &Stats, step: Step, now: i64) -> Vec<(i64, u64)> {
    read(stats, step, now).iter().map(|period| (period.begin.0 - START, period.messages(Chat::Group))).collect()
}

fn sum(stats: &Stats, step: Step, now: i64) -> u64 {
    messages(stats, step, now).iter().map(|(_, messages)| messages).sum()
}

#[test]
fn a_period_has_what_was_counted_in_it() {
    let stats = stats_in("UTC", 40, START);
    stats.tick(UnixMillis(START));
    for second in 0..180 {
        let now = START + second * 1000;
        stats.tick(UnixMillis(now));
        send(&stats, &format!("u{}", second % 7), now);
        if second % 2 == 0 {
            stats.record(&Message { group_id: None, content_type: 102, ..Message::of("", "v") }, UnixMillis(now));
            stats.record_event(Event::Activity(Activity::MembersJoined, 3), UnixMillis(now));
        }
        if second == 100 {
            stats.record_refusal(Reason::Unauthorized);
            let user = |user_id| Event::Online(Presence { user_id, platform_id: 1 });
            ["a", "b"].into_iter().for_each(|id| stats.record_event(user(id), UnixMillis(now)));
            stats.record_event(Event::Offline(Presence { user_id: "b", platform_id: 1 }), UnixMillis(now + 1500));
        }
    }
    let end = START + 180_000;
    stats.tick(UnixMillis(end));
    // START is 20 seconds into a minute.
    let expected = [(-20_000, 40), (40_000, 60), (100_000, 60), (160_000, 20)];
    assert_eq!(messages(&stats, Step::Minute, end), expected);
    let hours = read(&stats, Step::Hour, end);
    let [hour] = &hours[..] else { panic!("{hours:?}") };
    assert_eq!((hour.begin.0 - START, hour.is_complete), (-13 * MINUTE - 20_000, false));
    assert_eq!((hour.messages(Chat::Group), hour.messages(Chat::Single)), (180, 90));
    assert_eq!((hour.activity(Activity::MembersJoined), hour.refusals()), (270, 1));
    let types = |chat| stats.content_types_of(hour, chat).map(|(name, count)| (name.into_owned(), count));
    assert_eq!(types(Chat::Group).collect::<Vec<_>>(), [("text".to_owned(), 180)]);
    assert_eq!(types(Chat::Single).collect::<Vec<_>>(), [("picture".to_owned(), 90)]);
    assert_eq!(hour.delivery_delays().count, 180);
    assert!((25.0..50.0).contains(&hour.delivery_delays().quantile(0.5).unwrap()));
    let gauges = |period: &Period| Gauge::ALL.map(|gauge| period.gauge(gauge));
    assert_eq!(gauges(hour), [7, 1, 8, 10, 1, 1]);
    let minutes = read(&stats, Step::Minute, end);
    assert_eq!(minutes.iter().map(|minute| minute.is_complete).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(gauges(&minutes[0]), [7, 1, 8, 8, 1, 0]);
    assert_eq!(gauges(&minutes[2]), [7, 1, 8, 10, 1, 1]);
    assert_eq!(minutes[1].activity(Activity::MembersJoined), 90);
    assert_eq!(stats.content_types_of(&minutes[1], Chat::Group).count(), 0);
}

#[test]
fn a_range_contains_its_beginning_and_not_its_end() {
    let stats = stats_in("UTC", 40, START);
    for minute in 0..10 {
        stats.tick(UnixMillis(START + minute * MINUTE));
    }
    let now = START + 10 * MINUTE;
    let begins = |from: i64, to: i64| {
        let periods = stats.history(Step::Minute, UnixMillis(from), UnixMillis(to), UnixMillis(now));
        periods.iter().map(|period| (period.begin.0 - START + 20_000) / MINUTE).collect::<Vec<_>>()
    };
    let base = START - 20_000;
    assert_eq!(begins(base + 2 * MINUTE, base + 4 * MINUTE), [2, 3]);
    assert_eq!(begins(base + 2 * MINUTE + 1, base + 4 * MINUTE + 1), [3, 4]);
    assert_eq!(begins(base + 4 * MINUTE, base + 4 * MINUTE), [0; 0]);
    assert_eq!(begins(i64::MIN, base + MINUTE), [0]);
}

#[test]
fn days_of_23_and_25_hours_are_whole_days() {
    // Berlin, 2026-03-29 (23 hours) and 2026-10-25 (25 hours).
    for (noon_before, hours) in [(1_774_695_600_000, 23), (1_792_836_000_000, 25)] {
        let stats = stats_in("Europe/Berlin", 40, noon_before - HOUR);
        stats.tick(UnixMillis(noon_before - HOUR));
        for quarter in 0..4 * 60 {
            let now = noon_before + quarter * HOUR / 4;
            stats.tick(UnixMillis(now));
            send(&stats, "u", now);
        }
        let end = noon_before + 60 * HOUR;
        stats.tick(UnixMillis(end));
        let days = read(&stats, Step::Day, end);
        let counts: Vec<_> = days.iter().map(|day| day.messages(Chat::Group)).collect();
        assert_eq!(counts[..2], [48, u64::try_from(hours).unwrap() * 4]);
        assert_eq!(days[2].begin.since(days[1].begin), hours * HOUR);
        assert_eq!(sum(&stats, Step::Day, end), 240);
        assert_eq!(sum(&stats, Step::Hour, end), 240);
    }
}

#[test]
fn a_calendar_day_has_its_own_distinct_people() {
    // 2023-11-14, 16:00 UTC is midnight in Shanghai.
    let midnight = START - START.rem_euclid(DAY) + 16 * HOUR;
    let stats = stats_in("Asia/Shanghai", 40, midnight - 3 * HOUR);
    for minute in -180..180 {
        let now = midnight + minute * MINUTE;
        stats.tick(UnixMillis(now));
        // Each person writes twice: before or after midnight.
        let person = if minute < 0 { minute / 2 } else { 1000 + minute / 3 };
        send(&stats, &person.to_string(), now + 100);
    }
    let end = midnight + 180 * MINUTE;
    stats.tick(UnixMillis(end));
    let days = read(&stats, Step::Day, end);
    let senders = days.iter().map(|day| day.gauge(Gauge::Senders)).collect::<Vec<_>>();
    let [before, after] = senders[..] else { panic!("{senders:?}") };
    assert!((89..=93).contains(&before) && (59..=61).contains(&after), "{senders:?}");
    assert_eq!(days[1].begin.0, midnight);
    assert_eq!(messages(&stats, Step::Day, end).iter().map(|(_, count)| *count).collect::<Vec<_>>(), [180, 180]);
}

#[test]
fn a_period_without_the_exporter_is_missing_and_the_oldest_are_dropped() {
    let stats = stats_in("UTC", 3, START);
    for day in [0, 1, 2, 5, 6] {
        stats.tick(UnixMillis(START + day * DAY));
        send(&stats, "u", START + day * DAY + 1000);
    }
    let end = START + 6 * DAY + 2000;
    stats.tick(UnixMillis(end));
    let begins: Vec<_> = messages(&stats, Step::Day, end).iter().map(|(begin, _)| begin.div_euclid(DAY) + 1).collect();
    assert_eq!(begins, [1, 2, 5, 6]);
    // The ticks came a day or more apart, but each message counts once.
    assert_eq!(sum(&stats, Step::Hour, end), 5);
}

#[test]
fn what_was_counted_while_the_clock_was_ahead_moves_back_with_it() {
    let stats = stats_in("UTC", 40, START);
    for (after, clock) in [(0, 0), (1000, 0), (2000, 40 * DAY), (3000, 40 * DAY), (4000, 0), (5000, 0)] {
        stats.tick(UnixMillis(START + clock + after));
        send(&stats, "u", START + clock + after);
    }
    let end = START + 6000;
    stats.tick(UnixMillis(end));
    for step in Step::ALL {
        let counts = messages(&stats, step, end);
        assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [6], "{step:?}: {counts:?}");
    }
}

#[test]
fn with_a_wild_clock_and_changing_time_zones_every_message_is_in_one_period_of_each_step() {
    let zones = ["UTC", "Asia/Shanghai", "America/Los_Angeles", "Pacific/Apia"];
    for seed in 0..8 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut stats = stats_in("UTC", 400, START);
        let (mut clock, mut sent) = (START, 0);
        for _ in 0..1200 {
            clock += match random.random_range(0..40) {
                0 => random.random_range(-3 * DAY..3 * DAY),
                1 => random.random_range(-HOUR..HOUR),
                2..8 => random.random_range(0..MINUTE),
                _ => 1000,
            };
            for _ in 0..random.random_range(0..4) {
                send(&stats, "u", clock);
                sent += 1;
            }
            stats.tick(UnixMillis(clock));
            if random.random_range(0..100) == 0 {
                stats = stats.in_calendar(Calendar::of_zone(zones[random.random_range(0..zones.len())]).unwrap());
            }
        }
        stats.tick(UnixMillis(clock));
        // Far less than the rings hold, so nothing is dropped.
        for step in Step::ALL {
            let periods = messages(&stats, step, clock);
            assert_eq!(sum(&stats, step, clock), sent, "seed {seed}, {step:?}: {periods:?}");
            assert!(periods.is_sorted(), "{periods:?}");
        }
        assert_eq!(stats.messages(), sent);
    }
}

#[test]
fn what_is_counted_on_the_first_day_of_1970_is_in_the_history() {
    // A machine without a clock battery boots then.
    let stats = stats_in("UTC", 40, 5000);
    for clock in [5000, 6000, START, START + 1000] {
        stats.tick(UnixMillis(clock));
        send(&stats, "u", clock);
    }
    let end = START + 2000;
    stats.tick(UnixMillis(end));
    assert_eq!(Step::ALL.map(|step| sum(&stats, step, end)), [4; 3]);
}

#[test]
fn a_period_is_not_over_before_the_tick_that_ends_it() {
    let stats = stats_in("UTC", 40, START);
    stats.tick(UnixMillis(START));
    let midnight = START - START.rem_euclid(DAY) + DAY;
    stats.tick(UnixMillis(midnight - 1000));
    ["u", "v"].into_iter().for_each(|sender| send(&stats, sender, midnight - 500));
    let latest = |step| {
        let latest = read(&stats, step, midnight + 300).pop().unwrap();
        (latest.is_complete, latest.gauge(Gauge::Senders))
    };
    assert_eq!(latest(Step::Minute), (false, 2));
    assert_eq!(latest(Step::Hour), (false, 2));
    stats.tick(UnixMillis(midnight + 400));
    for step in Step::ALL {
        let periods = read(&stats, step, midnight + 500);
        let [.., before, current] = &periods[..] else { panic!("{periods:?}") };
        assert_eq!((before.is_complete, before.gauge(Gauge::Senders), before.messages(Chat::Group)), (true, 2, 2));
        assert!(!current.is_complete);
    }
}

#[test]
fn retention_is_the_share_of_a_day_s_senders_who_came_back() {
    let midnight = START - START.rem_euclid(DAY);
    let stats = stats_in("UTC", 40, midnight);
    assert_eq!(stats.sender_retention(1, UnixMillis(midnight)), None);
    // 100 people a day, of whom 70 also write on the next day, and 30 a week later.
    for day in 0..9 {
        let now = midnight + day * DAY + HOUR;
        stats.tick(UnixMillis(now));
        for person in 0..100 {
            let id = if person < 30 { person } else { 30 * day + person };
            send(&stats, &id.to_string(), now);
        }
        stats.tick(UnixMillis(now + 1000));
    }
    let now = UnixMillis(midnight + 9 * DAY + 1);
    stats.tick(now);
    let near = |share: Option<f64>, expected: f64| assert!((share.unwrap() - expected).abs() < 0.03, "{share:?}");
    near(stats.sender_retention(1, now), 0.7);
    near(stats.sender_retention(7, now), 0.3);
    assert_eq!(stats.sender_retention(28, now), None);
}
