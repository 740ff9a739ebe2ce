//! Why a command on a state failed.

use std::io;
use std::path::PathBuf;

use crate::arena::{self, Damage};

/// Why the command failed, and how to make it work.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum Error {
    #[error("{0}")]
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
    #[error("{path}: the state cannot be written: {1}; run this as the exporter's user or as root", path = .0.display())]
    Mark(PathBuf, io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error("state {0}: this is not implemented")]
    NotImplemented(&'static str),
}
