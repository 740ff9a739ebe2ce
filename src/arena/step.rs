//! What happens to a state's files on the way: each step is reported before the next one can fail.

use std::io;
use std::path::{Path, PathBuf};

use super::identity::Origin;
use super::trust::Doubt;

/// A step on the way to an open state, or to a closed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Others could read or write this file or directory, and cannot any more.
    ModeNarrowed(PathBuf),
    /// Others can read or write this file or directory, for this reason.
    ModeStays(PathBuf, String),
    /// The file system writes changed blocks elsewhere, so that a full disk can still end the process.
    CopyOnWrite(PathBuf),
    /// The state has another layout than this program wants, in these points. It is carried over into a new file.
    OtherLayout {
        /// The state's file.
        state: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
    /// Something of the old state has no place in the new one.
    LeftOut(String),
    /// Every block of a new file is reserved.
    Reserved {
        /// The new file.
        file: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The old state keeps its contents under this name until the next orderly shutdown.
    PreviousKept(PathBuf),
    /// The old state cannot be kept under another name, for this reason.
    PreviousNotKept(PathBuf, String),
    /// What was kept under this name is removed.
    Removed(PathBuf),
    /// The state cannot be used, or not all of it, and keeps its contents under another name.
    SetAside {
        /// The new name.
        aside: PathBuf,
        /// Why.
        reason: String,
    },
    /// The state is whole but not the one that the exporter used last: its counters get a new start time.
    Restored(Origin),
    /// The counters start from 0.
    CountersReset(Doubt),
    /// The file was missing, and what was counted is written to its path again.
    WrittenAgain(PathBuf),
}

/// Takes each step as it is done.
pub type Steps<'a> = &'a dyn Fn(Step);

/// Why a state cannot be had. Names the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error(
        "{path}: another process uses this state; end it first, or give this one a directory of its own with \
         --storage.path"
    )]
    InUse {
        /// The lock's file.
        path: PathBuf,
    },
    /// There is no room for it.
    #[error(
        "{path}: no room for the state, which takes {} MiB; {}free some space, choose another --storage.path, or lower \
         --groups.max-tracked or --senders.max-tracked", bytes.div_ceil(1 << 20), unchanged(old.as_deref())
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The state that would have been replaced.
        old: Option<PathBuf>,
    },
    /// A symbolic link does not lead to a state.
    #[error(
        "{link}: this is a symbolic link to {target}, which cannot be used: {reason}; it is left where it is; remove \
         the link, or set --storage.path to the directory of the state"
    )]
    Link {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// What is wrong there.
        reason: String,
    },
    /// The system refuses something.
    #[error(
        "{path}: {what}: {error}; {}user {user} must be able to create and write files in that directory; an empty \
         --storage.path keeps the state in memory", unchanged(old.as_deref())
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Who tried.
        user: u32,
        /// What the system says.
        error: io::Error,
        /// The state that would have been replaced.
        old: Option<PathBuf>,
    },
    /// The file was removed while it was in use, and cannot be written again.
    #[error(
        "{path} was removed while it was in use and cannot be written again, so everything that it counted is lost: {why}"
    )]
    Lost {
        /// The state's path.
        path: PathBuf,
        /// Why it cannot be written.
        why: Box<Self>,
    },
    /// The file was replaced by another one while it was in use.
    #[error(
        "{path} was replaced while it was in use and is left alone; what was counted is in {saved}: to use it, move it \
         to {path} while no exporter runs"
    )]
    Replaced {
        /// The state's path.
        path: PathBuf,
        /// Where the numbers are now.
        saved: PathBuf,
    },
}

/// What an error says of a state that it leaves as it was.
fn unchanged(old: Option<&Path>) -> String {
    old.map_or_else(String::new, |old| format!("{} is unchanged; ", old.display()))
}

impl Error {
    pub(super) fn refused(path: &Path, what: &'static str, error: io::Error) -> Self {
        Self::Refused { path: path.to_owned(), what, user: rustix::process::geteuid().as_raw(), error, old: None }
    }

    /// The same, where nothing but memory holds what was counted. A replaced file has it on disk.
    #[must_use]
    pub fn losing(self, state: &Path) -> Self {
        match self {
            Self::Replaced { .. } => self,
            why => Self::Lost { path: state.to_owned(), why: Box::new(why) },
        }
    }

    /// The same, where a state would have been replaced.
    #[must_use]
    pub fn beside(mut self, state: &Path) -> Self {
        if let Self::NoRoom { old, .. } | Self::Refused { old, .. } = &mut self {
            *old = Some(state.to_owned());
        }
        self
    }
}
