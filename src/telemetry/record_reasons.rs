//! Why a callback was not recorded, and why a record file was removed.

use crate::named::named;

named! {
    /// What failed. With the first three, a callback was not recorded.
    pub enum RecordFailure {
        /// The disk is full, or a disk quota or the limit on the file size is reached.
        DiskFull = "disk_full",
        /// There is no file to write to, since its directory was lost or the disk was full.
        NoFile = "no_file",
        /// The file cannot be written for another reason.
        Write = "write",
        /// The file or its directory was removed or replaced, and a new file was started.
        Lost = "lost",
        /// A new file cannot be created.
        Begin = "begin",
        /// The file cannot be synced to disk.
        Sync = "sync",
        /// A file cannot be compressed.
        Compress = "compress",
        /// Files cannot be listed or removed.
        Remove = "remove",
    }
}

named! {
    /// Which limit a file was removed for.
    pub enum RecordRemoval {
        /// It was too old.
        Age = "age",
        /// The files had too many bytes.
        Bytes = "bytes",
    }
}
