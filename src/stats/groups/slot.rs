//! A tracked group's slot: sixteen words, two cache lines. The first has everything that messages and the tick change,
//! the second the name.
//!
//! Three writers change a slot: a thread that holds the map's entry exclusively adds or removes the group; a message,
//! under the map's shared guard, changes the count and the time; the tick changes the rate, the senders and the export.
//! Reading takes no lock: the state word has a generation that changes with the slot's group, and a reader that finds
//! a different generation afterwards discards what it read.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::arena::prefetch;
use crate::domain::UnixMillis;
use crate::stats::carry::copy_words;
use crate::stats::group_name::MAX_NAME_BYTES;
use crate::stats::packed;

/// Words of a slot.
pub(super) const SLOT_WORDS: usize = 16;

/// The low byte is the length of the name plus one, or 0 while the slot is free. The other bytes are the generation.
const STATE: usize = 0;
const MESSAGES: usize = 1;
const LAST_SEEN: usize = 2;
const CREATED: usize = 3;
/// Distinct senders of the last hour in the low half, of the last 24 hours in the high half.
const SENDERS: usize = 4;
/// [`MESSAGES`] when the rate was last updated.
const RATED: usize = 5;
/// Messages per second, as the bits of an `f64`.
const RATE: usize = 6;
/// When the export of the group started, plus one; 0 if it is not exported.
const EXPORTED: usize = 7;
const NAME: usize = 8;
const NAME_WORDS: usize = MAX_NAME_BYTES / size_of::<u64>();
const _: () = assert!(NAME + NAME_WORDS == SLOT_WORDS);

const LENGTH_MASK: u64 = 0xff;
const GENERATION: u64 = LENGTH_MASK + 1;

/// A group's name, without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupName {
    bytes: [u8; MAX_NAME_BYTES],
    len: usize,
}

impl GroupName {
    #[cfg(test)]
    pub(super) const fn new(bytes: [u8; MAX_NAME_BYTES], len: usize) -> Self {
        Self { bytes, len }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Slots only have valid names, so the default is never used.
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl std::ops::Deref for GroupName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

/// The name in a slot is not valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct InvalidName;

/// A tracked group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// The group's ID, or a prefix and a hash of a long one.
    pub name: GroupName,
    /// Messages counted.
    pub messages: u64,
    /// When the first of them was received.
    pub created: UnixMillis,
    /// When the last of them was received.
    pub last_seen: UnixMillis,
    /// Recent messages per second, as of the last ranking.
    pub rate: f64,
    /// Distinct senders in the last hour and in the last 24 hours, as of the last scan.
    pub active_senders: [u32; 2],
    /// Whether the group has series of its own.
    pub is_exported: bool,
}

/// A slot in the block.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a>(pub(super) &'a [AtomicU64; SLOT_WORDS]);

impl<'a> Slot<'a> {
    /// The word that counts messages.
    pub(super) const fn message_word(self) -> &'a AtomicU64 {
        &self.0[MESSAGES]
    }
}

impl Slot<'_> {
    fn get(self, word: usize) -> u64 {
        self.0.get(word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn set(self, word: usize, value: u64) {
        if let Some(word) = self.0.get(word) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Loads the cache line that [`Slot::count`] writes.
    #[inline]
    pub(super) fn prefetch(self) {
        prefetch(&self.0[MESSAGES]);
    }

    /// Counts a message.
    #[inline]
    pub(super) fn count(self, now: UnixMillis) {
        let [_, messages, last_seen, ..] = self.0;
        messages.fetch_add(1, Ordering::Relaxed);
        last_seen.store(now.0.cast_unsigned(), Ordering::Relaxed);
    }

    /// Adds a group with its first message to a free slot. The state is written last, so that a slot is complete or
    /// free.
    pub(super) fn occupy(self, name: &str, now: UnixMillis) {
        // See `vacate`, which another thread may have called.
        fence(Ordering::Release);
        packed::write(name, &self.0[NAME..]);
        for word in [LAST_SEEN, CREATED] {
            self.set(word, now.0.cast_unsigned());
        }
        // Already 0, unless a process ended during `vacate`.
        [SENDERS, RATED, RATE, EXPORTED].into_iter().for_each(|word| self.set(word, 0));
        self.set(MESSAGES, 1);
        let state = self.get(STATE) + name.len() as u64 + 1;
        self.0[STATE].store(state, Ordering::Release);
    }

    /// Frees the slot. Nothing of the group stays in it, not even its name.
    pub(super) fn vacate(self) {
        self.set(STATE, (self.get(STATE) & !LENGTH_MASK).wrapping_add(GENERATION));
        // A reader that sees one of the following writes also sees the new state.
        fence(Ordering::Release);
        self.0.iter().skip(STATE + 1).for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// The group in the slot; `None` if it is free.
    pub(super) fn read(self) -> Option<Group> {
        let state = self.0[STATE].load(Ordering::Acquire);
        let len = usize::try_from(state & LENGTH_MASK).ok()?.checked_sub(1)?;
        let bytes = packed::read(&self.0[NAME..]);
        let senders = self.get(SENDERS);
        #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
        let group = Group {
            name: GroupName { bytes, len },
            messages: self.get(MESSAGES),
            created: UnixMillis(self.get(CREATED).cast_signed()),
            last_seen: self.last_seen(),
            rate: self.rate(),
            active_senders: [senders as u32, (senders >> 32) as u32],
            is_exported: self.exported_since().is_some(),
        };
        fence(Ordering::Acquire);
        (self.get(STATE) == state).then_some(group)
    }

    /// The name in a slot of a stored block; `None` if the slot is free.
    pub(super) fn stored_name(self) -> Result<Option<GroupName>, InvalidName> {
        if self.is_free() {
            return Ok(None);
        }
        let name = self.read().ok_or(InvalidName)?.name;
        let is_valid = name.bytes.get(..name.len).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok());
        if is_valid { Ok(Some(name)) } else { Err(InvalidName) }
    }

    /// Resets the count of a stored slot to 0.
    pub(super) fn reset(self, now: UnixMillis) {
        if !self.is_free() {
            self.set(CREATED, now.0.cast_unsigned());
            [MESSAGES, RATED, RATE].into_iter().for_each(|word| self.set(word, 0));
        }
    }

    /// Stores words that were read. Not those that are the same, so that the pages of free slots take no memory.
    pub(super) fn fill(self, words: &[u64; SLOT_WORDS]) {
        for (mine, value) in self.0.iter().zip(words) {
            if mine.load(Ordering::Relaxed) != *value {
                mine.store(*value, Ordering::Relaxed);
            }
        }
    }

    /// Copies another slot into this one.
    pub(super) fn copy_from(self, from: Slot<'_>) {
        copy_words(from.0, self.0);
    }

    /// Whether the rate is a possible one.
    pub(super) fn has_valid_rate(self) -> bool {
        self.rate().is_finite() && self.rate().is_sign_positive()
    }

    pub(super) fn is_free(self) -> bool {
        self.get(STATE) & LENGTH_MASK == 0
    }

    /// Changes whenever a group is added to the slot or removed from it.
    pub(super) fn state(self) -> u64 {
        self.get(STATE)
    }

    pub(super) fn messages(self) -> u64 {
        self.get(MESSAGES)
    }

    pub(super) fn set_messages(self, messages: u64) {
        self.set(MESSAGES, messages);
    }

    pub(super) fn last_seen(self) -> UnixMillis {
        UnixMillis(self.get(LAST_SEEN).cast_signed())
    }

    pub(super) fn rate(self) -> f64 {
        f64::from_bits(self.get(RATE))
    }

    /// Updates the rate after some seconds: a weighted mean of the old rate, with `weight` between 0 and 1, and of the
    /// rate since then.
    pub(super) fn update_rate(self, seconds: f64, weight: f64) -> f64 {
        let messages = self.messages();
        let new = messages.saturating_sub(self.get(RATED));
        let rate = self.rate() * weight + new as f64 / seconds * (1.0 - weight);
        self.set(RATED, messages);
        self.set(RATE, rate.to_bits());
        rate
    }

    pub(super) fn set_active_senders(self, in_an_hour: u32, in_a_day: u32) {
        let senders = u64::from(in_a_day) << 32 | u64::from(in_an_hour);
        // Most groups of a large table do not change, so their cache lines are not written.
        if self.get(SENDERS) != senders {
            self.set(SENDERS, senders);
        }
    }

    pub(super) fn exported_since(self) -> Option<UnixMillis> {
        self.get(EXPORTED).checked_sub(1).map(|since| UnixMillis(since.cast_signed()))
    }

    pub(super) fn set_exported_since(self, since: Option<UnixMillis>) {
        self.set(EXPORTED, since.map_or(0, |since| since.0.cast_unsigned().wrapping_add(1)));
    }
}
