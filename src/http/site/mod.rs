//! What all connections share.

pub(crate) mod drain;
pub(crate) mod exchange;
pub(crate) mod live;
pub(crate) mod quotas;
mod recent;
pub(crate) mod response;
mod running;
pub(crate) mod settings;
pub(crate) mod streamed;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod viewer;
pub(crate) mod workers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config;
use crate::domain::{Clock, Reason, UnixMillis};
use crate::exposition::{Format, Scope, Scraper};
use crate::forward::Forwarding;
use crate::http::access::{Access, AccessError, Stamps};
use crate::http::base::limits::Limits;
use crate::http::base::progress::Phase;
use crate::http::base::quota::Share;
use crate::niceness::lower_priority;
use crate::page::Page;
use crate::record::Recorder;
use crate::stats::Stats;
use crate::telemetry::Telemetry;
use crate::view::groups::GroupQuery;
use crate::view::{Setup, Source};
use drain::{Drain, Stage};
use live::Live;
use quotas::Quotas;
use recent::Recent;
use running::RunningTime;
use settings::{Settings, Turn};
use workers::Workers;

/// Appended to the path of the metrics: the metrics of every tracked group.
pub(crate) const GROUPS: &str = "/groups";

/// What all connections share.
pub struct Site {
    pub(crate) stats: Arc<Stats>,
    pub(crate) telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    /// When the site was created.
    created: Instant,
    running: RunningTime,
    pub(crate) config: config::Http,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) quotas: Quotas,
    pub(crate) drain: Drain,
    pub(crate) workers: Workers,
    pub(crate) page: Page,
    pub(crate) live: Live,
    callback_port: Option<u16>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) recent_groups: Recent<GroupQuery>,
    /// Held while a group or a person is erased: only one at a time.
    pub(crate) erasing: Arc<tokio::sync::Mutex<()>>,
    pub(crate) forwarding: Option<Arc<Forwarding>>,
}

impl Site {
    /// A site that is served by `workers` threads.
    #[must_use]
    pub fn new(
        (stats, telemetry, clock): (Arc<Stats>, Arc<Telemetry>, Arc<dyn Clock>),
        config: config::Http,
        access: Access,
        limits: Limits,
        workers: usize,
    ) -> Self {
        telemetry.set_certificate_expiry(access.expires());
        if let Err(error) = access.check_validity(clock.now()) {
            // A server with an invalid certificate is better than none: clients that do not verify it get answers.
            telemetry.certificate_invalid(&error);
        }
        let quotas = Quotas::new(&config);
        Self {
            stats,
            telemetry,
            clock,
            created: Instant::now(),
            running: RunningTime::start(),
            page: page(&config.telemetry_path),
            live: Live::new(Arc::clone(&quotas.viewers)),
            quotas,
            config,
            limits,
            settings: Settings::new(access),
            drain: Drain::default(),
            workers: Workers::new(workers),
            callback_port: None,
            recorder: None,
            recent_groups: Recent::default(),
            erasing: Arc::default(),
            forwarding: None,
        }
    }

    /// Sets the port for callbacks, if it is not the pages' one.
    pub fn set_callback_port(&mut self, port: Option<u16>) {
        self.callback_port = port;
    }

    /// Forwards callbacks from now on, if there is something to forward them.
    pub fn set_forwarding(&mut self, forwarding: Option<Arc<Forwarding>>) {
        self.forwarding = forwarding;
    }

    /// Records callbacks from now on.
    pub fn set_recorder(&mut self, recorder: Option<Arc<Recorder>>) {
        self.recorder = recorder;
    }

    /// Announces the drain: from now on the site is not ready, and every response closes its connection, so that clients
    /// move to other exporters. Otherwise it serves as before.
    pub fn leave(&self, signal: &str, delay: Duration) {
        self.telemetry.leaving(signal, delay);
        self.drain.leave();
    }

    /// Begins the drain: from now on the workers accept no connections, every response closes its connection, and the
    /// site is not ready.
    pub fn drain(&self) {
        self.drain.begin(self.running.advance());
        if let Some(forwarding) = &self.forwarding {
            forwarding.drain(Instant::now() + self.limits.request_draining);
        }
        self.live.end();
    }

    /// Ends the drain: workers end even if connections are open.
    pub fn end(&self) {
        self.drain.end();
        self.live.end();
    }

    /// Publishes the events of the live page until the drain. Call it on a thread of its own, whose priority it lowers.
    pub fn publish_live(&self) {
        lower_priority();
        self.live.publish(|| self.source(), || self.running.advance());
    }

    /// Whether [`Site::end`] was called.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.drain.stage() == Stage::End
    }

    /// Waits until a request asks for the end of the process.
    pub async fn asked_to_quit(&self) {
        self.drain.requested().await;
    }

    /// Reads the files of the settings again. They take effect as a whole or not at all. Blocks while another reload is
    /// in progress, so no thread of an async runtime may call it.
    ///
    /// # Errors
    /// When a file cannot be used. The error has been logged and counted, and the old settings stay in force.
    pub fn reload(&self) -> Result<(), AccessError> {
        self.reload_in_turn(&self.settings.wait_for_turn())
    }

    pub(crate) fn reload_in_turn(&self, turn: &Turn) -> Result<(), AccessError> {
        self.settings.reload(turn, &self.config, self.now(), &self.telemetry)?;
        if let Some(forwarding) = &self.forwarding {
            forwarding.apply(self.settings.access().forward());
        }
        // The users may have changed.
        self.live.renew();
        self.telemetry.reloaded();
        Ok(())
    }

    /// Stamps of the settings' files as they are now, and as they were when they were read.
    #[must_use]
    pub fn settings_now_and_read(&self) -> (Stamps, Stamps) {
        self.settings.stamps_now_and_read()
    }

    /// Counts a connection that is ended because it was idle, except while draining: then it did not reach a limit.
    pub(crate) fn count_idle_end(&self) {
        if !self.drain.is_draining() {
            self.telemetry.connection_idle();
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// An address's share of the connections. A trusted proxy has none: it connects for many clients.
    ///
    /// # Errors
    /// When the address has too many connections. Returns the reason and the detail of the refusal.
    pub(crate) fn share_of_connections(&self, address: IpAddr) -> Result<Option<Share>, (Reason, String)> {
        if self.config.trusts(address) {
            return Ok(None);
        }
        self.quotas.connections.take_one(address).map(Some).ok_or_else(|| {
            let most = self.config.max_connections_per_address;
            let detail = format!(
                "{most} connections from this address are open; --web.max-connections-per-address sets the limit"
            );
            (Reason::TooManyConnectionsPerAddress, detail)
        })
    }

    /// What the API reads, as of now.
    pub(crate) fn source(&self) -> Source<'_> {
        let access = self.settings.access();
        let setup = Setup {
            port: self.callback_port,
            secret: access.secret.is_some(),
            password: access.callback_users.is_some(),
        };
        Source { stats: &self.stats, telemetry: &self.telemetry, now: self.now(), uptime_ms: self.uptime_ms(), setup }
    }

    /// A new scrape, as of now.
    pub(crate) fn scraper(&self, scope: Scope, format: Format) -> Scraper {
        Scraper::new(scope, format, Arc::clone(&self.stats), Arc::clone(&self.telemetry), self.now())
    }

    /// Updates the gauges of connections and viewers. Looks at each connection.
    pub(crate) fn update_gauges(&self) {
        let (open, in_flight) = (self.workers.open_connections(), self.workers.callbacks_in_flight());
        self.telemetry.set_connections(open, in_flight, self.quotas.viewers.taken());
    }

    /// Ends what takes too long. Called off the serving threads, a few times a second: limits are kept to within the
    /// time between two calls, and no request needs a timer.
    pub fn sweep(&self) {
        let now_ms = self.running.advance();
        for worker in self.workers.all() {
            worker.sweep(now_ms, |progress| {
                progress.check_deadline(|phase, since_ms, partial| self.is_overdue(phase, (since_ms, partial), now_ms));
            });
        }
        self.live.beat(now_ms, self.limits.heartbeat);
        self.workers.swept.notify_waiters();
    }

    /// For the tests: sweeps as if this time had passed since the last sweep.
    #[cfg(feature = "fuzzing")]
    pub fn pass(&self, time: Duration) {
        self.running.skip(time);
        self.sweep();
    }

    /// Whether a phase that began at `since_ms` has taken too long, or a record or head that has been incomplete since
    /// `partial`.
    fn is_overdue(&self, phase: Phase, (since_ms, partial): (u64, Option<u64>), now_ms: u64) -> bool {
        let limits = &self.limits;
        let (phase, since_ms) = match (phase, partial) {
            // hyper has not seen it yet. A part of a TLS record or of an HTTP/2 frame counts as a part of a head.
            (Phase::Idle, Some(since)) => (Phase::Head, since),
            _ => (phase, since_ms),
        };
        let is_older = |since: u64, limit: Duration| Duration::from_millis(now_ms.saturating_sub(since)) >= limit;
        let drained = |limit: Duration| match self.drain.stage() {
            Stage::Serve | Stage::Leave => false,
            Stage::Drain { since_ms: drain } => is_older(since_ms.max(drain), limit),
            Stage::End => true,
        };
        match phase {
            Phase::Idle => is_older(since_ms, limits.idle) || drained(limits.idle_draining),
            Phase::Head | Phase::Handshake => is_older(since_ms, limits.head) || drained(limits.request_draining),
            // Its requests have their own limits. A drain ends the connection at once, but its requests are still
            // answered.
            Phase::Multiplexed => drained(Duration::ZERO),
            Phase::Service => is_older(since_ms, limits.body) || drained(limits.request_draining),
            Phase::Stream | Phase::Answer => is_older(since_ms, limits.answer),
            // Each event or comment restarts the time, and one comes at least every `heartbeat`.
            Phase::Event | Phase::Live => is_older(since_ms, limits.answer) || drained(limits.idle_draining),
            Phase::Linger => is_older(since_ms, limits.linger),
        }
    }

    /// Milliseconds since the site was created.
    pub(crate) fn uptime_ms(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The live page's files. Their links are relative, so that a proxy may serve them below any path.
fn page(telemetry_path: &str) -> Page {
    let metrics = format!(".{telemetry_path}");
    let groups = format!("{}{GROUPS}", metrics.trim_end_matches('/'));
    Page::new(&[("{metrics}", &metrics), ("{groups}", &groups)])
}
