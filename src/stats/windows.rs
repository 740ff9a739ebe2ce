//! How many distinct senders and groups there were lately.
//!
//! Three rings of HyperLogLog sets: by the minute, the hour and the day. A window is the union of as many whole
//! stretches as it is long, and of the current one; so it covers its length, and up to one stretch more.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::carry::{Carry, copy_words};
use super::hyperloglog::{self, Element, Union, WORDS};
use crate::arena::{Layout, Place, Plan, Section};
use crate::domain::UnixMillis;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A window that is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The label value.
    pub name: &'static str,
    ring: usize,
    stretches: u64,
}

/// Every window, each ring's from the shortest to the longest.
pub const WINDOWS: [Window; 5] = [
    Window { name: "5m", ring: 0, stretches: 5 },
    Window { name: "1h", ring: 0, stretches: 60 },
    Window { name: "24h", ring: 1, stretches: 24 },
    Window { name: "7d", ring: 2, stretches: 7 },
    Window { name: "30d", ring: 2, stretches: 30 },
];

/// Length of a stretch and number of buckets of each ring: the longest window's, the current one, and the next one,
/// which is made ready while it is not yet needed.
const RINGS: [(u64, usize); 3] = [(MINUTE_MS, 62), (HOUR_MS, 26), (DAY_MS, 32)];

/// What a stretch of each ring is called in the names of its sections.
const STRETCHES: [&str; RINGS.len()] = ["minute", "hour", "day"];

/// Version of the layout of a ring: its sets, and which stretch each holds.
const LAYOUT: u32 = 1;
const SET_BYTES: usize = WORDS * size_of::<u64>();

/// Distinct elements by window.
#[derive(Debug)]
pub(super) struct Windows {
    rings: [Ring; RINGS.len()],
}

/// Where [`Windows`] lies in the block.
#[derive(Clone, Copy)]
pub(super) struct Places([(Place, Place); RINGS.len()]);

impl Windows {
    pub(super) fn reserve(plan: &mut Plan, name: &str) -> Places {
        let mut stretches = STRETCHES.into_iter();
        Places(RINGS.map(|(_, buckets)| {
            let [times, sets] = section_names(name, stretches.next().unwrap_or_default());
            let times = plan.reserve(Layout::of(&times, LAYOUT, size_of::<u64>(), buckets));
            (times, plan.reserve(Layout::of(&sets, LAYOUT, SET_BYTES, buckets)))
        }))
    }

    /// Takes stored sets, each for its stretch.
    pub(super) fn carry(&self, carry: &Carry<'_>, name: &str) {
        for (ring, stretch) in self.rings.iter().zip(STRETCHES) {
            let [times, sets] = section_names(name, stretch);
            let times = carry.section(&times, LAYOUT, size_of::<u64>());
            let sets = carry.section(&sets, LAYOUT, SET_BYTES);
            let (Some(times), Some(sets)) = (times, sets) else { continue };
            for (time, set) in times.iter().zip(sets.chunks_exact(WORDS)) {
                ring.take(time.load(Ordering::Relaxed), set);
            }
        }
    }

    /// Whether each set is in the bucket of its stretch, and has registers that adding can make.
    pub(super) fn are_plausible(&self) -> bool {
        self.rings.iter().all(|ring| {
            let is_in_place = |(number, holds): (usize, &AtomicU64)| match holds.load(Ordering::Relaxed).checked_sub(1)
            {
                Some(stretch) => bucket(stretch, ring.stretches.len()) == number,
                None => true,
            };
            ring.stretches.iter().enumerate().all(is_in_place) && hyperloglog::are_ranks(&ring.registers)
        })
    }

    pub(super) fn over(places: Places, section: impl Fn(Place) -> std::io::Result<Section>) -> std::io::Result<Self> {
        let [minutes, hours, days] = places.0;
        let ring = |(stretches, registers)| {
            std::io::Result::Ok(Ring {
                stretches: section(stretches)?,
                registers: section(registers)?,
                turning: Mutex::new(()),
            })
        };
        Ok(Self { rings: [ring(minutes)?, ring(hours)?, ring(days)?] })
    }

    /// Adds an element at a time to the current stretch of each ring.
    ///
    /// A minute's set comes last, so what it has, its hour and its day have too, also if the process is killed in between.
    /// Where there is much traffic the minute has nearly everything after some seconds, and the other sets' memory is left
    /// alone.
    #[inline]
    pub(super) fn add(&self, element: Element, current: &Current) {
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

    /// Makes the current and the next stretch of each ring ready, off the serving threads. What the hour and the day lack
    /// of what the minute has, because the machine's clock was set or went down without an orderly end, they get.
    pub(super) fn prepare(&self, now: UnixMillis) {
        let Current(current) = Current::at(now);
        for (ring, At { stretch, .. }) in self.rings.iter().zip(current) {
            ring.turn_to(stretch);
            ring.turn_to(stretch + 1);
        }
        let ([minutes, longer @ ..], [minute, others @ ..]) = (&self.rings, current);
        for (ring, at) in longer.iter().zip(others) {
            hyperloglog::add_set(minutes.set(minute.bucket), ring.set(at.bucket));
        }
    }

    /// How many distinct elements each of [`WINDOWS`] holds.
    pub(super) fn counts(&self, now: UnixMillis) -> [u64; WINDOWS.len()] {
        let Current(current) = Current::at(now);
        WINDOWS.map(|window| {
            let mut union = Union::new();
            if let (Some(ring), Some(at)) = (self.rings.get(window.ring), current.get(window.ring)) {
                ring.sets_since(at.stretch, window.stretches).for_each(|set| union.unite(set));
            }
            union.estimate()
        })
    }
}

/// Where each ring stands at a moment: worked out once for all that is added then, and from [`RINGS`], whose numbers are
/// constants, for a division by one of these is a multiplication.
pub(super) struct Current([At; RINGS.len()]);

#[derive(Clone, Copy)]
struct At {
    stretch: u64,
    bucket: usize,
}

impl Current {
    #[inline]
    pub(super) fn at(now: UnixMillis) -> Self {
        Self(RINGS.map(|(stretch_ms, buckets)| {
            let stretch = now.stretch(stretch_ms);
            At { stretch, bucket: bucket(stretch, buckets) }
        }))
    }
}

/// The names of a ring's sections: which stretch each bucket holds, and the sets.
fn section_names(name: &str, stretch: &str) -> [String; 2] {
    [format!("{name} by {stretch}, times"), format!("{name} by {stretch}")]
}

/// The bucket of a stretch in a ring of so many.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a remainder of the number of buckets")]
const fn bucket(stretch: u64, buckets: usize) -> usize {
    (stretch % buckets as u64) as usize
}

/// A ring of sets, one for each stretch of time, the oldest of which gives way to the newest.
#[derive(Debug)]
struct Ring {
    /// For each bucket, which stretch it holds, plus one; 0 for none.
    stretches: Section,
    registers: Section,
    /// Held while a bucket is emptied: by the tick, or by a callback only if the tick is over a stretch late or the
    /// machine's clock was set.
    turning: Mutex<()>,
}

impl Ring {
    /// Takes a set unless its bucket has a later one. `holds` is the set's stretch plus one.
    fn take(&self, holds: u64, set: &[AtomicU64]) {
        let Some(stretch) = holds.checked_sub(1) else { return };
        let bucket = bucket(stretch, self.stretches.len());
        if let Some(mine) = self.stretches.get(bucket)
            && mine.load(Ordering::Relaxed) < holds
        {
            copy_words(set, self.set(bucket));
            mine.store(holds, Ordering::Relaxed);
        }
    }

    #[inline]
    fn current(&self, At { stretch, bucket }: At) -> &[AtomicU64] {
        let holds = self.stretches.get(bucket).map(|holds| holds.load(Ordering::Acquire));
        if holds != Some(stretch + 1) {
            self.turn_to(stretch);
        }
        self.set(bucket)
    }

    /// Empties the stretch's bucket if it holds another stretch.
    #[cold]
    fn turn_to(&self, stretch: u64) {
        let bucket = bucket(stretch, self.stretches.len());
        let Some(holds) = self.stretches.get(bucket) else {
            return;
        };
        if holds.load(Ordering::Acquire) == stretch + 1 {
            return;
        }
        let _turning = self.turning.lock();
        if holds.load(Ordering::Acquire) != stretch + 1 {
            self.set(bucket).iter().for_each(|word| word.store(0, Ordering::Relaxed));
            // Published after it is empty: who sees the new stretch adds to an empty set.
            holds.store(stretch + 1, Ordering::Release);
        }
    }

    /// The sets of the current stretch and of the `back` ones before it.
    fn sets_since(&self, current: u64, back: u64) -> impl Iterator<Item = &[AtomicU64]> {
        let wanted = current.saturating_sub(back) + 1..=current + 1;
        let held = self.stretches.iter().map(|holds| holds.load(Ordering::Acquire)).enumerate();
        held.filter(move |(_, stretch)| wanted.contains(stretch)).map(|(bucket, _)| self.set(bucket))
    }

    fn set(&self, bucket: usize) -> &[AtomicU64] {
        self.registers.get(bucket * WORDS..(bucket + 1) * WORDS).unwrap_or_default()
    }
}
