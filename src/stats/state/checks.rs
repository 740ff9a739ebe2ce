//! Checks that counting could have produced the stored numbers, and completes what a killed process counted only in
//! part.

use crate::arena::Damage;
use crate::domain::codes::STATUSES;
use crate::stats::counters::{MAX_COUNT, MAX_IN_PROGRESS};
use crate::stats::recording::{MessageCounter, Stats};

/// The longest content in bytes: the highest limit on a body's size that can be configured.
const MAX_CONTENT_BYTES: u64 = 1 << 30;

impl Stats {
    /// Checks that counting this many messages could have produced the numbers.
    fn check(&self, messages: u64) -> Result<(), Damage> {
        let limit = messages.saturating_add(MAX_IN_PROGRESS);
        let mentions = self.mentioned_all() <= limit
            && self.mentioned_users() <= limit.saturating_mul(u64::from(u32::MAX))
            && self.started().0 >= 0;
        let checks = [
            (self.callbacks.is_plausible(), "callbacks"),
            (self.activities.is_plausible(), "activities"),
            (self.mix.is_plausible(), "unlisted content types"),
            (self.content_bytes.is_plausible(limit, MAX_CONTENT_BYTES), "content bytes"),
            (self.delays.is_plausible(limit), "delays"),
            (self.senders.is_plausible() && self.active_groups.is_plausible(), "active senders or groups"),
            (mentions, "mentions, or the start of the counters"),
        ];
        match checks.into_iter().find(|(is_plausible, _)| !is_plausible) {
            Some((_, what)) => Err(Damage::Numbers(what)),
            None => Ok(()),
        }
    }

    /// Messages as counted by group, including those not attributed to a tracked group.
    fn messages_by_group(&self) -> u64 {
        let tracked: u64 = self.groups().fold(0, |sum: u64, group| sum.saturating_add(group.messages));
        tracked.saturating_add(self.folded_for_capacity()).saturating_add(self.folded_retired())
    }

    /// Messages as counted by the mix, by status, and by the length of the content.
    fn message_totals(&self) -> [u64; 3] {
        let by_status = self.by_status().iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let mix = self.mix().fold(0, |sum: u64, cell| sum.saturating_add(cell.messages));
        [mix, by_status, self.content_bytes().count]
    }

    /// Completes the counts of messages that were in progress when the process ended. Such a message is in the counts
    /// by group, but perhaps not yet in the mix, the statuses or the contents, which are raised here. It was never
    /// answered.
    ///
    /// With `is_partial`, some numbers were dropped, and the others are raised to the same total.
    ///
    /// # Errors
    /// When the counts differ by more messages than can have been in progress, or contradict each other otherwise.
    pub(super) fn complete_counts(&self, is_partial: bool) -> Result<(), Damage> {
        let (mut messages, totals) = (self.messages_by_group(), self.message_totals());
        let highest = totals.into_iter().fold(messages, u64::max);
        if highest > MAX_COUNT {
            return Err(Damage::Numbers("totals of messages"));
        }
        if is_partial {
            self.groups.fold_lost(highest - messages);
            messages = highest;
        }
        self.check(messages)?;
        let max_missing = if is_partial { u64::MAX } else { MAX_IN_PROGRESS };
        let missing = |total: u64| messages.checked_sub(total).filter(|missing| *missing <= max_missing);
        let [Some(mix), Some(status), Some(content)] = totals.map(missing) else {
            return Err(Damage::Numbers("totals of messages"));
        };
        self.mix.add_unknown(mix);
        self.message_counters.add(MessageCounter::Status as usize + STATUSES.len(), status);
        self.content_bytes.observe_zeros(content);
        Ok(())
    }
}
