//! Groups that were dismissed: their series end at the next scrape.

use std::sync::atomic::Ordering;

use compact_str::CompactString;

use super::table::{GroupCounter, GroupTable};
use crate::domain::UnixMillis;
use crate::stats::group_name::with_name;

/// How many dismissed groups wait for the end of a pause, at most. Further ones stay until they are idle.
const MAX_WAITING: usize = 4096;

impl GroupTable {
    /// Stops tracking a dismissed group, and folds its messages.
    pub(in crate::stats) fn dismiss(&self, id: &str, now: UnixMillis) {
        with_name(id, |name| {
            if !self.remove_dismissed(name, now) {
                let mut dismissals = self.dismissals.lock();
                if dismissals.waiting.len() < MAX_WAITING {
                    dismissals.waiting.push(CompactString::from(name));
                }
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
            self.dismissals.lock().vacated.push(number);
        }
        true
    }

    /// Removes the dismissed groups that had to stay. Then passes the slots of all dismissed groups to `forget`, which
    /// removes everything that belongs to them, so that other groups can use them.
    pub(in crate::stats) fn finish_dismissals(&self, now: UnixMillis, forget: impl FnOnce(&[u32])) {
        let waiting = std::mem::take(&mut self.dismissals.lock().waiting);
        for name in waiting {
            if !self.remove_dismissed(&name, now) {
                self.dismissals.lock().waiting.push(name);
            }
        }
        let vacated = std::mem::take(&mut self.dismissals.lock().vacated);
        if !vacated.is_empty() {
            forget(&vacated);
            vacated.into_iter().for_each(|number| self.idle.give_back(number));
        }
    }
}
