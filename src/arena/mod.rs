//! One block of memory that holds every number of the statistics, as 64-bit atomics.
//!
//! The block is anonymous memory or a mapped file: a header, then the sections, then a table of contents that says
//! where each section is and what its elements mean. Nothing in it is a pointer.
//!
//! This is the only room with `unsafe`: in `Arena::words` and in [`prefetch`].

mod block;
mod blocks_on_disk;
mod contents;
mod directory;
mod header;
mod identity;
mod names;
mod plan;
mod prefetch;
mod private;
mod step;
#[cfg(test)]
mod tests;
mod trust;

pub use block::{Arena, Section, Stored, StoredSection};
pub use contents::{Contents, Entry, Layout};
pub use directory::{Directory, Found, Kept};
pub use header::{CAPACITIES, MAGIC, Sections, VERSION};
pub use identity::Origin;
pub use plan::{Place, Plan};
pub use prefetch::prefetch;
pub use step::{Error, Step, Steps};
pub use trust::{Boot, Damage, Doubt, Trust};
