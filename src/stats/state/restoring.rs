//! Making the numbers of a stored block usable: a block of a different layout is converted first.

use crate::arena::{Block, Contents, Damage, Trust};
use crate::domain::UnixMillis;
use crate::stats::carry::CarryOver;
use crate::stats::recording::{
    ACTIVE_GROUPS, ID, ID_LAYOUT, MESSAGE_COUNTERS, STARTED, STARTED_LAYOUT, Stats, USERS, message_counter_keys,
};

impl Stats {
    /// Copies what this program knows from a block of a different layout, and returns what it does not know.
    ///
    /// # Errors
    /// When the block's numbers contradict each other.
    pub(super) fn carry_from(&self, old: &Block, wanted: &Contents, now: UnixMillis) -> Result<Vec<String>, Damage> {
        let old = CarryOver::new(old);
        old.copy(ID, ID_LAYOUT, &self.id);
        old.copy(STARTED, STARTED_LAYOUT, &self.started);
        if self.started().0 == 0 {
            self.set_started(now);
        }
        self.callbacks.carry_from(&old);
        self.activities.carry_from(&old);
        self.group_messages.carry_from(&old)?;
        self.single_messages.carry_from(&old)?;
        let keys = message_counter_keys();
        let find = |key: &str| keys.iter().position(|known| known == key);
        let other_status = find("status other");
        self.message_counters.carry_from(&old, MESSAGE_COUNTERS, |key| {
            find(key).or(other_status.filter(|_| key.starts_with("status ")))
        });
        self.active_groups.carry_from(&old, ACTIVE_GROUPS);
        self.users.carry_from(&old, USERS);
        self.online.carry_from(&old);
        let slots = self.groups.carry_from(&old);
        self.pairs.carry_from(&old, &slots);
        self.dedup.carry_from(&old);
        self.weeks.carry_from(&old);
        // Last: a counter that the old history does not have continues from its current value.
        self.carry_history(&old);
        Ok(old.dropped(wanted))
    }

    /// Makes the numbers of a file usable. `is_partial`: some of them were dropped. Returns the number of messages whose
    /// counts had to be completed, because they were in progress when the process was killed.
    ///
    /// # Errors
    /// When the numbers contradict each other.
    pub(super) fn restore(&self, trust: Trust, is_partial: bool, now: UnixMillis) -> Result<u64, Damage> {
        let is_torn = matches!(trust, Trust::Torn(_));
        if is_torn {
            self.reset_counters(now);
        }
        self.choose_id();
        self.groups.restore(is_torn).map_err(|_| Damage::Numbers("groups"))?;
        self.pairs.restore(|slot| self.groups.is_used(slot));
        self.group_messages.restore();
        self.single_messages.restore();
        self.online.restore();
        self.dedup.restore();
        let completed = self.complete_counts(is_partial)?;
        self.history.restore(&self.sample(), is_torn);
        Ok(completed)
    }

    fn carry_history(&self, old: &CarryOver<'_>) {
        let [group, single] = [&self.group_messages, &self.single_messages].map(|messages| messages.mix.type_rows(old));
        if let (Some(group), Some(single)) = (group, single) {
            self.history.carry_from(old, &self.sample(), [&group, &single]);
        }
    }

    /// Resets the counters to 0. Windows, groups and pairs stay, because they hold recent activity.
    fn reset_counters(&self, now: UnixMillis) {
        self.set_started(now);
        self.callbacks.reset();
        self.activities.reset();
        self.group_messages.reset_counts();
        self.single_messages.reset_counts();
        self.message_counters.reset();
        self.online.reset_counts();
        self.dedup.reset_counts();
        self.groups.reset_counts(now);
        self.pairs.reset_counts();
    }
}
