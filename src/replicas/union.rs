//! The registers of all exporters together, and the numbers that follow from them.

use std::collections::BTreeMap;

use super::place::{Current, Place};
use crate::domain::Day;
use crate::stats::hyperloglog::Union;
use crate::stats::{Distinct, Stretch, UnitedCounts, UnitedDay, WINDOWS};

/// The united registers. There are at most 157 places in the windows for each of the four things that are counted, with
/// 16 KiB each: 10 MiB, however many exporters there are.
#[derive(Default)]
pub(super) struct United(BTreeMap<Place, Union>);

impl United {
    /// Raises the registers of a place to these.
    pub(super) fn merge(&mut self, place: Place, registers: &Union) {
        self.0.entry(place).or_default().merge_union(registers);
    }

    pub(super) fn get(&self, place: Place) -> Option<&Union> {
        self.0.get(&place)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.0.keys().copied()
    }

    /// Removes what is no longer in any window.
    pub(super) fn prune(&mut self, current: &Current) {
        self.0.retain(|place, _| current.includes(*place));
    }

    /// Removes what is for a time that has not come yet.
    pub(super) fn forget_future(&mut self, current: &Current) {
        self.0.retain(|place, _| !current.is_future(*place));
    }

    /// The numbers, without those of users online.
    pub(super) fn counts(&self, current: &Current) -> UnitedCounts {
        let windows = Distinct::ALL.map(|of| self.windows(sources(of), current));
        let senders = self.windows(SENDERS, current);
        UnitedCounts { windows, senders, days: self.days(current), ..UnitedCounts::default() }
    }

    /// As in the statistics, each window includes the shorter ones.
    fn windows(&self, sources: &[Distinct], current: &Current) -> [u64; WINDOWS.len()] {
        let mut union = Union::default();
        WINDOWS.map(|window| {
            let (stretch, complete) = window.stretches();
            let (first, last) = current.window(stretch, complete).into_inner();
            for of in sources {
                let place = |number| Place { of: *of, stretch, number };
                self.0.range(place(first)..=place(last)).for_each(|(_, registers)| union.merge_union(registers));
            }
            union.estimate()
        })
    }

    /// The calendar days that have registers, up to today.
    fn days(&self, current: &Current) -> Vec<(Day, UnitedDay)> {
        let days = ..=current.number(Stretch::Date);
        let is_date = |place: &&Place| place.stretch == Stretch::Date && days.contains(&place.number);
        let mut numbers: Vec<_> = self.0.keys().filter(is_date).map(|place| place.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().map(|number| (Day(number), self.day(number))).collect()
    }

    fn day(&self, number: u64) -> UnitedDay {
        let count = |of: &[Distinct]| {
            let mut union = Union::default();
            let places = of.iter().map(|of| Place { of: *of, stretch: Stretch::Date, number });
            places.filter_map(|place| self.get(place)).for_each(|registers| union.merge_union(registers));
            union.estimate()
        };
        UnitedDay {
            group_senders: count(&[Distinct::Senders]),
            single_senders: count(&[Distinct::SingleSenders]),
            senders: count(SENDERS),
            active_users: count(sources(Distinct::Users)),
            active_groups: count(&[Distinct::Groups]),
        }
    }
}

/// Senders of messages of either kind.
const SENDERS: &[Distinct] = &[Distinct::Senders, Distinct::SingleSenders];

/// Active users include the senders.
const fn sources(of: Distinct) -> &'static [Distinct] {
    match of {
        Distinct::Senders => &[Distinct::Senders],
        Distinct::SingleSenders => &[Distinct::SingleSenders],
        Distinct::Users => &[Distinct::Users, Distinct::Senders, Distinct::SingleSenders],
        Distinct::Groups => &[Distinct::Groups],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Calendar, UnixMillis};
    use crate::stats::hyperloglog::REGISTERS;

    /// Registers with one element.
    fn element(at: usize) -> Union {
        let mut registers = vec![0; REGISTERS];
        registers[at] = 1;
        Union::from_registers(&registers).unwrap()
    }

    fn at(minute: i64) -> Current {
        Current::at(UnixMillis(1_795_928_400_000 + minute * 60_000), &Calendar::default())
    }

    #[test]
    fn a_window_has_its_complete_stretches_the_current_one_and_what_shorter_windows_have() {
        let mut united = United::default();
        let place = |of, stretch, back| Place { of, stretch, number: at(0).number(stretch) - back };
        for (number, back) in [(0, 0), (1, 5), (2, 6), (3, 60), (4, 61)] {
            united.merge(place(Distinct::Senders, Stretch::Minute, back), &element(number));
        }
        united.merge(place(Distinct::Senders, Stretch::Hour, 24), &element(10));
        united.merge(place(Distinct::SingleSenders, Stretch::Day, 30), &element(11));
        united.merge(place(Distinct::Users, Stretch::Day, 7), &element(12));
        let [senders, single, users, groups] = united.counts(&at(0)).windows;
        assert_eq!(united.counts(&at(0)).senders, [2, 4, 5, 5, 6]);
        assert_eq!(senders, [2, 4, 5, 5, 5]);
        assert_eq!(single, [0, 0, 0, 0, 1]);
        assert_eq!(users, [2, 4, 5, 6, 7]);
        assert_eq!(groups, [0; 5]);
    }

    #[test]
    fn a_minute_that_an_exporter_with_a_fast_clock_has_begun_counts() {
        let mut united = United::default();
        let next = at(1).number(Stretch::Minute);
        united.merge(Place { of: Distinct::Groups, stretch: Stretch::Minute, number: next }, &element(1));
        assert_eq!(united.counts(&at(0)).windows[3], [1; 5]);
        assert_eq!(united.counts(&at(-1)).windows[3], [0; 5]);
    }

    #[test]
    fn days_end_with_today() {
        let mut united = United::default();
        let today = at(0).number(Stretch::Date);
        for (number, of) in [(today - 2, Distinct::Groups), (today, Distinct::Users), (today + 1, Distinct::Users)] {
            united.merge(Place { of, stretch: Stretch::Date, number }, &element(1));
        }
        united.merge(Place { of: Distinct::Senders, stretch: Stretch::Date, number: today }, &element(2));
        let day = UnitedDay::default();
        assert_eq!(
            united.counts(&at(0)).days,
            [
                (Day(today - 2), UnitedDay { active_groups: 1, ..day }),
                (Day(today), UnitedDay { group_senders: 1, senders: 1, active_users: 2, ..day }),
            ]
        );
    }

    #[test]
    fn what_is_in_no_window_is_forgotten() {
        let mut united = United::default();
        for number in 0..200 {
            let number = at(0).number(Stretch::Minute) - number;
            united.merge(Place { of: Distinct::Groups, stretch: Stretch::Minute, number }, &element(1));
        }
        united.prune(&at(0));
        assert_eq!(united.places().count(), 61);
    }
}
