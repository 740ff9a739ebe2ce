//! The limits of a spool, and the figures that say what it holds and what it lost.

use std::time::Duration;

use crate::domain::FileSync;
use crate::named::named;

/// The limits of a target's spool. They apply separately to its dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum total size of the files on disk, in bytes.
    pub max_bytes: u64,
    /// Callbacks that were received longer ago are dropped.
    pub max_age: Duration,
    /// When appended callbacks are synced to disk.
    pub sync: FileSync,
}

named! {
    /// Why callbacks were dropped.
    pub enum Dropped {
        /// They were received too long ago.
        Age = "age",
        /// The spool had too many bytes.
        Bytes = "bytes",
        /// A part of a file is damaged, or a file is missing. At least one for each damaged part.
        Damaged = "damaged",
        /// They could not be written, for example because the disk was full.
        Disk = "disk",
        /// An operator dropped them.
        Operator = "operator",
    }
}

/// What a spool holds, and what it dropped since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Callbacks that are not delivered yet. After a start, they are complete when `is_counted` is true.
    pub pending: u64,
    /// Their bytes on disk.
    pub pending_bytes: u64,
    /// When the oldest of them was received, in milliseconds since the Unix epoch.
    pub oldest_pending_ms: Option<i64>,
    /// False after a start, until the callbacks of the process before are counted.
    pub is_counted: bool,
    /// Dropped callbacks, in the order of [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
    /// Dead letters on disk.
    pub dead_letters: u64,
    /// Their bytes on disk.
    pub dead_letter_bytes: u64,
    /// Dead letters that were removed because of the limits, or are damaged.
    pub dead_letters_dropped: u64,
    /// Files set aside because they are damaged.
    pub damaged_files: u64,
}

impl Figures {
    /// Number of callbacks that were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or_default()
    }
}

/// Why a callback was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The file cannot be written.
    #[error("the spool cannot be written: {0}")]
    Disk(#[from] std::io::Error),
    /// There is no file to write to, because none could be created. Retried each second.
    #[error("the spool has no file to write to")]
    NoFile,
    /// The file is as large as the whole spool may be, because the thread that creates a new one does not keep up.
    #[error("the spool is full")]
    Full,
    /// A field is longer than 64 KiB, or the body than 4 GiB.
    #[error("a field is too long for the spool")]
    TooLong,
}
