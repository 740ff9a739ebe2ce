//! What exporters tell each other about their groups, and the export of those on which they agreed.

use std::cmp::Reverse;
use std::time::Instant;

use super::table::GroupTable;
use crate::domain::UnixMillis;
use crate::stats::top::Top;

/// A group that an exporter would export.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The group's name, as in the label `group_id`.
    pub name: String,
    /// Messages per second, weighted as for the ranking.
    pub rate: f64,
    /// Since when the exporter has exported it.
    pub exported_since: Option<UnixMillis>,
}

impl GroupTable {
    /// The exported groups and then the most active others, at most `limit`.
    pub(in crate::stats) fn candidates(&self, limit: usize) -> Vec<Candidate> {
        self.exported.forget_added();
        let mut best = Top::new(limit.min(self.slots_used()));
        for (number, slot) in self.slots().filter(|(_, slot)| !slot.is_free()) {
            let is_exported = slot.exported_since().is_some();
            best.add(Reverse((is_exported, slot.rate().to_bits(), slot.last_seen(), number)));
        }
        let chosen = best.into_sorted_vec().into_iter().filter_map(|Reverse((.., number))| self.slot(number));
        let candidates = chosen.filter_map(|slot| {
            let (group, exported_since) = (slot.read()?, slot.exported_since());
            Some(Candidate { name: group.name.as_str().to_owned(), rate: group.rate, exported_since })
        });
        candidates.collect()
    }

    pub(in crate::stats) fn is_agreed(&self, name: &str, now: Instant) -> bool {
        self.exported.is_agreed(name, now)
    }

    /// Exports the agreed groups, as far as they are tracked, instead of those of its own ranking: for a minute, or
    /// until the next call.
    pub(in crate::stats) fn export_agreed(&self, groups: &[(String, UnixMillis)], now: Instant) {
        let tracked = groups.iter().filter_map(|(name, _)| self.by_name.get(name.as_str()).map(|number| *number));
        let tracked: Vec<_> = tracked.collect();
        self.exported.export_agreed(groups, &tracked, |number| self.slot(number), now);
    }
}
