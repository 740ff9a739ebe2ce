//! How many distinct senders and groups there were lately.
//!
//! Three rings of HyperLogLog sets: by the minute, the hour and the day. A window is the union of as many whole
//! stretches as it is long, and of the current one; so it covers its length, and up to one stretch more.

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
    /// Takes a set for a stretch, plus one, unless its bucket has a later one.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::arena::Arena;

    fn windows() -> Windows {
        let mut plan = Plan::new();
        let places = Windows::reserve(&mut plan, "people");
        let arena = Arena::anonymous(&plan).unwrap();
        Windows::over(places, |place| arena.section(place)).unwrap()
    }

    const START: UnixMillis = UnixMillis(1_732_345_678_901);

    fn later(ms: u64) -> UnixMillis {
        UnixMillis(START.0 + i64::try_from(ms).unwrap())
    }

    #[test]
    fn an_element_is_counted_for_the_window_and_then_no_more() {
        let windows = windows();
        windows.add(Element::of(b"someone"), &Current::at(START));
        assert_eq!(windows.counts(START), [1; 5]);
        assert_eq!(windows.counts(later(5 * MINUTE_MS)), [1; 5]);
        assert_eq!(windows.counts(later(6 * MINUTE_MS)), [0, 1, 1, 1, 1]);
        assert_eq!(windows.counts(later(HOUR_MS + MINUTE_MS)), [0, 0, 1, 1, 1]);
        assert_eq!(windows.counts(later(DAY_MS + HOUR_MS)), [0, 0, 0, 1, 1]);
        assert_eq!(windows.counts(later(8 * DAY_MS)), [0, 0, 0, 0, 1]);
        assert_eq!(windows.counts(later(31 * DAY_MS)), [0; 5]);
    }

    #[test]
    fn a_month_of_traffic_forgets_what_is_older_and_nothing_else() {
        let windows = windows();
        for hour in 0..40 * 24_u64 {
            let now = later(hour * HOUR_MS);
            windows.prepare(now);
            windows.add(Element::of(&hour.to_le_bytes()), &Current::at(now));
            let counts = windows.counts(now);
            let expected = [1, 2, 25, 7 * 24, 30 * 24].map(|most: u64| most.min(hour + 1));
            // The day windows hold the hours of the current day too, and an estimate may be off by some hundredths.
            for (count, expected) in counts.into_iter().zip(expected) {
                let slack = 2 + expected / 50;
                assert!(count + slack >= expected && count <= expected + 25 + slack, "hour {hour}: {counts:?}");
            }
        }
    }

    /// The set that a ring has for a time.
    fn set_at(ring: &Ring, stretch_ms: u64, now: UnixMillis) -> &[AtomicU64] {
        ring.set(bucket(now.stretch(stretch_ms), ring.stretches.len()))
    }

    fn words(set: &[AtomicU64]) -> Vec<u64> {
        set.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn each_ring_has_what_all_threads_added_though_most_of_it_is_left_out_once_the_minute_has_it() {
        let windows = windows();
        let alone = || (0..WORDS).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let day = UnixMillis(START.0 - START.0.rem_euclid(DAY_MS.cast_signed()));
        let (in_the_day, mut in_the_hour) = (alone(), alone());
        for minute in 0..90 {
            let now = UnixMillis(day.0 + minute * MINUTE_MS.cast_signed());
            if minute == 60 {
                in_the_hour = alone();
            }
            // Some of the people are new in each minute, and threads add the same ones at the same time.
            let people: Vec<_> =
                (0..2000).map(|person: i64| Element::of(&(minute * 300 + person).to_le_bytes())).collect();
            windows.prepare(now);
            std::thread::scope(|scope| {
                for first in [0, 500, 1000] {
                    let (windows, people) = (&windows, &people);
                    let mine = people.iter().cycle().skip(first).take(2000);
                    scope.spawn(move || mine.for_each(|person| windows.add(*person, &Current::at(now))));
                }
            });
            let in_the_minute = alone();
            for set in [&in_the_minute, &in_the_hour, &in_the_day] {
                people.iter().for_each(|person| person.add_to(set));
            }
            for ((ring, (stretch_ms, _)), set) in
                windows.rings.iter().zip(RINGS).zip([&in_the_minute, &in_the_hour, &in_the_day])
            {
                let there = words(set_at(ring, stretch_ms, now));
                assert!(there == words(set), "minute {minute}, stretch of {stretch_ms} ms");
            }
        }
    }

    #[test]
    fn no_minute_ever_has_what_its_hour_and_its_day_have_not() {
        let windows = windows();
        let (is_over, looks) = (AtomicBool::new(false), AtomicU64::new(0));
        let rank = |ring: &Ring, stretch_ms, register: usize| {
            set_at(ring, stretch_ms, START)[register / 8].load(Ordering::Acquire).to_le_bytes()[register % 8]
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let [minutes, hours, days] = &windows.rings;
                for register in (0..WORDS * 8).cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    // The minute's first: what is added meanwhile is in the others before.
                    let in_the_minute = rank(minutes, MINUTE_MS, register);
                    assert!(in_the_minute <= rank(hours, HOUR_MS, register));
                    assert!(in_the_minute <= rank(days, DAY_MS, register));
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
            let adders = [0, 1].map(|first: u64| {
                let windows = &windows;
                let people = (first..400_000).step_by(2).map(|person| Element::of(&person.to_le_bytes()));
                scope.spawn(move || people.for_each(|person| windows.add(person, &Current::at(START))))
            });
            let ended = adders.map(|adder| adder.join().is_ok());
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(ended, [true; 2]);
        });
        assert!(looks.into_inner() > 0);
    }

    #[test]
    fn an_hour_that_a_wrong_clock_has_emptied_gets_back_what_the_minute_has() {
        let windows = windows();
        windows.prepare(START);
        windows.add(Element::of(b"someone"), &Current::at(START));
        // The place of the hour goes to another one, those of the minute and the day do not.
        windows.prepare(later(26 * HOUR_MS));
        windows.add(Element::of(b"someone"), &Current::at(START));
        assert_eq!(windows.counts(START), [1, 1, 0, 1, 1]);
        windows.prepare(START);
        assert_eq!(windows.counts(START), [1; 5]);
    }

    #[test]
    fn preparing_the_next_stretch_takes_nothing_away() {
        let windows = windows();
        let last_moment = UnixMillis(START.0 - START.0.rem_euclid(MINUTE_MS.cast_signed()) + 59_999);
        windows.add(Element::of(b"someone"), &Current::at(last_moment));
        windows.prepare(last_moment);
        assert_eq!(windows.counts(last_moment), [1; 5]);
        windows.add(Element::of(b"another"), &Current::at(UnixMillis(last_moment.0 + 1)));
        assert_eq!(windows.counts(UnixMillis(last_moment.0 + 1)), [2; 5]);
    }

    #[test]
    fn a_clock_that_is_set_back_and_forth_counts_on() {
        let windows = windows();
        windows.add(Element::of(b"a"), &Current::at(later(90 * DAY_MS)));
        windows.add(Element::of(b"b"), &Current::at(START));
        assert_eq!(windows.counts(START), [1; 5]);
        windows.add(Element::of(b"c"), &Current::at(UnixMillis(i64::MIN)));
        windows.add(Element::of(b"d"), &Current::at(UnixMillis(i64::MAX)));
        assert_eq!(windows.counts(START), [1; 5]);
    }

    #[test]
    fn both_windows_fit_into_four_mebibytes() {
        let mut plan = Plan::new();
        let before = plan.words();
        Windows::reserve(&mut plan, "senders");
        Windows::reserve(&mut plan, "groups");
        assert!((plan.words() - before) * size_of::<AtomicU64>() <= 4 << 20);
    }
}
