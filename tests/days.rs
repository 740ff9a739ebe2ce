//! Three simulated days in which groups become active, silent and retired, in a table that is too small for all of
//! them. A real Prometheus gets the samples of one scrape per minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod oracle;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::stats::{Capacities, Recorded, Stats};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire;
use oracle::Prometheus;
use support::message;

const GROUPS: u32 = 120;
const TRACKED: usize = 60;
const EXPORTED: usize = 8;
const MINUTES: u32 = 3 * 24 * 60;

/// The simulation: the exporter's statistics, the expected numbers, and the scrapes.
struct Days {
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    /// The time of the first scrape, in seconds since the epoch.
    start: i64,
    sent: u64,
    /// How often each group began to be tracked: more than once if it was retired in between.
    lives: BTreeMap<String, u32>,
    /// The minute in which the table became full, and the minute in which the first group was retired.
    full: Option<u32>,
    retired: Option<u32>,
    /// All scrapes, in OpenMetrics.
    scrapes: String,
}

impl Days {
    fn new() -> Self {
        let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        // Whole minutes, and in the past.
        let start = (now / 60 - i64::from(MINUTES)) * 60;
        let capacities = Capacities {
            groups: TRACKED,
            exported_groups: EXPORTED,
            sender_pairs: 1000,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        };
        Self {
            stats: Arc::new(Stats::in_memory(capacities, UnixMillis((start - 60) * 1000)).unwrap()),
            telemetry: Arc::new(Telemetry::default()),
            start,
            sent: 0,
            lives: BTreeMap::new(),
            full: None,
            retired: None,
            scrapes: String::new(),
        }
    }

    /// The time of a minute's scrape, in seconds since the epoch.
    fn at(&self, minute: u32) -> i64 {
        self.start + i64::from(minute) * 60
    }

    /// One minute: its messages, a tick, and a scrape of each page.
    fn pass(&mut self, minute: u32) {
        let now = UnixMillis(self.at(minute) * 1000);
        for group in 0..GROUPS {
            (0..messages(group, minute)).for_each(|_| self.send(group, UnixMillis(now.0 - 30_000)));
        }
        self.stats.tick(now);
        let is_full = self.stats.groups_tracked() == TRACKED;
        self.full = self.full.or(is_full.then_some(minute));
        self.retired = self.retired.or((self.stats.groups_retired() > 0).then_some(minute));
        for (job, scope) in [("metrics", Scope::Metrics), ("groups", Scope::Groups)] {
            self.scrape(job, scope, now);
        }
    }

    fn send(&mut self, group: u32, now: UnixMillis) {
        let group = format!("g{group}");
        let body = message(&group, "u");
        let recorded = wire::decode_group_message(body.as_bytes(), |message| self.stats.record(message, now)).unwrap();
        if let Recorded::Added(_) = recorded {
            *self.lives.entry(group).or_default() += 1;
        }
        self.sent += 1;
    }

    /// Appends a scrape of the families with groups, with the timestamp and the job that Prometheus would add.
    fn scrape(&mut self, job: &str, scope: Scope, now: UnixMillis) {
        let (stats, telemetry) = (Arc::clone(&self.stats), Arc::clone(&self.telemetry));
        let mut scraper = Scraper::new(scope, Format::Text, stats, telemetry, now);
        let (mut text, mut has_more) = (Vec::new(), true);
        while has_more {
            let mut chunk = Vec::new();
            has_more = scraper.next_chunk(&mut chunk).unwrap();
            text.append(&mut chunk);
        }
        let text = String::from_utf8(text).unwrap();
        let is_kept = |line: &&str| {
            ["openim_group_messages_", "openim_tracked_group_messages_"].iter().any(|start| line.starts_with(start))
        };
        for line in text.lines().filter(is_kept) {
            let (name, labels) = line.split_once('{').unwrap();
            // Without the many combinations of labels that have no messages.
            if !name.contains("by_status") && (name != "openim_group_messages_total" || !line.ends_with(" 0")) {
                writeln!(self.scrapes, "{name}{{job=\"{job}\",{labels} {}", now.0 / 1000).unwrap();
            }
        }
    }
}

/// The number of messages in a group in a minute. A group is active for some hours, then silent, mostly for over a day.
fn messages(group: u32, minute: u32) -> u32 {
    let awake = 60 * (2 + group % 7);
    let asleep = 60 * if group.is_multiple_of(3) { 9 } else { 25 + group % 11 };
    if (minute + group * 131) % (awake + asleep) > awake {
        return 0;
    }
    let noise = minute.wrapping_mul(2_654_435_761) ^ group.wrapping_mul(2_246_822_519);
    noise.wrapping_mul(3_266_489_917) / 65_536 % (2 + group % 5)
}

/// The increase of a counter as Prometheus computes it: after a lower value it started again from 0. The first sample
/// counts too, because the counter started from 0.
fn rise(samples: &[(f64, f64)]) -> f64 {
    let before = [0.0].into_iter().chain(samples.iter().map(|(_, value)| *value));
    samples.iter().zip(before).map(|((_, value), before)| if *value < before { *value } else { value - before }).sum()
}

/// The messages of each tracked group, at `/metrics/groups`.
const ALL_GROUPS: &str = "openim_tracked_group_messages_total{job=\"groups\"}";

/// The series of a family at `/metrics`.
fn selector(name: &str) -> String {
    format!("openim_group_messages_{name}total{{job=\"metrics\"}}")
}

#[test]
#[ignore = "needs prometheus"]
fn over_days_with_retired_groups_all_increases_add_up_and_no_counter_decreases() {
    let mut days = Days::new();
    (0..MINUTES).for_each(|minute| days.pass(minute));
    days.scrapes.push_str("# EOF\n");
    // Shorter than the scrape interval: a series that is missing in a scrape ends.
    let prometheus = Prometheus::with_samples(&days.scrapes, "59s");
    let end = days.at(MINUTES - 1);
    assert_eq!(prometheus.value_at(end, &format!("sum({})", selector(""))), days.sent as f64);
    the_days_were_eventful(&days);
    at_each_scrape_groups_and_folded_are_all_messages(&days, &prometheus);
    the_increases_of_groups_and_of_what_found_no_room_are_the_total_s(&days, &prometheus);
    increase_says_so_too_while_no_series_comes_or_goes(&days, &prometheus);
    a_counter_falls_only_where_its_group_was_retired(&days, &prometheus);
    a_group_that_was_not_exported_comes_back_with_its_true_count(&days, &prometheus);
}

fn the_days_were_eventful(days: &Days) {
    let came_back = days.lives.values().filter(|lives| **lives > 1).count();
    let (full, retired) = (days.full.unwrap(), days.retired.unwrap());
    assert!(came_back > 10 && days.stats.groups_retired() > 40, "{came_back} {}", days.stats.groups_retired());
    assert!(full + 12 * 60 < retired, "{full} {retired}");
    assert!(days.stats.folded_for_capacity() > 1000 && days.stats.folded_retired() > 1000);
}

fn at_each_scrape_groups_and_folded_are_all_messages(days: &Days, prometheus: &Prometheus) {
    let (groups, [folded, all]) = (ALL_GROUPS, ["folded_", ""].map(selector));
    let end = days.at(MINUTES - 1);
    let equal = format!("count_over_time((sum({groups}) + sum({folded}) == sum({all}))[4d:1m])");
    assert_eq!(prometheus.value_at(end, &equal), f64::from(MINUTES));
    // So the sum of their increases is the increase of the total, even if groups are retired.
    let [parts, total] = [format!("sum({groups}) + sum({folded})"), format!("sum({all})")]
        .map(|sum| prometheus.value_at(end, &format!("increase(({sum})[2d:1m])")));
    assert!(total > 10_000.0);
    assert_eq!(parts, total);
}

/// Computed from the samples in Prometheus. The messages of a retired group are counted twice: in its own series when
/// they arrive, and in `folded{reason="retired"}` when the group is retired.
fn the_increases_of_groups_and_of_what_found_no_room_are_the_total_s(days: &Days, prometheus: &Prometheus) {
    let end = days.at(MINUTES - 1);
    let rises = |selector: &str| -> f64 {
        prometheus.samples_until(end, &format!("{selector}[4d]")).iter().map(|samples| rise(samples)).sum()
    };
    let folded = |reason: &str| rises(&selector("folded_").replace('}', &format!(",reason=\"{reason}\"}}")));
    let (groups, total) = (rises(ALL_GROUPS), rises(&selector("")));
    assert_eq!(total, days.sent as f64);
    assert_eq!(groups + folded("capacity"), total);
    assert_eq!(folded("retired"), days.stats.folded_retired() as f64);
}

/// `increase()` ignores the first sample of a series and extrapolates at both ends. So this compares its results for
/// the time in which no series begins or ends: from the full table to the first retired group.
fn increase_says_so_too_while_no_series_comes_or_goes(days: &Days, prometheus: &Prometheus) {
    let (from, to) = (days.full.unwrap(), days.retired.unwrap() - 1);
    let increase =
        |selector: &str| prometheus.value_at(days.at(to), &format!("sum(increase({selector}[{}m]))", to - from));
    let [groups, folded, total] =
        [ALL_GROUPS.to_owned(), selector("folded_"), selector("")].map(|selector| increase(&selector));
    assert!(groups > 1000.0 && folded > 100.0, "{groups} {folded}");
    assert!((groups + folded - total).abs() < 1e-6 * total, "{groups} + {folded} = {total}");
}

fn a_counter_falls_only_where_its_group_was_retired(days: &Days, prometheus: &Prometheus) {
    let end = days.at(MINUTES - 1);
    let resets = |selector: &str| prometheus.values_by_label_at(end, "group_id", &format!("resets({selector}[4d])"));
    let restarts = days.lives.iter().map(|(group, lives)| (group.clone(), f64::from(lives - 1)));
    let restarts: BTreeMap<_, _> = restarts.filter(|(_, restarts)| *restarts > 0.0).collect();
    assert_eq!(resets(ALL_GROUPS), restarts);
    for (group, resets) in resets(&selector("by_group_")) {
        assert!(resets <= restarts.get(&group).copied().unwrap_or(0.0), "{group}: {resets}");
    }
}

fn a_group_that_was_not_exported_comes_back_with_its_true_count(days: &Days, prometheus: &Prometheus) {
    let end = days.at(MINUTES - 1);
    let (exported, all) = (selector("by_group_"), ALL_GROUPS);
    let count = |expression: &str| prometheus.value_at(end, &format!("sum(count_over_time(({expression})[4d:1m]))"));
    // An exported count always equals the group's count.
    let shown = count(&exported);
    assert_eq!(count(&format!("{exported} == ignoring(job) {all}")), shown);
    assert!(shown <= f64::from(MINUTES) * EXPORTED as f64);
    // Often after a time in which the group was not exported, and had messages.
    let came_back = |((before, was), (time, is)): (&(f64, f64), &(f64, f64))| time - before > 60.0 && is > was;
    let found = prometheus.samples_until(end, &format!("{exported}[4d]"));
    let returns = |samples: &[(f64, f64)]| samples.iter().zip(&samples[1..]).filter(|pair| came_back(*pair)).count();
    let returns: usize = found.iter().map(|samples| returns(samples)).sum();
    assert!(returns > 20, "{returns}");
}
