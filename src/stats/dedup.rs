//! Which messages were counted lately, so that one that comes twice is counted once.
//!
//! A table of fixed size, in buckets of eight words (a cache line). A word is what is kept of a message: part of its
//! ID's hash, and the second in which it came. A message that finds its bucket full of messages of the window takes the
//! place of the oldest, which is then not known any more: that is counted.
//!
//! Two messages are taken for one if 44 bits of their hashes and the bucket agree: of ten trillion messages that find a
//! full bucket, four. A message that is taken for a repeat is not counted, so it had better be rare.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{hint, thread};

use super::carry::{Carry, copy_words, keys};
use super::counters::Counters;
use crate::arena::{Layout, Place, Plan, Section};
use crate::domain::UnixMillis;

/// The longest window: a third of the time after which the seconds come round.
pub(super) const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Messages that a table can know, where it is on.
pub(super) const ENTRIES: usize = 1 << 21;

/// Words of a bucket.
const BUCKET: usize = 8;

/// Seconds, modulo three days.
const SECOND_BITS: u32 = 18;
const SECOND_MASK: u64 = (1 << SECOND_BITS) - 1;

/// The message is just being counted. Should the process end before that is done, it was never answered, and whoever
/// sends it again must be heard.
const PENDING: u64 = 1 << SECOND_BITS;

/// The part of the hash that is kept. Its lowest bit is always set, so that no word is 0.
const TAG_MASK: u64 = !(SECOND_MASK | PENDING);
const TAG_BIT: u64 = PENDING << 1;

/// How often a place is looked for anew because another thread was faster.
const ATTEMPTS: usize = 8;

/// How often a duplicate checks its original before it gives way to other threads. Counting takes about a microsecond.
const SPINS: usize = 100;

/// A duplicate waits at most this long for its original to be counted, and is then counted itself: counting twice is
/// better than losing a message that was answered. A thread that the system paused usually goes on much earlier. One
/// that panicked never does; then the duplicate must still be answered within OpenIM's timeout of five seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Admission<'a> {
    /// It came within the window before, and that one has been counted.
    Repeat,
    /// It is new. It is known once [`Entry::confirm`] says that it has been counted.
    New(Option<Entry<'a>>),
}

/// A message's place in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    word: &'a AtomicU64,
    pending: u64,
}

impl Entry<'_> {
    /// The message has been counted.
    #[inline]
    pub(super) fn confirm(self) {
        let counted = self.pending & !PENDING;
        // Where another message has taken the place, there is nothing to confirm. Release: a thread that sees the entry
        // confirmed sees the counts too.
        let _ = self.word.compare_exchange(self.pending, counted, Ordering::Release, Ordering::Relaxed);
    }
}

/// The messages that were counted lately.
#[derive(Debug)]
pub(super) struct Dedup {
    words: Section,
    /// Repeats, and messages that were forgotten too early.
    tallies: Counters,
    /// One word: when old entries were cleared last, in milliseconds since the epoch.
    cleared: Section,
    window_seconds: u64,
    known: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Tally {
    Repeats,
    Evicted,
}

const TALLIES: usize = Tally::Evicted as usize + 1;
const TALLY_KEYS: [&str; TALLIES] = ["repeats", "evicted"];

/// Version of the layout of the table and of the time beside it.
const LAYOUT: u32 = 1;

/// Time between two clearings.
const CLEAR_EVERY_MS: u64 = 10_000;

/// After so long without a clearing, an entry's second may have come round: nothing of the table is of use.
const STALE_MS: u64 = 48 * 3_600_000;

/// Where [`Dedup`] lies in the block.
#[derive(Clone, Copy)]
pub(super) struct Places {
    words: Place,
    tallies: Place,
    cleared: Place,
}

impl Dedup {
    /// Reserves a table of so many entries; none where it is off.
    pub(super) fn reserve(plan: &mut Plan, entries: usize) -> Places {
        Places {
            words: plan.reserve(Layout::of("dedup", LAYOUT, size_of::<u64>(), entries)),
            tallies: Counters::reserve(plan, "repeats", vec![keys(TALLY_KEYS)]),
            cleared: plan.reserve(Layout::of("dedup cleared", LAYOUT, size_of::<u64>(), 1)),
        }
    }

    /// Takes what was stored: the messages only into a table of the same size, because their places depend on it.
    pub(super) fn carry(&self, carry: &Carry<'_>) {
        self.tallies.carry(carry, "repeats", |key| TALLY_KEYS.iter().position(|name| *name == key));
        let Some(stored) = carry.section("dedup", LAYOUT, size_of::<u64>()) else { return };
        if stored.len() == self.words.len() {
            copy_words(&stored, &self.words);
        } else if !stored.is_empty() && !self.words.is_empty() {
            carry.leave_out(format!("dedup: a table of {} messages", stored.len()));
        }
        carry.copy("dedup cleared", LAYOUT, &self.cleared);
    }

    pub(super) fn over(
        places: Places,
        window: Duration,
        section: impl Fn(Place) -> std::io::Result<Section>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            words: section(places.words)?,
            tallies: Counters::over(section(places.tallies)?, TALLIES),
            cleared: section(places.cleared)?,
            window_seconds: window.min(LONGEST_WINDOW).as_secs(),
            known: AtomicUsize::new(0),
        })
    }

    /// Whether a message whose ID has this hash is to be counted. A duplicate waits until its original has been counted.
    /// Otherwise it could be answered, and the process killed before anything is counted.
    #[inline]
    pub(super) fn admit(&self, hash: u64, now: UnixMillis) -> Admission<'_> {
        let second = second(now);
        let pending = (hash & TAG_MASK) | TAG_BIT | PENDING | second;
        let Some(bucket) = self.bucket(hash) else {
            return Admission::New(None);
        };
        for _ in 0..ATTEMPTS {
            let Some(spot) = look(bucket, pending, self.window_seconds) else { break };
            let (word, seen) = match spot {
                Spot::Known(word, seen) if wait_for_count(word, seen) => {
                    self.tallies.add(Tally::Repeats as usize, 1);
                    return Admission::Repeat;
                }
                Spot::Known(word, seen) | Spot::At(word, seen) => (word, seen),
            };
            if word.compare_exchange(seen, pending, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                if seen != 0 && age(seen, second) <= self.window_seconds {
                    self.tallies.add(Tally::Evicted as usize, 1);
                }
                return Admission::New(Some(Entry { word, pending }));
            }
        }
        self.tallies.add(Tally::Evicted as usize, 1);
        Admission::New(None)
    }

    fn bucket(&self, hash: u64) -> Option<&[AtomicU64; BUCKET]> {
        let buckets = self.words.as_chunks::<BUCKET>().0;
        // The low bits: those that the tag does not have.
        buckets.get(usize::try_from(hash & SECOND_MASK).ok()? % buckets.len().max(1))
    }

    /// Periodic work: clears what is older than the window, and counts what is left.
    pub(super) fn tick(&self, now: UnixMillis) {
        let Some(cleared) = self.cleared.first() else { return };
        let elapsed_ms = now.0.unsigned_abs().abs_diff(cleared.load(Ordering::Relaxed));
        if self.words.is_empty() || elapsed_ms < CLEAR_EVERY_MS {
            return;
        }
        let second = second(now);
        let mut known = 0;
        for word in self.words.iter() {
            let seen = word.load(Ordering::Relaxed);
            if seen == 0 {
                continue;
            }
            if elapsed_ms > STALE_MS || age(seen, second) > self.window_seconds {
                // If it has changed, it is new.
                let _ = word.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
            } else {
                known += 1;
            }
        }
        self.known.store(known, Ordering::Relaxed);
        cleared.store(now.0.unsigned_abs(), Ordering::Relaxed);
    }

    /// Forgets the messages that were being counted when the process ended, and counts the others.
    pub(super) fn restore(&self) {
        for word in self.words.iter().filter(|word| word.load(Ordering::Relaxed) & PENDING != 0) {
            word.store(0, Ordering::Relaxed);
        }
        let known = self.words.iter().filter(|word| word.load(Ordering::Relaxed) != 0).count();
        self.known.store(known, Ordering::Relaxed);
    }

    /// The section of the counters.
    pub(super) const fn counters(&self) -> &Section {
        self.tallies.section()
    }

    pub(super) fn repeats(&self) -> u64 {
        self.tallies.sum(Tally::Repeats as usize)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.tallies.sum(Tally::Evicted as usize)
    }

    /// Messages of the window, as of the last clearing.
    pub(super) fn known(&self) -> usize {
        self.known.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.words.len()
    }
}

/// Where a message is or belongs in its bucket.
enum Spot<'a> {
    /// The message's place, and what it holds.
    Known(&'a AtomicU64, u64),
    /// A place that is free or old, or else the oldest message's place, and what it holds.
    At(&'a AtomicU64, u64),
}

#[inline]
fn look(bucket: &[AtomicU64; BUCKET], wanted: u64, window_seconds: u64) -> Option<Spot<'_>> {
    let mut best: Option<(u64, &AtomicU64, u64)> = None;
    for word in bucket {
        let seen = word.load(Ordering::Relaxed);
        let age = if seen == 0 { u64::MAX } else { age(seen, wanted & SECOND_MASK) };
        if seen & TAG_MASK == wanted & TAG_MASK && age <= window_seconds {
            return Some(Spot::Known(word, seen));
        }
        if best.is_none_or(|(oldest, ..)| age > oldest) {
            best = Some((age, word, seen));
        }
    }
    best.map(|(_, word, seen)| Spot::At(word, seen))
}

/// Waits until a known message has been counted. Returns false if that takes too long or the entry changes otherwise.
fn wait_for_count(word: &AtomicU64, seen: u64) -> bool {
    // Acquire: goes with the Release of `confirm`.
    let is_pending = || word.load(Ordering::Acquire) == seen | PENDING;
    if is_pending() {
        wait_while(is_pending);
    }
    word.load(Ordering::Acquire) == seen & !PENDING
}

/// Spins first, then gives way to other threads, for [`LONGEST_WAIT`] at most.
#[cold]
fn wait_while(is_pending: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if !is_pending() {
            return;
        }
        hint::spin_loop();
    }
    let begin = Instant::now();
    while is_pending() && begin.elapsed() < LONGEST_WAIT {
        thread::yield_now();
    }
}

const fn second(now: UnixMillis) -> u64 {
    now.stretch(1000) & SECOND_MASK
}

/// Seconds from an entry's to another one. A clock that was set back a little makes it 0, not three days.
const fn age(word: u64, second: u64) -> u64 {
    let age = second.wrapping_sub(word) & SECOND_MASK;
    if age > SECOND_MASK / 2 + LONGEST_WINDOW.as_secs() / 2 { 0 } else { age }
}
