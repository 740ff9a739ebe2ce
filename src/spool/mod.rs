//! The callbacks of one target that are answered but not delivered yet, on disk.
//!
//! A directory has segments: files to which records are only appended, each with one system call. A record that is
//! delivered is marked in place, with one byte. A segment is removed once every record in it is done. Records that the
//! target rejects are moved to the directory of the dead letters, which has the same format.
//!
//! Threads: serving threads append to the current segment, without a lock. One thread delivers with the `Reader`. One
//! thread calls [`Spool::maintain`] each second: only this one creates, drops and removes segments.
//!
//! The files are authoritative; the numbers in memory are only for the metrics. So a segment is removed only after every
//! record in it was found to be done in the file. Damage is counted once and skipped, and the damaged file is set aside.
//! No error stops the work: each step skips what cannot be used, or is retried a second later.
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
