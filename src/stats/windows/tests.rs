use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::stats::hyperloglog::WORDS;
use crate::stats::timeline::Timeline;

fn windows() -> Windows {
    let mut contents = Contents::default();
    Windows::reserve(&mut contents, "people");
    Windows::open(&Block::in_memory(contents).unwrap(), "people").unwrap()
}

const START: UnixMillis = UnixMillis(1_732_345_678_901);

/// A tick at this time, with a clock that was not set.
fn at(now: UnixMillis) -> Tick {
    Tick { expected: now, now, continued: now }
}

fn later(ms: u64) -> UnixMillis {
    UnixMillis(START.0 + i64::try_from(ms).unwrap())
}

#[test]
fn an_element_is_counted_until_its_window_ends() {
    let windows = windows();
    windows.add(Element::new(b"someone"), &CurrentPeriods::at(START));
    assert_eq!(windows.counts(START), [1; 5]);
    assert_eq!(windows.counts(later(5 * MINUTE_MS)), [1; 5]);
    assert_eq!(windows.counts(later(6 * MINUTE_MS)), [0, 1, 1, 1, 1]);
    assert_eq!(windows.counts(later(HOUR_MS + MINUTE_MS)), [0, 0, 1, 1, 1]);
    assert_eq!(windows.counts(later(DAY_MS + HOUR_MS)), [0, 0, 0, 1, 1]);
    assert_eq!(windows.counts(later(8 * DAY_MS)), [0, 0, 0, 0, 1]);
    assert_eq!(windows.counts(later(31 * DAY_MS)), [0; 5]);
}

#[test]
fn a_month_of_traffic_is_counted_in_each_window() {
    let windows = windows();
    for hour in 0..40 * 24_u64 {
        let now = later(hour * HOUR_MS);
        windows.prepare(at(now));
        windows.add(Element::new(&hour.to_le_bytes()), &CurrentPeriods::at(now));
        let counts = windows.counts(now);
        let expected = [1, 2, 25, 7 * 24, 30 * 24].map(|most: u64| most.min(hour + 1));
        // The day windows include the hours of the current day, and an estimate may be off by a few percent.
        for (count, expected) in counts.into_iter().zip(expected) {
            let slack = 2 + expected / 50;
            assert!(count + slack >= expected && count <= expected + 25 + slack, "hour {hour}: {counts:?}");
        }
    }
}

/// The sketch for a time.
fn sketch_at(ring: &SketchRing, period_ms: u64, now: UnixMillis) -> &[AtomicU64] {
    ring.sketch(position(now.period(period_ms), ring.periods.len()))
}

fn words(sketch: &[AtomicU64]) -> Vec<u64> {
    sketch.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

#[test]
fn each_ring_has_what_all_threads_added_although_elements_of_the_minute_are_skipped() {
    let windows = windows();
    let alone = || (0..WORDS).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let day = UnixMillis(START.0 - START.0.rem_euclid(DAY_MS.cast_signed()));
    let (in_the_day, mut in_the_hour) = (alone(), alone());
    for minute in 0..90 {
        let now = UnixMillis(day.0 + minute * MINUTE_MS.cast_signed());
        if minute == 60 {
            in_the_hour = alone();
        }
        // Some people are new in each minute, and the threads add the same ones at the same time.
        let people: Vec<_> =
            (0..2000).map(|person: i64| Element::new(&(minute * 300 + person).to_le_bytes())).collect();
        windows.prepare(at(now));
        std::thread::scope(|scope| {
            for first in [0, 500, 1000] {
                let (windows, people) = (&windows, &people);
                let mine = people.iter().cycle().skip(first).take(2000);
                scope.spawn(move || mine.for_each(|person| windows.add(*person, &CurrentPeriods::at(now))));
            }
        });
        let in_the_minute = alone();
        for set in [&in_the_minute, &in_the_hour, &in_the_day] {
            people.iter().for_each(|person| person.add_to(set));
        }
        for ((ring, (period_ms, _)), set) in
            windows.rings.iter().zip(RINGS).zip([&in_the_minute, &in_the_hour, &in_the_day])
        {
            let there = words(sketch_at(ring, period_ms, now));
            assert!(there == words(set), "minute {minute}, period of {period_ms} ms");
        }
    }
}

#[test]
fn an_element_of_the_minute_is_always_in_the_hour_and_the_day() {
    let windows = windows();
    let (is_over, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let rank = |ring: &SketchRing, period_ms, register: usize| {
        sketch_at(ring, period_ms, START)[register / 8].load(Ordering::Acquire).to_le_bytes()[register % 8]
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let [minutes, hours, days] = &windows.rings;
            for register in (0..WORDS * 8).cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                // The minute is read first: elements that are added meanwhile are in the others before.
                let in_the_minute = rank(minutes, MINUTE_MS, register);
                assert!(in_the_minute <= rank(hours, HOUR_MS, register));
                assert!(in_the_minute <= rank(days, DAY_MS, register));
                looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        let adders = [0, 1].map(|first: u64| {
            let windows = &windows;
            let people = (first..400_000).step_by(2).map(|person| Element::new(&person.to_le_bytes()));
            scope.spawn(move || people.for_each(|person| windows.add(person, &CurrentPeriods::at(START))))
        });
        let ended = adders.map(|adder| adder.join().is_ok());
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(ended, [true; 2]);
    });
    assert!(looks.into_inner() > 0);
}

#[test]
fn an_hour_without_the_elements_of_its_minute_is_refilled() {
    let windows = windows();
    windows.prepare(at(START));
    windows.add(Element::new(b"someone"), &CurrentPeriods::at(START));
    // As after a power loss, before which only the minute's page was written.
    sketch_at(&windows.rings[1], HOUR_MS, START).iter().for_each(|word| word.store(0, Ordering::Relaxed));
    let in_two_hours = later(2 * HOUR_MS);
    assert_eq!(windows.counts(in_two_hours), [0, 0, 0, 1, 1]);
    windows.prepare(at(START));
    assert_eq!(windows.counts(in_two_hours), [0, 0, 1, 1, 1]);
}

#[test]
fn preparing_the_next_period_removes_nothing() {
    let windows = windows();
    let last_moment = UnixMillis(START.0 - START.0.rem_euclid(MINUTE_MS.cast_signed()) + 59_999);
    windows.add(Element::new(b"someone"), &CurrentPeriods::at(last_moment));
    windows.prepare(at(last_moment));
    assert_eq!(windows.counts(last_moment), [1; 5]);
    windows.add(Element::new(b"another"), &CurrentPeriods::at(UnixMillis(last_moment.0 + 1)));
    assert_eq!(windows.counts(UnixMillis(last_moment.0 + 1)), [2; 5]);
}

#[test]
fn counting_continues_when_the_clock_is_set_back_and_forth() {
    let windows = windows();
    windows.add(Element::new(b"a"), &CurrentPeriods::at(later(90 * DAY_MS)));
    windows.add(Element::new(b"b"), &CurrentPeriods::at(START));
    assert_eq!(windows.counts(START), [1; 5]);
    windows.add(Element::new(b"c"), &CurrentPeriods::at(UnixMillis(i64::MIN)));
    windows.add(Element::new(b"d"), &CurrentPeriods::at(UnixMillis(i64::MAX)));
    assert_eq!(windows.counts(START), [1; 5]);
}

/// Elements of different registers, of which few are counted exactly.
fn elements() -> impl Iterator<Item = Element> {
    let mut registers = std::collections::BTreeSet::new();
    (0..u64::MAX)
        .map(|number| Element::new(&number.to_le_bytes()))
        .filter(move |element| registers.insert(element.register()))
}

/// Steps of the clock: to the right time, by hours and days, to 1970, and to the far future.
fn step(random: &mut Pcg64Mcg, right: i64) -> i64 {
    let ms = |unit: u64| unit.cast_signed();
    let steps = [
        right,
        right + 40 * ms(DAY_MS),
        right - 40 * ms(DAY_MS),
        right + random.random_range(1..100) * ms(HOUR_MS),
        right - random.random_range(1..100) * ms(MINUTE_MS),
        random.random_range(0..ms(DAY_MS)),
        right + 4000 * ms(DAY_MS),
    ];
    steps[random.random_range(0..steps.len())]
}

/// An element of the test below.
struct Added {
    /// When it was really added.
    at: i64,
    /// How far the clock was ahead then; 0 if it has been right since.
    error: i64,
    may_be_lost: bool,
}

/// Counts with a clock that is set at random, compared with the times at which the elements really were added.
#[test]
fn counts_are_right_whenever_the_clock_is_right() {
    for seed in 0..12 {
        let (windows, timeline) = (windows(), Timeline::default());
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let (mut right, mut error, mut wrong_since) = (START.0, 0, START.0);
        let mut added: Vec<Added> = Vec::new();
        let mut elements = elements();
        let mut steps = 0;
        for tick in 0..3000 {
            right += random.random_range(900..5000);
            // Set back to the right time within half an hour.
            let is_over = error != 0 && right - wrong_since > 1_800_000;
            if is_over || random.random_range(0..150) == 0 {
                wrong_since = if error == 0 { right } else { wrong_since };
                let before = std::mem::replace(&mut error, if is_over { 0 } else { step(&mut random, right) - right });
                steps += 1;
                if before > 0 && error > before {
                    // The clock was set forward twice: the age of what was added in between is not known any more.
                    added.iter_mut().filter(|added| added.error > 0).for_each(|added| added.may_be_lost = true);
                }
                if error <= 0 {
                    added.iter_mut().for_each(|added| added.error = 0);
                }
            }
            let clock = UnixMillis(right + error);
            let add = |added: &mut Vec<Added>, element| {
                windows.add(element, &CurrentPeriods::at(timeline.at(clock)));
                added.push(Added { at: right, error, may_be_lost: false });
            };
            // Some come between a step of the clock and the tick.
            let new = random.random_range(0..12);
            if new == 0 {
                add(&mut added, elements.next().unwrap())
            }
            windows.prepare(timeline.tick(clock, || UnixMillis(0)));
            if new == 1 {
                add(&mut added, elements.next().unwrap())
            }

            // Not each time, because it takes long.
            if tick % 16 != 0 {
                continue;
            }
            let counts = windows.counts(timeline.at(clock));
            assert!(counts.is_sorted(), "{counts:?}");
            if error != 0 || timeline.at(clock) != clock {
                continue;
            }
            for (window, count) in WINDOWS.iter().zip(counts) {
                let since = |periods: u64| {
                    let ms = (periods * RINGS[window.ring].0).cast_signed();
                    added.iter().filter(move |added| added.at > right - ms)
                };
                // An element may be in a neighbouring period, and each step may cost the oldest period. The
                // estimate allows for elements with the same register, of which there are none.
                let kept = since(window.periods.saturating_sub(1 + steps));
                let least = kept.filter(|added| !added.may_be_lost).count() as u64;
                let most = since(window.periods + 3).count() as u64;
                assert!(
                    (least..=most + 1 + most * most / 32_768).contains(&count),
                    "seed {seed}: {count} {least} {most} {}",
                    window.name
                );
            }
        }
    }
}

#[test]
fn both_windows_fit_into_four_mebibytes() {
    let mut contents = Contents::default();
    let before = contents.words();
    Windows::reserve(&mut contents, "senders");
    Windows::reserve(&mut contents, "groups");
    assert!((contents.words() - before) * size_of::<AtomicU64>() <= 4 << 20);
}
