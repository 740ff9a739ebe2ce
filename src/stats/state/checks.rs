//! Checks whether counting can have made the stored numbers, and completes what a killed process counted in part.

use super::Stats;
use crate::arena::Damage;
use crate::domain::codes::STATUSES;
use crate::stats::{MOST_UNDER_WAY, Tally};

/// More messages than are ever counted: at a million a second, 36,000 years of them.
const MOST_MESSAGES: u64 = 1 << 60;

/// The longest content in bytes: no larger body can be configured.
const LONGEST_CONTENT: u64 = 1 << 30;

impl Stats {
    /// Looks for numbers that counting so many messages cannot have made.
    fn check(&self, messages: u64) -> Result<(), Damage> {
        let most = messages.saturating_add(MOST_UNDER_WAY);
        let mentioned = self.mentioned_all() <= most
            && self.mentioned_users() <= most.saturating_mul(u64::from(u32::MAX))
            && self.began().0 >= 0;
        let checks = [
            (self.mix.is_plausible(), "content types that are not listed"),
            (self.content_bytes.is_plausible(most, LONGEST_CONTENT), "content bytes"),
            (self.delays.is_plausible(most), "delays"),
            (self.senders.are_plausible() && self.active_groups.are_plausible(), "active senders or groups"),
            (mentioned, "mentions, or the start of the counters"),
        ];
        checks.into_iter().try_for_each(|(is_right, what)| if is_right { Ok(()) } else { Err(Damage::Numbers(what)) })
    }

    fn by_group_and_folded(&self) -> u64 {
        let by_group: u64 = self.groups().fold(0, |sum: u64, group| sum.saturating_add(group.messages));
        by_group.saturating_add(self.folded_for_capacity()).saturating_add(self.folded_retired())
    }

    /// All messages, as the mix, the statuses and the contents count them.
    fn totals(&self) -> [u64; 3] {
        let statuses = self.by_status().iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let total = self.mix().fold(0, |sum: u64, cell| sum.saturating_add(cell.messages));
        [total, statuses, self.content_bytes().count]
    }

    /// Completes the counts of messages that were under way when the process ended. Each is counted by its group first, in the total then, and so on, and is answered only after that. So what is behind is raised,
    /// and no counter falls. An error if something is behind, or ahead, by more than can have been under way; but where
    /// a part of the numbers was left out, the others are raised by as much as they lack.
    pub(super) fn complete(&self, is_part: bool) -> Result<(), Damage> {
        let (mut messages, counted) = (self.by_group_and_folded(), self.totals());
        let most = counted.into_iter().fold(messages, u64::max);
        if most > MOST_MESSAGES {
            return Err(Damage::Numbers("totals of messages"));
        }
        if is_part {
            self.groups.fold_lost(most - messages);
            messages = most;
        }
        self.check(messages)?;
        let may_lack = if is_part { u64::MAX } else { MOST_UNDER_WAY };
        let lacks = |counted: u64| messages.checked_sub(counted).filter(|lacks| *lacks <= may_lack);
        let [Some(total), Some(status), Some(content)] = counted.map(lacks) else {
            return Err(Damage::Numbers("totals of messages"));
        };
        self.mix.add_unknown(total);
        self.tallies.add(Tally::Status as usize + STATUSES.len(), status);
        self.content_bytes.observe_zeros(content);
        Ok(())
    }
}
