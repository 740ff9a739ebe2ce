//! One block of memory that holds every number of the statistics, as 64-bit atomics.
//!
//! The block is anonymous memory or a mapped file: a header, then the sections, then a table of contents that says
//! where each section is and what its elements mean. It contains no pointers.
//!
//! This is the only module with `unsafe`: in `Arena::words` and in `prefetch`.

mod block;
mod blocks_on_disk;
mod contents;
mod directory;
mod examined;
mod header;
mod identity;
mod layout;
mod names;
mod prefetch;
mod private;
mod reading;
mod step;
#[cfg(test)]
mod tests;
mod trust;

pub use block::{Arena, Block, KeyedSection};
pub(crate) use block::{Section, SingleWord};
pub use contents::{Contents, SectionEntry};
pub(crate) use directory::OldState;
pub(crate) use directory::restoring::{Received, RestoreError, owner_of};
pub use directory::{Directory, Found};
pub(crate) use examined::{ExamineError, Examined, examine};
pub use header::{CAPACITIES, MAGIC, Sections, VERSION};
pub use layout::Layout;
pub(crate) use names::{describe, has_state, state_path};
pub(crate) use prefetch::prefetch;
pub(crate) use private::remove_created;
pub use reading::ReadError;
pub(crate) use reading::StateFile;
pub(crate) use step::advice_for_command;
pub use step::{Error, Step, Steps};
pub use trust::{Boot, Damage, Doubt, Trust};
