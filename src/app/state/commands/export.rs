//! `openim-exporter state export`.

use std::io::Write;
use std::path::Path;

use super::error::Error;
use crate::config::{ExportFormat, Output};

/// Writes the numbers of the state in this file.
pub(super) fn export(_state: &Path, _format: ExportFormat, _to: &Output, _output: &mut dyn Write) -> Result<(), Error> {
    Err(Error::NotImplemented("export"))
}
