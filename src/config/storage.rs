//! Where the state is kept.

use std::ffi::OsString;
use std::path::{self, PathBuf};

use super::flag::Shown;

/// Where the state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory only.
    Memory,
    /// In this directory.
    Directory(PathBuf),
}

impl From<OsString> for Storage {
    fn from(path: OsString) -> Self {
        if path.is_empty() {
            return Self::Memory;
        }
        Self::Directory(path::absolute(&path).unwrap_or_else(|_| path.into()))
    }
}

impl Shown for Storage {
    fn show(&self, flag: &str, text: &mut String) {
        match self {
            Self::Memory => "(in memory)".to_owned().show(flag, text),
            Self::Directory(path) => path.show(flag, text),
        }
    }
}
