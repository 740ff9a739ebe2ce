//! Checks that counting could have produced the stored numbers, and completes what a killed process counted only in
//! part.

use crate::arena::Damage;
use crate::domain::codes::STATUSES;
use crate::stats::counters::{MAX_COUNT, MAX_IN_PROGRESS};
use crate::stats::recording::{MessageCounter, Stats};

impl Stats {
    /// Checks that counting this many messages could have produced the numbers: in groups, and between two users.
    fn check(&self, in_groups: u64, single: u64) -> Result<(), Damage> {
        let limit = in_groups.saturating_add(MAX_IN_PROGRESS);
        let of_messages = self.group_messages.implausible(limit);
        let of_messages =
            of_messages.or_else(|| self.single_messages.implausible(single.saturating_add(MAX_IN_PROGRESS)));
        let mentions = self.mentioned_all() <= limit
            && self.mentioned_users() <= limit.saturating_mul(u64::from(u32::MAX))
            && self.started().0 >= 0;
        let checks = [
            (self.callbacks.is_plausible(), "callbacks"),
            (self.activities.is_plausible(), "activities"),
            (self.active_groups.is_plausible(), "active groups"),
            (self.users.is_plausible(), "active users"),
            (self.history.is_plausible(), "history"),
            (mentions, "mentions, or the start of the counters"),
        ];
        let implausible = checks.into_iter().find(|(is_plausible, _)| !is_plausible).map(|(_, what)| what);
        of_messages.or(implausible).map_or(Ok(()), |what| Err(Damage::Numbers(what)))
    }

    /// Messages as counted by group, including those not attributed to a tracked group.
    fn messages_by_group(&self) -> u64 {
        let tracked: u64 = self.groups().fold(0, |sum: u64, group| sum.saturating_add(group.messages));
        let folded = [self.folded_for_capacity(), self.folded_retired(), self.folded_dismissed()];
        folded.into_iter().chain([self.folded_erased()]).fold(tracked, u64::saturating_add)
    }

    /// Completes the counts of messages that were in progress when the process ended. Such a message is in one of the
    /// counts, but perhaps not yet in the others, which are raised here. It was never answered.
    ///
    /// With `is_partial`, some numbers were dropped, and the others are raised to the same total. Returns the number of
    /// messages that were completed: at least that many were in progress.
    ///
    /// # Errors
    /// When the counts differ by more messages than can have been in progress, or contradict each other otherwise.
    pub(super) fn complete_counts(&self, is_partial: bool) -> Result<u64, Damage> {
        let by_status = self.by_status().iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let [mix, content] = self.group_messages.totals();
        let (mut in_groups, totals) = (self.messages_by_group(), [mix, by_status, content]);
        let highest = totals.into_iter().fold(in_groups, u64::max);
        let singles = self.single_messages.totals();
        let single = singles.into_iter().fold(0, u64::max);
        if highest.max(single) > MAX_COUNT {
            return Err(Damage::Numbers("totals of messages"));
        }
        if is_partial {
            self.groups.fold_lost(highest - in_groups);
            in_groups = highest;
        }
        self.check(in_groups, single)?;
        let max_missing = if is_partial { u64::MAX } else { MAX_IN_PROGRESS };
        let missing = |all: u64, counted: u64| all.checked_sub(counted).filter(|missing| *missing <= max_missing);
        let [Some(mix), Some(status), Some(content)] = totals.map(|total| missing(in_groups, total)) else {
            return Err(Damage::Numbers("totals of messages"));
        };
        let [Some(single_mix), Some(single_content)] = singles.map(|total| missing(single, total)) else {
            return Err(Damage::Numbers("totals of single messages"));
        };
        if ![&self.group_messages, &self.single_messages].iter().all(|kind| kind.complete_histograms(max_missing)) {
            return Err(Damage::Numbers("native histograms"));
        }
        self.group_messages.add_unknown([mix, content]);
        self.single_messages.add_unknown([single_mix, single_content]);
        self.message_counters.add(MessageCounter::Status as usize + STATUSES.len(), status);
        Ok([mix, status, content, single_mix, single_content].into_iter().fold(0, u64::max))
    }
}
