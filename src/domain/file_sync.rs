//! When a file that grows is written to the disk.

use crate::named::named;

named! {
    /// When appended data is written through to the disk (`fsync`), so that it survives a loss of power. It survives the end
    /// of the process in any case.
    pub enum FileSync {
        /// Each second.
        Second = "second",
        /// With each append, which waits for the disk.
        Append = "append",
    }
}
