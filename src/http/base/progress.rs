//! How far a connection's exchange is: written by whoever moves it on, read by the sweep.
//!
//! A connection's task, stream and service run on one thread, so the writes cost nothing; atomics make them readable
//! for the sweep and for a scrape, on other threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
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
pub(crate) enum Framing {
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
pub(crate) struct Progress {
    /// The present [`Moment`].
    moment: AtomicU64,
    /// The [`Moment`] that took too long, in the judgement of the sweep; 0 where none has. It means nothing once the
    /// exchange has moved on.
    overdue: AtomicU64,
    /// When the callback that is being answered began, in nanoseconds since [`epoch`]; 0 where none is.
    callback_since: AtomicU64,
    /// hyper wrote an answer of its own, to a head that it could not parse.
    discarded_response: AtomicBool,
    /// A request was answered of which a part is still to come, and which nobody will read.
    unread: AtomicBool,
    /// For each [`Framing`], since when it has held a part of something, in milliseconds since the site came up, and one
    /// more; 0 where it holds none.
    partial_since: [AtomicU64; 2],
    task: OnceLock<Waker>,
}

impl Progress {
    /// The task that is to be woken when the sweep condemns. A spawned task keeps one waker.
    pub(crate) fn set_task(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    fn moment(&self) -> Moment {
        Moment(self.moment.load(Ordering::Relaxed))
    }

    pub(crate) fn phase(&self) -> Phase {
        self.moment().phase()
    }

    /// Only the connection's own task moves it on.
    pub(crate) fn enter(&self, phase: Phase, sweep_ms: u64) {
        self.moment.store(self.moment().next(phase, sweep_ms).0, Ordering::Relaxed);
    }

    /// Has the sweep judge the present moment, by its phase, when that began, and since when half of something has been
    /// there: true condemns it, and wakes the task. Returns the phase of a moment that is overdue for the first time.
    pub(crate) fn check_deadline(&self, is_overdue: impl FnOnce(Phase, u64, Option<u64>) -> bool) -> Option<Phase> {
        let moment = self.moment();
        if !is_overdue(moment.phase(), moment.since_ms(), self.partial_since_ms()) {
            return None;
        }
        let before = self.overdue.swap(moment.0, Ordering::Relaxed);
        self.wake();
        (before != moment.0).then(|| moment.phase())
    }

    /// Since when a layer has held a part of something, if one does.
    pub(crate) fn partial_since_ms(&self) -> Option<u64> {
        self.partial_since.iter().filter_map(|since| since.load(Ordering::Relaxed).checked_sub(1)).min()
    }

    pub(super) const fn partial_since(&self) -> &[AtomicU64; 2] {
        &self.partial_since
    }

    /// Has the task look again.
    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// The phase that took too long, if it is still the present one.
    pub(crate) fn overdue(&self) -> Option<Phase> {
        let moment = self.moment();
        (self.overdue.load(Ordering::Relaxed) == moment.0).then(|| moment.phase())
    }

    /// A callback begins.
    pub(crate) fn begin_callback(&self) {
        let since = epoch().elapsed().as_nanos();
        self.callback_since.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// The exchange is over: the time that its callback took, if it was one.
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

/// Where the nanoseconds of [`Progress`] count from.
fn epoch() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
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
        assert_eq!(progress.overdue(), None);
        for first in [Some(Phase::Idle), None] {
            let judged =
                progress.check_deadline(|phase, since_ms, midway| (phase, since_ms, midway) == (Phase::Idle, 0, None));
            assert_eq!((judged, progress.overdue()), (first, Some(Phase::Idle)));
        }
        for phase in [Phase::Head, Phase::Service, Phase::Answer, Phase::Idle] {
            progress.enter(phase, 0);
            assert_eq!(progress.overdue(), None, "{phase:?}");
        }
        assert_eq!(progress.check_deadline(|_, _, _| false), None);
        assert_eq!(progress.overdue(), None);
    }
}
