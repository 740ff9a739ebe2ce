//! `openim-exporter state backup`.

use std::io::Write;
use std::path::Path;

use super::error::Error;
use crate::config::Output;

/// Writes a copy of the state in this file.
pub(super) fn back_up(_state: &Path, _to: &Output, _force: bool, _output: &mut dyn Write) -> Result<(), Error> {
    Err(Error::NotImplemented("backup"))
}
