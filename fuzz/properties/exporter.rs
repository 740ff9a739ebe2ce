//! An exporter without sockets, and its counts.

use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use openim_exporter::config::{self, Http, Networks};
use openim_exporter::domain::GROUP_MESSAGE;
use openim_exporter::domain::{Chat, Clock, UnixMillis};
use openim_exporter::http::{Access, Limits, Site};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::Telemetry;

/// The secret in the path of callbacks.
const SECRET: &str = "a-secret-of-the-path";

pub(super) struct Exporter {
    pub(super) site: Arc<Site>,
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    /// The counts at the last call.
    counted: Cell<Counts>,
}

/// Increases of counters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) messages: u64,
    pub(super) callbacks: u64,
    pub(super) message_callbacks: u64,
    pub(super) rejections: u64,
}

impl Exporter {
    /// An exporter without access control.
    pub(super) fn open(limits: Limits, max_scrapes: usize, lifecycle: bool) -> Self {
        Self::new(config::AccessSettings::default(), limits, max_scrapes, lifecycle)
    }

    /// An exporter that requires a secret in the path of callbacks.
    pub(super) fn guarded(limits: Limits, max_scrapes: usize, lifecycle: bool) -> Self {
        let directory = super::state::directory();
        let secret = directory.path().join("secret");
        fs::write(&secret, SECRET).unwrap();
        let access = config::AccessSettings {
            callback_secret: Some(secret),
            callback_networks: Some(Networks::parse("127.0.0.0/8").unwrap()),
            ..config::AccessSettings::default()
        };
        Self::new(access, limits, max_scrapes, lifecycle)
    }

    fn new(access: config::AccessSettings, limits: Limits, max_scrapes: usize, lifecycle: bool) -> Self {
        let now = UnixMillis(1_732_345_678_901);
        let telemetry = Arc::new(Telemetry::default());
        let capacities = Capacities {
            groups: 10,
            exported_groups: 5,
            sender_pairs: 20,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        };
        let stats = Arc::new(Stats::in_memory(capacities, now).unwrap());
        let config = Http {
            max_scrapes,
            // The stream of a viewer would not end.
            max_viewers: 0,
            max_body_bytes: 512,
            max_connections: 10_000,
            max_connections_per_address: 5_000,
            max_buffered_bytes: 4096,
            lifecycle,
            access,
            ..Http::defaults().unwrap()
        };
        let access = Access::read(&config).unwrap();
        let clock = Arc::new(StoppedClock(now)) as Arc<dyn Clock>;
        let parts = (Arc::clone(&stats), Arc::clone(&telemetry), clock);
        Self { site: Arc::new(Site::new(parts, config, access, limits, 1)), stats, telemetry, counted: Cell::default() }
    }

    /// What has been counted since the last call.
    pub(super) fn count(&self, may_have_callbacks: bool) -> Counts {
        let before = self.counted.get();
        let mut now = before;
        // The fastest counter to read of those that each message increases.
        now.messages = self.stats.content_bytes(Chat::Group).count;
        now.rejections = self.stats.refusals().map(|(_, count)| count).sum();
        if may_have_callbacks {
            now.callbacks = 0;
            for (command, count) in self.stats.callbacks() {
                now.callbacks += count;
                if command == GROUP_MESSAGE {
                    now.message_callbacks = count;
                }
            }
        }
        self.counted.set(now);
        Counts {
            messages: now.messages - before.messages,
            callbacks: now.callbacks - before.callbacks,
            message_callbacks: now.message_callbacks - before.message_callbacks,
            rejections: now.rejections - before.rejections,
        }
    }
}

struct StoppedClock(UnixMillis);

impl Clock for StoppedClock {
    fn now(&self) -> UnixMillis {
        self.0
    }
}
