//! Exporters in this process, on simulated time.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use openim_exporter::config::{Invocation, from_args};
use openim_exporter::domain::{Activity, Calendar, Event, Message, Presence, UnixMillis};
use openim_exporter::replicas::fuzz::Exporter;
use openim_exporter::replicas::{Failure, Link};
use openim_exporter::stats::{Capacities, Distinct, Stats, Stretch, UnitedCounts};
use openim_exporter::telemetry::{Samples, Telemetry};

use crate::redis_server::Redis;
use crate::typical::typical;

/// 2026-11-29 at 05:00 in UTC: the beginning of an hour, a minute and a sixth round.
pub(crate) const BEGIN: i64 = 1_795_928_400_000;

pub(crate) const SECOND: i64 = 1000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Positions in [`UnitedCounts::windows`].
pub(crate) const SENDERS: usize = Distinct::Senders as usize;

/// Positions in a row of it.
pub(crate) const FIVE_MINUTES: usize = 0;
pub(crate) const ONE_HOUR: usize = 1;
pub(crate) const ONE_DAY: usize = 2;
pub(crate) const THIRTY_DAYS: usize = 4;

/// An exporter.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) stats: Arc<Stats>,
    telemetry: Telemetry,
    exporter: Exporter,
    /// How far its clock is ahead of Redis', in milliseconds.
    pub(crate) ahead: i64,
}

/// A link to this Redis.
fn link(user: &str, redis: &Redis) -> Link {
    let url = format!("redis://{user}{}", redis.address());
    let arguments = ["openim-exporter", "--replicas.redis-url", &url].map(OsString::from);
    let Ok(Invocation::Serve(config)) = from_args(arguments) else { panic!("wrong flags") };
    Link::new(&config.replicas).unwrap().unwrap()
}

/// Empty statistics with small capacities, at this time of their clock.
pub(crate) fn stats(clock: i64, zone: &str, exported_groups: usize) -> Arc<Stats> {
    let capacities = Capacities {
        groups: 10_000,
        exported_groups,
        sender_pairs: 100,
        dedup_window: Duration::ZERO,
        online: 100_000,
        history_days: 3,
    };
    let stats = Stats::in_memory(capacities, UnixMillis(clock)).unwrap();
    Arc::new(stats.in_calendar(Calendar::of_zone(zone).unwrap()))
}

impl Member {
    /// An exporter that starts at [`BEGIN`] with an empty state.
    pub(crate) fn new(redis: &Redis, name: &str) -> Self {
        Self::with(redis, name, stats(BEGIN, "UTC", 5), 0)
    }

    pub(crate) fn with(redis: &Redis, name: &str, stats: Arc<Stats>, ahead: i64) -> Self {
        Self::through(link("", redis), name, stats, ahead)
    }

    /// One that has these credentials, such as `user:password@`.
    pub(crate) fn with_user(user: &str, redis: &Redis, name: &str) -> Self {
        Self::through(link(user, redis), name, stats(BEGIN, "UTC", 5), 0)
    }

    fn through(link: Link, name: &str, stats: Arc<Stats>, ahead: i64) -> Self {
        let telemetry = Telemetry::default();
        let exporter = Exporter::new(link, name, &stats, &telemetry).unwrap();
        Self { name: name.to_owned(), stats, telemetry, exporter, ahead }
    }

    /// The machine's clock at this time by Redis' clock.
    fn clock(&self, now: i64) -> UnixMillis {
        UnixMillis(now + self.ahead)
    }

    pub(crate) fn tick(&self, now: i64) {
        self.stats.tick(self.clock(now));
    }

    pub(crate) fn group_message(&self, now: i64, group: &str, sender: &str) {
        self.stats.record(&typical(group, sender, self.clock(now)), self.clock(now));
    }

    pub(crate) fn single_message(&self, now: i64, sender: &str) {
        let message = Message { group_id: None, ..typical("none", sender, self.clock(now)) };
        self.stats.record(&message, self.clock(now));
    }

    pub(crate) fn reads(&self, now: i64, user: &str) {
        self.stats.record_event(Event::Read(user, Activity::GroupReads, 1), self.clock(now));
    }

    pub(crate) fn online(&self, now: i64, user: &str) {
        self.online_on(now, user, 1);
    }

    pub(crate) fn online_on(&self, now: i64, user: &str, platform_id: i32) {
        self.stats.record_event(Event::Online(Presence { user_id: user, platform_id }), self.clock(now));
    }

    pub(crate) fn offline(&self, now: i64, user: &str) {
        self.stats.record_event(Event::Offline(Presence { user_id: user, platform_id: 1 }), self.clock(now));
    }

    pub(crate) fn try_write(&mut self, now: i64) -> Result<(), Failure> {
        self.exporter.write(UnixMillis(now), self.clock(now))
    }

    pub(crate) fn try_read(&mut self, now: i64) -> Result<(), Failure> {
        self.exporter.read(UnixMillis(now), self.clock(now))
    }

    pub(crate) fn write(&mut self, now: i64) {
        self.try_write(now).unwrap();
    }

    pub(crate) fn read(&mut self, now: i64) {
        self.try_read(now).unwrap();
    }

    pub(crate) fn united(&self) -> UnitedCounts {
        UnitedCounts::clone(&self.stats.united().expect("there are united numbers"))
    }

    /// The united senders of group messages in a window.
    pub(crate) fn senders(&self, window: usize) -> u64 {
        self.united().windows[SENDERS][window]
    }

    /// A metric of the union, or its value for a label.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let name = format!("openim_exporter_replicas_{name}");
        let samples = self.telemetry.samples(&|family| family == name).pop();
        match samples.unwrap_or_else(|| panic!("no {name}")).1 {
            Samples::Single(value) => value,
            Samples::ByLabel(values) => values.iter().find(|(found, _)| *found == label).unwrap().1 as f64,
            Samples::Histogram { count, .. } => count as f64,
            _ => panic!("{name} has another kind"),
        }
    }
}

/// A round at this time by Redis' clock: all tick and write, and five seconds later all read. Then all have the same
/// numbers.
pub(crate) fn round(members: &mut [Member], now: i64) -> UnitedCounts {
    for member in members.iter_mut() {
        member.tick(now);
        member.write(now);
    }
    members.iter_mut().for_each(|member| member.read(now + 5 * SECOND));
    agreed(members)
}

/// The numbers that all have.
pub(crate) fn agreed(members: &[Member]) -> UnitedCounts {
    let all: BTreeSet<_> = members.iter().map(|member| format!("{:?}", member.united())).collect();
    assert_eq!(all.len(), 1, "they differ: {all:#?}");
    members[0].united()
}

/// The key of a stretch.
pub(crate) fn key(of: Distinct, stretch: Stretch, number: i64, name: &str) -> String {
    format!("{{openim-exporter}}:{}:{}-{number}:{name}", of.name(), stretch.name())
}

/// What `PFCOUNT` returns for these keys.
pub(crate) fn pfcount(redis: &Redis, keys: &[String]) -> u64 {
    let arguments: Vec<_> = ["PFCOUNT"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    let counted = redis.cli(&arguments);
    counted.parse().unwrap_or_else(|_| panic!("{counted}"))
}

/// Fails unless an estimate is within two percent, or one of a few people is missing: two have the same register.
#[track_caller]
pub(crate) fn assert_near(estimate: u64, exact: usize, what: &str) {
    let error = (estimate as f64 / exact as f64 - 1.0).abs();
    assert!(
        error <= 0.02 || estimate == exact as u64 || (exact > 20 && estimate + 1 == exact as u64),
        "{what}: {estimate} instead of {exact}"
    );
}
