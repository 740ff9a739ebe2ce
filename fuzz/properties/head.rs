//! A connection: whatever comes, in whatever pieces, all that is said is HTTP/1, each refusal is JSON in the sender's
//! form, and each message that was counted was answered with success, and no other.

use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use openim_exporter::config::{self, Http, Networks};
use openim_exporter::domain::{Clock, ManualClock, UnixMillis};
use openim_exporter::exposition::catalog;
use openim_exporter::http::{Access, Limits, Role, Site, fuzz};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire::{COMMANDS, GROUP_MESSAGE, SUCCESS};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::responses::{self, Response};

/// In the path of callbacks, at one of the sites.
const SECRET: &str = "a-secret-of-the-path";

/// Lengths of the pieces that the bytes come in.
const PIECES: [usize; 8] = [usize::MAX, 1, 3, 7, 16, 33, 64, 200];

const ROLES: [Role; 4] = [Role::All, Role::All, Role::Callbacks, Role::Telemetry];

thread_local! {
    static BUSY: Bench = Bench::new(0);
    static READY: Bench = Bench::new(2);
}

/// The first byte says where the others come to, and in what pieces. Scrapes and the API's answers are refused, as if too
/// many were being written: they take a thousand times as long as everything else.
pub(crate) fn holds(bytes: &[u8]) {
    BUSY.with(|bench| bench.talk(bytes));
}

/// The same with scrapes.
pub(crate) fn holds_with_scrapes(bytes: &[u8]) {
    READY.with(|bench| bench.talk(bytes));
}

struct Bench {
    runtime: Runtime,
    /// An open one, and one that wants a secret.
    exporters: [Exporter; 2],
}

struct Exporter {
    site: Arc<Site>,
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    /// What had been counted before.
    counted: Cell<Counts>,
}

/// What was counted.
#[derive(Clone, Copy, Default)]
struct Counts {
    messages: u64,
    callbacks: u64,
    message_callbacks: u64,
    rejections: u64,
}

impl Bench {
    fn new(max_scrapes: usize) -> Self {
        let directory = super::state::directory();
        let secret = directory.path().join("secret");
        fs::write(&secret, SECRET).unwrap();
        let guarded = config::Access {
            callback_secret: Some(secret),
            callback_networks: Some(Networks::parse("127.0.0.0/8").unwrap()),
            ..config::Access::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        Self {
            runtime,
            exporters: [config::Access::default(), guarded].map(|access| Exporter::new(access, max_scrapes)),
        }
    }

    fn talk(&self, bytes: &[u8]) {
        let Some((how, bytes)) = bytes.split_first() else { return };
        let exporter = &self.exporters[usize::from(how >> 5 & 1)];
        let pieces: Vec<_> = bytes.chunks(PIECES[usize::from(how >> 2 & 7)]).collect();
        let role = ROLES[usize::from(how & 3)];
        let said = self.runtime.block_on(fuzz::talk(&exporter.site, role, &pieces));
        let responses = responses::parse(&said);
        let successes =
            responses.iter().filter(|response| response.status == 200 && response.body == SUCCESS.as_bytes());
        let refusals = responses.iter().filter(|response| response.status >= 400);
        // Nothing else is a callback, and to read these counts takes long.
        let may_have_callbacks = bytes.windows(4).any(|window| window == b"POST");
        let before = exporter.counted.get();
        let now = exporter.count(may_have_callbacks);
        assert_eq!(now.callbacks - before.callbacks, successes.count() as u64);
        assert_eq!(now.messages - before.messages, now.message_callbacks - before.message_callbacks);
        assert_eq!(now.rejections - before.rejections, refusals.clone().count() as u64);
        refusals.for_each(is_in_the_sender_s_form);
        let heads = bytes.windows(4).filter(|window| window == b"HEAD").count();
        assert!(responses.iter().filter(|response| response.is_bodyless).count() <= heads);
    }
}

impl Exporter {
    fn new(access: config::Access, max_scrapes: usize) -> Self {
        let now = UnixMillis(1_732_345_678_901);
        let telemetry = Arc::new(Telemetry::new(catalog::describe, COMMANDS).unwrap());
        let capacities = Capacities { groups: 10, exported_groups: 5, sender_pairs: 20, dedup_window: Duration::ZERO };
        let stats = Arc::new(Stats::in_memory(capacities, now).unwrap());
        let limits = Limits { buffered_bytes: 4096, ..Limits::default() };
        let config = Http {
            telemetry_path: "/metrics".into(),
            max_scrapes,
            max_body_bytes: 512,
            max_connections: limits.connections,
            max_connections_per_address: limits.connections_per_address,
            max_buffered_bytes: limits.buffered_bytes,
            lifecycle: true,
            access,
        };
        let access = Access::read(&config.access).unwrap();
        let clock = Arc::new(ManualClock::new(now)) as Arc<dyn Clock>;
        let parts = (Arc::clone(&stats), Arc::clone(&telemetry), clock);
        Self { site: Arc::new(Site::new(parts, config, access, limits, 1)), stats, telemetry, counted: Cell::default() }
    }

    /// What has been counted up to now.
    fn count(&self, may_have_callbacks: bool) -> Counts {
        let mut counts = self.counted.get();
        // The quickest to read of what is counted at each message.
        counts.messages = self.stats.content_bytes().count;
        counts.rejections = self.telemetry.rejections().map(|(_, count)| count).sum();
        if may_have_callbacks {
            counts.callbacks = 0;
            for (command, count) in self.telemetry.callbacks() {
                counts.callbacks += count;
                if command == GROUP_MESSAGE {
                    counts.message_callbacks = count;
                }
            }
        }
        self.counted.set(counts);
        counts
    }
}

fn is_in_the_sender_s_form(refusal: &Response) {
    if refusal.is_bodyless {
        return;
    }
    assert_eq!(refusal.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&refusal.body).unwrap();
    let fields = body.as_object().unwrap();
    assert_eq!((fields.len(), &body["actionCode"], &body["nextCode"]), (5, &1.into(), &0.into()));
    assert_eq!(body["errCode"], refusal.status);
    assert!(!body["errMsg"].as_str().unwrap().is_empty() && body["errDlt"].is_string());
}
