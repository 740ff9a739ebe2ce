//! The steps of opening and closing a state, and its errors. Each step is reported before the next one can fail.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::trust::Doubt;

/// A step of opening or closing a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Other users had access to this file or directory; its mode was restricted to the owner.
    ModeRestricted(PathBuf),
    /// Other users have access to this file or directory, and its mode was not changed for this reason.
    ModeUnchanged(PathBuf, String),
    /// This file is on a copy-on-write file system, where space cannot be reserved: a full disk can end the process.
    CopyOnWrite(PathBuf),
    /// The state's layout differs from this program's, so the state is converted into a new file.
    OtherLayout {
        /// The state's file.
        state: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
    /// This part of the old state is not in the converted one.
    Dropped(String),
    /// Every block of a new file is reserved.
    Reserved {
        /// The new file.
        file: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The old state is kept under this name until the next regular shutdown.
    PreviousKept(PathBuf),
    /// The old state cannot be kept under this name, for this reason.
    PreviousNotKept(PathBuf, String),
    /// The state before an earlier conversion still had this name, because no regular shutdown had removed it. It was
    /// removed, so that the old state can have the name.
    PreviousReplaced(PathBuf),
    /// This file of an earlier state or start was removed.
    Removed(PathBuf),
    /// The state, or a part of it, cannot be used. It was renamed.
    Renamed {
        /// The new path.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// The state is a copy of one that was closed: its counters continue.
    Restored,
    /// The counters start from 0.
    CountersReset(Doubt),
    /// The state's file was missing, and was written to its path again.
    WrittenAgain(PathBuf),
}

/// A callback for each step that is done.
pub type Steps<'a> = &'a dyn Fn(Step);

/// Why a state cannot be opened or closed. The text names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses it.
    #[error("{path}: another process uses this state; stop that process, or set --storage.path to another directory")]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
    /// The disk or a quota is full.
    #[error(
        "{path}: not enough space for the state, which needs {} MiB; {}free some space, choose another --storage.path, or \
         lower --groups.max-tracked or --senders.max-tracked", bytes.div_ceil(1 << 20), unchanged(old.as_deref())
    )]
    NoSpace {
        /// The state's file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The unchanged state that this file should have replaced.
        old: Option<PathBuf>,
    },
    /// The state is a symbolic link to something that is not a state.
    #[error(
        "{link}: this is a symbolic link to {target}, which cannot be used: {reason}; the file there was not changed; \
         remove the link, or set --storage.path to the directory of the state"
    )]
    Link {
        /// The link.
        link: PathBuf,
        /// What it points to.
        target: PathBuf,
        /// Why that cannot be used.
        reason: String,
    },
    /// A system call failed.
    #[error(
        "{path}: {what}: {error}; {}{}; an empty --storage.path keeps the state in memory",
        unchanged(old.as_deref()), advice(error, *user)
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        what: Cow<'static, str>,
        /// The process's effective user ID.
        user: u32,
        /// The system's error.
        error: io::Error,
        /// The unchanged state that this file should have replaced.
        old: Option<PathBuf>,
    },
    /// The file was removed while it was in use, and cannot be written again.
    #[error(
        "{path} was removed while the exporter was running and cannot be written again, so everything that it counted is \
         lost: {why}"
    )]
    Lost {
        /// The state's path.
        path: PathBuf,
        /// Why it cannot be written.
        why: Box<Self>,
    },
    /// Another file took the state's path while it was in use.
    #[error(
        "while the exporter was running, another file replaced {path}; that file was not changed, and the exporter's counts \
         are in {saved}; to use these counts, make sure that no exporter is running, and rename {saved} to {path}"
    )]
    Replaced {
        /// The state's path.
        path: PathBuf,
        /// The file with the counts.
        saved: PathBuf,
    },
}

fn unchanged(old: Option<&Path>) -> String {
    old.map_or_else(String::new, |old| format!("{} is unchanged; ", old.display()))
}

/// How a start can avoid an error of a system call.
fn advice(error: &io::Error, user: u32) -> String {
    match Problem::of(error) {
        Some(Problem { what, remedy: Some(remedy) }) if error.kind() == ErrorKind::FileTooLarge => {
            format!("{what}: {remedy}, or lower --groups.max-tracked or --senders.max-tracked")
        }
        Some(Problem { what, remedy: Some(remedy) }) => {
            format!("{what}: {remedy}, or set --storage.path to another directory")
        }
        Some(Problem { what, remedy: None }) => format!("{what}: set --storage.path to another directory"),
        // A permission may be missing.
        None => format!(
            "user {user} must be able to create and write files in this directory, which is impossible in /proc and \
             /sys; correct its owner or mode, or set --storage.path to another directory"
        ),
    }
}

/// The same for a command, which has to use the exporter's own directory.
pub(crate) fn advice_for_command(error: &io::Error) -> String {
    match Problem::of(error) {
        Some(Problem { what, remedy: Some(remedy) }) => format!("{what}: {remedy}"),
        Some(Problem { what, remedy: None }) => format!("{what}: set --storage.path to the exporter's directory"),
        None if error.kind() == ErrorKind::PermissionDenied => "run this as the exporter's user or as root".to_owned(),
        None => "check the disk and the file system".to_owned(),
    }
}

/// What a known error means, and how to remove its cause, if there is a way.
struct Problem {
    what: &'static str,
    remedy: Option<&'static str>,
}

impl Problem {
    fn of(error: &io::Error) -> Option<Self> {
        let (what, remedy) = match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
                ("something else has this name", Some("move it away"))
            }
            ErrorKind::NotADirectory => ("a part of this path is a file, not a directory", None),
            ErrorKind::ReadOnlyFilesystem => ("the file system is read-only", Some("mount it writable")),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                ("the disk or the quota is full", Some("free some space"))
            }
            ErrorKind::FileTooLarge => ("the file size limit is too low", Some("raise it (ulimit -f, LimitFSIZE)")),
            ErrorKind::NotFound | ErrorKind::Unsupported => (
                "the directory was removed, or its file system cannot hold the state (/proc, for example, cannot)",
                None,
            ),
            _ => match Errno::from_io_error(error) {
                Some(Errno::NODEV) => ("the file system cannot map files into memory", None),
                Some(Errno::LOOP) => ("a symbolic link has this name, or leads to itself", Some("remove it")),
                _ => return None,
            },
        };
        Some(Self { what, remedy })
    }
}

impl Error {
    pub(super) fn io(path: &Path, what: impl Into<Cow<'static, str>>, error: io::Error) -> Self {
        let user = rustix::process::geteuid().as_raw();
        Self::Io { path: path.to_owned(), what: what.into(), user, error, old: None }
    }

    /// Adds that all counts are lost, because they were only in memory. Not if [`Error::Replaced`] says where they are.
    pub(crate) fn into_lost(self, state: &Path) -> Self {
        match self {
            Self::Replaced { .. } => self,
            why => Self::Lost { path: state.to_owned(), why: Box::new(why) },
        }
    }

    /// The text for a command that uses an exporter's state: a start needs different advice.
    pub(crate) fn for_command(&self) -> String {
        match self {
            Self::NoSpace { path, bytes, old } => format!(
                "{}: not enough space: the state needs {bytes} bytes; {}free up space in {}",
                path.display(),
                unchanged(old.as_deref()),
                path.parent().unwrap_or(path).display()
            ),
            Self::Io { path, what, error, old, .. } => {
                let (path, unchanged) = (path.display(), unchanged(old.as_deref()));
                format!("{path}: {what}: {error}; {unchanged}{}", advice_for_command(error))
            }
            other => other.to_string(),
        }
    }

    /// Adds that the old state is unchanged.
    pub(super) fn with_unchanged(mut self, state: &Path) -> Self {
        if let Self::NoSpace { old, .. } | Self::Io { old, .. } = &mut self {
            *old = Some(state.to_owned());
        }
        self
    }
}
