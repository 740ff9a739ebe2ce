//! Counts of what callbacks report other than messages.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::carry::{CarryOver, keys};
use super::counters::{CounterSet, Counters, MAX_COUNT};
use super::hyperloglog::hash;
use crate::arena::{Block, Contents};
use crate::domain::Activity;
use crate::domain::codes::{platform_names, platform_row, platform_row_of};

/// Names of sections in a state.
const ACTIVITIES: &str = "activities";
const DISCONNECTS: &str = "disconnects";

#[derive(Debug)]
pub(super) struct Activities {
    counts: CounterSet<Activity>,
    /// By platform.
    disconnects: Counters,
    /// Hashes of the IDs of groups that were dismissed lately, each at a place that follows from it.
    dismissed: [AtomicU64; DISMISSALS],
}

/// How many dismissals are remembered. The second report comes at once, so few others are in between.
const DISMISSALS: usize = 256;

impl Activities {
    pub(super) fn reserve(contents: &mut Contents) {
        CounterSet::<Activity>::reserve(contents, ACTIVITIES);
        Counters::reserve(contents, DISCONNECTS, vec![keys(platform_names())]);
    }

    pub(super) fn open(block: &Block) -> io::Result<Self> {
        Ok(Self {
            counts: CounterSet::open(block, ACTIVITIES)?,
            disconnects: Counters::open(block, DISCONNECTS)?,
            dismissed: [const { AtomicU64::new(0) }; DISMISSALS],
        })
    }

    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        self.counts.carry_from(old);
        self.disconnects.carry_from(old, DISCONNECTS, |key| Some(platform_row_of(key)));
    }

    /// Whether counting can have produced the numbers.
    pub(super) fn is_plausible(&self) -> bool {
        let counts = Activity::ALL.map(|activity| self.count(activity)).into_iter();
        counts.chain(self.disconnects().map(|(_, count)| count)).all(|count| count <= MAX_COUNT)
    }

    /// Resets the counters.
    pub(super) fn reset(&self) {
        self.counts.reset();
        self.disconnects.reset();
    }

    pub(super) fn add(&self, activity: Activity, count: u64) {
        self.counts.add(activity, count);
    }

    /// Counts the end of a connection.
    pub(super) fn disconnect(&self, platform_id: i32) {
        self.disconnects.add(platform_row(platform_id), 1);
    }

    /// Counts a dismissal, unless this group's was counted recently: OpenIM may report it twice.
    pub(super) fn dismiss(&self, group_id: &str) {
        let group = hash(group_id.as_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "a remainder")]
        let place = self.dismissed.get((group % DISMISSALS as u64) as usize);
        let is_repeated = place.is_some_and(|place| place.swap(group, Ordering::Relaxed) == group);
        if group_id.is_empty() || !is_repeated {
            self.counts.add(Activity::GroupsDismissed, 1);
        }
    }

    pub(super) fn count(&self, activity: Activity) -> u64 {
        self.counts.sum(activity)
    }

    pub(super) fn disconnects(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        platform_names().enumerate().map(|(platform, name)| (name, self.disconnects.sum(platform)))
    }
}
