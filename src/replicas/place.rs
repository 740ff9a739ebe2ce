//! What a sketch counts, and in which stretch of time.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use crate::domain::{Calendar, UnixMillis};
use crate::stats::{Distinct, Stretch};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What a sketch counts, the length of its stretch, and the stretch's number since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) of: Distinct,
    pub(super) stretch: Stretch,
    pub(super) number: u64,
}

impl Place {
    /// The same in a longer stretch that contains this minute.
    pub(super) fn in_longer(self, stretch: Stretch, calendar: &Calendar) -> Self {
        let begin_ms = self.number.saturating_mul(MINUTE_MS);
        let begin = UnixMillis(begin_ms.try_into().unwrap_or(i64::MAX));
        Self { stretch, number: number_at(stretch, begin, calendar), ..self }
    }
}

/// By what is counted, then by the stretch, then by time.
impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |place: &Self| (place.of as usize, place.stretch as usize, place.number);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The length of a stretch in milliseconds.
pub(super) const fn length_ms(stretch: Stretch) -> u64 {
    match stretch {
        Stretch::Minute => MINUTE_MS,
        Stretch::Hour => HOUR_MS,
        Stretch::Day | Stretch::Date => DAY_MS,
    }
}

/// How long Redis keeps a key, in milliseconds: the longest window of its stretch, plus a margin.
pub(super) const fn expiry_ms(stretch: Stretch) -> u64 {
    match stretch {
        Stretch::Minute => 70 * MINUTE_MS,
        Stretch::Hour => 26 * HOUR_MS,
        Stretch::Day => 32 * DAY_MS,
        Stretch::Date => 37 * DAY_MS,
    }
}

/// How many complete stretches the longest window has, as in the rings of the statistics.
const fn complete(stretch: Stretch) -> u64 {
    match stretch {
        Stretch::Minute => 60,
        Stretch::Hour => 24,
        Stretch::Day => 30,
        Stretch::Date => 35,
    }
}

fn number_at(stretch: Stretch, time: UnixMillis, calendar: &Calendar) -> u64 {
    match stretch {
        Stretch::Date => calendar.day_of(time).0,
        _ => time.period(length_ms(stretch)),
    }
}

/// The stretches that are current at a time by Redis' clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current([u64; Stretch::ALL.len()]);

impl Current {
    pub(super) fn at(time: UnixMillis, calendar: &Calendar) -> Self {
        Self(Stretch::ALL.map(|stretch| number_at(stretch, time, calendar)))
    }

    /// The number of the current stretch.
    pub(super) fn number(&self, stretch: Stretch) -> u64 {
        self.0.get(stretch as usize).copied().unwrap_or_default()
    }

    /// The current stretch, the `complete` ones before it, and the next one: an exporter whose clock is ahead by less
    /// than half a stretch counts in that one already.
    pub(super) fn window(&self, stretch: Stretch, complete: u64) -> RangeInclusive<u64> {
        let current = self.number(stretch);
        current.saturating_sub(complete)..=current + 1
    }

    /// Whether a place is in the longest window of its stretch.
    pub(super) fn includes(&self, Place { stretch, number, .. }: Place) -> bool {
        self.window(stretch, complete(stretch)).contains(&number)
    }

    /// Whether a place is for a time that has not come yet.
    pub(super) fn is_future(&self, Place { stretch, number, .. }: Place) -> bool {
        number > self.number(stretch)
    }

    /// Whether a place is too far in the future to be explained by clocks that differ by less than half a stretch.
    pub(super) fn is_before(&self, Place { stretch, number, .. }: Place) -> bool {
        number > self.number(stretch) + 1
    }
}

/// How many stretches the time of the statistics is behind Redis' time. A difference of about half a stretch would
/// round up or down with the time that Redis takes to answer, and each time all sketches would get other numbers. So a
/// value stays until it is clearly wrong.
#[derive(Debug, Default)]
pub(super) struct Shifts([i64; Stretch::ALL.len()]);

impl Shifts {
    /// Follows the difference between Redis' time and that of the statistics.
    pub(super) fn follow(&mut self, offset_ms: i64) {
        for (shift, stretch) in self.0.iter_mut().zip(Stretch::ALL) {
            let length = length_ms(stretch).cast_signed();
            let rest = offset_ms.saturating_sub(shift.saturating_mul(length));
            if rest.saturating_abs() > length / 3 * 2 {
                *shift = offset_ms.saturating_add(length / 2).div_euclid(length);
            }
        }
    }

    /// Redis' number of a stretch that has this number in the statistics. `None` before 1970.
    pub(super) fn apply(&self, stretch: Stretch, number: u64) -> Option<u64> {
        number.checked_add_signed(self.0.get(stretch as usize).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_928_400_000);

    #[test]
    fn a_minute_is_in_its_hour_its_day_and_its_date() {
        let shanghai = Calendar::of_zone("Asia/Shanghai").unwrap();
        let minute = Place { of: Distinct::Users, stretch: Stretch::Minute, number: NOW.period(MINUTE_MS) + 16 * 60 };
        let longer = |stretch| minute.in_longer(stretch, &shanghai).number;
        let (hour, day) = (NOW.period(HOUR_MS) + 16, NOW.period(DAY_MS));
        // 21:00 in UTC is 05:00 on the next day in Shanghai.
        assert_eq!([Stretch::Hour, Stretch::Day, Stretch::Date].map(longer), [hour, day, day + 1]);
    }

    #[test]
    fn a_window_has_as_many_stretches_as_the_rings_of_the_statistics() {
        let current = Current::at(NOW, &Calendar::default());
        let included = |stretch| {
            let from = current.number(stretch) - 100;
            let place = |number| Place { of: Distinct::Groups, stretch, number };
            (from..from + 200).filter(|number| current.includes(place(*number))).count()
        };
        assert_eq!(Stretch::ALL.map(included), [62, 26, 32, 37]);
        let next = |stretch| Place { of: Distinct::Groups, stretch, number: current.number(stretch) + 1 };
        assert!(Stretch::ALL.map(next).iter().all(|place| !current.is_before(*place)));
        assert!(current.is_before(Place { number: u64::MAX, ..next(Stretch::Day) }));
    }

    #[test]
    fn a_key_lasts_longer_than_it_is_in_a_window() {
        for stretch in Stretch::ALL {
            assert!(expiry_ms(stretch) > (complete(stretch) + 1) * length_ms(stretch), "{stretch:?}");
        }
    }

    #[test]
    fn a_stretch_has_the_number_that_is_nearest_by_redis_clock() {
        let shifted = |offset_ms| {
            let mut shifts = Shifts::default();
            shifts.follow(offset_ms);
            Stretch::ALL.map(|stretch| shifts.apply(stretch, 1000).unwrap())
        };
        assert_eq!(shifted(0), [1000; 4]);
        assert_eq!(shifted(-1), [1000; 4]);
        assert_eq!(shifted(59_000), [1001, 1000, 1000, 1000]);
        assert_eq!(shifted(-90 * 60_000), [910, 999, 1000, 1000]);
        assert_eq!(shifted(23 * 3_600_000), [1000 + 23 * 60, 1023, 1001, 1001]);
    }

    #[test]
    fn a_difference_of_half_a_minute_does_not_change_the_numbers_back_and_forth() {
        let mut shifts = Shifts::default();
        let minutes = [29_000, 31_000, 29_900, 41_000, 30_500, 29_000, 21_000, 19_000].map(|offset_ms| {
            shifts.follow(offset_ms);
            shifts.apply(Stretch::Minute, 10).unwrap()
        });
        assert_eq!(minutes, [10, 10, 10, 11, 11, 11, 11, 10]);
        shifts.follow(i64::MIN);
        assert_eq!(shifts.apply(Stretch::Minute, 10), None);
        shifts.follow(i64::MAX);
        assert!(shifts.apply(Stretch::Minute, u64::MAX).is_none());
    }
}
