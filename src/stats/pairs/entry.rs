//! One entry of the table: two words, which threads change without waiting for each other.
//!
//! Threads coordinate through one word, the state: each change is a compare-exchange of the state that the thread has
//! seen, so of two threads with different changes one fails. The key changes only while the state is a claim, in these
//! steps:
//!
//! 1. the state changes from the one that was seen (no pair, one idle for over a day, or the oldest) to a claim with
//!    the new key;
//! 2. the key changes to the new one;
//! 3. the state changes from the claim to the new slot and minute.
//!
//! So an entry never has the new key with the old slot. Because a claim contains its key, another thread with the same
//! pair does not wait, but takes steps 2 and 3 itself. A step that is repeated fails without harm. A claim is never
//! revoked while threads are running; those that remain after a crash are freed when the table is opened.
//!
//! One race remains: a thread is paused between two steps while its entry is reused for another pair and then for the
//! very key that the thread wants to replace. That takes a day, or a scan of a full table. Then that pair is forgotten,
//! or counted for another slot, until it is seen again.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::UnixMillis;

/// Set in a state that is a claim.
const CLAIM: u64 = 1 << 63;

/// Bits of a state for the minute. Above them are 32 bits for the slot, and the highest bit is [`CLAIM`].
const MINUTE_BITS: u32 = 31;

/// The latest minute that fits, in the year 6053. Later times are set to it.
const MAX_MINUTE: u32 = (1 << MINUTE_BITS) - 1;

/// A minute since the epoch, plus one; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Minute(u32);

impl Minute {
    /// The minute of a time. Saturates.
    pub(super) fn from_time(time: UnixMillis) -> Self {
        let minute = u32::try_from(time.period(60_000)).unwrap_or(MAX_MINUTE);
        Self(minute.saturating_add(1).min(MAX_MINUTE))
    }
}

/// Identifies a pair by 63 bits of its hash. In one in twenty million tables, two of a million pairs have the same key
/// (n^2 / 2^64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64);

impl Key {
    /// The key of an entry that lost its pair: a key identifies a person in a group, so it must not stay.
    const NONE: Self = Self(0);

    /// The key of the pair with this hash.
    pub(super) const fn from_hash(hash: u64) -> Self {
        Self(hash & !CLAIM)
    }

    /// The position at which the search for the key starts in a table of `entries` entries, a power of two.
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits are used")]
    pub(super) const fn home(self, entries: usize) -> usize {
        self.0 as usize & entries.wrapping_sub(1)
    }
}

/// An entry's state: the slot and the minute with which its pair was last seen, or no pair, or a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    /// No pair, and searches end here. The initial state. The key has no meaning.
    pub(super) const EMPTY: Self = Self(0);

    /// No pair, but searches for other pairs pass this entry. Different from every pair's state, because the minute is
    /// 0.
    pub(super) const FREE: Self = Self(1 << MINUTE_BITS);

    /// A pair that was seen in a minute, in the group with this slot.
    pub(super) const fn seen(slot: u32, minute: Minute) -> Self {
        Self(((slot as u64) << MINUTE_BITS) | minute.0 as u64)
    }

    /// A thread is filling the entry with the pair of this key.
    pub(super) const fn claim(key: Key) -> Self {
        Self(CLAIM | key.0)
    }

    pub(super) const fn is_claim(self) -> bool {
        self.0 & CLAIM != 0
    }

    pub(super) fn has_no_pair(self) -> bool {
        self == Self::EMPTY || self == Self::FREE
    }

    /// The minutes since the pair was last seen; `u32::MAX` if there is no pair, `None` for a claim. If the clock was
    /// set back, the pair may have been seen in the future. Then these are the minutes until then, so that the pair
    /// expires.
    pub(super) fn idle(self, now: Minute) -> Option<u32> {
        if self.has_no_pair() {
            return Some(u32::MAX);
        }
        (!self.is_claim()).then(|| self.minute().0.abs_diff(now.0))
    }

    /// The minute of a pair that was seen.
    #[expect(clippy::cast_possible_truncation, reason = "31 bits")]
    pub(super) const fn minute(self) -> Minute {
        Minute(self.0 as u32 & MAX_MINUTE)
    }

    /// The slot of a pair that was seen.
    #[expect(clippy::cast_possible_truncation, reason = "32 bits, without the claim's")]
    pub(super) const fn slot(self) -> u32 {
        (self.0 >> MINUTE_BITS) as u32
    }
}

/// An entry's words in the block: the key and the state.
pub(super) type Words = [AtomicU64; 2];

/// An entry, and its values when it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'table> {
    words: &'table Words,
    key: Key,
    state: State,
}

impl<'table> Entry<'table> {
    /// Reads an entry. The state is read first, so the key belongs to the state's pair or to a later pair. If it belongs
    /// to a later one, the state has changed, and a compare-exchange fails.
    #[inline]
    pub(super) fn read(words: &'table Words) -> Self {
        let [key, state] = words;
        let state = State(state.load(Ordering::Acquire));
        Self { words, key: Key(key.load(Ordering::Acquire)), state }
    }

    pub(super) const fn key(self) -> Key {
        self.key
    }

    pub(super) const fn state(self) -> State {
        self.state
    }

    /// Whether the entry is for this key. Always false without a pair, because the key's pair may have another entry
    /// now.
    #[inline]
    pub(super) fn is_for(self, key: Key) -> bool {
        if self.state.is_claim() {
            return self.state == State::claim(key);
        }
        self.key == key && !self.state.has_no_pair()
    }

    pub(super) fn is_same_as(self, other: Self) -> bool {
        std::ptr::eq(self.words, other.words)
    }

    /// Replaces the state that was read. Returns false if it has changed since.
    pub(super) fn change(self, to: State) -> bool {
        let [_, word] = self.words;
        word.compare_exchange(self.state.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Frees the entry and removes its key, in the steps by which another pair would replace it. Returns false if the
    /// state that was read has changed since. Only to erase a pair: if threads count it at this moment, it may get two
    /// entries, of which the next scan frees one.
    pub(super) fn clear(self) -> bool {
        self.change(State::claim(Key::NONE)) && Self::read(self.words).fill(Key::NONE, State::FREE)
    }

    /// Takes steps 2 and 3 for an entry that this thread, or another one with the same key, has claimed for `key`.
    /// `self` was read before or during the claim: in both cases its key is the one to replace, or already the new one.
    /// Returns false if another thread was faster or, rarely, the key changed before the claim: then the claim remains,
    /// and the next search finds it.
    pub(super) fn fill(self, key: Key, state: State) -> bool {
        let [word, _] = self.words;
        let replaced = word.compare_exchange(self.key.0, key.0, Ordering::AcqRel, Ordering::Acquire);
        if replaced.is_err_and(|held| held != key.0) {
            return false;
        }
        Self { state: State::claim(key), ..self }.change(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_paused_between_the_steps_does_no_harm() {
        let seen = |slot| State::seen(slot, Minute(1));
        let [mine, theirs] = [Key::from_hash(7), Key::from_hash(8)];
        let words: Words = Default::default();
        let read = || Entry::read(&words);
        let paused = read();

        // Another thread with the same pair takes the remaining steps.
        assert!(paused.change(State::claim(mine)) && !paused.change(State::claim(theirs)));
        let claimed = read();
        assert!(claimed.is_for(mine) && !claimed.is_for(theirs));
        assert!(claimed.fill(mine, seen(1)) && !paused.fill(mine, seen(2)));
        let filled = read();
        assert!(filled.is_for(mine) && filled.state() == seen(1));

        // The entry is reused for another pair, and stays that pair's.
        assert!(filled.change(State::claim(theirs)) && !read().is_for(mine) && read().fill(theirs, seen(3)));
        assert!(!paused.fill(mine, seen(2)) && !claimed.fill(mine, seen(2)) && !filled.change(seen(2)));
        assert!(read().is_for(theirs) && read().state() == seen(3));

        // Without a pair, the key has no meaning.
        for none in [State::FREE, State::EMPTY] {
            assert!(read().change(none) && !read().is_for(theirs));
        }

        // The paused thread claims the entry, whose key has changed: the next search completes the claim.
        assert!(paused.change(State::claim(mine)) && !paused.fill(mine, seen(4)));
        assert!(read().is_for(mine) && read().fill(mine, seen(4)));
        assert!(read().is_for(mine) && read().state() == seen(4));
    }
}
