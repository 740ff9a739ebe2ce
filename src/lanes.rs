//! Counters that many threads add to without waiting for each other.
//!
//! When two cores write to the same cache line in turn, each write costs a transfer of the line. So each counter has a
//! word per thread, in that thread's lane (up to [`LANES`]), and its value is the sum over the lanes.
//!
//! On x86, an atomic addition waits until all earlier reads are done, and later instructions wait for it, even if the
//! core owns the cache line. So the first threads have lanes of their own and add with a plain load and store. Later
//! threads share the remaining lanes and add atomically.

use std::cell::Cell;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Number of lanes.
pub(crate) const LANES: usize = 16;

/// Lanes with only one thread, which keeps its lane until the process ends. All other threads share the rest.
const OWN_LANES: usize = LANES - LANES.div_ceil(4);

/// Words in two cache lines, which processors fetch together. No two lanes may share a line pair.
pub(crate) const LINE_PAIR: usize = 16;

/// A row of counters over words that it owns, or that a memory-mapped file holds.
#[derive(Debug)]
pub(crate) struct Lanes<W = Box<[AtomicU64]>> {
    words: W,
    lane_words: usize,
}

impl Lanes {
    /// A row of `count` counters in memory, all 0.
    pub(crate) fn in_memory(count: usize) -> Self {
        // The gap keeps lanes apart, wherever the words begin.
        let lane_words = count + LINE_PAIR;
        Self::new((0..LANES * lane_words).map(|_| AtomicU64::new(0)).collect(), lane_words)
    }
}

impl<W: Deref<Target = [AtomicU64]>> Lanes<W> {
    /// A row over `words`: [`LANES`] lanes of `lane_words` each.
    pub(crate) const fn new(words: W, lane_words: usize) -> Self {
        Self { words, lane_words }
    }

    /// Adds to one counter, in this thread's lane.
    #[inline]
    pub(crate) fn add(&self, index: usize, amount: u64) {
        self.add_each([(index, amount)]);
    }

    /// Adds to several counters, with one lookup of this thread's lane.
    #[inline]
    pub(crate) fn add_each<const N: usize>(&self, additions: [(usize, u64); N]) {
        let lane = lane();
        let Some(words) = self.words.get(lane * self.lane_words..) else { return };
        for (index, amount) in additions {
            match words.get(index) {
                Some(word) if lane < OWN_LANES => {
                    word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
                }
                Some(word) => {
                    word.fetch_add(amount, Ordering::Relaxed);
                }
                None => {}
            }
        }
    }

    /// Sets the value of one counter. No other thread may add to it meanwhile.
    pub(crate) fn set_sum(&self, index: usize, value: u64) {
        for (lane, word) in self.words_of(index).enumerate() {
            word.store(if lane == 0 { value } else { 0 }, Ordering::Relaxed);
        }
    }

    /// The words of all counters.
    pub(crate) const fn words(&self) -> &W {
        &self.words
    }

    /// The words of one counter, one per lane.
    fn words_of(&self, index: usize) -> impl Iterator<Item = &AtomicU64> {
        self.words.iter().skip(index).step_by(self.lane_words)
    }

    /// The words of a range of counters, lane by lane.
    pub(crate) fn words_of_each(&self, counters: Range<usize>) -> impl Iterator<Item = &AtomicU64> {
        self.words.chunks_exact(self.lane_words).flat_map(move |lane| lane.get(counters.clone()).unwrap_or_default())
    }

    /// The value of one counter. Wraps, because the lanes of a damaged state may contain any number.
    pub(crate) fn sum(&self, index: usize) -> u64 {
        self.words_of(index).map(|word| word.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    /// The values of a range of counters. Reads lane by lane, because the range may be long.
    pub(crate) fn sums(&self, counters: Range<usize>) -> Vec<u64> {
        let mut sums = vec![0_u64; counters.len()];
        for lane in self.words.chunks_exact(self.lane_words) {
            for (sum, word) in sums.iter_mut().zip(lane.get(counters.clone()).unwrap_or_default()) {
                *sum = sum.wrapping_add(word.load(Ordering::Relaxed));
            }
        }
        sums
    }
}

/// Gives this thread a lane of its own, if one is left. Serving threads call it at their start: threads that count less
/// often, and come and go, must not take these lanes first.
pub(crate) fn claim_lane() {
    lane();
}

/// This thread's lane. The first threads get separate lanes.
#[inline]
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static LANE: Cell<Option<usize>> = const { Cell::new(None) });
    LANE.with(|lane| {
        lane.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let own = if number < OWN_LANES { number } else { OWN_LANES + number % (LANES - OWN_LANES) };
            lane.set(Some(own));
            own
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_counter_is_the_sum_over_more_threads_than_lanes() {
        let row = Lanes::in_memory(3);
        thread::scope(|scope| {
            for _ in 0..LANES * 2 {
                scope.spawn(|| (0..1000).for_each(|round| row.add(round % 3, 2)));
            }
        });
        let sums = [row.sum(0), row.sum(1), row.sum(2)];
        assert_eq!(sums, [334, 333, 333].map(|adds| adds * 2 * LANES as u64 * 2));
        assert_eq!(row.sums(1..3), sums[1..]);
    }
}
