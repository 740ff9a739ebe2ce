//! One entry of the table: two words, and the steps by which threads share it without waiting for each other.
//!
//! The state is one word and the arbiter of everything: whoever changes an entry does it by a compare-exchange of the
//! state it has seen, so of two threads that want different things one learns that it came too late. The key changes
//! only while the state is a claim, in these steps:
//!
//! 1. the state goes from what was seen (no pair, one idle for over a day, or the oldest) to a claim that names the new
//!    key;
//! 2. the key goes from what was seen to the new one;
//! 3. the state goes from the claim to the new slot and minute.
//!
//! So an entry never holds the new key with the old slot. A claim names its key: another thread with the same pair
//! takes steps 2 and 3 itself and need not wait. Steps that are taken twice fail the second time and do no harm. A claim
//! is never taken back while threads are at work; what a crash left behind is freed when the table is opened.
//!
//! What this does not withstand: a thread that sleeps between two steps while its entry goes on to another pair and then
//! back to the very key that the thread wants to replace, which takes a day, or a scan of a full table, in between. Then
//! that pair is forgotten, or counted for another slot, until it is seen again.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::UnixMillis;

/// The bit of a state that says that it is a claim.
const CLAIM: u64 = 1 << 63;

/// Bits of a state that hold the minute. The slot's 32 are above them, the claim's is the highest.
const MINUTE_BITS: u32 = 31;

/// The latest minute that fits: in the year 6053. Later times stop there.
const LATEST_MINUTE: u32 = (1 << MINUTE_BITS) - 1;

/// A minute since the epoch, plus one: 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Minute(u32);

impl Minute {
    /// The minute that a time lies in; stops at the ends of the range.
    pub(super) fn of(time: UnixMillis) -> Self {
        let minute = u32::try_from(time.stretch(60_000)).unwrap_or(LATEST_MINUTE);
        Self(minute.saturating_add(1).min(LATEST_MINUTE))
    }
}

/// Which pair: 63 bits of its hash. Two of a million pairs share a key once in twenty million tables (n^2 / 2^64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    /// The key of the pair with this hash.
    pub(super) const fn of(hash: u64) -> Self {
        Self(hash & !CLAIM)
    }

    /// Where the search for the key begins in a table of `entries` entries, a power of two.
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits are used")]
    pub(super) const fn home(self, entries: usize) -> usize {
        self.0 as usize & entries.wrapping_sub(1)
    }
}

/// What an entry's pair was last seen at: its group's slot and the minute; or that it has none, or is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    /// No pair, and no search goes on behind this entry: the state of a new table's. What the key says is no matter.
    pub(super) const EMPTY: Self = Self(0);

    /// No pair, but the searches for others pass this entry. No pair that was seen has this state: its minute is none.
    pub(super) const FREE: Self = Self(1 << MINUTE_BITS);

    /// A pair seen in a minute, in the group with this slot.
    pub(super) const fn seen(slot: u32, minute: Minute) -> Self {
        Self(((slot as u64) << MINUTE_BITS) | minute.0 as u64)
    }

    /// About to hold the pair with this key.
    pub(super) const fn claim(key: Key) -> Self {
        Self(CLAIM | key.0)
    }

    pub(super) const fn is_claim(self) -> bool {
        self.0 & CLAIM != 0
    }

    pub(super) fn has_no_pair(self) -> bool {
        self == Self::EMPTY || self == Self::FREE
    }

    /// For how many minutes the pair has not been seen: `u32::MAX` if there is none, nothing while it is claimed. A
    /// pair that was seen in the future, by a clock that has been set back since, is as far away as one in the past:
    /// so it goes in the end.
    pub(super) fn idle(self, now: Minute) -> Option<u32> {
        if self.has_no_pair() {
            return Some(u32::MAX);
        }
        (!self.is_claim()).then(|| self.minute().0.abs_diff(now.0))
    }

    /// The minute of a pair that was seen.
    #[expect(clippy::cast_possible_truncation, reason = "31 bits")]
    pub(super) const fn minute(self) -> Minute {
        Minute(self.0 as u32 & LATEST_MINUTE)
    }

    /// The slot of a pair that was seen.
    #[expect(clippy::cast_possible_truncation, reason = "the claim's bit is cut off: 32 are left")]
    pub(super) const fn slot(self) -> u32 {
        (self.0 >> MINUTE_BITS) as u32
    }
}

/// An entry's words in the block: the key, then the state.
pub(super) type Words = [AtomicU64; 2];

/// An entry, and what was in it when it was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'table> {
    words: &'table Words,
    key: Key,
    state: State,
}

impl<'table> Entry<'table> {
    /// Looks at an entry. The state comes first: if it says that a pair was seen, the key is that pair's or a later
    /// one's; and if it is a later one's, the state has changed and no compare-exchange of this one succeeds.
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

    /// Whether the entry is for this key. One without a pair is for none, whatever its key: that pair may have come back
    /// elsewhere.
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

    /// Puts another state in the place of the one that was seen, unless it has changed.
    pub(super) fn change(self, to: State) -> bool {
        let [_, word] = self.words;
        word.compare_exchange(self.state.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Steps 2 and 3 for an entry that this thread, or another with the same key, has claimed for `key`. `self` is
    /// from before the claim, or from during it: either way its key is the one to be replaced, or already the new one.
    /// False if somebody else was faster, or in the rare case that the key had changed before the claim: the claim then
    /// stands, and the next search comes by it.
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
    fn a_thread_that_sleeps_between_the_steps_does_no_harm() {
        let seen = |slot| State::seen(slot, Minute(1));
        let [mine, theirs] = [Key::of(7), Key::of(8)];
        let words: Words = Default::default();
        let look = || Entry::read(&words);
        let asleep = look();

        // Another thread with the same pair takes the steps that are left.
        assert!(asleep.change(State::claim(mine)) && !asleep.change(State::claim(theirs)));
        let claimed = look();
        assert!(claimed.is_for(mine) && !claimed.is_for(theirs));
        assert!(claimed.fill(mine, seen(1)) && !asleep.fill(mine, seen(2)));
        let filled = look();
        assert!(filled.is_for(mine) && filled.state() == seen(1));

        // The entry goes to another pair and stays that pair's.
        assert!(filled.change(State::claim(theirs)) && !look().is_for(mine) && look().fill(theirs, seen(3)));
        assert!(!asleep.fill(mine, seen(2)) && !claimed.fill(mine, seen(2)) && !filled.change(seen(2)));
        assert!(look().is_for(theirs) && look().state() == seen(3));

        // Without a pair it is nobody's, though the key is still there.
        for none in [State::FREE, State::EMPTY] {
            assert!(look().change(none) && !look().is_for(theirs));
        }

        // The thread that has seen it so before, but with another key, claims it: the next look puts that right.
        assert!(asleep.change(State::claim(mine)) && !asleep.fill(mine, seen(4)));
        assert!(look().is_for(mine) && look().fill(mine, seen(4)));
        assert!(look().is_for(mine) && look().state() == seen(4));
    }
}
