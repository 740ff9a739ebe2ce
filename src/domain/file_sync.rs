//! When a file that grows is synced to disk.

use crate::named::named;

named! {
    /// When appended data is synced to disk (`fsync`), so that it survives a power failure. It survives the end of the
    /// process in any case.
    pub enum FileSync {
        /// Each second.
        Second = "second",
        /// With each append, which waits for the disk.
        Append = "append",
    }
}
