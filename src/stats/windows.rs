//! Numbers of distinct elements in sliding windows.
//!
//! Three rings of sketches: one sketch per minute, hour or day of UTC. A window is the union of the current period
//! and of as many complete periods as the window is long, so it covers up to one period more than its length. It also
//! includes the shorter windows, so that it never has fewer elements than they have, even after steps of the clock.

#[cfg(test)]
mod tests;

use std::io;

use super::carry::CarryOver;
use super::distinct::Stretch;
use super::hyperloglog::{self, Element, Union};
use super::sketch_ring::{RingPosition, SketchRing, position};
use super::timeline::Tick;
use crate::arena::{Block, Contents};
use crate::domain::UnixMillis;

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The label value.
    pub name: &'static str,
    ring: usize,
    periods: u64,
}

impl Window {
    /// The stretches whose sketches the window unites: the current one, and this many complete ones.
    #[must_use]
    pub const fn stretches(&self) -> (Stretch, u64) {
        let stretch = match self.ring {
            0 => Stretch::Minute,
            1 => Stretch::Hour,
            _ => Stretch::Day,
        };
        (stretch, self.periods)
    }
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

/// Numbers of distinct elements in each window.
#[derive(Debug)]
pub(super) struct Windows {
    rings: [SketchRing; RINGS.len()],
}

impl Windows {
    pub(super) fn reserve(contents: &mut Contents, name: &str) {
        for ((_, sketches), period) in RINGS.into_iter().zip(PERIOD_NAMES) {
            SketchRing::reserve(contents, name, period, sketches);
        }
    }

    pub(super) fn open(block: &Block, name: &str) -> io::Result<Self> {
        let [minutes, hours, days] = PERIOD_NAMES.map(|period| SketchRing::open(block, name, period));
        Ok(Self { rings: [minutes?, hours?, days?] })
    }

    /// Copies old sketches, each to the sketch of its period.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, name: &str) {
        self.rings.iter().zip(PERIOD_NAMES).for_each(|(ring, period)| ring.carry_from(old, name, period));
    }

    /// Whether no period has two sketches, and all ranks are possible.
    pub(super) fn is_plausible(&self) -> bool {
        // The last period that a clock can show, and the next.
        let last = |period_ms| UnixMillis(i64::MAX).period(period_ms) + 1;
        self.rings.iter().zip(RINGS).all(|(ring, (period_ms, _))| ring.is_plausible(last(period_ms)))
    }

    /// The beginning of the latest minute with an element; the epoch if there is none.
    pub(super) fn latest(&self) -> UnixMillis {
        let [minutes, ..] = &self.rings;
        let used = minutes.sketches().filter(|(_, sketch)| !hyperloglog::is_empty(sketch));
        let minute = used.map(|(minute, _)| minute).max();
        UnixMillis(minute.unwrap_or_default().saturating_mul(MINUTE_MS).try_into().unwrap_or(i64::MAX))
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
            ring.prepare([expected, at, continued].map(|at| at.period));
        }
        let ([minutes, longer @ ..], [minute, others @ ..]) = (&self.rings, current);
        for (ring, at) in longer.iter().zip(others) {
            hyperloglog::merge_into(minutes.current(minute), ring.current(at));
        }
    }

    /// The rings of minutes, hours, and days of UTC.
    pub(super) const fn rings(&self) -> &[SketchRing; RINGS.len()] {
        &self.rings
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

impl CurrentPeriods {
    #[inline]
    pub(super) fn at(now: UnixMillis) -> Self {
        let [minutes, hours, days] = RINGS;
        Self([current(minutes, now), current(hours, now), current(days, now)])
    }
}

/// The current period of one ring.
#[inline]
fn current((period_ms, sketches): (u64, usize), now: UnixMillis) -> RingPosition {
    let period = now.period(period_ms);
    RingPosition { period, position: position(period, sketches) }
}
