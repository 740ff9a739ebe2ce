//! The directory that a state is kept in: the file that is mapped, and the lock that keeps others out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::Arena;
use super::header::{self, BootId, CAPACITIES, Damage, Trust};
use super::plan::Plan;

/// The mapped file.
const STATE: &str = "state";

/// A new one, until it is whole.
const NEW_STATE: &str = "state.new";

/// Held while a process uses the directory. A file of its own: the state's may be replaced.
const LOCK: &str = "lock";

/// Written at once where the file system cannot reserve space.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

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
        "{path}: no room for the state, which takes {} MiB; free some, choose another --storage.path, or lower \
         --groups.max-tracked or --senders.max-tracked", bytes.div_ceil(1 << 20)
    )]
    NoRoom {
        /// The state's file.
        path: PathBuf,
        /// What it takes.
        bytes: u64,
    },
    /// The system refuses something.
    #[error(
        "{path}: {what}: {error}; the directory must exist or be makeable and be writable for user {user}; an empty \
         --storage.path keeps the state in memory"
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
    },
}

/// What a directory holds.
#[derive(Debug)]
pub enum Found {
    /// No state.
    Nothing,
    /// One that cannot be used.
    Damaged(Damage),
    /// A whole one.
    State {
        /// Its block.
        arena: Arc<Arena>,
        /// The capacities that it was made with.
        capacities: [u64; CAPACITIES],
        /// How far its numbers can be trusted.
        trust: Trust,
    },
}

/// A directory that this process alone uses.
#[derive(Debug)]
pub struct Directory {
    /// Where the state is. A link is followed, so that a new state comes to stand where the old one did.
    state: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl Directory {
    /// Makes the directory if there is none, and locks it.
    ///
    /// # Errors
    /// When it cannot be made or written to, or another process has it.
    pub fn lock(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(|error| refused(path, "the directory cannot be made", error))?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            // Reading too, or a pipe of that name would be waited for.
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(|error| refused(&lock_path, "the lock's file cannot be opened", error))?;
        match lock.try_lock() {
            Ok(()) => {
                // What a process that was killed had begun to make.
                let state = path.join(STATE);
                let directory = Self { state: fs::canonicalize(&state).unwrap_or(state), _lock: lock };
                let _ = fs::remove_file(directory.new_state());
                Ok(directory)
            }
            Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { path: lock_path }),
            Err(fs::TryLockError::Error(error)) => Err(refused(&lock_path, "it cannot be locked", error)),
        }
    }

    /// Where the state's file is.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    fn new_state(&self) -> PathBuf {
        self.state.with_file_name(NEW_STATE)
    }

    /// Looks at the state that is there, on this boot of the machine.
    ///
    /// # Errors
    /// When it cannot be read and written.
    pub fn find(&self, boot: BootId) -> Result<Found, Error> {
        let path = self.state();
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(refused(path, "the state cannot be opened", error)),
        };
        let metadata = file.metadata().map_err(|error| refused(path, "its length cannot be read", error))?;
        if !metadata.is_file() {
            return Ok(Found::Damaged(Damage::Foreign));
        }
        let bytes = metadata.len();
        if bytes < header_bytes() || !bytes.is_multiple_of(size_of::<u64>() as u64) {
            return Ok(Found::Damaged(damage_of_short(&file)));
        }
        lock_too(&file, path)?;
        let arena = Arc::new(Arena::over(map(&file, path)?, Some(file)));
        let looked =
            header::read(arena.words()).and_then(|capacities| Ok((capacities, header::trust(arena.words(), boot)?)));
        Ok(match looked {
            Ok((capacities, trust)) => Found::State { arena, capacities, trust },
            Err(damage) => Found::Damaged(damage),
        })
    }

    /// Makes a new state beside the one that may be there; [`Directory::put_in_place`] makes it the state.
    ///
    /// # Errors
    /// When it cannot be written, or the disk is full: every block of it is reserved here.
    pub fn create(&self, plan: &Plan, capacities: [u64; CAPACITIES]) -> Result<Arc<Arena>, Error> {
        let path = self.new_state();
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| refused(&path, "the state cannot be made", error))?;
        let bytes = (plan.words() * size_of::<u64>()) as u64;
        reserve(&file, bytes).map_err(|error| {
            // What was reserved of it is of no use to anybody.
            let _ = fs::remove_file(&path);
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Error::NoRoom { path: path.clone(), bytes }
                }
                _ => refused(&path, "its space cannot be reserved", error),
            }
        })?;
        lock_too(&file, &path)?;
        let arena = Arena::over(map(&file, &path)?, Some(file));
        header::write(arena.words(), plan, capacities);
        Ok(Arc::new(arena))
    }

    /// Makes what [`Directory::create`] made the state, in place of the one that was there.
    ///
    /// # Errors
    /// When the file cannot be renamed.
    pub fn put_in_place(&self) -> Result<(), Error> {
        let path = self.state();
        let folder = path.parent().unwrap_or(path);
        fs::rename(self.new_state(), path)
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|error| refused(path, "the new state cannot be put in place", error))
    }

    /// An error of the state's.
    #[must_use]
    pub fn refused(&self, what: &'static str, error: io::Error) -> Error {
        refused(self.state(), what, error)
    }

    /// Renames a state that cannot be used, so that nothing of it is lost; returns its new path.
    ///
    /// # Errors
    /// When the file cannot be renamed.
    pub fn set_aside(&self, damage: Damage, stamp: i64) -> Result<PathBuf, Error> {
        let path = self.state();
        let names = (0..).map(|number: u32| match number {
            0 => format!("{STATE}.{}-{stamp}", damage.word()),
            _ => format!("{STATE}.{}-{stamp}-{number}", damage.word()),
        });
        let aside = names.map(|name| path.with_file_name(name)).find(|aside| !aside.exists()).unwrap_or_default();
        fs::rename(path, &aside).map_err(|error| refused(path, "it cannot be set aside", error))?;
        Ok(aside)
    }
}

const fn header_bytes() -> u64 {
    (super::plan::HEADER_WORDS * size_of::<u64>()) as u64
}

/// A file that is shorter than a header: ours, cut off, if it starts as ours do.
fn damage_of_short(mut file: &File) -> Damage {
    let mut start = [0; 8];
    let ours = io::Read::read_exact(&mut file, &mut start).is_ok() && u64::from_ne_bytes(start) == header::MAGIC;
    if ours { Damage::Length } else { Damage::Foreign }
}

/// Locks the state's own file beside the directory's lock, which somebody may have removed.
fn lock_too(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_owned() }),
        // Where the file system has no locks, the directory's had none either.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(()),
    }
}

fn map(file: &File, path: &Path) -> Result<MmapRaw, Error> {
    MmapOptions::new().map_raw(file).map_err(|error| refused(path, "it cannot be mapped", error))
}

/// Reserves every block of a file, so that a full disk is seen now and not, as a fatal signal, at some later write.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, bytes),
        reserved => Ok(reserved?),
    }
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all(ZEROS.get(..len).unwrap_or_default())?;
        left -= len as u64;
    }
    file.sync_all()
}

fn refused(path: &Path, what: &'static str, error: io::Error) -> Error {
    Error::Refused { path: path.to_owned(), what, user: rustix::process::geteuid().as_raw(), error }
}
