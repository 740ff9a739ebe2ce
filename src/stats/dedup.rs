//! Detecting duplicates: remembers recent messages, so that a message that is received twice is counted once.
//!
//! A hash table of fixed size, in buckets of eight words (a cache line). An entry is a word with part of the hash of a
//! message's ID, and the second in which the message was received. If all entries of a bucket are within the window, a
//! new message evicts the oldest one, which is counted.
//!
//! Two different messages are confused if they have the same bucket and the same 44 bits of the hash: four in ten
//! trillion messages with a full bucket. Such a message is not counted.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{hint, io, thread};

use super::carry::{CarryOver, copy_words};
use super::counters::CounterSet;
use crate::arena::{Block, Contents, Layout, Section, SingleWord};
use crate::domain::UnixMillis;
use crate::named::named;

/// The longest window: a third of the time after which the seconds wrap.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Entries of a table, unless the window is zero.
const ENTRIES: usize = 1 << 21;

/// Entries of a bucket.
const BUCKET: usize = 8;

/// Seconds, modulo three days.
const SECOND_BITS: u32 = 18;
const SECOND_MASK: u64 = (1 << SECOND_BITS) - 1;

/// Set while the message is being counted. If the process ends before that is done, the callback was never answered, so
/// it must be counted when it is received again.
const PENDING: u64 = 1 << SECOND_BITS;

/// The part of the hash in an entry. Its lowest bit is always set, so that no entry is 0.
const TAG_MASK: u64 = !(SECOND_MASK | PENDING);
const TAG_BIT: u64 = PENDING << 1;

/// How many times the search for an entry is tried, if other threads are faster each time.
const MAX_ATTEMPTS: usize = 8;

/// How many times a duplicate checks its original before yielding to other threads. Counting takes about a microsecond.
const SPINS: usize = 100;

/// A duplicate waits at most this long for its original to be counted, and is then counted itself: counting a message
/// twice is better than losing one that was answered. A paused thread usually continues much earlier. A thread that
/// panicked never does, and then the duplicate must still be answered within OpenIM's timeout of five seconds.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Whether to count a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum DedupResult<'a> {
    /// No: it was counted within the window.
    Duplicate,
    /// Yes. It is remembered after [`PendingMessage::confirm`].
    New(Option<PendingMessage<'a>>),
}

/// The entry of a message that is being counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingMessage<'a> {
    word: &'a AtomicU64,
    pending: u64,
}

impl PendingMessage<'_> {
    /// Records that the message has been counted.
    #[inline]
    pub(super) fn confirm(self) {
        let counted = self.pending & !PENDING;
        // Fails if another message has evicted this one. Release: a thread that sees the entry confirmed sees the
        // counts.
        let _ = self.word.compare_exchange(self.pending, counted, Ordering::Release, Ordering::Relaxed);
    }
}

/// The messages that were counted recently.
#[derive(Debug)]
pub(super) struct Dedup {
    entries: Section,
    counters: CounterSet<DedupCounter>,
    /// When expired entries were last cleared, in milliseconds since the epoch.
    cleared: SingleWord,
    window_seconds: u64,
    tracked: AtomicUsize,
}

named! {
    enum DedupCounter {
        Duplicates = "repeats",
        /// Messages that were evicted within the window.
        Evicted = "evicted",
    }
}

/// Names of sections in a state.
const TABLE: &str = "dedup";
const COUNTERS: &str = "repeats";
const CLEARED: &str = "dedup cleared";

/// Version of the layout of [`TABLE`] and of [`CLEARED`].
const LAYOUT: u32 = 1;

/// Time between two clearings.
const CLEAR_INTERVAL_MS: u64 = 10_000;

/// After this long without a clearing, the seconds of entries may have wrapped, so that the whole table is useless.
const STALE_MS: u64 = 48 * 3_600_000;

impl Dedup {
    /// Reserves a table for this window: an empty one if the window is zero.
    pub(super) fn reserve(contents: &mut Contents, window: Duration) {
        Self::reserve_entries(contents, if window.is_zero() { 0 } else { ENTRIES });
    }

    fn reserve_entries(contents: &mut Contents, entries: usize) {
        contents.reserve(Layout::new(TABLE, LAYOUT, size_of::<u64>(), entries));
        CounterSet::<DedupCounter>::reserve(contents, COUNTERS);
        contents.reserve(Layout::new(CLEARED, LAYOUT, size_of::<u64>(), 1));
    }

    /// The longest window that the table of a stored block can have been made for.
    pub(super) fn stored_window(contents: &Contents) -> Duration {
        if contents.find(TABLE).is_some_and(|table| table.layout.count > 0) { MAX_WINDOW } else { Duration::ZERO }
    }

    pub(super) fn open(block: &Block, window: Duration) -> io::Result<Self> {
        Ok(Self {
            entries: block.section(TABLE)?,
            counters: CounterSet::open(block, COUNTERS)?,
            cleared: block.single_word(CLEARED)?,
            window_seconds: window.min(MAX_WINDOW).as_secs(),
            tracked: AtomicUsize::new(0),
        })
    }

    /// Copies an old table if it has the same size: the positions of entries depend on that.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        self.counters.carry_from(old);
        let Some(stored) = old.section(TABLE, LAYOUT, size_of::<u64>()) else { return };
        if stored.len() == self.entries.len() {
            copy_words(&stored, &self.entries);
        } else if !stored.is_empty() && !self.entries.is_empty() {
            old.drop_part(format!("{TABLE}: a table of {} messages", stored.len()));
        }
        old.copy(CLEARED, LAYOUT, &self.cleared);
    }

    /// Decides whether to count a message whose ID has this hash. A duplicate waits until its original has been
    /// counted: otherwise it could be answered, and the process killed before anything is counted.
    #[inline]
    pub(super) fn register(&self, hash: u64, now: UnixMillis) -> DedupResult<'_> {
        let second = second(now);
        let pending = (hash & TAG_MASK) | TAG_BIT | PENDING | second;
        let Some(bucket) = self.bucket(hash) else {
            return DedupResult::New(None);
        };
        for _ in 0..MAX_ATTEMPTS {
            let Some(found) = find(bucket, pending, self.window_seconds) else { break };
            let (word, seen) = match found {
                BucketEntry::Known(word, seen) if wait_for_count(word, seen) => {
                    self.count_duplicate();
                    return DedupResult::Duplicate;
                }
                BucketEntry::Known(word, seen) | BucketEntry::Replaceable(word, seen) => (word, seen),
            };
            if word.compare_exchange(seen, pending, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                if seen != 0 && age(seen, second) <= self.window_seconds {
                    self.counters.add(DedupCounter::Evicted, 1);
                }
                return DedupResult::New(Some(PendingMessage { word, pending }));
            }
        }
        self.counters.add(DedupCounter::Evicted, 1);
        DedupResult::New(None)
    }

    /// Counts a duplicate.
    pub(super) fn count_duplicate(&self) {
        self.counters.add(DedupCounter::Duplicates, 1);
    }

    fn bucket(&self, hash: u64) -> Option<&[AtomicU64; BUCKET]> {
        let buckets = self.entries.as_chunks::<BUCKET>().0;
        // By the low bits, which are not part of the tag.
        buckets.get(usize::try_from(hash & SECOND_MASK).ok()? % buckets.len().max(1))
    }

    /// Periodic work: clears expired entries, and counts the others.
    pub(super) fn tick(&self, now: UnixMillis) {
        let elapsed_ms = now.0.unsigned_abs().abs_diff(self.cleared.get());
        if self.entries.is_empty() || elapsed_ms < CLEAR_INTERVAL_MS {
            return;
        }
        let second = second(now);
        let mut tracked = 0;
        for word in self.entries.iter() {
            let seen = word.load(Ordering::Relaxed);
            if seen == 0 {
                continue;
            }
            if elapsed_ms > STALE_MS || age(seen, second) > self.window_seconds {
                // Fails if the entry has just been replaced.
                let _ = word.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
            } else {
                tracked += 1;
            }
        }
        self.tracked.store(tracked, Ordering::Relaxed);
        self.cleared.set(now.0.unsigned_abs());
    }

    /// Removes the messages that were being counted when the process ended, and counts the others.
    pub(super) fn restore(&self) {
        for word in self.entries.iter().filter(|word| word.load(Ordering::Relaxed) & PENDING != 0) {
            word.store(0, Ordering::Relaxed);
        }
        let tracked = self.entries.iter().filter(|word| word.load(Ordering::Relaxed) != 0).count();
        self.tracked.store(tracked, Ordering::Relaxed);
    }

    /// Sets the counters to 0. The entries stay.
    pub(super) fn reset_counts(&self) {
        self.counters.reset();
    }

    pub(super) fn duplicates(&self) -> u64 {
        self.counters.sum(DedupCounter::Duplicates)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.counters.sum(DedupCounter::Evicted)
    }

    /// Entries within the window, as of the last clearing.
    pub(super) fn tracked(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }
}

/// An entry, and its value when it was read.
enum BucketEntry<'a> {
    /// The message's entry.
    Known(&'a AtomicU64, u64),
    /// An entry for the message: a free or expired one if there is any, or else the oldest.
    Replaceable(&'a AtomicU64, u64),
}

#[inline]
fn find(bucket: &[AtomicU64; BUCKET], wanted: u64, window_seconds: u64) -> Option<BucketEntry<'_>> {
    let mut best: Option<(u64, &AtomicU64, u64)> = None;
    for word in bucket {
        let seen = word.load(Ordering::Relaxed);
        let age = if seen == 0 { u64::MAX } else { age(seen, wanted & SECOND_MASK) };
        if seen & TAG_MASK == wanted & TAG_MASK && age <= window_seconds {
            return Some(BucketEntry::Known(word, seen));
        }
        if best.is_none_or(|(oldest, ..)| age > oldest) {
            best = Some((age, word, seen));
        }
    }
    best.map(|(_, word, seen)| BucketEntry::Replaceable(word, seen))
}

/// Waits until a known message has been counted. Returns false if that takes too long, or the entry is replaced.
fn wait_for_count(word: &AtomicU64, seen: u64) -> bool {
    // Acquire: pairs with the Release in `confirm`.
    let is_pending = || word.load(Ordering::Acquire) == seen | PENDING;
    if is_pending() {
        wait_while(is_pending);
    }
    word.load(Ordering::Acquire) == seen & !PENDING
}

/// Spins first, then yields to other threads, for [`MAX_WAIT`] at most.
#[cold]
fn wait_while(is_pending: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if !is_pending() {
            return;
        }
        hint::spin_loop();
    }
    let begin = Instant::now();
    while is_pending() && begin.elapsed() < MAX_WAIT {
        thread::yield_now();
    }
}

const fn second(now: UnixMillis) -> u64 {
    now.period(1000) & SECOND_MASK
}

/// An entry's age in seconds. If the clock was set back a little, 0 instead of three days.
const fn age(word: u64, second: u64) -> u64 {
    let age = second.wrapping_sub(word) & SECOND_MASK;
    if age > SECOND_MASK / 2 + MAX_WINDOW.as_secs() / 2 { 0 } else { age }
}
