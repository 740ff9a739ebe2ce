//! What several exporters tell each other: their sketches, the rates of their groups, and who went offline. And what they
//! agree on: the united numbers, and the exported groups.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::hyperloglog::Union;
use super::recording::Stats;
use super::windows::WINDOWS;
use crate::domain::codes::PLATFORMS;
use crate::domain::{Day, UnixMillis};
use crate::named::named;

named! {
    /// What distinct elements are counted of.
    pub enum Distinct {
        /// Senders of group messages.
        Senders = "senders",
        /// Senders of messages between two users.
        SingleSenders = "single_senders",
        /// Users that came online or read messages.
        Users = "users",
        /// Groups with messages.
        Groups = "groups",
    }
}

named! {
    /// The length of a stretch of time that has a sketch.
    pub enum Stretch {
        /// A minute.
        Minute = "minute",
        /// An hour.
        Hour = "hour",
        /// A day of UTC.
        Day = "day",
        /// A calendar day, in the time zone of the settings.
        Date = "date",
    }
}

/// The numbers of all exporters together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitedCounts {
    /// For each of [`Distinct`], in each of [`WINDOWS`]. Active users include the senders.
    pub windows: [[u64; WINDOWS.len()]; Distinct::ALL.len()],
    /// Users online on each of [`PLATFORMS`], and then on other platforms.
    pub online: [u64; PLATFORMS.len() + 1],
    /// The calendar days that are known, the earliest first.
    pub days: Vec<(Day, UnitedDay)>,
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

/// A group that an exporter would export.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The group's name, as in the label `group_id`.
    pub name: String,
    /// Messages per second, weighted as for the ranking.
    pub rate: f64,
    /// Since when the exporter exports it.
    pub exported_since: Option<UnixMillis>,
}

/// A user that went offline on a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The key of the user and the platform in the table of users online.
    pub key: u64,
    /// When.
    pub at: UnixMillis,
}

impl Stats {
    /// An ID of this state, which it keeps until it is lost: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        String::new()
    }

    /// Calls `visit` with each stretch that has elements, and its sketch. The number of a stretch is that of the minute,
    /// hour, day or calendar day since 1970-01-01.
    pub fn visit_sketches(&self, of: Distinct, stretch: Stretch, mut visit: impl FnMut(u64, &[AtomicU64])) {
        let _ = (of, stretch, &mut visit);
    }

    /// The most active groups and those that are exported, at most `limit`.
    #[must_use]
    pub fn group_candidates(&self, limit: usize) -> Vec<Candidate> {
        let _ = limit;
        Vec::new()
    }

    /// Exports these groups, as far as they are tracked, instead of those of its own ranking: for a minute, or until the
    /// next call.
    pub fn export_agreed(&self, groups: &[(String, UnixMillis)]) {
        let _ = groups;
    }

    /// From now on, keeps who goes offline for [`Stats::take_disconnects`].
    pub fn keep_disconnects(&self) {}

    /// Who went offline since the last call, the earliest first, and how many more there were for which there was no
    /// room.
    pub fn take_disconnects(&self) -> (Vec<Disconnect>, u64) {
        (Vec::new(), 0)
    }

    /// Removes those who went offline at another exporter, unless they were seen online here later.
    pub fn apply_disconnects(&self, disconnects: &[Disconnect]) {
        let _ = disconnects;
    }

    /// The users online on each of [`PLATFORMS`], and then on other platforms, as sketches.
    #[must_use]
    pub fn online_sketches(&self) -> Vec<Union> {
        Vec::new()
    }

    /// Publishes the numbers of all exporters together. They are valid for a minute.
    pub fn set_united(&self, counts: UnitedCounts) {
        let _ = counts;
    }

    /// The numbers of all exporters together; `None` without other exporters, or if they are older than a minute.
    #[must_use]
    pub fn united(&self) -> Option<Arc<UnitedCounts>> {
        None
    }
}
