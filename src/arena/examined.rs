//! What a start would find in a directory, without changing or locking anything: the exporter may be running.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::directory::files::{follow_link, read_generation};
use super::header::Sections;
use super::names::{LOCK, state_path};
use super::reading::{ReadError, StateFile};
use super::step::Error;
use super::trust::{Boot, Damage, Trust};

/// What a start would find in a directory.
#[derive(Debug)]
pub(crate) struct Examined {
    /// The state's path after following a symbolic link.
    pub(crate) state: PathBuf,
    /// Whether the state is behind one.
    pub(crate) is_link: bool,
    /// What it has, and how far its numbers can be trusted; `None` if there is no state.
    pub(crate) found: Option<Result<(Sections, Trust), Damage>>,
}

/// Why a directory cannot be examined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExamineError {
    /// The lock file or the symbolic link.
    #[error(transparent)]
    Directory(#[from] Error),
    /// The state.
    #[error(transparent)]
    State(#[from] ReadError),
}

/// Examines the state in a directory, given the current boot of the machine. Reads the whole file.
///
/// # Errors
/// When a file cannot be read, or the state is a symbolic link to something that cannot be one.
pub(crate) fn examine(directory: &Path, boot: Boot) -> Result<Examined, ExamineError> {
    let (state, is_link) = follow_link(state_path(directory))?;
    let lock = directory.join(LOCK);
    // Otherwise opening a pipe would block.
    let not_blocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let generation = match OpenOptions::new().read(true).custom_flags(not_blocking).open(&lock) {
        Ok(lock) => read_generation(&lock).unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(Error::io(&lock, "the lock file cannot be read", error).into()),
    };
    let found = match assess(&state, boot, generation) {
        Ok(found) => Some(found),
        Err(ReadError::Damaged { damage, .. }) => Some(Err(damage)),
        Err(ReadError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Examined { state, is_link, found })
}

fn assess(state: &Path, boot: Boot, generation: u64) -> Result<Result<(Sections, Trust), Damage>, ReadError> {
    let file = StateFile::open(state)?;
    let copy = file.new_arena()?;
    file.read_all(&copy)?;
    Ok(copy.sections().and_then(|sections| Ok((sections, file.assess(&copy, boot, generation)?))))
}
