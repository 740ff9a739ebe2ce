//! Why a command on a state failed.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::arena::{self, Damage, Doubt, ExamineError, RestoreError, advice_for_command};
use crate::stats::CopyError;

/// Why the command failed, and how to make it work.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum Error {
    #[error("{}", .0.for_command())]
    State(#[from] arena::Error),
    #[error("--storage.path is empty, so the state is in memory; set it to the directory of the exporter's state")]
    NoDirectory,
    #[error(
        "{path}: there is no state in this directory; set --storage.path to the directory of the exporter's state",
        path = .0.display()
    )]
    NoState(PathBuf),
    #[error("{path}: {1}; the next start of the exporter renames it", path = .0.display())]
    UnusableState(PathBuf, Damage),
    #[error("{path}: the state cannot be written: {1}; {advice}", path = .0.display(), advice = advice_for_command(.1))]
    Mark(PathBuf, io::Error),
    #[error("{0}")]
    Copy(#[from] CopyError),
    #[error(
        "{path}: its counters cannot be trusted, and a start resets them to 0: {1}; use a copy that was made by \
         `openim-exporter state backup`",
        path = .0.display()
    )]
    Untrusted(PathBuf, Doubt),
    #[error("--output {path}: it already exists; choose another name, or replace it with --force", path = .0.display())]
    OutputExists(PathBuf),
    #[error("--output {path}: this is not a file, or it is the state itself; choose another name", path = .0.display())]
    UnusableOutput(PathBuf),
    #[error(
        "--output {path}: the backup cannot be written: {1}; {advice}",
        path = .0.display(), advice = advice_for_output(.1, "choose another place, or free some space")
    )]
    OutputFailed(PathBuf, io::Error),
    #[error("--output -: standard output is a terminal; redirect it to a file or a program")]
    Terminal,
    #[error("{path}: the backup cannot be restored: {1}; the state is unchanged", path = .0.display())]
    Backup(PathBuf, RestoreError),
    #[error("--format csv writes one table: add --table; --format json writes everything: remove --table")]
    Table,
    #[error(
        "--output {path}: the export cannot be written: {1}; {advice}",
        path = .0.display(), advice = advice_for_output(.1, "choose a new file, or another directory")
    )]
    Export(PathBuf, io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

fn advice_for_output(error: &io::Error, usual: &'static str) -> &'static str {
    if error.kind() == ErrorKind::FileTooLarge { "raise the file size limit (ulimit -f)" } else { usual }
}

impl From<ExamineError> for Error {
    fn from(error: ExamineError) -> Self {
        match error {
            ExamineError::Directory(error) => Self::State(error),
            ExamineError::State(error) => Self::Copy(error.into()),
        }
    }
}
