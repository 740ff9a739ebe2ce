//! Numbers of distinct elements in sliding windows.
//!
//! Three rings of HyperLogLog sketches: one sketch per minute, hour or day. A window is the union of the current period
//! and of as many complete periods as the window is long, so it covers up to one period more than its length. It also
//! includes the shorter windows, so that it never has fewer elements than they have, even after steps of the clock.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::carry::{CarryOver, copy_words};
use super::hyperloglog::{self, Element, Union, WORDS};
use super::timeline::Tick;
use crate::arena::{Block, Contents, Layout, Section};
use crate::domain::UnixMillis;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The label value.
    pub name: &'static str,
    ring: usize,
    periods: u64,
}

/// Every window that is exposed, from the shortest to the longest.
pub const WINDOWS: [Window; 5] = [
    Window { name: "5m", ring: 0, periods: 5 },
    Window { name: "1h", ring: 0, periods: 60 },
    Window { name: "24h", ring: 1, periods: 24 },
    Window { name: "7d", ring: 2, periods: 7 },
    Window { name: "30d", ring: 2, periods: 30 },
];

/// The period of each ring in milliseconds, and its number of sketches: those of the longest window, the current one,
/// and the next one, which is cleared in advance.
const RINGS: [(u64, usize); 3] = [(MINUTE_MS, 62), (HOUR_MS, 26), (DAY_MS, 32)];

/// The word for each ring's period in the names of its sections.
const PERIOD_NAMES: [&str; RINGS.len()] = ["minute", "hour", "day"];

/// Version of the layout of the sketches' periods. In version 1, the position of a sketch followed from its period.
const PERIODS_LAYOUT: u32 = 2;

/// Version of the layout of the sketches.
const LAYOUT: u32 = 1;
const SKETCH_BYTES: usize = WORDS * size_of::<u64>();

/// Numbers of distinct elements in each window.
#[derive(Debug)]
pub(super) struct Windows {
    rings: [Ring; RINGS.len()],
}

impl Windows {
    pub(super) fn reserve(contents: &mut Contents, name: &str) {
        for ((_, sketches), period) in RINGS.into_iter().zip(PERIOD_NAMES) {
            let [periods_name, sketches_name] = section_names(name, period);
            contents.reserve(Layout::new(&periods_name, PERIODS_LAYOUT, size_of::<u64>(), sketches));
            contents.reserve(Layout::new(&sketches_name, LAYOUT, SKETCH_BYTES, sketches));
        }
    }

    pub(super) fn open(block: &Block, name: &str) -> io::Result<Self> {
        let ring = |period| {
            let [periods, sketches] = section_names(name, period).map(|name| block.section(&name));
            io::Result::Ok(Ring {
                periods: periods?,
                registers: sketches?,
                continued: AtomicU64::new(0),
                clearing: Mutex::new(()),
            })
        };
        let [minutes, hours, days] = PERIOD_NAMES.map(ring);
        Ok(Self { rings: [minutes?, hours?, days?] })
    }

    /// Copies old sketches, each to the sketch of its period.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, name: &str) {
        for (ring, period) in self.rings.iter().zip(PERIOD_NAMES) {
            let [periods, sketches] = section_names(name, period);
            let periods = old.section_with_version(&periods, 1..=PERIODS_LAYOUT, size_of::<u64>());
            let sketches = old.section(&sketches, LAYOUT, SKETCH_BYTES);
            let (Some(periods), Some(sketches)) = (periods, sketches) else { continue };
            for (period, sketch) in periods.iter().zip(sketches.chunks_exact(WORDS)) {
                ring.take(period.load(Ordering::Relaxed), sketch);
            }
        }
    }

    /// Whether no period has two sketches, and all ranks are possible.
    pub(super) fn is_plausible(&self) -> bool {
        self.rings.iter().zip(RINGS).all(|(ring, (period_ms, _))| {
            // The last one that a clock can show, and the next.
            let last = UnixMillis(i64::MAX).period(period_ms) + 1;
            let mut periods: Vec<_> =
                ring.periods.iter().map(|stored| stored.load(Ordering::Relaxed)).filter(|stored| *stored > 0).collect();
            let used = periods.len();
            periods.sort_unstable();
            periods.dedup();
            let are_possible = periods.len() == used && periods.last().is_none_or(|stored| *stored <= last + 1);
            are_possible && hyperloglog::has_valid_ranks(&ring.registers)
        })
    }

    /// The beginning of the latest minute with an element; the epoch if there is none.
    pub(super) fn latest(&self) -> UnixMillis {
        let [minutes, ..] = &self.rings;
        let is_used = |position: &usize| !hyperloglog::is_empty(minutes.sketch(*position));
        let used = (0..minutes.periods.len()).filter(is_used);
        let minute = used.filter_map(|position| minutes.periods.get(position)?.load(Ordering::Relaxed).checked_sub(1));
        UnixMillis(minute.max().unwrap_or_default().saturating_mul(MINUTE_MS).try_into().unwrap_or(i64::MAX))
    }

    /// Adds an element to the current sketch of each ring.
    ///
    /// The minute comes last: an element that is in its sketch is in the hour's and the day's too, even if the process
    /// is killed in between. With much traffic, nearly all elements are in the minute's sketch after a few seconds, and
    /// the memory of the other sketches is not touched.
    #[inline]
    pub(super) fn add(&self, element: Element, current: &CurrentPeriods) {
        let ([minutes, longer @ ..], [minute, others @ ..]) = (&self.rings, current.0);
        let this_minute = minutes.current(minute);
        if element.is_in(this_minute) {
            return;
        }
        for (ring, at) in longer.iter().zip(others) {
            element.add_to(ring.current(at));
        }
        element.add_to(this_minute);
    }

    /// Prepares the current and the next sketch of each ring, not on a serving thread. Also merges the minute's sketch
    /// into the hour's and the day's, which may lack elements because the clock was set or the machine went down.
    pub(super) fn prepare(&self, tick: Tick) {
        let [CurrentPeriods(expected), CurrentPeriods(current), CurrentPeriods(continued)] =
            [tick.expected, tick.now, tick.continued].map(CurrentPeriods::at);
        for (((ring, expected), at), continued) in self.rings.iter().zip(expected).zip(current).zip(continued) {
            ring.continued.store(continued.period, Ordering::Relaxed);
            ring.follow_clock(expected.period, at.period);
            ring.start_period(at.period);
            // If the clock was set forward, the next period may never begin, so no sketch is replaced for it.
            if at.period == continued.period {
                ring.start_period(at.period + 1);
            }
        }
        let ([minutes, longer @ ..], [minute, others @ ..]) = (&self.rings, current);
        for (ring, at) in longer.iter().zip(others) {
            hyperloglog::merge_into(minutes.current(minute), ring.current(at));
        }
    }

    /// The estimated number of distinct elements in each of [`WINDOWS`].
    pub(super) fn counts(&self, now: UnixMillis) -> [u64; WINDOWS.len()] {
        Self::counts_of_all([self], now)
    }

    /// The estimated number of elements in at least one of these, in each of [`WINDOWS`].
    pub(super) fn counts_of_all<const N: usize>(all: [&Self; N], now: UnixMillis) -> [u64; WINDOWS.len()] {
        let CurrentPeriods(current) = CurrentPeriods::at(now);
        let mut union = Union::default();
        WINDOWS.map(|window| {
            for windows in all {
                if let (Some(ring), Some(at)) = (windows.rings.get(window.ring), current.get(window.ring)) {
                    ring.sketches_since(at.period, window.periods).for_each(|sketch| union.merge(sketch));
                }
            }
            union.estimate()
        })
    }
}

/// The current period of each ring: computed once for several additions, and from the constants in [`RINGS`], because
/// the compiler turns a division by a constant into a multiplication.
pub(super) struct CurrentPeriods([RingPosition; RINGS.len()]);

/// A period, and the position of its sketch in the ring.
#[derive(Clone, Copy)]
struct RingPosition {
    period: u64,
    position: usize,
}

impl CurrentPeriods {
    #[inline]
    pub(super) fn at(now: UnixMillis) -> Self {
        Self(RINGS.map(|(period_ms, sketches)| {
            let period = now.period(period_ms);
            RingPosition { period, position: position(period, sketches) }
        }))
    }
}

/// The names of a ring's sections: the periods of its sketches, and the sketches.
fn section_names(name: &str, period: &str) -> [String; 2] {
    [format!("{name} by {period}, times"), format!("{name} by {period}")]
}

/// The usual position of a period's sketch in a ring with this many sketches.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a remainder of the number of sketches")]
const fn position(period: u64, sketches: usize) -> usize {
    (period % sketches as u64) as usize
}

/// A ring of sketches, one per period. A new period replaces the oldest. The position of its sketch is usually the one
/// of [`position`], but may be any.
#[derive(Debug)]
struct Ring {
    /// The period of each sketch, plus one; 0 for none.
    periods: Section,
    registers: Section,
    /// What the current period would be without any step of the clock. If the clock is set back to it, the periods of
    /// the longest window before it are needed again.
    continued: AtomicU64,
    /// Held while sketches are cleared or moved, usually by the tick. A callback takes it only if the tick is more than
    /// a period late, or the clock was set.
    clearing: Mutex<()>,
}

impl Ring {
    /// Copies an old sketch into this ring, unless only newer ones could be replaced. `stored` is its period plus one.
    fn take(&self, stored: u64, sketch: &[AtomicU64]) {
        let Some(period) = stored.checked_sub(1) else { return };
        let position = self.replaceable(period);
        if let Some(mine) = self.periods.get(position)
            && mine.load(Ordering::Relaxed) < stored
        {
            copy_words(sketch, self.sketch(position));
            mine.store(stored, Ordering::Relaxed);
        }
    }

    #[inline]
    fn current(&self, RingPosition { period, position }: RingPosition) -> &[AtomicU64] {
        let stored = self.periods.get(position).map(|stored| stored.load(Ordering::Acquire));
        self.sketch(if stored == Some(period + 1) { position } else { self.start_period(period) })
    }

    /// The position of a period's sketch. If the period has none yet, replaces a sketch.
    #[cold]
    fn start_period(&self, period: u64) -> usize {
        if let Some(position) = self.find(period) {
            return position;
        }
        let _clearing = self.clearing.lock();
        if let Some(position) = self.find(period) {
            return position;
        }
        let position = self.replaceable(period);
        self.sketch(position).iter().for_each(|word| word.store(0, Ordering::Relaxed));
        if let Some(stored) = self.periods.get(position) {
            // Stored after clearing: a thread that sees the new period adds to an empty sketch.
            stored.store(period + 1, Ordering::Release);
        }
        position
    }

    fn find(&self, period: u64) -> Option<usize> {
        self.periods.iter().position(|stored| stored.load(Ordering::Acquire) == period + 1)
    }

    /// The position of the sketch to replace: an unused one, else an expired one, else one that was prepared for a
    /// period that never began, else the oldest.
    fn replaceable(&self, period: u64) -> usize {
        let usual = position(period, self.periods.len());
        let continued = self.continued.load(Ordering::Relaxed) + 1;
        let oldest_needed = continued.saturating_sub(self.periods.len() as u64 - 2);
        let need = |position: usize| {
            let stored = self.periods.get(position).map_or(0, |stored| stored.load(Ordering::Relaxed));
            let is_unused = || hyperloglog::is_empty(self.sketch(position));
            match stored {
                0 => (0, 0, position != usual),
                _ if stored < oldest_needed => (1, 0, position != usual),
                _ if stored > continued && stored < period && is_unused() => (2, 0, position != usual),
                _ => (3, stored, false),
            }
        };
        (0..self.periods.len()).min_by_key(|position| need(*position)).unwrap_or(usual)
    }

    /// If the clock was set back, moves the sketches that were filled while it was ahead to earlier periods, so that
    /// their age stays right. `expected` is what the current period would be if the clock had not been set.
    fn follow_clock(&self, expected: u64, current: u64) {
        let _clearing = self.clearing.lock();
        for (position, stored) in self.periods.iter().enumerate() {
            // The next period is already prepared.
            let Some(period) = stored.load(Ordering::Acquire).checked_sub(1).filter(|period| *period > current + 1)
            else {
                continue;
            };
            let target = period.saturating_add(current).saturating_sub(expected).min(current);
            let existing = self.find(target);
            match existing {
                Some(same) if same == position => {}
                Some(other) => {
                    hyperloglog::merge_into(self.sketch(position), self.sketch(other));
                    stored.store(0, Ordering::Release);
                }
                None => stored.store(target + 1, Ordering::Release),
            }
        }
    }

    /// The sketches of the current period and of the `back` ones before it.
    fn sketches_since(&self, current: u64, back: u64) -> impl Iterator<Item = &[AtomicU64]> {
        let wanted = current.saturating_sub(back) + 1..=current + 1;
        let stored = self.periods.iter().map(|stored| stored.load(Ordering::Acquire)).enumerate();
        stored.filter(move |(_, period)| wanted.contains(period)).map(|(position, _)| self.sketch(position))
    }

    fn sketch(&self, position: usize) -> &[AtomicU64] {
        self.registers.get(position * WORDS..(position + 1) * WORDS).unwrap_or_default()
    }
}
