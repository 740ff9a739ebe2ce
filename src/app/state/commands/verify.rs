//! `openim-exporter state verify`.

use std::io::Write;
use std::path::Path;

use super::error::Error;

/// Checks the state in this file.
pub(super) fn verify(_state: &Path, _output: &mut dyn Write) -> Result<(), Error> {
    Err(Error::NotImplemented("verify"))
}
