//! What the live page shows: one snapshot a second.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::counts::LabelCounts;
use super::history::{Row, rows};
use super::summary::{Callbacks, callbacks};
use super::targets::Target;
use super::united::{Online, United, united};
use super::{SECOND, Setup, Source};
use crate::domain::{Day, UnixMillis};
use crate::stats::{RETENTION, Stats, Step};
use crate::telemetry::TargetFigures;

/// Rates are the mean of at least this many milliseconds.
const RATE_MS: u64 = 10_000;

/// Milliseconds for which the numbers of the windows are kept: reading them takes the union of a few hundred sketches.
const WINDOWS_MS: u64 = 10_000;

const MINUTE_MS: i64 = 60_000;

/// The numbers at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    /// In seconds since the epoch, like `since`.
    time: f64,
    version: &'static str,
    since: f64,
    uptime_seconds: f64,
    /// The zone of calendar days.
    time_zone: String,
    /// Of both kinds.
    messages_per_second: f64,
    group_messages: u64,
    single_messages: u64,
    /// The current minute; `None` until the history has it. The same applies to the days.
    minute: Option<Row>,
    today: Option<Row>,
    yesterday: Option<Row>,
    #[serde(flatten)]
    people: People,
    users_online: Online,
    /// The numbers of people across all exporters.
    united: Option<United>,
    callbacks: Callbacks,
    targets: Vec<Forwarded>,
    groups: Groups,
    viewers: usize,
    max_viewers: usize,
    setup: Setup,
}

/// Numbers of the sliding windows.
#[derive(Clone, Debug, Serialize)]
struct People {
    /// Of messages of either kind.
    senders: LabelCounts,
    active_users: LabelCounts,
    active_groups: LabelCounts,
    sender_retention: Retention,
}

/// The retention of senders, by the number of days; `None` while it is not known.
#[derive(Clone, Debug)]
struct Retention([(&'static str, Option<f64>); RETENTION.len()]);

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

/// A server to which callbacks are forwarded.
#[derive(Debug, Serialize)]
struct Forwarded {
    #[serde(flatten)]
    target: Target,
    delivered_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Groups {
    tracked: usize,
    capacity: usize,
}

/// What a snapshot needs from earlier readings.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    /// Oldest first: one at least [`RATE_MS`] ago, if there is one, and all later ones.
    samples: VecDeque<Sample>,
    /// The numbers of the windows, and the running time when they were read.
    people: Option<(u64, People)>,
}

/// The counters of the rates at one moment.
#[derive(Debug)]
struct Sample {
    /// The running time in milliseconds.
    at: u64,
    /// Of both kinds.
    messages: u64,
    /// By target.
    delivered: Vec<(Arc<str>, u64)>,
}

impl Sample {
    /// What was delivered to a target; `None` if it did not exist.
    fn delivered_to(&self, name: &str) -> Option<u64> {
        self.delivered.iter().find(|(target, _)| **target == *name).map(|(_, delivered)| *delivered)
    }
}

impl Readings {
    /// Reads the counters of the rates. Call it about once a second.
    pub(crate) fn sample(&mut self, Source { stats, telemetry, uptime_ms, .. }: Source<'_>) {
        self.samples.push_back(Sample {
            at: uptime_ms,
            messages: stats.messages().wrapping_add(stats.single_messages()),
            delivered: telemetry.targets().into_iter().map(|target| (target.name, target.delivered)).collect(),
        });
        while self.samples.get(1).is_some_and(|sample| uptime_ms.saturating_sub(sample.at) >= RATE_MS) {
            self.samples.pop_front();
        }
    }

    /// The numbers now.
    pub(crate) fn snapshot(&mut self, source: Source<'_>, [viewers, max_viewers]: [usize; 2]) -> Snapshot {
        let Source { stats, telemetry, now, uptime_ms, .. } = source;
        let (group_messages, single_messages) = (stats.messages(), stats.single_messages());
        let time = stats.time(now);
        let today = stats.calendar().day_of(time);
        Snapshot {
            time: now.seconds(),
            version: env!("CARGO_PKG_VERSION"),
            since: stats.started().seconds(),
            uptime_seconds: uptime_ms as f64 / SECOND,
            time_zone: stats.calendar().to_string(),
            messages_per_second: self
                .rate(uptime_ms, group_messages.wrapping_add(single_messages), |sample| Some(sample.messages)),
            group_messages,
            single_messages,
            minute: row_at(stats, Step::Minute, UnixMillis(time.0 - time.0.rem_euclid(MINUTE_MS)), now),
            today: row_at(stats, Step::Day, stats.calendar().begin_of(today), now),
            yesterday: row_at(stats, Step::Day, stats.calendar().begin_of(Day(today.0.saturating_sub(1))), now),
            people: self.people(source),
            users_online: Online::of(LabelCounts::users_online(stats)),
            united: united(stats),
            callbacks: callbacks(stats, telemetry),
            targets: telemetry.targets().into_iter().map(|target| self.forwarded(uptime_ms, target)).collect(),
            groups: groups(stats),
            viewers,
            max_viewers,
            setup: source.setup,
        }
    }

    /// By how much a counter rose per second since the oldest sample that has it.
    fn rate(&self, uptime_ms: u64, counter: u64, before: impl Fn(&Sample) -> Option<u64>) -> f64 {
        let oldest = self.samples.iter().find_map(|sample| Some((sample.at, before(sample)?)));
        let Some((at, before)) = oldest else { return 0.0 };
        match uptime_ms.saturating_sub(at) {
            0 => 0.0,
            passed => counter.saturating_sub(before) as f64 * SECOND / passed as f64,
        }
    }

    fn forwarded(&self, uptime_ms: u64, figures: TargetFigures) -> Forwarded {
        let delivered_per_second = self.rate(uptime_ms, figures.delivered, |sample| sample.delivered_to(&figures.name));
        Forwarded { target: figures.into(), delivered_per_second }
    }

    fn people(&mut self, Source { stats, now, uptime_ms, .. }: Source<'_>) -> People {
        if let Some((at, people)) = &self.people
            && uptime_ms.saturating_sub(*at) < WINDOWS_MS
        {
            return people.clone();
        }
        let people = People {
            senders: LabelCounts::by_window(stats.senders(now)),
            active_users: LabelCounts::by_window(stats.active_users(now)),
            active_groups: LabelCounts::by_window(stats.active_groups(now)),
            sender_retention: Retention(RETENTION.map(|(after, days)| (after, stats.sender_retention(days, now)))),
        };
        self.people = Some((uptime_ms, people.clone()));
        people
    }
}

/// The row of the period that begins at this time.
fn row_at(stats: &Stats, step: Step, begin: UnixMillis, now: UnixMillis) -> Option<Row> {
    rows(stats, step, [begin, UnixMillis(begin.0.saturating_add(1))], now).pop()
}

fn groups(stats: &Stats) -> Groups {
    Groups { tracked: stats.groups_tracked(), capacity: stats.groups_capacity() }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::*;
    use crate::domain::Message;
    use crate::stats::{Capacities, UnitedCounts, UnitedDay};
    use crate::telemetry::{Backlog, BreakerState, Outcome, Telemetry, Verdict};

    const BEGIN: i64 = 1_700_000_000_000;

    struct Run {
        stats: Stats,
        telemetry: Telemetry,
        readings: Readings,
    }

    impl Run {
        fn new() -> Self {
            let capacities = Capacities {
                groups: 10,
                exported_groups: 2,
                sender_pairs: 100,
                dedup_window: Duration::ZERO,
                online: 100,
                history_days: 40,
            };
            let stats = Stats::in_memory(capacities, UnixMillis(BEGIN)).unwrap();
            Self { stats, telemetry: Telemetry::default(), readings: Readings::default() }
        }

        fn count(&self, messages: u64, sender: &str) {
            (0..messages).for_each(|_| {
                self.stats.record(&Message::of("g", sender), UnixMillis(BEGIN));
            });
        }

        fn at(&mut self, uptime_ms: u64, read: impl FnOnce(&mut Readings, Source<'_>) -> Value) -> Value {
            let (stats, telemetry) = (&self.stats, &self.telemetry);
            read(
                &mut self.readings,
                Source { stats, telemetry, now: UnixMillis(BEGIN), uptime_ms, setup: Setup::default() },
            )
        }

        fn sample(&mut self, uptime_ms: u64) {
            self.at(uptime_ms, |readings, source| {
                readings.sample(source);
                Value::Null
            });
        }

        fn snapshot(&mut self, uptime_ms: u64) -> Value {
            self.at(uptime_ms, |readings, source| serde_json::to_value(readings.snapshot(source, [3, 100])).unwrap())
        }
    }

    #[test]
    fn the_rate_is_the_mean_of_the_last_ten_seconds() {
        let mut run = Run::new();
        let rate = |run: &mut Run, uptime_ms| run.snapshot(uptime_ms)["messages_per_second"].as_f64().unwrap();
        assert_eq!(rate(&mut run, 500), 0.0);
        run.count(1000, "u");
        // What was counted before the first sample, perhaps by an earlier process, is not in the rate.
        run.sample(1000);
        assert_eq!(rate(&mut run, 1000), 0.0);
        run.count(30, "u");
        run.sample(2000);
        assert_eq!(rate(&mut run, 4000), 10.0);
        (3..=11).for_each(|second| run.sample(second * 1000));
        assert_eq!(rate(&mut run, 11_000), 3.0);
        run.sample(12_000);
        assert_eq!(rate(&mut run, 12_000), 0.0);
        assert_eq!(run.readings.samples.len(), 11);
    }

    #[test]
    fn a_target_has_its_numbers_and_the_rate_of_its_deliveries() {
        let mut run = Run::new();
        assert_eq!(run.snapshot(0)["targets"], json!([]));
        run.sample(0);
        let target = run.telemetry.add_target("business");
        let deliver = |times: u32| {
            (0..times).for_each(|_| target.attempted(Outcome::Success, Duration::ZERO, &"", BEGIN));
        };
        deliver(5);
        run.sample(1000);
        deliver(30);
        target.received();
        target.answered(Verdict::Refused, Duration::ZERO);
        target.breaker_changed(BreakerState::Open);
        let oldest_age = Duration::from_secs(400);
        target.set_backlog(&Backlog {
            callbacks: 2,
            bytes: 700,
            oldest_age,
            dead_letters: 1,
            dropped: [0, 7, 0, 0, 0],
        });
        let expected = json!([{
            "name": "business",
            "breaker": "open",
            "last_attempt": "success",
            "pending_callbacks": 2,
            "pending_bytes": 700,
            "oldest_pending_age_seconds": 400,
            "received": 1,
            "delivered": 35,
            "dropped": {"age": 0, "bytes": 7, "damaged": 0, "disk": 0, "operator": 0},
            "dead_letters": 1,
            "answers": {"allowed": 0, "refused": 1, "ineffective_refusal": 0, "policy_continue": 0, "policy_refuse": 0,
                "policy_transparent": 0},
            "delivered_per_second": 10.0,
        }]);
        assert_eq!(run.snapshot(4000)["targets"], expected);
    }

    #[test]
    fn the_windows_are_read_at_most_every_ten_seconds() {
        let mut run = Run::new();
        let senders = |run: &mut Run, uptime_ms| run.snapshot(uptime_ms)["senders"]["1h"].clone();
        run.count(1, "u");
        assert_eq!(senders(&mut run, 0), 1);
        run.count(1, "v");
        assert_eq!(senders(&mut run, 9_999), 1);
        assert_eq!(senders(&mut run, 10_000), 2);
        assert_eq!(run.snapshot(10_000)["group_messages"], 2);
    }

    #[test]
    fn the_numbers_of_all_exporters_are_there_while_they_are_known() {
        let mut run = Run::new();
        run.stats.tick(UnixMillis(BEGIN));
        let snapshot = run.snapshot(0);
        assert_eq!([&snapshot["united"], &snapshot["today"]["senders_united"]], [&Value::Null; 2]);
        let day = UnitedDay { senders: 11, active_groups: 12, ..UnitedDay::default() };
        let counts = UnitedCounts {
            windows: [[1, 2, 3, 4, 5], [6; 5], [7; 5], [8; 5]],
            senders: [9; 5],
            online: std::array::from_fn(|platform| 1 << platform),
            days: vec![(run.stats.calendar().day_of(UnixMillis(BEGIN)), day)],
        };
        run.stats.set_united(counts, Instant::now());
        let snapshot = run.snapshot(1000);
        let united = &snapshot["united"];
        assert_eq!(united["active_senders"], json!({"5m": 1, "1h": 2, "24h": 3, "7d": 4, "30d": 5}));
        let of = |name: &str| united[name]["5m"].as_u64().unwrap();
        assert_eq!(["single_active_senders", "active_users", "active_groups", "senders"].map(of), [6, 7, 8, 9]);
        let online = &united["users_online"];
        assert_eq!((&online["total"], &online["by_platform"]["ios"]), (&json!(0xfff), &json!(1)));
        assert_eq!(online["by_platform"]["unknown"], 0x800);
        let of_day = |name: &str| snapshot["today"][name].as_u64();
        assert_eq!(["senders_united", "active_groups_united"].map(of_day), [Some(11), Some(12)]);
    }

    #[test]
    fn the_day_is_shown_while_the_clock_is_not_trusted() {
        let mut run = Run::new();
        run.stats.tick(UnixMillis(BEGIN));
        run.count(3, "u");
        run.stats.tick(UnixMillis(BEGIN - 3 * 86_400_000));
        let Run { stats, telemetry, readings } = &mut run;
        let source =
            Source { stats, telemetry, now: UnixMillis(BEGIN - 3 * 86_400_000), uptime_ms: 0, setup: Setup::default() };
        let snapshot = serde_json::to_value(readings.snapshot(source, [0, 100])).unwrap();
        assert_eq!([&snapshot["minute"], &snapshot["today"]].map(|row| &row["group_messages"]), [3, 3]);
    }
}
