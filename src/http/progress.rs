//! How far a connection's exchange is: written by whoever moves it on, read by the sweep.
//!
//! A connection's task, stream and service run on one thread, so the writes cost nothing; atomics make them readable
//! for the sweep and for a scrape, on other threads.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
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
    /// The answer is being written, and more of it is to come.
    Stream = 3,
    /// The answer is being written, or the rest of it.
    Answer = 4,
    /// The connection is refused or told to end, and what the peer still sends is dropped.
    Linger = 5,
    /// TLS is being agreed upon.
    Handshake = 6,
    /// HTTP/2: requests are under way, each with a phase of its own.
    Multiplexed = 7,
}

/// What hands over only whole parts of what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// Whole records.
    Tls = 0,
    /// Whole heads of requests.
    Http2 = 1,
}

/// One moment of an exchange, in one word: its phase, when that began, and the how manyeth it is, so that no two
/// moments of a connection are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment(u64);

impl Moment {
    const PHASE_BITS: u32 = 3;
    /// Two million moments later the number comes round again; a verdict is at most a sweep old.
    const NUMBER_BITS: u32 = 21;
    const NUMBER_MASK: u64 = (1 << Self::NUMBER_BITS) - 1;
    const MS_SHIFT: u32 = Self::PHASE_BITS + Self::NUMBER_BITS;

    fn next(self, phase: Phase, since_ms: u64) -> Self {
        // The number is never 0, so that no moment is the word for none.
        let number = (self.number() % Self::NUMBER_MASK) + 1;
        // 40 bits of milliseconds are 34 years.
        Self(since_ms << Self::MS_SHIFT | number << Self::PHASE_BITS | phase as u64)
    }

    const fn number(self) -> u64 {
        self.0 >> Self::PHASE_BITS & Self::NUMBER_MASK
    }

    const fn since_ms(self) -> u64 {
        self.0 >> Self::MS_SHIFT
    }

    const fn phase(self) -> Phase {
        match self.0 & ((1 << Self::PHASE_BITS) - 1) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Service,
            3 => Phase::Stream,
            4 => Phase::Answer,
            5 => Phase::Linger,
            6 => Phase::Handshake,
            _ => Phase::Multiplexed,
        }
    }
}

/// The notes of one connection, or of one request of a connection that carries several at a time.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The present [`Moment`].
    moment: AtomicU64,
    /// The [`Moment`] that took too long, in the judgement of the sweep; 0 where none has. It means nothing once the
    /// exchange has moved on.
    condemned: AtomicU64,
    /// When the callback that is being answered began, in nanoseconds since [`base`]; 0 where none is.
    callback_since: AtomicU64,
    /// hyper wrote an answer of its own, to a head that it could not parse.
    swallowed: AtomicBool,
    /// A request was answered of which a part is still to come, and which nobody will read.
    unread: AtomicBool,
    /// For each [`Layer`], since when it has held a part of something, in milliseconds since the site came up, and one
    /// more; 0 where it holds none.
    midway_since: [AtomicU64; 2],
    task: OnceLock<Waker>,
}

impl Progress {
    /// The task that is to be woken when the sweep condemns. A spawned task keeps one waker.
    pub(super) fn belongs_to(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    fn moment(&self) -> Moment {
        Moment(self.moment.load(Ordering::Relaxed))
    }

    pub(super) fn phase(&self) -> Phase {
        self.moment().phase()
    }

    /// Only the connection's own task moves it on.
    pub(super) fn enter(&self, phase: Phase, sweep_ms: u64) {
        self.moment.store(self.moment().next(phase, sweep_ms).0, Ordering::Relaxed);
    }

    /// Has the sweep judge the present moment, by its phase, when that began, and since when half of something has been
    /// there: true condemns it, and wakes the task. Returns the phase of a moment that is condemned for the first time.
    pub(super) fn judge(&self, is_overdue: impl FnOnce(Phase, u64, Option<u64>) -> bool) -> Option<Phase> {
        let moment = self.moment();
        if !is_overdue(moment.phase(), moment.since_ms(), self.midway_since_ms()) {
            return None;
        }
        let before = self.condemned.swap(moment.0, Ordering::Relaxed);
        self.wake();
        (before != moment.0).then(|| moment.phase())
    }

    /// Since when a layer has held a part of something, if one does.
    pub(super) fn midway_since_ms(&self) -> Option<u64> {
        self.midway_since.iter().filter_map(|since| since.load(Ordering::Relaxed).checked_sub(1)).min()
    }

    /// Has the task look again.
    pub(super) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// The phase that took too long, if it is still the present one.
    pub(super) fn condemned(&self) -> Option<Phase> {
        let moment = self.moment();
        (self.condemned.load(Ordering::Relaxed) == moment.0).then(|| moment.phase())
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

    pub(super) fn swallow(&self) {
        self.swallowed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_swallowed(&self) -> bool {
        self.swallowed.load(Ordering::Relaxed)
    }

    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_left_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
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
    /// The requests of connections that carry several at a time.
    requests: Mutex<Slab<Arc<Progress>>>,
    /// Milliseconds that the site has been up, as of its last sweep: coarse, but free to read.
    sweep_ms: AtomicU64,
    /// Told when the last one ends.
    emptied: Notify,
}

impl Connections {
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.enter(Table::Connections)
    }

    fn enter(self: &Arc<Self>, table: Table) -> Open {
        let progress = Arc::new(Progress::default());
        progress.enter(Phase::Idle, self.sweep_ms.load(Ordering::Relaxed));
        let key = self.table(table).lock().insert(Arc::clone(&progress));
        Open { key, table, handle: Handle { connections: Arc::clone(self), progress } }
    }

    const fn table(&self, table: Table) -> &Mutex<Slab<Arc<Progress>>> {
        match table {
            Table::Connections => &self.open,
            Table::Requests => &self.requests,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Requests under way on connections that carry several at a time.
    pub(super) fn requests(&self) -> usize {
        self.requests.lock().len()
    }

    pub(super) fn callbacks_in_flight(&self) -> usize {
        let in_flight = |table: &Mutex<Slab<Arc<Progress>>>| {
            table.lock().iter().filter(|(_, progress)| progress.has_callback()).count()
        };
        in_flight(&self.open) + in_flight(&self.requests)
    }

    /// Judges each connection and request, at a time in milliseconds since the site came up.
    pub(super) fn sweep(&self, now_ms: u64, judge: impl Fn(&Progress)) {
        self.sweep_ms.store(now_ms, Ordering::Relaxed);
        self.open.lock().iter().for_each(|(_, progress)| judge(progress));
        self.requests.lock().iter().for_each(|(_, progress)| judge(progress));
    }

    /// Waits until there is none.
    pub(super) async fn empty(&self) {
        while self.count() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A connection's notes, to be moved on.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    connections: Arc<Connections>,
    progress: Arc<Progress>,
}

impl Handle {
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// A layer holds a part of something or does not; and whether it held nothing for a moment just before.
    pub(super) fn is_midway(&self, layer: Layer, is_midway: bool, has_rested: bool) {
        let [tls, http2] = &self.progress.midway_since;
        let since = match layer {
            Layer::Tls => tls,
            Layer::Http2 => http2,
        };
        if !is_midway {
            since.store(0, Ordering::Relaxed);
        } else if has_rested || since.load(Ordering::Relaxed) == 0 {
            since.store(self.connections.sweep_ms.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Enters a phase, at the worker's coarse time.
    pub(super) fn enter(&self, phase: Phase) {
        self.progress.enter(phase, self.connections.sweep_ms.load(Ordering::Relaxed));
    }
}

#[derive(Clone, Copy, Debug)]
enum Table {
    Connections,
    Requests,
}

/// An entry of a connection, or of one of its requests, among the open ones; gone when dropped.
#[derive(Debug)]
pub(super) struct Open {
    key: usize,
    table: Table,
    handle: Handle,
}

impl Open {
    /// An entry for one request of a connection that carries several at a time.
    pub(super) fn request(&self) -> Self {
        self.handle.connections.enter(Table::Requests)
    }

    /// For what may outlive the connection by a little.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn progress(&self) -> &Progress {
        self.handle.progress()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.handle.enter(phase);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let connections = &self.handle.connections;
        let mut open = connections.table(self.table).lock();
        open.try_remove(self.key);
        if open.is_empty() && matches!(self.table, Table::Connections) {
            // Kept for the one worker that may wait, also if it does not yet.
            connections.emptied.notify_one();
        }
    }
}

/// The sweep has condemned it.
#[derive(Debug)]
pub(super) struct Overdue;

/// The future's outcome, if it comes before the sweep condemns the connection or the request.
pub(super) async fn in_time<T>(open: &Open, future: impl Future<Output = T>) -> Result<T, Overdue> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        open.progress().belongs_to(cx.waker());
        match future.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            Poll::Pending if open.progress().condemned().is_some() => Poll::Ready(Err(Overdue)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_its_phase_and_time_and_differs_from_the_one_before() {
        let mut before = Moment(0);
        for ms in [0, 1, 250, u64::from(u32::MAX), (1 << 40) - 1] {
            for phase in (0..8).map(|number| Moment(number).phase()) {
                assert_eq!(Moment(phase as u64).phase(), phase);
                let moment = before.next(phase, ms);
                assert_eq!((moment.phase(), moment.since_ms()), (phase, ms));
                assert_ne!(moment, before);
                before = moment;
            }
        }
    }

    #[test]
    fn the_number_comes_round_without_touching_the_rest() {
        let last = Moment(7 << Moment::MS_SHIFT | Moment::NUMBER_MASK << Moment::PHASE_BITS);
        let next = last.next(Phase::Idle, 7);
        assert_eq!((next.number(), next.phase(), next.since_ms()), (1, Phase::Idle, 7));
    }

    #[test]
    fn a_verdict_does_not_outlive_its_moment_not_even_in_the_same_phase() {
        let progress = Progress::default();
        progress.enter(Phase::Idle, 0);
        assert_eq!(progress.condemned(), None);
        for first in [Some(Phase::Idle), None] {
            let judged = progress.judge(|phase, since_ms, midway| (phase, since_ms, midway) == (Phase::Idle, 0, None));
            assert_eq!((judged, progress.condemned()), (first, Some(Phase::Idle)));
        }
        for phase in [Phase::Head, Phase::Service, Phase::Answer, Phase::Idle] {
            progress.enter(phase, 0);
            assert_eq!(progress.condemned(), None, "{phase:?}");
        }
        assert_eq!(progress.judge(|_, _, _| false), None);
        assert_eq!(progress.condemned(), None);
    }
}
