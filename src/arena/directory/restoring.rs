//! Putting a backup in the place of the state.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{header_bytes, lock_state, stated_length};
use super::{Directory, OldState};
use crate::arena::block::Arena;
use crate::arena::header;
use crate::arena::names::{self, LOCK};
use crate::arena::step::{Error, Steps};
use crate::arena::trust::{Boot, Damage, Trust};

/// Why a backup cannot be put in place. The state is unchanged then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The directory, or a file in it.
    #[error("{0}")]
    Directory(#[from] Error),
    /// The backup cannot be used.
    #[error("{0}")]
    Backup(#[from] Damage),
    /// The backup cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
}

/// A backup in a file beside the state.
pub(crate) struct Received<'a> {
    directory: &'a Directory,
    /// Its block. The file is removed unless it is put in place.
    arena: Arc<Arena>,
    /// The state that it replaces, locked: an exporter that finds it by another path must not use it meanwhile.
    _present: Option<File>,
    is_in_place: bool,
}

/// The user and the group that own the files of a directory: those of its lock file, or of the directory itself.
pub(crate) fn owner_of(directory: &Path) -> Option<(u32, u32)> {
    let metadata = fs::metadata(directory.join(LOCK)).or_else(|_| fs::metadata(directory));
    metadata.ok().map(|metadata| (metadata.uid(), metadata.gid()))
}

impl Directory {
    /// Lets the lock file belong to this owner: it is a new one's if the file was missing.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn give_lock(&self, owner: Option<(u32, u32)>) -> Result<(), Error> {
        self.give(&self.lock, owner)
    }

    fn give(&self, file: &File, owner: Option<(u32, u32)>) -> Result<(), Error> {
        let give = || {
            let metadata = file.metadata()?;
            let other = owner.filter(|owner| *owner != (metadata.uid(), metadata.gid()));
            other.map_or(Ok(()), |(user, group)| fchown(file, Some(user), Some(group)))
        };
        give().map_err(|error| Error::io(&self.path, "the owner of a file cannot be set", error))
    }

    fn lock_present(&self) -> Result<Option<File>, Error> {
        // Not a device, for example, because opening it can have side effects.
        if !self.state.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Ok(None);
        }
        let present = File::open(&self.state).map_err(|error| Error::io(&self.state, "it cannot be opened", error))?;
        lock_state(&present, &self.state)?;
        Ok(Some(present))
    }

    /// Copies a backup into a new file beside the state, once all of its blocks are reserved. The file gets this owner.
    ///
    /// # Errors
    /// When the backup cannot be read, its length is not the one in its header, or the disk is full.
    pub(crate) fn receive(
        &self,
        backup: &mut dyn Read,
        owner: Option<(u32, u32)>,
        steps: Steps<'_>,
    ) -> Result<Received<'_>, RestoreError> {
        let mut head = Vec::new();
        backup.take(header_bytes()).read_to_end(&mut head).map_err(RestoreError::Read)?;
        let length = stated_length(&head)?;
        if (head.len() as u64) < header_bytes() || length < header_bytes() {
            return Err(Damage::Length.into());
        }
        let bytes = usize::try_from(length).map_err(|_| Damage::Header)?;
        let present = self.lock_present()?;
        let arena = self.create_file(bytes, steps)?;
        let received = Received { directory: self, arena, _present: present, is_in_place: false };
        let mut file = received.arena.file().ok_or(Damage::Foreign)?;
        self.give(file, owner)?;
        // Not with a system call that copies between files: it could share the blocks that were just reserved.
        let rest: &mut dyn Read = &mut backup.take(length - header_bytes() + 1);
        let copied = io::copy(&mut head.chain(rest), &mut file).map_err(RestoreError::Read)?;
        if copied != length {
            return Err(Damage::Length.into());
        }
        header::mark_foreign(received.arena.words());
        Ok(received)
    }
}

impl Received<'_> {
    /// The path of the file.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.new_state()
    }

    /// How far the next start would trust the backup. Reads all of it.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn assess(&self, boot: Boot) -> Result<Trust, RestoreError> {
        let cannot_open = |error| Error::io(&self.directory.new_state(), "it cannot be opened", error);
        let (_, trust) = self.directory.assess(&self.arena, boot).map_err(cannot_open)??;
        Ok(trust)
    }

    /// Whether this directory has had a later state. [`Received::assess`] does not say so of a backup of 0.1.0.
    pub(crate) fn is_older(&self) -> bool {
        self.arena.generation() < self.directory.locked_generation.unwrap_or_default()
    }

    /// Lets the counters start from 0 at the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn reset_counters(&self) -> Result<(), RestoreError> {
        let marked = self.arena.mark_in_use(Boot::ResetRequested);
        marked.map_err(|error| Error::io(&self.directory.new_state(), "it cannot be written", error).into())
    }

    /// Lets the counters continue at the next start, whatever was counted after the backup.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn keep_counters(&self) -> Result<(), RestoreError> {
        let locked = self.directory.locked_generation.unwrap_or_default();
        self.arena.set_generation(self.arena.generation().max(locked));
        self.arena.mark_closed(Boot::Unknown);
        let written = self.arena.flush();
        written.map_err(|error| Error::io(&self.directory.new_state(), "it cannot be written", error).into())
    }

    /// Replaces the state, which gets a name with this time, in milliseconds since the epoch. Everything is on disk then.
    /// Returns the size of the new one.
    ///
    /// # Errors
    /// When that fails. The old state then keeps its name.
    pub(crate) fn put_in_place(mut self, stamp: i64, steps: Steps<'_>) -> Result<u64, RestoreError> {
        let path = self.directory.state();
        let cannot_write = |error| Error::io(&self.directory.new_state(), "it cannot be written to disk", error);
        self.arena.file().map_or(Ok(()), File::sync_all).map_err(cannot_write)?;
        let old = path.symlink_metadata().is_ok().then_some(OldState::Replace(stamp));
        self.directory.replace_state(old, steps)?;
        self.is_in_place = true;
        Ok(self.arena.words_len() * size_of::<u64>() as u64)
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        if !self.is_in_place {
            names::remove(self.directory.new_state(), &|_| ());
        }
    }
}
