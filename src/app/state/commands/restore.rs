//! `openim-exporter state restore`.

use std::io::Write;
use std::path::Path;

use super::error::Error;
use crate::config::RestoredCounters;

/// Puts a backup in the place of the state in a directory.
pub(super) fn restore(
    _backup: &Path,
    _storage: &Path,
    _counters: RestoredCounters,
    _output: &mut dyn Write,
) -> Result<(), Error> {
    Err(Error::NotImplemented("restore"))
}
