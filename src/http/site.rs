//! What all connections share.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::access::{Access, AccessError, Stamps};
use super::budget::Budget;
use super::progress::{Connections, Phase};
use crate::config;
use crate::domain::{Clock, UnixMillis};
use crate::exposition::{Format, Scope, Scraper};
use crate::stats::Stats;
use crate::telemetry::Telemetry;

/// Times and counts at which a connection or a request is ended or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From a request's first byte to the end of its head. OpenIM gives up after 5 s.
    pub head: Duration,
    /// From the end of a request's head to the end of its body.
    pub body: Duration,
    /// For an answer to be read; of a long one, for each piece of it.
    pub answer: Duration,
    /// Between an answer and the next request. Long, because a connection that is closed just as OpenIM uses it again
    /// loses a callback; Go's client closes its idle connections itself after 90 s by default.
    pub idle: Duration,
    /// After a refusal that ends the connection, for the peer to read it: closing while it still sends would reset the
    /// connection, and it might never see why.
    pub linger: Duration,
    /// What [`Limits::idle`] is while draining.
    pub idle_draining: Duration,
    /// What [`Limits::head`] and [`Limits::body`] are at most from the begin of the drain, so that there is time left to
    /// say so.
    pub request_draining: Duration,
    /// From the begin of the drain to the end of the process. OpenIM gives up after 5 s.
    pub drain: Duration,
    /// Open connections, in all.
    pub connections: usize,
    /// Of them, from one address.
    pub connections_per_address: usize,
    /// Requests under way on connections that carry several at a time, in all.
    pub requests: usize,
    /// Bytes of bodies that are being received and do not come in one piece, in all.
    pub buffered_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            linger: Duration::from_secs(1),
            idle_draining: Duration::from_secs(1),
            request_draining: Duration::from_secs(3),
            drain: Duration::from_secs(4),
            connections: 10_000,
            connections_per_address: 5_000,
            requests: 10_000,
            buffered_bytes: 64 << 20,
        }
    }
}

/// Passwords of one address that may wait to be checked: who guesses must not keep others waiting.
const MOST_PROVING: usize = 4;

/// Heads over HTTP/2 that have come in part, and of which more is to come in another frame; half of them of one address.
/// What has been decoded of one may take 260 KiB.
const MOST_HALF_HEADS: usize = 128;

/// The bytes of bodies that one address may have: half of all, but enough for one body of the largest size, of which it
/// takes up to twice as much while it grows.
fn of_one_address(limits: &Limits, max_body_bytes: usize) -> usize {
    limits.buffered_bytes.div_ceil(2).max(max_body_bytes.saturating_mul(2))
}

/// What all connections share.
pub struct Site {
    pub(super) stats: Arc<Stats>,
    pub(super) config: config::Http,
    pub(super) limits: Limits,
    access: ArcSwap<Access>,
    /// Held while the settings are read again.
    reloading: Mutex<()>,
    /// Had by the one request that may have that done.
    pub(super) reload_turn: Arc<Semaphore>,
    /// Told when a request asks for the process' end.
    quit: Notify,
    /// Scrapes and API answers at once.
    pub(super) scrapes: Arc<Budget>,
    /// Connections of each address.
    pub(super) addresses: Arc<Budget>,
    /// Passwords of each address that wait to be checked.
    pub(super) proving: Arc<Budget>,
    /// Requests of each address that are under way on connections that carry several at a time.
    pub(super) requesting: Arc<Budget>,
    /// Heads over HTTP/2 that have come in part.
    pub(super) half_heads: Arc<Budget>,
    /// Bytes of bodies that do not come in one piece.
    pub(super) bodies: Arc<Budget>,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    draining: AtomicBool,
    /// When the site came up, and after how many milliseconds the drain began.
    begin: Instant,
    draining_since_ms: OnceLock<u64>,
    /// Told at each sweep.
    pub(super) swept: Notify,
    workers: Vec<Arc<Connections>>,
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
            // Serving is better than not being there: who does not check it gets an answer.
            telemetry.certificate_invalid(&error);
        }
        let budget = |most: usize, most_of_one: usize| Arc::new(Budget::new(most, most_of_one));
        Self {
            access: ArcSwap::from_pointee(access),
            reloading: Mutex::new(()),
            reload_turn: Arc::new(Semaphore::new(1)),
            quit: Notify::new(),
            stats,
            // Half of all, so that one address leaves others some.
            scrapes: budget(config.max_scrapes, config.max_scrapes.div_ceil(2)),
            addresses: budget(usize::MAX, limits.connections_per_address),
            proving: budget(usize::MAX, MOST_PROVING),
            requesting: budget(usize::MAX, limits.requests.div_ceil(2)),
            half_heads: budget(MOST_HALF_HEADS, MOST_HALF_HEADS / 2),
            bodies: budget(limits.buffered_bytes, of_one_address(&limits, config.max_body_bytes)),
            config,
            limits,
            telemetry,
            clock,
            draining: AtomicBool::new(false),
            begin: Instant::now(),
            draining_since_ms: OnceLock::new(),
            swept: Notify::new(),
            workers: (0..workers).map(|_| Arc::default()).collect(),
        }
    }

    /// From here on, every answer tells its connection to close, and the site is not ready.
    pub fn drain(&self) {
        self.draining_since_ms.get_or_init(|| self.up_ms());
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Who may do what, at this moment.
    pub(super) fn access(&self) -> Guard<Arc<Access>> {
        self.access.load()
    }

    /// Reads the files of the settings again. What stands in them takes effect whole or not at all: where anything is
    /// wrong, all stays as it was.
    ///
    /// # Errors
    /// When a file cannot be used; that has been logged and counted.
    pub fn reload(&self) -> Result<(), AccessError> {
        let _one_at_a_time = self.reloading.lock();
        let successor = self
            .access()
            .next(&self.config.access)
            .and_then(|access| access.check_successor_of(&self.access(), self.now()).map(|()| access));
        match successor {
            Ok(access) => {
                self.telemetry.set_certificate_expiry(access.expires());
                self.telemetry.reloaded();
                self.access.store(Arc::new(access));
                Ok(())
            }
            Err(error) => {
                self.telemetry.reload_failed(&error);
                Err(error)
            }
        }
    }

    /// What tells the files of the settings, as they are now, from others; and the same of those that were read.
    #[must_use]
    pub fn settings_now_and_read(&self) -> (Stamps, Stamps) {
        let access = self.access();
        (access.stamps(), access.stamps_then())
    }

    pub(super) fn ask_to_quit(&self) {
        self.quit.notify_one();
    }

    /// Waits until a request asks for the process' end.
    pub async fn asked_to_quit(&self) {
        self.quit.notified().await;
    }

    /// A silent connection is ended; that a drain leaves it less time is no limit that was met.
    pub(super) fn ends_idle(&self) {
        if !self.is_draining() {
            self.telemetry.connection_idle();
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The connections of each worker, in the workers' order.
    pub(super) fn workers(&self) -> &[Arc<Connections>] {
        &self.workers
    }

    /// Requests under way on connections that carry several at a time.
    pub(super) fn requests(&self) -> usize {
        self.workers.iter().map(|worker| worker.requests()).sum()
    }

    pub(super) fn open_connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.count()).sum()
    }

    /// A scrape as of now, of which nothing is written yet.
    pub(super) fn scraper(&self, scope: Scope, format: Format) -> Scraper {
        Scraper::new(scope, format, Arc::clone(&self.stats), Arc::clone(&self.telemetry), self.now())
    }

    /// Has the telemetry know what the connections are doing. Looks at each of them.
    pub(super) fn tell_connections(&self) {
        let in_flight = self.workers.iter().map(|worker| worker.callbacks_in_flight()).sum();
        self.telemetry.set_connections(self.open_connections(), in_flight);
    }

    /// Ends what takes too long. Off the serving threads, a few times a second: limits are kept to within the time
    /// between two calls, and no request needs a timer.
    pub fn sweep(&self) {
        let now_ms = self.up_ms();
        for worker in &self.workers {
            worker.sweep(now_ms, |progress| {
                let condemned =
                    progress.judge(|phase, since_ms, midway| self.is_overdue(phase, (since_ms, midway), now_ms));
                if matches!(condemned, Some(Phase::Stream | Phase::Answer)) {
                    self.telemetry.answer_unread();
                }
            });
        }
        self.swept.notify_waiters();
    }

    /// Whether a phase that began then has taken too long, or the half of something that has been there since then.
    fn is_overdue(&self, phase: Phase, (since_ms, midway): (u64, Option<u64>), now_ms: u64) -> bool {
        let limits = &self.limits;
        let (phase, since_ms) = match (phase, midway) {
            // Half of a TLS record or of a frame is half a head, of which hyper has seen nothing yet.
            (Phase::Idle, Some(since)) => (Phase::Head, since),
            _ => (phase, since_ms),
        };
        let age = |since: u64| Duration::from_millis(now_ms.saturating_sub(since));
        let drained = |limit: Duration| {
            let drain = self.draining_since_ms.get();
            drain.is_some_and(|drain| age(since_ms.max(*drain)) >= limit)
        };
        let age = age(since_ms);
        match phase {
            Phase::Idle => age >= limits.idle || drained(limits.idle_draining),
            Phase::Head | Phase::Handshake => age >= limits.head || drained(limits.request_draining),
            // Its requests have limits of their own; a drain is told to it at once.
            Phase::Multiplexed => drained(Duration::ZERO),
            Phase::Service => age >= limits.body || drained(limits.request_draining),
            Phase::Stream | Phase::Answer => age >= limits.answer,
            Phase::Linger => age >= limits.linger,
        }
    }

    /// How long the site has been up.
    pub(super) fn up_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
