//! The callbacks of one target that are answered but not delivered yet, on disk.
//!
//! A directory has segments: files to which records are only appended, each with one system call. A record that is
//! delivered is marked in place, with one byte. A segment of which every record is done is removed. Records that the
//! target refuses are moved to the directory of the dead letters, which has the same format.
//!
//! Threads: serving threads append to the current segment, without a lock. One thread delivers with the `Reader`. One
//! thread calls [`Spool::maintain`] each second: only this one begins, drops and removes segments.
//!
//! What the files say is what counts; the numbers in memory are for the metrics. So a segment is removed only after every
//! record in it was seen to be done. Damage is counted once and passed over, and its file is kept under another name.
//! No error ends the work: each step passes over what cannot be used, or is tried again in the next second.
//!
//! Operators mark records in the same way, in the files of a running or a stopped exporter.

mod current;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod limits;
mod log;
mod manifest;
mod operator;
mod reader;
mod record;
mod requests;
mod segment;
mod store;
mod upkeep;
mod window;

pub use limits::{AppendError, Dropped, Figures, Limits};
pub use operator::{Listing, Part, Request, list, request, visit};
pub use reader::Reader;
pub use record::{Entry, Record};
pub use segment::Position;
pub use store::Spool;
