//! Removing groups that were dismissed or are to be erased: their series end at the next scrape.

use std::sync::atomic::Ordering;

use super::idle::Paused;
use super::slot::Group;
use super::table::{GroupCounter, GroupTable};
use crate::domain::UnixMillis;
use crate::stats::group_name::with_name;

impl GroupTable {
    /// Stops tracking a dismissed group, and folds its messages, now or after a pause. Calls `if_new` unless the group was
    /// dismissed before.
    pub(in crate::stats) fn dismiss(&self, id: &str, now: UnixMillis, if_new: impl FnOnce()) {
        with_name(id, |name| {
            self.dismissed.insert(name, if_new);
            if self.remove(name, now, GroupCounter::FoldedDismissed).is_err() {
                self.has_waiting.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Stops tracking a group and folds its messages, for a reason other than retirement. Returns its slot and the group
    /// as it was; `None` if it is not tracked.
    ///
    /// # Errors
    /// When it is tracked and must stay so for the moment.
    pub(in crate::stats) fn remove(
        &self,
        name: &str,
        now: UnixMillis,
        reason: GroupCounter,
    ) -> Result<Option<(u32, Group)>, Paused> {
        if !self.by_name.contains_key(name) {
            return Ok(None);
        }
        let _retiring = self.pauses.retire(now).ok_or(Paused)?;
        let mut group = None;
        let removed = self.by_name.remove_if(name, |_, number| {
            let slot = self.slot(*number).inspect(|slot| {
                group = slot.read();
                self.move_to_folded(*number, *slot, reason);
            });
            slot.is_some()
        });
        if let Some((_, number)) = &removed {
            self.tracked.fetch_sub(1, Ordering::Relaxed);
            self.vacated.lock().push(*number);
        }
        Ok(removed.and_then(|(_, number)| Some((number, group?))))
    }

    /// Removes the dismissed groups that had to stay. Then passes the slots of all removed groups to `forget`, which
    /// removes everything that belongs to them, so that other groups can use them.
    pub(in crate::stats) fn finish_removals(&self, now: UnixMillis, forget: impl FnOnce(&[u32])) {
        if self.has_waiting.swap(false, Ordering::Relaxed) && !self.dismissed.is_empty() {
            let tracked = self.slots().filter_map(|(_, slot)| slot.read());
            let mut waiting = tracked.filter(|group| self.dismissed.contains(group.name.as_str()));
            let remove = |group: Group| self.remove(&group.name, now, GroupCounter::FoldedDismissed);
            if !waiting.all(|group| remove(group).is_ok()) {
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
