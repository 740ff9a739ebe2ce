//! Rings of HyperLogLog sketches: one sketch for each minute, hour or day.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::carry::{CarryOver, copy_words};
use super::hyperloglog::{self, WORDS};
use crate::arena::{Block, Contents, Layout, Section};

/// Version of the layout of the sketches' periods. In version 1, the position of a sketch followed from its period.
const PERIODS_LAYOUT: u32 = 2;

/// Version of the layout of the sketches.
const LAYOUT: u32 = 1;
const SKETCH_BYTES: usize = WORDS * size_of::<u64>();

/// A period, and the position of its sketch in the ring.
#[derive(Clone, Copy)]
pub(super) struct RingPosition {
    pub(super) period: u64,
    pub(super) position: usize,
}

/// A ring of sketches, one per period. A new period replaces the oldest. The position of its sketch is usually the one
/// of [`position`], but may be any.
#[derive(Debug)]
pub(super) struct SketchRing {
    /// The period of each sketch, plus one; 0 for none.
    pub(super) periods: Section,
    registers: Section,
    /// What the current period would be without any step of the clock. If the clock is set back to it, the periods of
    /// the longest window before it are needed again.
    continued: AtomicU64,
    /// Held while sketches are cleared or moved, usually by the tick. A callback takes it only if the tick is more than
    /// a period late, or the clock was set.
    clearing: Mutex<()>,
}

impl SketchRing {
    /// Reserves a ring of this many sketches. `period` is the word for its periods.
    pub(super) fn reserve(contents: &mut Contents, name: &str, period: &str, sketches: usize) {
        let [periods_name, sketches_name] = section_names(name, period);
        contents.reserve(Layout::new(&periods_name, PERIODS_LAYOUT, size_of::<u64>(), sketches));
        contents.reserve(Layout::new(&sketches_name, LAYOUT, SKETCH_BYTES, sketches));
    }

    pub(super) fn open(block: &Block, name: &str, period: &str) -> io::Result<Self> {
        let [periods, registers] = section_names(name, period).map(|name| block.section(&name));
        let (periods, registers) = (periods?, registers?);
        Ok(Self { periods, registers, continued: AtomicU64::new(0), clearing: Mutex::new(()) })
    }

    /// Copies old sketches, each to the sketch of its period.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, name: &str, period: &str) {
        let [periods, sketches] = section_names(name, period);
        let periods = old.section_with_version(&periods, 1..=PERIODS_LAYOUT, size_of::<u64>());
        let sketches = old.section(&sketches, LAYOUT, SKETCH_BYTES);
        if let (Some(periods), Some(sketches)) = (periods, sketches) {
            for (period, sketch) in periods.iter().zip(sketches.chunks_exact(WORDS)) {
                self.take(period.load(Ordering::Relaxed), sketch);
            }
        }
    }

    /// Whether no period has two sketches, none is after `last`, and all ranks are possible.
    pub(super) fn is_plausible(&self, last: u64) -> bool {
        let mut periods: Vec<_> =
            self.periods.iter().map(|stored| stored.load(Ordering::Relaxed)).filter(|stored| *stored > 0).collect();
        let used = periods.len();
        periods.sort_unstable();
        periods.dedup();
        let are_possible = periods.len() == used && periods.last().is_none_or(|stored| *stored <= last + 1);
        are_possible && hyperloglog::has_valid_ranks(&self.registers)
    }

    /// Prepares the sketches of the current and of the next period, not on a serving thread. The periods are those of
    /// the three times of a tick.
    pub(super) fn prepare(&self, [expected, now, continued]: [u64; 3]) {
        self.continued.store(continued, Ordering::Relaxed);
        self.follow_clock(expected, now);
        self.start_period(now);
        // If the clock was set forward, the next period may never begin, so no sketch is replaced for it.
        if now == continued {
            self.start_period(now + 1);
        }
    }

    /// The sketches, with their periods.
    pub(super) fn sketches(&self) -> impl Iterator<Item = (u64, &[AtomicU64])> {
        let stored = self.periods.iter().map(|stored| stored.load(Ordering::Acquire)).enumerate();
        stored.filter_map(|(position, stored)| Some((stored.checked_sub(1)?, self.sketch(position))))
    }

    /// The sketch of a period, if it has one.
    pub(super) fn sketch_of(&self, period: u64) -> Option<&[AtomicU64]> {
        self.find(period).map(|position| self.sketch(position))
    }

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
    pub(super) fn current(&self, RingPosition { period, position }: RingPosition) -> &[AtomicU64] {
        let stored = self.periods.get(position).map(|stored| stored.load(Ordering::Acquire));
        self.sketch(if stored == Some(period + 1) { position } else { self.start_period(period) })
    }

    /// The position of a period's sketch, for adding to it. `None` for a period before `oldest` that has no sketch.
    pub(super) fn position_for(&self, period: u64, oldest: u64) -> Option<usize> {
        self.find(period).or_else(|| (period >= oldest).then(|| self.start_period(period)))
    }

    /// The position of a period's sketch. If the period has none yet, replaces a sketch.
    #[cold]
    pub(super) fn start_period(&self, period: u64) -> usize {
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
    pub(super) fn sketches_since(&self, current: u64, back: u64) -> impl Iterator<Item = &[AtomicU64]> {
        let wanted = current.saturating_sub(back)..=current;
        self.sketches().filter(move |(period, _)| wanted.contains(period)).map(|(_, sketch)| sketch)
    }

    pub(super) fn sketch(&self, position: usize) -> &[AtomicU64] {
        self.registers.get(position * WORDS..(position + 1) * WORDS).unwrap_or_default()
    }
}

/// The names of a ring's sections: the periods of its sketches, and the sketches.
fn section_names(name: &str, period: &str) -> [String; 2] {
    [format!("{name} by {period}, times"), format!("{name} by {period}")]
}

/// The usual position of a period's sketch in a ring with this many sketches.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a remainder of the number of sketches")]
pub(super) const fn position(period: u64, sketches: usize) -> usize {
    (period % sketches as u64) as usize
}
