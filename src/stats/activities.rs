//! Counts of what callbacks report other than messages.

use std::io;

use super::carry::{CarryOver, keys};
use super::counters::{CounterSet, Counters, MAX_COUNT};
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
}

impl Activities {
    pub(super) fn reserve(contents: &mut Contents) {
        CounterSet::<Activity>::reserve(contents, ACTIVITIES);
        Counters::reserve(contents, DISCONNECTS, vec![keys(platform_names())]);
    }

    pub(super) fn open(block: &Block) -> io::Result<Self> {
        Ok(Self { counts: CounterSet::open(block, ACTIVITIES)?, disconnects: Counters::open(block, DISCONNECTS)? })
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

    pub(super) fn count(&self, activity: Activity) -> u64 {
        self.counts.sum(activity)
    }

    pub(super) fn disconnects(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        platform_names().enumerate().map(|(platform, name)| (name, self.disconnects.sum(platform)))
    }
}
