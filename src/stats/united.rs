//! The numbers of all exporters together, which are computed elsewhere and read here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::distinct::Distinct;
use super::windows::WINDOWS;
use crate::domain::Day;
use crate::domain::codes::{PLATFORMS, platform_names};

/// How long the numbers are valid.
const VALID: Duration = Duration::from_mins(1);

/// The numbers of all exporters together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitedCounts {
    /// For each of [`Distinct`], in each of [`WINDOWS`]. Active users include the senders.
    pub windows: [[u64; WINDOWS.len()]; Distinct::ALL.len()],
    /// Senders of messages of either kind, in each of [`WINDOWS`].
    pub senders: [u64; WINDOWS.len()],
    /// Users online on each of [`PLATFORMS`], and then on other platforms.
    pub online: [u64; PLATFORMS.len() + 1],
    /// The calendar days that are known, the earliest first.
    pub days: Vec<(Day, UnitedDay)>,
}

impl UnitedCounts {
    /// The distinct numbers in each of [`WINDOWS`].
    #[must_use]
    pub const fn of(&self, what: Distinct) -> [u64; WINDOWS.len()] {
        let [senders, single_senders, users, groups] = self.windows;
        match what {
            Distinct::Senders => senders,
            Distinct::SingleSenders => single_senders,
            Distinct::Users => users,
            Distinct::Groups => groups,
        }
    }

    /// The numbers of a calendar day, if they are known.
    #[must_use]
    pub fn day(&self, day: Day) -> Option<UnitedDay> {
        self.days.iter().find(|(known, _)| *known == day).map(|(_, counts)| *counts)
    }

    /// Users online by platform.
    pub fn users_online(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        platform_names().zip(self.online)
    }
}

/// The distinct numbers of a calendar day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitedDay {
    /// Senders of group messages.
    pub group_senders: u64,
    /// Senders of messages between two users.
    pub single_senders: u64,
    /// Senders of either.
    pub senders: u64,
    /// Senders, and users that came online or read messages.
    pub active_users: u64,
    /// Groups with messages.
    pub active_groups: u64,
}

/// The numbers that were published last, and when. Neither readers nor the writer wait.
#[derive(Debug, Default)]
pub(super) struct United(ArcSwapOption<(Instant, Arc<UnitedCounts>)>);

impl United {
    pub(super) fn set(&self, counts: UnitedCounts, now: Instant) {
        self.0.store(Some(Arc::new((now, Arc::new(counts)))));
    }

    /// `None` if they are too old.
    pub(super) fn read(&self, now: Instant) -> Option<Arc<UnitedCounts>> {
        let published = self.0.load();
        let (at, counts) = &**published.as_ref()?;
        (now.saturating_duration_since(*at) < VALID).then(|| Arc::clone(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_numbers_are_valid_for_a_minute() {
        let (united, start) = (United::default(), Instant::now());
        let counts = |users| UnitedCounts { online: [users; PLATFORMS.len() + 1], ..UnitedCounts::default() };
        let online = |seconds| united.read(start + Duration::from_secs(seconds)).map(|read| read.online[0]);
        assert_eq!(online(0), None);
        united.set(counts(1), start);
        assert_eq!([0, 59, 60].map(online), [Some(1), Some(1), None]);
        united.set(counts(2), start + Duration::from_secs(50));
        assert_eq!([50, 109, 110].map(online), [Some(2), Some(2), None]);
    }
}
