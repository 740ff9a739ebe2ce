//! Opening, locking and mapping the files of a state.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};
use rustix::io::Errno;

use crate::arena::blocks_on_disk;
use crate::arena::header;
use crate::arena::layout::HEADER_WORDS;
use crate::arena::names::STATE;
use crate::arena::step::Error;
use crate::arena::trust::Damage;

pub(in crate::arena) const fn header_bytes() -> u64 {
    (HEADER_WORDS * size_of::<u64>()) as u64
}

/// The path that the state's symbolic link points to, and whether it is one.
pub(in crate::arena) fn follow_link(state: PathBuf) -> Result<(PathBuf, bool), Error> {
    if !state.is_symlink() {
        return Ok((state, false));
    }
    match fs::canonicalize(&state) {
        // The files beside it have fixed names, and must not be those of another state.
        Ok(target) if target.file_name().is_none_or(|name| name != STATE) => {
            Err(Error::Link { link: state, target, reason: "the file there is not called \"state\"".to_owned() })
        }
        Ok(target) => Ok((target, true)),
        Err(error) => {
            let target = fs::read_link(&state).unwrap_or_default();
            Err(Error::Link { link: state, target, reason: error.to_string() })
        }
    }
}

/// The generation in a lock file; 0 in an empty one, as 0.1.0 left it; `None` in another program's.
pub(in crate::arena) fn read_generation(lock: &File) -> Option<u64> {
    if lock.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Some(0);
    }
    let mut digits = [0; 20];
    lock.read_exact_at(&mut digits, 0).ok()?;
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Whether a file starts with [`header::MAGIC`].
pub(in crate::arena) fn is_ours(file: &File) -> bool {
    let mut start = [0; size_of::<u64>()];
    file.read_exact_at(&mut start, 0).is_ok() && u64::from_ne_bytes(start) == header::MAGIC
}

/// Checks that a file is a state, and has the length that its header states. Otherwise too much memory or disk space
/// could be reserved, because a sparse file can have any length.
///
/// # Errors
/// The outer error when the file cannot be read.
pub(in crate::arena) fn check_length(file: &File, bytes: u64) -> io::Result<Result<(), Damage>> {
    if !is_ours(file) {
        return Ok(Err(Damage::Foreign));
    }
    let mut head = [0; HEADER_WORDS * size_of::<u64>()];
    if bytes < header_bytes() || !bytes.is_multiple_of(size_of::<u64>() as u64) {
        return Ok(Err(Damage::Length));
    }
    file.read_exact_at(&mut head, 0)?;
    Ok(stated_length(&head).and_then(|stated| if stated == bytes { Ok(()) } else { Err(Damage::Length) }))
}

/// The length of a state in bytes, from the bytes of its header.
///
/// # Errors
/// When it is not a state, or the header is damaged.
pub(in crate::arena) fn stated_length(head: &[u8]) -> Result<u64, Damage> {
    let words: Vec<_> = head.as_chunks().0.iter().map(|word| AtomicU64::new(u64::from_ne_bytes(*word))).collect();
    header::length(&words)
}

/// Locks the state's own file too, because the lock file may have been removed.
pub(in crate::arena) fn lock_state(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_owned() }),
        // If a link leads to a file system without locks, the lock file has to be enough.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

pub(in crate::arena) fn map(file: &File, path: &Path) -> Result<MmapRaw, Error> {
    MmapOptions::new().map_raw(file).map_err(|error| Error::io(path, "it cannot be mapped", error))
}

pub(in crate::arena) fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), Error> {
    blocks_on_disk::reserve(file, bytes).map_err(|error| {
        if blocks_on_disk::is_full(&error) {
            Error::NoSpace { path: path.to_owned(), bytes, old: None }
        } else {
            Error::io(path, format!("{} MiB cannot be reserved", bytes.div_ceil(1 << 20)), error)
        }
    })
}

/// Writes the directory of a renamed file to disk. Some file systems (SMB, 9p) do not support that.
pub(in crate::arena) fn sync_directory(file: &Path) -> io::Result<()> {
    let synced = File::open(file.parent().unwrap_or(file)).and_then(|directory| directory.sync_all());
    let unsupported = [Errno::INVAL, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
    match synced {
        Err(error) if unsupported.contains(&error.raw_os_error()) => Ok(()),
        synced => synced,
    }
}
