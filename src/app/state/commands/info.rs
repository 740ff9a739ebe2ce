//! `openim-exporter state info`.

use std::io::Write;
use std::path::Path;

use super::error::Error;

/// Prints what the state in this file contains.
pub(super) fn print(_state: &Path, _output: &mut dyn Write) -> Result<(), Error> {
    Err(Error::NotImplemented("info"))
}
