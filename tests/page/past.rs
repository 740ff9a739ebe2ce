//! States of chats in which people have been writing for a month, made without waiting.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use openim_exporter::arena::Boot;
use openim_exporter::domain::{Calendar, Message, UnixMillis};
use openim_exporter::stats::{Capacities, Stats};
use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::support::{Exporter, command};
use crate::typical::typical;

const CAPACITIES: Capacities = Capacities {
    groups: 1000,
    exported_groups: 200,
    sender_pairs: 20_000,
    dedup_window: Duration::ZERO,
    online: 1000,
    history_days: 400,
};

/// The flags for these capacities.
const FLAGS: [&str; 8] = [
    "--groups.max-tracked",
    "1000",
    "--groups.max-exported",
    "200",
    "--senders.max-tracked",
    "20000",
    "--users.max-online",
    "1000",
];

/// The local hours in which people write.
pub(crate) const HOURS: [i64; 2] = [1, 20];

/// Who wrote in that many days before today. Yesterday has 15 of the 40 people of the day before, 10 of the 20 of seven
/// days before, and 5 of the 25 of 28 days before.
fn people(days_ago: i64) -> Vec<String> {
    let (of_yesterday, others) = match days_ago {
        1 => (0..30, 0),
        2 => (15..30, 25),
        8 => (20..30, 10),
        29 => (0..5, 20),
        _ => (0..0, 10),
    };
    let known = of_yesterday.map(|person| format!("yesterday-{person}"));
    known.chain((0..others).map(|person| format!("{days_ago}-{person}"))).collect()
}

/// Messages in the second hour, by group. Everyone writes a message to `steady` in the first.
fn messages(days_ago: i64) -> [(&'static str, u64); 4] {
    let this_week = days_ago <= 7;
    [
        ("rising", if this_week { 20 } else { 2 }),
        ("falling", if this_week { 2 } else { 20 }),
        ("silent", if days_ago < 3 { 0 } else { 5 }),
        ("young", if days_ago <= 3 { 1 } else { 0 }),
    ]
}

/// The messages in each of [`HOURS`] on a day.
pub(crate) fn messages_by_hour(days_ago: i64) -> [u64; 2] {
    [people(days_ago).len() as u64, messages(days_ago).iter().map(|(_, count)| count).sum()]
}

/// The people who wrote on a day.
pub(crate) fn senders(days_ago: i64) -> u64 {
    people(days_ago).len() as u64
}

/// Now, in a time zone.
pub(crate) fn now_in(zone: &str) -> Zoned {
    Timestamp::try_from(SystemTime::now()).unwrap().to_zoned(TimeZone::get(zone).unwrap())
}

fn at(zone: &str, days_ago: i64, hour: i64, second: i64) -> UnixMillis {
    let day = now_in(zone).start_of_day().unwrap().checked_sub(days_ago.days()).unwrap();
    let time = day.checked_add((hour * 3600 + 1800 + second).seconds()).unwrap();
    UnixMillis(time.timestamp().as_millisecond())
}

fn write(directory: &Path, zone: &str) {
    let begin = at(zone, 30, 0, 0);
    let stats = Stats::open(directory, CAPACITIES, Boot::Unknown, begin, &|_| {}).unwrap();
    let stats = stats.in_calendar(Calendar::of_zone(zone).unwrap());
    stats.tick(begin);
    for days_ago in (1..30).rev() {
        let people = people(days_ago);
        for hour in HOURS {
            stats.tick(at(zone, days_ago, hour, -1));
            let now = at(zone, days_ago, hour, 0);
            let count = |group: &str, sender: &str| {
                stats.record(&typical(group, sender, now), now);
            };
            if hour == HOURS[0] {
                people.iter().for_each(|sender| count("steady", sender));
            } else {
                for (group, number) in messages(days_ago) {
                    (0..number).for_each(|_| count(group, &people[0]));
                }
            }
            stats.tick(at(zone, days_ago, hour, 15));
        }
    }
    stats.close(at(zone, 1, HOURS[1], 20), &|_| {}).unwrap();
}

/// Runs an exporter with the state in a directory.
fn run(directory: &Path, zone: &str) -> Exporter {
    let path = ["--storage.path", directory.to_str().unwrap(), "--stats.time-zone", zone];
    Exporter::run(command(&["--web.listen-address", "127.0.0.1:0"]).args(path).args(FLAGS))
}

/// Starts an exporter with this past in a directory.
pub(crate) fn start(directory: &Path, zone: &str) -> Exporter {
    write(directory, zone);
    run(directory, zone)
}

/// Messages in an hour of the day: few at night, most in the evening.
const RHYTHM: [u64; 24] = [9, 5, 3, 2, 2, 3, 8, 16, 27, 38, 44, 47, 52, 43, 42, 46, 49, 54, 63, 75, 86, 80, 55, 24];

/// Writes a month of a busy chat, up to now.
fn write_busy(directory: &Path) {
    let minute = |minutes_ago: i64| UnixMillis((now_in("UTC").timestamp().as_second() / 60 - minutes_ago) * 60_000);
    let times = (1..34 * 24).rev().map(|hours_ago| (hours_ago * 60 + 30, 1)).chain((1..60).rev().map(|ago| (ago, 20)));
    let stats = Stats::open(directory, CAPACITIES, Boot::Unknown, minute(34 * 24 * 60), &|_| {}).unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(1);
    for (minutes_ago, part) in times {
        let now = minute(minutes_ago);
        stats.tick(UnixMillis(now.0 + 1000));
        let hour = usize::try_from(now.0 / 3_600_000 % 24).unwrap();
        for _ in 0..RHYTHM[hour] * random.random_range(16..26) / part {
            // A few groups and people write most.
            let one_of = |random: &mut Pcg64Mcg, all: f64| (random.random::<f64>().powi(3) * all).floor();
            let group = format!("{:010.0}", 2_903_069_015.0 + 73_939_133.0 * one_of(&mut random, 80.0));
            let sender = format!("{:.0}", one_of(&mut random, 900.0));
            let is_single = random.random_bool(0.2);
            let message = Message {
                group_id: (!is_single).then_some(group.as_str()),
                content_type: [101, 101, 101, 102, 103, 114, 104][random.random_range(0..7)],
                platform_id: [1, 2, 2, 3, 5][random.random_range(0..5)],
                send_time: Some(UnixMillis(now.0 - random.random_range(5..40_i64).pow(2) / 8)),
                ..typical(&group, &sender, now)
            };
            stats.record(&message, now);
        }
        stats.tick(UnixMillis(now.0 + 5000));
    }
    stats.close(minute(0), &|_| {}).unwrap();
}

/// Starts an exporter whose chat was busy for a month.
pub(crate) fn start_busy(directory: &Path) -> Exporter {
    write_busy(directory);
    run(directory, "UTC")
}
