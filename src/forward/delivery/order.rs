//! The order of deliveries: one at a time for each key, so for each group or sender.
//!
//! The spool is read from its beginning to its end. A callback whose key is free is sent at once. Otherwise its position
//! is parked behind the one that is being sent. A key that waits for a retry parks nothing: its next position is noted,
//! and the reader returns to it later. So a group whose callbacks fail never blocks the others, and memory is bounded.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

/// Maximum number of parked positions of all keys.
const MAX_PARKED: usize = 65_536;

/// Maximum number of keys that are being sent or wait for a retry.
const MAX_KEYS: usize = 65_536;

/// What each key is doing. A key is the hash of a group or a sender.
#[derive(Debug)]
pub(super) struct Order<P> {
    keys: HashMap<u64, Key<P>>,
    /// Positions parked by all keys.
    parked: usize,
    /// Keys that are [`State::Ready`], the next one first.
    ready: VecDeque<u64>,
    /// The ends of the pauses. Some are outdated.
    pauses: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Keys that are [`State::Waiting`].
    waiting: usize,
}

#[derive(Debug)]
struct Key<P> {
    state: State,
    /// The callback that is sent next, or is being sent.
    current: P,
    /// Failed attempts to send it.
    tries: u32,
    /// The following ones.
    parked: VecDeque<P>,
    /// The last position that is known here: the current one, or the last parked one.
    last: P,
    /// The first position after these that the reader skipped.
    later: Option<P>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sending,
    /// To be sent as soon as there is a free place.
    Ready,
    /// To be sent again after this time. `must` if the target said so.
    Paused {
        until: Instant,
        must: bool,
    },
    /// Until the reader returns to the position that it skipped.
    Waiting,
}

impl<P: Copy + Ord> Order<P> {
    pub(super) fn new() -> Self {
        Self { keys: HashMap::new(), parked: 0, ready: VecDeque::new(), pauses: BinaryHeap::new(), waiting: 0 }
    }

    /// Whether no further key fits.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= MAX_KEYS
    }

    /// Takes the next callback that the reader found. Returns whether it is to be sent now: then its key is being sent.
    pub(super) fn take(&mut self, key: u64, position: P) -> bool {
        let Some(found) = self.keys.get_mut(&key) else {
            let parked = VecDeque::new();
            let new = Key { state: State::Sending, current: position, tries: 0, parked, last: position, later: None };
            self.keys.insert(key, new);
            return true;
        };
        let is_known = position <= found.last || found.later.is_some_and(|later| later <= position);
        if is_known {
            return false;
        }
        let parks = found.later.is_none() && matches!(found.state, State::Sending | State::Ready);
        if parks && self.parked < MAX_PARKED {
            found.parked.push_back(position);
            found.last = position;
            self.parked += 1;
        } else {
            found.later = Some(position);
        }
        false
    }

    /// The next key that is ready, with its callback. It is being sent from now on.
    pub(super) fn next_ready(&mut self) -> Option<(u64, P)> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(found) = self.keys.get_mut(&key).filter(|found| found.state == State::Ready) {
                found.state = State::Sending;
                return Some((key, found.current));
            }
        }
        None
    }

    /// A key that was to be sent is not sent yet.
    pub(super) fn put_back(&mut self, key: u64) {
        if let Some(found) = self.keys.get_mut(&key) {
            found.state = State::Ready;
            self.ready.push_front(key);
        }
    }

    /// A key's callback is done. The next one is ready, if there is one.
    pub(super) fn done(&mut self, key: u64) {
        let Some(found) = self.keys.get_mut(&key) else { return };
        found.tries = 0;
        if let Some(next) = found.parked.pop_front() {
            self.parked -= 1;
            (found.current, found.state) = (next, State::Ready);
            self.ready.push_back(key);
        } else if found.later.is_some() {
            found.state = State::Waiting;
            self.waiting += 1;
        } else {
            self.keys.remove(&key);
        }
    }

    /// How often a key's callback has failed.
    pub(super) fn tries(&self, key: u64) -> u32 {
        self.keys.get(&key).map_or(0, |found| found.tries)
    }

    /// A key's callback failed, and is sent again after `until`; with `must`, not even a probe may be sent before.
    pub(super) fn failed(&mut self, key: u64, until: Instant, must: bool) {
        let Some(found) = self.keys.get_mut(&key) else { return };
        found.tries = found.tries.saturating_add(1);
        found.state = State::Paused { until, must };
        found.later = found.parked.front().copied().or(found.later);
        found.last = found.current;
        self.parked -= found.parked.len();
        found.parked = VecDeque::new();
        self.pauses.push(Reverse((until, key)));
    }

    /// Makes the keys ready whose pauses have ended.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(Reverse((until, key))) = self.pauses.peek().copied().filter(|Reverse((until, _))| *until <= now)
        {
            self.pauses.pop();
            let is_current =
                |found: &&mut Key<P>| matches!(found.state, State::Paused { until: at, .. } if at == until);
            if let Some(found) = self.keys.get_mut(&key).filter(is_current) {
                found.state = State::Ready;
                self.ready.push_back(key);
            }
        }
    }

    /// When the next pause ends.
    pub(super) fn next_pause(&self) -> Option<Instant> {
        self.pauses.peek().map(|Reverse((until, _))| *until)
    }

    /// Makes the key ready whose pause ends next, as a probe of whether the target works again.
    pub(super) fn wake_one(&mut self) {
        let free = self.keys.iter_mut().filter_map(|(key, found)| match found.state {
            State::Paused { until, must: false } => Some((until, key, found)),
            _ => None,
        });
        if let Some((_, key, found)) = free.min_by_key(|(until, ..)| *until) {
            found.state = State::Ready;
            self.ready.push_back(*key);
        }
    }

    /// Restarts all pauses, because the target works: each ends at the time from `until`, unless the target asked for a
    /// longer one.
    pub(super) fn restart(&mut self, mut until: impl FnMut() -> Instant) {
        for (key, found) in &mut self.keys {
            if let State::Paused { until: at, must: false } = &mut found.state {
                found.tries = 0;
                *at = until();
                self.pauses.push(Reverse((*at, *key)));
            }
        }
    }

    /// Where the reader must return to, if it skipped a callback whose key is free now.
    pub(super) fn take_rewind(&mut self) -> Option<P> {
        if self.waiting == 0 {
            return None;
        }
        self.waiting = 0;
        let mut first = None;
        // The reader finds them again, in order.
        self.keys.retain(|_, found| {
            if found.state != State::Waiting {
                return true;
            }
            first = [first, found.later].into_iter().flatten().min();
            false
        });
        first
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_key_s_callbacks_are_sent_one_after_the_other_and_those_of_others_meanwhile() {
        let mut order = Order::new();
        assert!(order.take(1, 10));
        assert!(!order.take(1, 11));
        assert!(order.take(2, 12));
        assert!(!order.take(1, 13));
        assert_eq!(order.next_ready(), None);
        order.done(1);
        assert_eq!((order.next_ready(), order.next_ready()), (Some((1, 11)), None));
        order.done(2);
        order.done(1);
        assert_eq!(order.next_ready(), Some((1, 13)));
        order.done(1);
        assert_eq!((order.keys.len(), order.parked, order.take_rewind()), (0, 0, None));
    }

    #[test]
    fn a_key_that_fails_is_paused_and_the_reader_goes_back_for_it() {
        let (mut order, now) = (Order::new(), Instant::now());
        assert!(order.take(1, 10));
        assert!(!order.take(1, 11));
        order.failed(1, now + SECOND, false);
        assert_eq!((order.parked, order.tries(1)), (0, 1));
        assert!(!order.take(1, 12));
        assert!(order.take(2, 13));
        order.wake(now);
        assert_eq!((order.next_ready(), order.next_pause()), (None, Some(now + SECOND)));
        order.wake(now + SECOND);
        assert_eq!(order.next_ready(), Some((1, 10)));
        order.done(1);
        // Until the reader is back, nothing of it is sent.
        assert!(!order.take(1, 14));
        assert_eq!((order.take_rewind(), order.take_rewind()), (Some(11), None));
        assert!(order.take(1, 11));
        assert!(!order.take(1, 12));
        assert!(!order.take(2, 13));
        order.done(1);
        assert_eq!(order.next_ready(), Some((1, 12)));
    }

    #[test]
    fn what_the_reader_finds_again_is_not_sent_twice() {
        let (mut order, now) = (Order::new(), Instant::now());
        let found = [(1, 10), (2, 11), (2, 12), (1, 13)];
        assert_eq!(found.map(|(key, position)| order.take(key, position)), [true, true, false, false]);
        order.failed(1, now, false);
        assert_eq!(found.map(|(key, position)| order.take(key, position)), [false; 4]);
        order.wake(now);
        assert_eq!(order.next_ready(), Some((1, 10)));
        order.done(1);
        assert_eq!(order.take_rewind(), Some(13));
    }

    #[test]
    fn what_is_parked_is_bounded_and_nothing_is_lost_beyond() {
        let mut order = Order::new();
        let all = MAX_PARKED as u64 + 10;
        assert!(order.take(1, 0));
        assert!((1..all).all(|position| !order.take(1, position)));
        assert_eq!(order.parked, MAX_PARKED);
        for position in 1..=MAX_PARKED as u64 {
            order.done(1);
            assert_eq!(order.next_ready(), Some((1, position)));
        }
        order.done(1);
        assert_eq!(order.take_rewind(), Some(MAX_PARKED as u64 + 1));
    }

    #[test]
    fn a_probe_takes_the_shortest_pause_and_then_all_begin_again() {
        let (mut order, now) = (Order::new(), Instant::now());
        for (key, seconds, must) in [(1, 30, false), (2, 10, false), (3, 5, true)] {
            assert!(order.take(key, key));
            order.failed(key, now + SECOND * seconds, must);
        }
        order.wake_one();
        assert_eq!((order.next_ready(), order.next_ready()), (Some((2, 2)), None));
        order.done(2);
        order.restart(|| now + SECOND);
        order.wake(now + SECOND);
        assert_eq!((order.next_ready(), order.next_ready()), (Some((1, 1)), None));
        assert_eq!(order.tries(1), 0);
        order.wake(now + SECOND * 5);
        assert_eq!(order.next_ready(), Some((3, 3)));
        // The outdated ends of pauses wake nobody.
        order.failed(1, now + SECOND * 60, false);
        order.wake(now + SECOND * 30);
        assert_eq!(order.next_ready(), None);
    }
}
