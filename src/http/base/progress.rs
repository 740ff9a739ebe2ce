//! The progress of a connection or a request: written by the connection's task, read by the sweep.
//!
//! A connection's task, stream and service run on one thread, so the writes cost next to nothing. The values are
//! atomics because the sweep and scrapes read them on other threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What a connection or a request is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// No part of the next request has arrived.
    Idle = 0,
    /// A part of a request's head has arrived.
    Head = 1,
    /// The service reads or answers the request.
    Service = 2,
    /// The response is being sent, and the service has not handed over all of it.
    Stream = 3,
    /// The response, or the rest of it, is being sent.
    Answer = 4,
    /// The connection is about to close. What the client still sends is dropped.
    Linger = 5,
    /// The TLS handshake is in progress.
    Handshake = 6,
    /// HTTP/2: requests are in progress. Each has its own phase.
    Multiplexed = 7,
    /// An event of a live stream is being sent.
    Event = 8,
    /// A live stream: each event so far has been sent, and the next one is awaited.
    Live = 9,
}

/// A protocol whose library hands over only complete units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// TLS records.
    Tls = 0,
    /// HTTP/2 frames, and heads of requests.
    Http2 = 1,
}

/// A phase, when it began, and a sequence number, in one word. The number makes each moment of a connection unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment(u64);

impl Moment {
    const PHASE_BITS: u32 = 4;
    /// The number wraps after a million moments. The sweep's result is at most one sweep old.
    const NUMBER_BITS: u32 = 20;
    const NUMBER_MASK: u64 = (1 << Self::NUMBER_BITS) - 1;
    const MS_SHIFT: u32 = Self::PHASE_BITS + Self::NUMBER_BITS;

    fn next(self, phase: Phase, since_ms: u64) -> Self {
        // The number is never 0, so that 0 can mean "none".
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
            8 => Phase::Event,
            9 => Phase::Live,
            _ => Phase::Multiplexed,
        }
    }
}

/// The progress of one connection, or of one HTTP/2 request.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The current [`Moment`].
    moment: AtomicU64,
    /// The [`Moment`] that took too long according to the sweep; 0 if none. It no longer applies once another moment
    /// has begun.
    overdue: AtomicU64,
    /// When the first byte of the current request arrived, in nanoseconds since [`epoch`]. 0 if that is unknown, because
    /// it arrived together with the end of the previous request.
    request_since: AtomicU64,
    /// When the current callback began, and later when all of it had arrived, in nanoseconds since [`epoch`]; 0 if there
    /// is none.
    callback_since: AtomicU64,
    /// hyper wrote its own response to a head that it could not parse, and it was discarded.
    discarded_response: AtomicBool,
    /// A request was answered although the rest of its body will not be read.
    unread: AtomicBool,
    /// For each [`Framing`], since when a unit has been incomplete: the running time in milliseconds, plus 1. 0
    /// if none is.
    partial_since: [AtomicU64; 2],
    task: OnceLock<Waker>,
}

impl Progress {
    /// Sets the task to wake when the sweep finds it overdue. A spawned task keeps the same waker.
    pub(crate) fn set_task(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    fn moment(&self) -> Moment {
        Moment(self.moment.load(Ordering::Relaxed))
    }

    pub(crate) fn phase(&self) -> Phase {
        self.moment().phase()
    }

    /// Enters a phase. Only the connection's own task calls this.
    pub(crate) fn enter(&self, phase: Phase, sweep_ms: u64) {
        self.moment.store(self.moment().next(phase, sweep_ms).0, Ordering::Relaxed);
    }

    /// Checks the current moment. `is_overdue` gets its phase, when it began, and since when a unit has been
    /// incomplete; if it returns true, the task is woken.
    pub(crate) fn check_deadline(&self, is_overdue: impl FnOnce(Phase, u64, Option<u64>) -> bool) {
        let moment = self.moment();
        if is_overdue(moment.phase(), moment.since_ms(), self.partial_since_ms()) {
            self.overdue.store(moment.0, Ordering::Relaxed);
            self.wake();
        }
    }

    /// Since when a TLS record or an HTTP/2 head has been incomplete, if one is.
    pub(crate) fn partial_since_ms(&self) -> Option<u64> {
        self.partial_since.iter().filter_map(|since| since.load(Ordering::Relaxed).checked_sub(1)).min()
    }

    pub(super) const fn partial_since(&self) -> &[AtomicU64; 2] {
        &self.partial_since
    }

    /// Wakes the task.
    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// The current phase, if it took too long.
    pub(crate) fn overdue(&self) -> Option<Phase> {
        let moment = self.moment();
        (self.overdue.load(Ordering::Relaxed) == moment.0).then(|| moment.phase())
    }

    /// Whether a response took too long. Ask when the exchange ends: until then, the client may still read it.
    pub(crate) fn is_response_overdue(&self) -> bool {
        matches!(self.overdue(), Some(Phase::Stream | Phase::Answer | Phase::Event | Phase::Live))
    }

    /// The first byte of a request has arrived.
    pub(crate) fn begin_request(&self) {
        self.request_since.store(nanoseconds(), Ordering::Relaxed);
    }

    /// The request is complete, and its response has been written.
    pub(crate) fn end_request(&self) {
        self.request_since.store(0, Ordering::Relaxed);
    }

    /// The request is a callback. Its duration counts from here, unless [`Progress::receive_callback`] follows.
    pub(crate) fn begin_callback(&self) {
        self.callback_since.store(nanoseconds(), Ordering::Relaxed);
    }

    /// All of a callback has arrived. Returns how long that took.
    pub(crate) fn receive_callback(&self) -> Duration {
        let now = nanoseconds();
        self.callback_since.store(now, Ordering::Relaxed);
        match self.request_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_nanos(now.saturating_sub(since)),
        }
    }

    /// Ends the exchange. If it was a callback, returns the time since all of it had arrived, or was given up.
    pub(crate) fn end_callback(&self) -> Option<Duration> {
        let since = self.callback_since.load(Ordering::Relaxed);
        (since != 0).then(|| {
            self.callback_since.store(0, Ordering::Relaxed);
            epoch().elapsed().saturating_sub(Duration::from_nanos(since))
        })
    }

    pub(crate) fn has_callback(&self) -> bool {
        self.callback_since.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn discard_response(&self) {
        self.discarded_response.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_discarded_response(&self) -> bool {
        self.discarded_response.load(Ordering::Relaxed)
    }

    pub(crate) fn leave_request_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_request(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }
}

/// The time since [`epoch`]; never 0.
fn nanoseconds() -> u64 {
    u64::try_from(epoch().elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The time from which [`Progress`] counts nanoseconds.
fn epoch() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_phase_and_time_and_differs_from_the_previous_one() {
        let mut before = Moment(0);
        for ms in [0, 1, 250, u64::from(u32::MAX), (1 << 40) - 1] {
            for phase in (0..10).map(|number| Moment(number).phase()) {
                assert_eq!(Moment(phase as u64).phase(), phase);
                let moment = before.next(phase, ms);
                assert_eq!((moment.phase(), moment.since_ms()), (phase, ms));
                assert_ne!(moment, before);
                before = moment;
            }
        }
    }

    #[test]
    fn the_number_wraps_without_changing_phase_and_time() {
        let last = Moment(7 << Moment::MS_SHIFT | Moment::NUMBER_MASK << Moment::PHASE_BITS);
        let next = last.next(Phase::Idle, 7);
        assert_eq!((next.number(), next.phase(), next.since_ms()), (1, Phase::Idle, 7));
    }

    #[test]
    fn a_new_moment_is_not_overdue_even_in_the_same_phase() {
        let progress = Progress::default();
        progress.enter(Phase::Idle, 0);
        assert_eq!(progress.overdue(), None);
        progress.check_deadline(|phase, since_ms, partial| (phase, since_ms, partial) == (Phase::Idle, 0, None));
        assert_eq!((progress.overdue(), progress.is_response_overdue()), (Some(Phase::Idle), false));
        for phase in [Phase::Head, Phase::Service, Phase::Answer, Phase::Idle] {
            progress.enter(phase, 0);
            assert_eq!(progress.overdue(), None, "{phase:?}");
        }
        progress.check_deadline(|_, _, _| false);
        assert_eq!(progress.overdue(), None);
        progress.enter(Phase::Live, 0);
        progress.check_deadline(|_, _, _| true);
        assert!(progress.is_response_overdue());
    }
}
