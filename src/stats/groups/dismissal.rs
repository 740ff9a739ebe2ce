//! Dismissing groups: their series end at the next scrape.

use std::sync::atomic::Ordering;

use super::table::{GroupCounter, GroupTable};
use crate::domain::UnixMillis;
use crate::stats::group_name::with_name;

impl GroupTable {
    /// Stops tracking a dismissed group, and folds its messages, now or after a pause. Calls `if_new` unless the group was
    /// dismissed before.
    pub(in crate::stats) fn dismiss(&self, id: &str, now: UnixMillis, if_new: impl FnOnce()) {
        with_name(id, |name| {
            self.dismissed.insert(name, if_new);
            if !self.remove_dismissed(name, now) {
                self.has_waiting.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Returns false if the group is tracked and must stay so for the moment.
    fn remove_dismissed(&self, name: &str, now: UnixMillis) -> bool {
        if !self.by_name.contains_key(name) {
            return true;
        }
        let Some(_retiring) = self.pauses.retire(now) else { return false };
        let removed = self.by_name.remove_if(name, |_, number| {
            self.slot(*number)
                .inspect(|slot| self.move_to_folded(*number, *slot, GroupCounter::FoldedDismissed))
                .is_some()
        });
        if let Some((_, number)) = removed {
            self.tracked.fetch_sub(1, Ordering::Relaxed);
            self.vacated.lock().push(number);
        }
        true
    }

    /// Removes the dismissed groups that had to stay. Then passes the slots of all dismissed groups to `forget`, which
    /// removes everything that belongs to them, so that other groups can use them.
    pub(in crate::stats) fn finish_dismissals(&self, now: UnixMillis, forget: impl FnOnce(&[u32])) {
        if self.has_waiting.swap(false, Ordering::Relaxed) && !self.dismissed.is_empty() {
            let tracked = self.slots().filter_map(|(_, slot)| slot.read());
            let mut waiting = tracked.filter(|group| self.dismissed.contains(group.name.as_str()));
            if !waiting.all(|group| self.remove_dismissed(group.name.as_str(), now)) {
                self.has_waiting.store(true, Ordering::Relaxed);
            }
        }
        let vacated = std::mem::take(&mut *self.vacated.lock());
        if !vacated.is_empty() {
            forget(&vacated);
            vacated.into_iter().for_each(|number| self.idle.give_back(number));
        }
    }
}
