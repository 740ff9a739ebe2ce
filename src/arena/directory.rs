//! A state's directory: the mapped file, and the lock that excludes other processes.

pub(super) mod files;
pub(super) mod restoring;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Arena, Block};
use super::blocks_on_disk::{self, CopyOnWrite};
use super::contents::Contents;
use super::header::{self, Sections};
use super::identity::Identity;
use super::names::{self, LOCK, NEW_STATE, OTHER_LAYOUT, REPLACED, STATE};
use super::private::{create_directory, open, open_private, restrict_kept, restrict_mode};
use super::step::{Error, Step, Steps};
use super::trust::{Boot, Damage, Trust};
use files::{check_length, follow_link, is_ours, lock_state, map, read_generation, reserve, sync_directory};

/// What a directory contains.
#[derive(Debug)]
pub enum Found {
    /// No state.
    Nothing,
    /// A state that cannot be used.
    Damaged(Damage),
    /// A valid state. Nothing of it has been changed.
    State {
        /// Its block.
        arena: Arc<Arena>,
        /// What its header says about its sections.
        sections: Sections,
        /// How far its numbers can be trusted.
        trust: Trust,
        /// Whether it must be moved into a new file, for which copy-on-write is switched off.
        must_move: bool,
    },
}

/// What to do with the old state when a new one replaces it. Times are in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OldState {
    /// Everything was converted: keep it until the next regular shutdown.
    KeepUntilShutdown,
    /// A part was dropped: rename it, with this time in its name.
    Rename(i64),
    /// It cannot be used: rename it, with this time in its name.
    RenameDamaged(Damage, i64),
    /// A backup replaces it: rename it, with this time in its name.
    Replace(i64),
}

/// A directory that only this process uses.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// The state's path after following a symbolic link, so that a new state replaces the old one there.
    state: PathBuf,
    is_link: bool,
    /// Locked until it is closed. Contains the generation of the state that was last in use here.
    lock: File,
    /// That generation; `None` if another program wrote the file.
    locked_generation: Option<u64>,
}

impl Directory {
    /// Locks the directory, which is created if it is missing.
    ///
    /// # Errors
    /// When it cannot be created or written to, another process uses it, or the state is a broken symbolic link.
    pub fn lock(path: &Path, steps: Steps<'_>) -> Result<Self, Error> {
        create_directory(path, steps)?;
        let lock_path = path.join(LOCK);
        // Also for reading, because opening a pipe only for writing would block.
        let lock = open_private(&lock_path, OpenOptions::new().create(true).truncate(false), steps)
            .map_err(|error| Error::io(&lock_path, "the lock file cannot be opened", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: lock_path }),
            Err(TryLockError::Error(error)) => return Err(Error::io(&lock_path, "it cannot be locked", error)),
        }
        let (state, is_link) = follow_link(path.join(STATE))?;
        let locked_generation = read_generation(&lock);
        Ok(Self { path: path.to_owned(), state, is_link, lock, locked_generation })
    }

    /// The path of the state's file.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    fn new_state(&self) -> PathBuf {
        self.state.with_file_name(NEW_STATE)
    }

    /// Opens the existing state, given the current boot of the machine. Reserves every block of its file, and does not
    /// change its contents.
    ///
    /// # Errors
    /// When it cannot be read and written, the disk is full, or it is a symbolic link to something that is not a state.
    pub fn find(&self, boot: Boot, steps: Steps<'_>) -> Result<Found, Error> {
        let found = self.inspect(boot, steps)?;
        if let Found::Damaged(damage) = &found {
            self.check_renamable(*damage)?;
        }
        Ok(found)
    }

    /// Checks that a damaged state may be renamed.
    ///
    /// # Errors
    /// If it is behind a symbolic link.
    pub(crate) fn check_renamable(&self, damage: Damage) -> Result<(), Error> {
        if !self.is_link {
            return Ok(());
        }
        Err(Error::Link { link: self.path.join(STATE), target: self.state.clone(), reason: damage.to_string() })
    }

    fn inspect(&self, boot: Boot, steps: Steps<'_>) -> Result<Found, Error> {
        let path = self.state();
        let cannot_open = |error| Error::io(path, "the state cannot be opened", error);
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(cannot_open(error)),
            // Not opened, because opening a device can have side effects.
            Ok(metadata) if !metadata.is_file() => return Ok(Found::Damaged(Damage::Foreign)),
            Ok(_) => {}
        }
        let file = open(path, &mut OpenOptions::new()).map_err(cannot_open)?;
        let bytes = file.metadata().map_err(cannot_open)?.len();
        if !is_ours(&file) {
            return Ok(Found::Damaged(Damage::Foreign));
        }
        lock_state(&file, path)?;
        // Another process may have replaced the file before it released the lock.
        if !Arena::is_file_at(&file, path) {
            return Err(Error::InUse { path: path.to_owned() });
        }
        if let Err(damage) = check_length(&file, bytes).map_err(cannot_open)? {
            return Ok(Found::Damaged(damage));
        }
        // A killed process may have left one.
        names::remove(self.new_state(), steps);
        // Before the file is read: on tmpfs, even reading a hole of a mapped file allocates a block.
        reserve(&file, path, bytes)?;
        let copy_on_write = blocks_on_disk::copy_on_write(&file);
        if copy_on_write == CopyOnWrite::Always {
            steps(Step::CopyOnWrite(path.to_owned()));
        }
        let arena = Arc::new(Arena::new(map(&file, path)?, Some(file)));
        Ok(match self.assess(&arena, boot).map_err(cannot_open)? {
            Ok((sections, trust)) => {
                // Not before the header was read: the file could have been another program's.
                arena.file().into_iter().for_each(|file| restrict_mode(file, path, false, steps));
                Found::State { arena, sections, trust, must_move: copy_on_write == CopyOnWrite::On }
            }
            Err(damage) => Found::Damaged(damage),
        })
    }

    /// Reads what a block in this directory has, and how far it can be trusted.
    fn assess(&self, arena: &Arena, boot: Boot) -> io::Result<Result<(Sections, Trust), Damage>> {
        let (words, locked) = (arena.words(), self.locked_generation.unwrap_or_default());
        let Some(identity) = arena.file().map(Identity::of).transpose()? else { return Ok(Err(Damage::Foreign)) };
        Ok(header::read(words).and_then(|sections| Ok((sections, header::assess(words, boot, identity, locked)?))))
    }

    /// Creates a new state in a file beside the current one, which [`Directory::replace_state`] replaces with it.
    ///
    /// # Errors
    /// When it cannot be written, or the disk is full: every block of the file is reserved here.
    pub(crate) fn create(&self, contents: Contents, steps: Steps<'_>) -> Result<Block, Error> {
        let text = serde_json::to_vec(&contents)
            .map_err(|error| Error::io(&self.new_state(), "its table of contents cannot be written", error.into()))?;
        let words = contents.words() + header::contents_words(&text);
        let arena = self.create_file(words * size_of::<u64>(), steps)?;
        header::write(arena.words(), contents.words(), &text);
        Ok(Block::new(arena, contents))
    }

    fn create_file(&self, bytes: usize, steps: Steps<'_>) -> Result<Arc<Arena>, Error> {
        let (path, bytes) = (self.new_state(), bytes as u64);
        let created = self.create_reserved(&path, bytes, steps);
        created.map_err(|error| {
            let _ = fs::remove_file(&path);
            if self.state.exists() { error.with_unchanged(&self.state) } else { error }
        })
    }

    fn create_reserved(&self, path: &Path, bytes: u64, steps: Steps<'_>) -> Result<Arc<Arena>, Error> {
        // A killed process may have left one.
        names::remove(path.to_owned(), steps);
        let file = open_private(path, OpenOptions::new().create_new(true), steps)
            .map_err(|error| Error::io(path, "the state cannot be created", error))?;
        if blocks_on_disk::disable_copy_on_write(&file) != CopyOnWrite::Off {
            steps(Step::CopyOnWrite(self.state.clone()));
        }
        reserve(&file, path, bytes)?;
        steps(Step::Reserved { file: path.to_owned(), bytes });
        lock_state(&file, path)?;
        Ok(Arc::new(Arena::new(map(&file, path)?, Some(file))))
    }

    /// Atomically replaces the state with the file of [`Directory::create`], and keeps the old one under another name.
    ///
    /// # Errors
    /// When a file cannot be renamed, or the directory cannot be written to disk. The old state then keeps its name.
    pub(crate) fn replace_state(&self, old: Option<OldState>, steps: Steps<'_>) -> Result<(), Error> {
        let path = self.state();
        let cannot_replace = |error| Error::io(path, "the new state cannot be put in place", error);
        let kept = old.map(|old| self.keep_old_state(&old, steps)).transpose()?.flatten();
        fs::rename(self.new_state(), path).map_err(|error| {
            // Only if the state still has its own name.
            if let Some(other) = kept.as_ref().filter(|_| path.exists()) {
                let _ = fs::remove_file(other);
            }
            cannot_replace(error)
        })?;
        sync_directory(path).map_err(|error| match &kept {
            // The rename may not be on disk: undo it.
            Some(other) if fs::rename(other, path).is_ok() => cannot_replace(error).with_unchanged(path),
            _ => cannot_replace(error),
        })?;
        names::limit_aside(path, kept.as_deref(), steps);
        Ok(())
    }

    /// Removes the file of [`Directory::create`] after an error. If the old state is unchanged, adds that to the error.
    pub(crate) fn discard_new(&self, error: Error) -> Error {
        let was_removed = fs::remove_file(self.new_state()).is_ok();
        if was_removed && self.state.exists() { error.with_unchanged(&self.state) } else { error }
    }

    /// Gives the old state a second name, and returns it. `None` if that is impossible, but not needed either.
    fn keep_old_state(&self, old: &OldState, steps: Steps<'_>) -> Result<Option<PathBuf>, Error> {
        let path = self.state();
        let (other, step) = match old {
            OldState::KeepUntilShutdown => {
                let previous = names::free_previous(path, steps);
                (previous.clone(), Step::PreviousKept(previous))
            }
            OldState::Rename(stamp) => {
                let path = names::stamped_path(path, OTHER_LAYOUT, *stamp);
                let reason = "not everything in it could be converted".to_owned();
                (path.clone(), Step::Renamed { path, reason })
            }
            OldState::RenameDamaged(damage, stamp) => {
                let path = names::stamped_path(path, damage.word(), *stamp);
                (path.clone(), Step::Renamed { path, reason: damage.to_string() })
            }
            OldState::Replace(stamp) => {
                let path = names::stamped_path(path, REPLACED, *stamp);
                (path.clone(), Step::Renamed { path, reason: "a backup replaces it".to_owned() })
            }
        };
        match fs::hard_link(path, &other) {
            Ok(()) => {}
            // The new state has everything that is in the old one.
            Err(error) if *old == OldState::KeepUntilShutdown => {
                steps(Step::PreviousNotKept(other, error.to_string()));
                return Ok(None);
            }
            // If the process is killed before the next rename, nothing usable is lost.
            Err(_) if matches!(old, OldState::RenameDamaged(..) | OldState::Replace(_)) => {
                fs::rename(path, &other).map_err(|error| Error::io(path, "it cannot be renamed", error))?;
            }
            Err(error) => return Err(Error::io(&other, "the state cannot be kept under this name", error)),
        }
        steps(step);
        restrict_kept(&other, steps);
        Ok(Some(other))
    }

    /// The generation for the next use of a state: later than all before it.
    pub(crate) fn next_generation(&self, arena: &Arena) -> u64 {
        arena.generation().max(self.locked_generation.unwrap_or_default()).saturating_add(1)
    }

    /// Stores the generation in the state and in the lock file, so that an older copy of the state can be recognized.
    pub(crate) fn set_generation(&self, arena: &Arena, generation: u64) {
        // In this order: if the process is killed in between, the state is later than the lock file.
        arena.set_generation(generation);
        // If this fails, the only loss is that an older copy is not recognized. Another program's file is left alone.
        if self.locked_generation.is_some() {
            let _ = self.lock.write_all_at(format!("{generation:020}\n").as_bytes(), 0);
        }
    }

    /// Removes the state before the last conversion.
    pub(crate) fn remove_previous(&self, steps: Steps<'_>) {
        names::remove_previous(&self.state, steps);
    }

    /// Writes a closed block to the state's path again, after its file was removed or replaced. Never changes a file
    /// that is there now.
    ///
    /// # Errors
    /// When the block cannot be written, or another file is at the path: then the block is in a file beside that.
    pub(crate) fn write_again(&self, arena: &Arena, stamp: i64, steps: Steps<'_>) -> Result<(), Error> {
        let has_lock = Arena::is_file_at(&self.lock, &self.path.join(LOCK));
        // If the directory was replaced too, another process may use it.
        let replacement = if has_lock { None } else { Some(Self::lock(&self.path, steps)?) };
        let directory = replacement.as_ref().unwrap_or(self);
        let copy = directory.create_file(arena.words().len() * size_of::<u64>(), steps)?;
        let path = directory.state();
        let cannot_write = |error| Error::io(path, "the state cannot be written again", error);
        copy.copy_from(arena);
        copy.store_identity().and_then(|()| copy.close()).map_err(cannot_write)?;
        directory.set_generation(&copy, copy.generation());
        // Unlike a rename, a hard link never replaces a file that has just been created.
        let linked = fs::hard_link(directory.new_state(), path);
        let is_missing = || fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if linked.is_ok() || is_missing() && fs::rename(directory.new_state(), path).is_ok() {
            let _ = fs::remove_file(directory.new_state());
            steps(Step::WrittenAgain(path.to_owned()));
            return sync_directory(path).map_err(cannot_write);
        }
        let saved = names::stamped_path(path, REPLACED, stamp);
        fs::rename(directory.new_state(), &saved).and_then(|()| sync_directory(&saved)).map_err(cannot_write)?;
        names::limit_aside(path, Some(&saved), steps);
        Err(Error::Replaced { path: path.to_owned(), saved })
    }

    /// An error about the state's file.
    pub(crate) fn io_error(&self, what: &'static str, error: io::Error) -> Error {
        Error::io(self.state(), what, error)
    }
}
