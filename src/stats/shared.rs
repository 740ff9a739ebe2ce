//! What several exporters tell each other: their sketches, the rates of their groups, and who went offline. And what
//! they agree on: the united numbers, and the exported groups.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::disconnects::Disconnect;
use super::distinct::{Distinct, Stretch};
use super::groups::Candidate;
use super::hyperloglog::{self, Union};
use super::recording::Stats;
use super::united::UnitedCounts;
use super::windows::Windows;
use crate::domain::UnixMillis;

impl Stats {
    /// The ID of this state, which stays the same until the state is lost: 16 hexadecimal digits. A copy has the same
    /// ID.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:016x}", self.id.get())
    }

    /// Chooses the ID of a new state, or of one from before there were IDs.
    pub(super) fn choose_id(&self) {
        if self.id.get() == 0 {
            // The standard library's random keys make the hash of nothing a random number.
            self.id.set(RandomState::new().hash_one(()).max(1));
        }
    }

    /// Calls `visit` with each stretch that has elements, and its sketch. The number of a stretch is that of the minute,
    /// hour, day or calendar day since 1970-01-01.
    pub fn visit_sketches(&self, of: Distinct, stretch: Stretch, mut visit: impl FnMut(u64, &[AtomicU64])) {
        let visit = |(number, sketch): (u64, &[AtomicU64])| {
            if !hyperloglog::is_empty(sketch) {
                visit(number, sketch);
            }
        };
        let [minutes, hours, days] = self.windows_of(of).rings();
        match stretch {
            Stretch::Minute => minutes.sketches().for_each(visit),
            Stretch::Hour => hours.sketches().for_each(visit),
            Stretch::Day => days.sketches().for_each(visit),
            Stretch::Date => self.history.sketches_of_days(of).for_each(visit),
        }
    }

    const fn windows_of(&self, of: Distinct) -> &Windows {
        match of {
            Distinct::Senders => &self.group_messages.senders,
            Distinct::SingleSenders => &self.single_messages.senders,
            Distinct::Users => &self.users,
            Distinct::Groups => &self.active_groups,
        }
    }

    /// The exported groups and the most active others, at most `limit`. A group that is exported after this call is new
    /// to the others: [`Stats::export_agreed`] keeps it if there is room.
    #[must_use]
    pub fn group_candidates(&self, limit: usize) -> Vec<Candidate> {
        self.groups.candidates(limit)
    }

    /// Whether this is one of the groups that were last agreed, at most a minute ago.
    #[must_use]
    pub fn is_agreed(&self, group: &str) -> bool {
        self.groups.is_agreed(group, Instant::now())
    }

    /// Exports these groups, as far as they are tracked, instead of those of its own ranking: for a minute, or until the
    /// next call.
    pub fn export_agreed(&self, groups: &[(String, UnixMillis)]) {
        self.groups.export_agreed(groups, Instant::now());
    }

    /// From now on, keeps who goes offline for [`Stats::take_disconnects`].
    pub fn keep_disconnects(&self) {
        self.disconnects.keep();
    }

    /// Who went offline since the last call, the earliest first, and how many more were dropped because there was no
    /// room.
    pub fn take_disconnects(&self) -> (Vec<Disconnect>, u64) {
        self.disconnects.take()
    }

    /// Removes those who went offline at another exporter, unless they were seen online here later.
    pub fn apply_disconnects(&self, disconnects: &[Disconnect]) {
        disconnects.iter().for_each(|disconnect| self.online.remove_elsewhere(*disconnect));
    }

    /// The users online on each of [`PLATFORMS`](crate::domain::codes::PLATFORMS), and then on other platforms, as
    /// sketches.
    #[must_use]
    pub fn online_sketches(&self) -> Vec<Union> {
        self.online.sketches()
    }

    /// Publishes the numbers of all exporters together. They are valid until a minute after this time.
    pub fn set_united(&self, counts: UnitedCounts, at: Instant) {
        self.united.set(counts, at);
    }

    /// The numbers of all exporters together; `None` without other exporters, or if they are older than a minute.
    #[must_use]
    pub fn united(&self) -> Option<Arc<UnitedCounts>> {
        self.united.read(Instant::now())
    }
}

#[cfg(test)]
mod tests;
