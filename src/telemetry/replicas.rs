//! The union with other exporters: its metrics and log events.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, info, warn};

use super::family::{Family, Samples};
use super::metric::{Counter, CounterVec, DurationBuckets, Durations, Gauge, Metric, TimeGauge, metrics};
use crate::domain::UnixMillis;
use crate::named::{Named as _, named};

/// Upper bounds of the durations of unions, in microseconds: up to the time between two.
const UNION: &DurationBuckets = &DurationBuckets {
    bounds_us: &[
        1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
        10_000_000,
    ],
    native: None,
};

/// How long the numbers of a union are shown.
const VALID: Duration = Duration::from_mins(1);

// In the order of a scrape.
metrics! {
    /// The metrics of the union. Counters and histograms start with the process.
    struct ReplicasMetrics;

    /// Exporters that wrote to Redis in the minute before the last union, including this one; 0 if unions have failed for
    /// a minute.
    active: Gauge = "openim_exporter_replicas_active" [];
    /// How far this machine's clock is ahead of Redis' clock, in seconds; negative if it is behind.
    clock_skew: TimeGauge = "openim_exporter_replicas_clock_skew_seconds" [];
    /// Values in Redis that could not be used and were left out of a union, since the process started.
    damaged: CounterVec<DamagedPart> = "openim_exporter_replicas_damaged_total" ["part"];
    /// Users that went offline but were not reported to the other exporters, because there were too many, since the
    /// process started.
    disconnects_dropped: Counter = "openim_exporter_replicas_disconnects_dropped_total" [];
    /// Failed exchanges with Redis since the process started.
    failures: CounterVec<ReplicasFailure> = "openim_exporter_replicas_failures_total" ["reason"];
    /// Time of the last union by Redis' clock, in seconds since the epoch; 0 before the first.
    last_union: TimeGauge = "openim_exporter_replicas_last_union_timestamp_seconds" [];
    /// Times that another process wrote to Redis under this exporter's name, since the process started.
    name_conflicts: Counter = "openim_exporter_replicas_name_conflicts_total" [];
    /// Time taken by each union, since the process started.
    union_duration: Durations = "openim_exporter_replicas_union_duration_seconds" [] (UNION);
}

named! {
    /// Why an exchange with Redis failed.
    pub enum ReplicasFailure {
        /// No connection, or it ended.
        Unreachable = "unreachable",
        /// No answer in time.
        Timeout = "timeout",
        /// Wrong user or password, or the user may not run a command.
        Refused = "refused",
        /// Redis is a replica that accepts no writes.
        ReadOnly = "read_only",
        /// Redis has no memory left.
        Full = "full",
        /// Anything else, such as a failover in progress.
        Other = "other",
    }
}

named! {
    /// What another exporter wrote that cannot be used.
    pub enum DamagedPart {
        /// The list of what it wrote.
        Manifest = "manifest",
        /// The registers of a stretch.
        Registers = "registers",
        /// Its candidates for the exported groups.
        Groups = "groups",
        /// Who went offline.
        Disconnects = "disconnects",
    }
}

/// The metrics of the union, which exist only if this exporter unites its numbers with those of others.
#[derive(Debug)]
pub struct ReplicasTelemetry {
    metrics: ReplicasMetrics,
    /// `None` while unions succeed.
    outage: Mutex<Option<Outage>>,
}

/// A time in which unions fail.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Which reasons were logged.
    logged: [bool; ReplicasFailure::ALL.len()],
}

/// The samples of the families of the union whose names are wanted. Without a union, they have no samples.
pub(super) fn samples(
    replicas: &OnceLock<Arc<ReplicasTelemetry>>,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<(&'static Family, Samples)> {
    match replicas.get() {
        Some(replicas) => replicas.metrics.samples(wanted),
        None => {
            let families = FAMILIES.iter().filter(|family| wanted(family.name));
            families.map(|family| (family, Samples::ByLabel(Vec::new()))).collect()
        }
    }
}

impl ReplicasTelemetry {
    pub(super) fn new() -> Self {
        Self { metrics: ReplicasMetrics::new(), outage: Mutex::default() }
    }

    /// The exporter will unite its numbers with those of others, under this name, through this Redis (without its
    /// password).
    pub fn started(&self, name: &str, redis: &dyn Display) {
        info!(name, %redis, "uniting the numbers of people with those of other exporters");
    }

    /// A union succeeded at this time by Redis' clock, with this many active exporters.
    pub fn united(&self, at: UnixMillis, took: Duration, exporters: usize) {
        self.metrics.active.set(i64::try_from(exporters).unwrap_or(i64::MAX));
        self.metrics.last_union.set_ms(at.0);
        self.metrics.union_duration.observe(took);
        debug!(exporters, seconds = took.as_secs_f64(), "united with other exporters");
        if let Some(outage) = self.outage.lock().take() {
            let seconds = outage.since.elapsed().as_secs();
            info!(exporters, seconds, "unions with other exporters work again, after they failed for this long");
        }
    }

    /// An exchange failed. Each reason is logged once until a union succeeds.
    pub fn failed(&self, reason: ReplicasFailure, error: &dyn Display) {
        self.failed_at(reason, error, Instant::now());
    }

    fn failed_at(&self, reason: ReplicasFailure, error: &dyn Display, now: Instant) {
        if let Some(counter) = self.metrics.failures.get(reason) {
            counter.inc();
        }
        debug!(reason = reason.name(), %error, "an exchange with Redis failed");
        let mut outage = self.outage.lock();
        let outage = outage.get_or_insert(Outage { since: now, logged: Default::default() });
        if now.saturating_duration_since(outage.since) >= VALID {
            self.metrics.active.set(0);
        }
        if let Some(logged) = outage.logged.get_mut(reason.index()).filter(|logged| !**logged) {
            *logged = true;
            warn!(
                reason = reason.name(), %error,
                "unions with other exporters fail; this exporter's own numbers are not affected, and the united ones \
                 disappear after a minute; retried every 10 s; each reason is logged once until it works"
            );
        }
    }

    /// What an exporter wrote cannot be used and is left out. Logged at most once a minute.
    pub fn damaged(&self, part: DamagedPart, name: &str, at_ms: i64) {
        let Some(counter) = self.metrics.damaged.get(part) else { return };
        let part = part.name();
        debug!(name, part, "what an exporter wrote to Redis cannot be used");
        counter.inc_and_log(at_ms, |total| {
            warn!(
                name, part, total,
                "what this exporter wrote to Redis cannot be used and is left out; look for what else writes there; logged \
                 at most once a minute for each part"
            );
        });
    }

    /// Sets how far the machine's clock is ahead of Redis' clock, in milliseconds.
    pub fn set_clock_skew(&self, ms: i64) {
        self.metrics.clock_skew.set_ms(ms);
    }

    /// Another process writes under this exporter's name. Logged at most once a minute.
    pub fn name_conflict(&self, name: &str, at_ms: i64) {
        self.metrics.name_conflicts.inc_and_log(at_ms, |total| {
            warn!(
                name,
                total,
                "another process writes to Redis under this exporter's name; give each its own --replicas.name, and do \
                 not start two from copies of one state; logged at most once a minute"
            );
        });
    }

    /// The calendar days of an exporter are in another time zone, so they are left out. Call it once for each exporter.
    pub fn other_time_zone(&self, name: &str, zone: &str) {
        warn!(
            name,
            zone,
            "this exporter's calendar days are in another time zone and are left out; give all exporters the same \
             --stats.time-zone"
        );
    }

    /// Users that went offline were not reported to the other exporters, because there were too many.
    pub fn disconnects_dropped(&self, users: u64) {
        self.metrics.disconnects_dropped.add(users);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// The lines of the log at warn and info, with their fields.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Log {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() <= tracing::Level::INFO {
                let mut line = Line(event.metadata().level().to_string());
                event.record(&mut line);
                self.0.lock().push(line.0);
            }
        }
    }

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0 += &format!(" {}={value:?}", field.name());
        }
    }

    /// The lines that `what` logs.
    fn logged(what: impl FnOnce(&ReplicasTelemetry)) -> Vec<String> {
        let log = Log::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        tracing::subscriber::with_default(subscriber, || what(&ReplicasTelemetry::new()));
        log.0.lock().drain(..).collect()
    }

    #[track_caller]
    fn assert_lines(lines: &[String], expected: &[&[&str]]) {
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, parts) in lines.iter().zip(expected) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line} has not all of {parts:?}");
        }
    }

    fn value(replicas: &ReplicasTelemetry, field: &str) -> Samples {
        let name = format!("openim_exporter_replicas_{field}");
        replicas.metrics.samples(&|family| family == name).remove(0).1
    }

    #[track_caller]
    fn assert_single(replicas: &ReplicasTelemetry, field: &str, expected: f64) {
        let Samples::Single(value) = value(replicas, field) else { panic!("{field}") };
        assert_eq!(value, expected, "{field}");
    }

    #[test]
    fn an_exporter_alone_has_no_samples_of_a_union() {
        let telemetry = OnceLock::new();
        let alone = samples(&telemetry, &|_| true);
        assert!(alone.iter().map(|(family, _)| *family).eq(FAMILIES));
        let active = |name: &str| name == "openim_exporter_replicas_active";
        assert_eq!(samples(&telemetry, &active).len(), 1);
        assert!(alone.iter().all(|(_, samples)| matches!(samples, Samples::ByLabel(values) if values.is_empty())));
        telemetry.get_or_init(|| Arc::new(ReplicasTelemetry::new()));
        assert!(samples(&telemetry, &|_| true).iter().all(|(_, samples)| match samples {
            Samples::Single(value) => *value == 0.0,
            Samples::ByLabel(values) => values.len() > 3,
            Samples::Histogram { .. } => true,
            _ => false,
        }));
    }

    #[test]
    fn a_union_sets_the_numbers_of_the_exporters_and_of_its_time() {
        let replicas = ReplicasTelemetry::new();
        replicas.united(UnixMillis(1_700_000_005_250), Duration::from_millis(30), 3);
        assert_single(&replicas, "active", 3.0);
        assert_single(&replicas, "last_union_timestamp_seconds", 1_700_000_005.25);
        let Samples::Histogram { buckets, sum, count, .. } = value(&replicas, "union_duration_seconds") else {
            panic!()
        };
        assert_eq!((sum, count), (0.03, 1));
        assert!(buckets.contains(&(0.025, 0)) && buckets.contains(&(0.05, 1)), "{buckets:?}");
        replicas.set_clock_skew(-1500);
        assert_single(&replicas, "clock_skew_seconds", -1.5);
        replicas.disconnects_dropped(7);
        replicas.disconnects_dropped(0);
        assert_single(&replicas, "disconnects_dropped_total", 7.0);
    }

    #[test]
    fn failures_are_counted_by_reason_and_each_is_logged_once_until_a_union_succeeds() {
        let unite = |replicas: &ReplicasTelemetry| replicas.united(UnixMillis(1000), Duration::ZERO, 2);
        let lines = logged(|replicas| {
            unite(replicas);
            replicas.failed(ReplicasFailure::Full, &"OOM command not allowed");
            replicas.failed(ReplicasFailure::Unreachable, &"refused");
            replicas.failed(ReplicasFailure::Full, &"again");
            unite(replicas);
            unite(replicas);
            replicas.failed(ReplicasFailure::Unreachable, &"refused");
            let counts = ReplicasFailure::ALL.map(|reason| replicas.metrics.failures.get(reason).unwrap().get());
            assert_eq!(counts, [2, 0, 0, 0, 2, 0]);
        });
        assert_lines(
            &lines,
            &[
                &["WARN", "unions with other exporters fail", "\"full\"", "OOM command"],
                &["WARN", "unions with other exporters fail", "\"unreachable\"", "refused"],
                &["INFO", "work again", "exporters=2", "seconds=0"],
                &["WARN", "unions with other exporters fail", "\"unreachable\"", "refused"],
            ],
        );
    }

    #[test]
    fn what_is_damaged_and_conflicts_of_names_are_logged_once_a_minute() {
        let lines = logged(|replicas| {
            for at_ms in [1000, 2000, 61_000] {
                replicas.damaged(DamagedPart::Registers, "im-2", at_ms);
                replicas.name_conflict("im-1", at_ms);
            }
            replicas.damaged(DamagedPart::Manifest, "im-3", 62_000);
            assert_eq!(replicas.metrics.name_conflicts.get(), 3);
            let damaged = DamagedPart::ALL.map(|part| replicas.metrics.damaged.get(part).unwrap().get());
            assert_eq!(damaged, [1, 3, 0, 0]);
        });
        let (damaged, conflict) = ("cannot be used and is left out", "under this exporter's name");
        assert_lines(
            &lines,
            &[
                &["WARN", damaged, "\"im-2\"", "\"registers\"", "total=1"],
                &["WARN", conflict, "\"im-1\"", "total=1"],
                &["WARN", damaged, "\"registers\"", "total=3"],
                &["WARN", conflict, "total=3"],
                &["WARN", damaged, "\"im-3\"", "\"manifest\"", "total=1"],
            ],
        );
    }
}
