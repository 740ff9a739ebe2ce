//! Messages by group, up to a capacity.

mod agreed;
mod candidates;
mod copied;
mod dismissal;
mod dismissed;
mod exported;
mod idle;
mod slot;
mod slot_set;
mod stored;
mod table;
#[cfg(test)]
mod tests;
mod weeks;

pub use candidates::Candidate;
pub use idle::{Paused, RetirementPause};
pub use slot::{Group, GroupName};
pub use slot_set::SlotSet;
pub(super) use stored::SlotMapping;
pub use table::Recorded;
pub(super) use table::{COUNTERS as FOLDED, GroupCounter, GroupTable, JOURNAL, SLOTS};
pub use weeks::Week;
pub(super) use weeks::Weeks;
