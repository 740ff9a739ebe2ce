//! How far a connection's exchange is: written by whoever moves it on, read by the sweep.
//!
//! A connection's task, stream and service run on one thread, so the writes cost nothing; atomics make them readable
//! for the sweep and for a scrape, on other threads.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing of a next request has come.
    Idle = 0,
    /// Part of a request's head has come.
    Head = 1,
    /// The request is being read or answered by the service.
    Service = 2,
    /// The answer is being written.
    Answer = 3,
    /// The connection is refused, and what the peer still sends is dropped.
    Linger = 4,
}

/// Why the sweep ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    /// Nothing came for long.
    Silent = 1,
    /// The head took too long.
    SlowHead = 2,
    /// The answer is not being read.
    SlowReader = 3,
    /// The peer has had its time to read the refusal.
    Lingered = 4,
}

/// One connection's notes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    phase: AtomicU8,
    /// When the phase began, by the worker's sweep clock.
    since_ms: AtomicU64,
    /// When the callback that is being answered began, in nanoseconds since [`base`]; 0 where none is.
    callback_since: AtomicU64,
    /// The body has been waited for long enough.
    body_overdue: AtomicBool,
    /// hyper wrote an answer of its own, to a head that it could not parse.
    swallowed: AtomicBool,
    verdict: AtomicU8,
    task: OnceLock<Waker>,
}

impl Progress {
    /// The task that is to be woken when the sweep has a verdict. A spawned task keeps one waker.
    pub(super) fn belongs_to(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Service,
            3 => Phase::Answer,
            _ => Phase::Linger,
        }
    }

    pub(super) fn enter(&self, phase: Phase, sweep_ms: u64) {
        if phase == Phase::Service {
            self.body_overdue.store(false, Ordering::Relaxed);
        }
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since_ms.store(sweep_ms, Ordering::Relaxed);
    }

    pub(super) fn since_ms(&self) -> u64 {
        self.since_ms.load(Ordering::Relaxed)
    }

    /// A callback begins.
    pub(super) fn callback_begins(&self) {
        let since = base().elapsed().as_nanos();
        self.callback_since.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// The exchange is over: the time that its callback took, if it was one.
    pub(super) fn callback_ends(&self) -> Option<Duration> {
        let since = self.callback_since.load(Ordering::Relaxed);
        (since != 0).then(|| {
            self.callback_since.store(0, Ordering::Relaxed);
            base().elapsed().saturating_sub(Duration::from_nanos(since))
        })
    }

    pub(super) fn has_callback(&self) -> bool {
        self.callback_since.load(Ordering::Relaxed) != 0
    }

    pub(super) fn body_is_overdue(&self) -> bool {
        self.body_overdue.load(Ordering::Relaxed)
    }

    pub(super) fn set_body_overdue(&self) {
        self.body_overdue.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(super) fn swallow(&self) {
        self.swallowed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_swallowed(&self) -> bool {
        self.swallowed.load(Ordering::Relaxed)
    }

    pub(super) fn condemn(&self, verdict: Verdict) {
        self.verdict.store(verdict as u8, Ordering::Relaxed);
        self.wake();
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self.verdict.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Verdict::Silent),
            2 => Some(Verdict::SlowHead),
            3 => Some(Verdict::SlowReader),
            _ => Some(Verdict::Lingered),
        }
    }

    /// Whether the exchange still stands where the verdict was passed; otherwise the verdict is withdrawn.
    pub(super) fn confirm(&self, verdict: Verdict) -> bool {
        let stands = self.phase()
            == match verdict {
                Verdict::Silent => Phase::Idle,
                Verdict::SlowHead => Phase::Head,
                Verdict::SlowReader => Phase::Answer,
                Verdict::Lingered => Phase::Linger,
            };
        if !stands {
            self.withdraw();
        }
        stands
    }

    /// Takes a verdict back.
    pub(super) fn withdraw(&self) {
        self.verdict.store(0, Ordering::Relaxed);
    }

    fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

/// Where the nanoseconds of [`Progress`] count from.
fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

/// The open connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<Slab<Arc<Progress>>>,
    /// Milliseconds that the site has been up, as of its last sweep: coarse, but free to read.
    sweep_ms: AtomicU64,
    /// Told when the last one ends.
    emptied: Notify,
}

impl Connections {
    pub(super) fn open(self: &Arc<Self>) -> Open {
        let progress = Arc::new(Progress::default());
        progress.enter(Phase::Idle, self.sweep_ms.load(Ordering::Relaxed));
        let key = self.open.lock().insert(Arc::clone(&progress));
        Open { connections: Arc::clone(self), key, progress }
    }

    pub(super) fn count(&self) -> usize {
        self.open.lock().len()
    }

    pub(super) fn callbacks_in_flight(&self) -> usize {
        self.open.lock().iter().filter(|(_, progress)| progress.has_callback()).count()
    }

    /// Looks at each connection, at a time in milliseconds since the site came up.
    pub(super) fn sweep(&self, now_ms: u64, look_at: impl Fn(&Progress)) {
        self.sweep_ms.store(now_ms, Ordering::Relaxed);
        self.open.lock().iter().for_each(|(_, progress)| look_at(progress));
    }

    /// Waits until there is none.
    pub(super) async fn empty(&self) {
        while self.count() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A connection's entry among the open ones; gone when dropped.
#[derive(Debug)]
pub(super) struct Open {
    connections: Arc<Connections>,
    key: usize,
    progress: Arc<Progress>,
}

impl Open {
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Enters a phase, at the worker's coarse time.
    pub(super) fn enter(&self, phase: Phase) {
        self.progress.enter(phase, self.connections.sweep_ms.load(Ordering::Relaxed));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.try_remove(self.key);
        if open.is_empty() {
            // Kept for the one worker that may wait, also if it does not yet.
            self.connections.emptied.notify_one();
        }
    }
}
