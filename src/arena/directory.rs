//! The directory that a state is kept in: the file that is mapped, and the lock that keeps others out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use rustix::io::Errno;

use super::block::Arena;
use super::blocks_on_disk::{self, CopyOnWrite};
use super::header::{self, Sections};
use super::identity::Identity;
use super::names::{self, LOCK, NEW_STATE, OTHER_LAYOUT, PREVIOUS, REPLACED, STATE};
use super::plan::{HEADER_WORDS, Plan};
use super::private::{keep_private, make_private, open, open_as_it_is};
use super::step::{Error, Step, Steps};
use super::trust::{Boot, Damage, Trust};

/// What a directory holds.
#[derive(Debug)]
pub enum Found {
    /// No state.
    Nothing,
    /// One that cannot be used.
    Damaged(Damage),
    /// A whole one. Nothing of it has been changed.
    State {
        /// Its block.
        arena: Arc<Arena>,
        /// What it says about its sections.
        sections: Sections,
        /// How far its numbers can be trusted.
        trust: Trust,
        /// Whether it has to be moved into a new file, whose changed blocks stay where they are.
        must_move: bool,
    },
}

/// What becomes of the old state when a new one takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Everything in it was carried over: it is kept until the next orderly shutdown.
    UntilShutdown,
    /// Not everything was: it is set aside, at this time in milliseconds since the epoch.
    Aside(i64),
    /// It cannot be used: it is set aside, at this time.
    Damaged(Damage, i64),
}

/// A directory that this process alone uses.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Where the state is: a symbolic link has been followed, so that a new state replaces the old one there.
    state: PathBuf,
    is_link: bool,
    /// Locked until it is closed. Holds the generation of the state that was last in use here.
    lock: File,
    /// That generation; `None` in a file of another program.
    seen: Option<u64>,
}

impl Directory {
    /// Makes the directory if there is none, and locks it.
    ///
    /// # Errors
    /// When it cannot be made or written to, another process has it, or the state is a symbolic link that leads nowhere.
    pub fn lock(path: &Path, steps: Steps<'_>) -> Result<Self, Error> {
        make_private(path, steps)?;
        let lock_path = path.join(LOCK);
        // For reading too: to open a pipe for writing only would block.
        let lock = open(&lock_path, OpenOptions::new().create(true).truncate(false), steps)
            .map_err(|error| Error::refused(&lock_path, "the lock's file cannot be opened", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: lock_path }),
            Err(TryLockError::Error(error)) => return Err(Error::refused(&lock_path, "it cannot be locked", error)),
        }
        let (state, is_link) = follow(path.join(STATE))?;
        let seen = generation_in(&lock);
        Ok(Self { path: path.to_owned(), state, is_link, lock, seen })
    }

    /// Where the state's file is.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    fn new_state(&self) -> PathBuf {
        self.state.with_file_name(NEW_STATE)
    }

    /// Looks at the state that is there, on this boot of the machine. Reserves every block of it, and changes nothing that
    /// it holds.
    ///
    /// # Errors
    /// When it cannot be read and written, the disk is full, or it is a symbolic link to something else than a state.
    pub fn find(&self, boot: Boot, steps: Steps<'_>) -> Result<Found, Error> {
        let found = self.look(boot, steps)?;
        if let Found::Damaged(damage) = &found {
            self.may_set_aside(*damage)?;
        }
        Ok(found)
    }

    /// Checks that a state that cannot be used may be set aside.
    ///
    /// # Errors
    /// If it is behind a symbolic link.
    pub fn may_set_aside(&self, damage: Damage) -> Result<(), Error> {
        if !self.is_link {
            return Ok(());
        }
        Err(Error::Link { link: self.path.join(STATE), target: self.state.clone(), reason: damage.to_string() })
    }

    fn look(&self, boot: Boot, steps: Steps<'_>) -> Result<Found, Error> {
        let path = self.state();
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(Error::refused(path, "the state cannot be looked at", error)),
            // Not even opened: opening a device can have side effects.
            Ok(metadata) if !metadata.is_file() => return Ok(Found::Damaged(Damage::Foreign)),
            Ok(_) => {}
        }
        let cannot_open = |error| Error::refused(path, "the state cannot be opened", error);
        let file = open_as_it_is(path, &mut OpenOptions::new()).map_err(cannot_open)?;
        let bytes = file.metadata().map_err(cannot_open)?.len();
        if !is_ours(&file) {
            return Ok(Found::Damaged(Damage::Foreign));
        }
        if bytes < header_bytes() || !bytes.is_multiple_of(size_of::<u64>() as u64) {
            return Ok(Found::Damaged(Damage::Length));
        }
        lock_too(&file, path)?;
        // Another process may have replaced it before it let go of the lock.
        if !Arena::is_file_at(&file, path) {
            return Err(Error::InUse { path: path.to_owned() });
        }
        // What a process that was killed had begun to make.
        let _ = fs::remove_file(self.new_state());
        // Before it is read: where a copy left out zeros, tmpfs needs a block even for reading through memory.
        reserve(&file, path, bytes)?;
        let identity = Identity::of(&file).map_err(cannot_open)?;
        let copy_on_write = blocks_on_disk::copy_on_write(&file);
        if copy_on_write == CopyOnWrite::Always {
            steps(Step::CopyOnWrite(path.to_owned()));
        }
        let arena = Arc::new(Arena::over(map(&file, path)?, Some(file)));
        let looked = header::read(arena.words()).and_then(|sections| {
            Ok((sections, header::trust(arena.words(), boot, identity, self.seen.unwrap_or_default())?))
        });
        Ok(match looked {
            Ok((sections, trust)) => {
                // Only now: until its header was read, it might have been another program's file.
                arena.file().into_iter().for_each(|file| keep_private(file, path, false, steps));
                Found::State { arena, sections, trust, must_move: copy_on_write == CopyOnWrite::On }
            }
            Err(damage) => Found::Damaged(damage),
        })
    }

    /// Makes a new state beside the one that may be there; [`Directory::put_in_place`] makes it the state.
    ///
    /// # Errors
    /// When it cannot be written, or the disk is full: every block of it is reserved here.
    pub fn create(&self, plan: &Plan, steps: Steps<'_>) -> Result<Arc<Arena>, Error> {
        let contents = serde_json::to_vec(plan.contents())
            .map_err(|error| Error::refused(&self.new_state(), "its contents cannot be listed", error.into()))?;
        let words = plan.words() + header::contents_words(&contents);
        let arena = self.create_file(words * size_of::<u64>(), steps)?;
        header::write(arena.words(), plan.words(), &contents);
        Ok(arena)
    }

    fn create_file(&self, bytes: usize, steps: Steps<'_>) -> Result<Arc<Arena>, Error> {
        let (path, bytes) = (self.new_state(), bytes as u64);
        let made = self.create_reserved(&path, bytes, steps);
        made.map_err(|error| {
            let _ = fs::remove_file(&path);
            if self.state.exists() { error.beside(&self.state) } else { error }
        })
    }

    fn create_reserved(&self, path: &Path, bytes: u64, steps: Steps<'_>) -> Result<Arc<Arena>, Error> {
        // A failed start in this process may have left one.
        let _ = fs::remove_file(path);
        let file = open(path, OpenOptions::new().create_new(true), steps)
            .map_err(|error| Error::refused(path, "the state cannot be made", error))?;
        if blocks_on_disk::switch_copy_on_write_off(&file) != CopyOnWrite::Off {
            steps(Step::CopyOnWrite(self.state.clone()));
        }
        reserve(&file, path, bytes)?;
        steps(Step::Reserved { file: path.to_owned(), bytes });
        lock_too(&file, path)?;
        Ok(Arc::new(Arena::over(map(&file, path)?, Some(file))))
    }

    /// Makes what [`Directory::create`] made the state, in one step, and keeps the one that was there under another name.
    ///
    /// # Errors
    /// When a file cannot be renamed, or the directory cannot be written to disk. The old state then still has its name.
    pub fn put_in_place(&self, old: Option<Kept>, steps: Steps<'_>) -> Result<(), Error> {
        let path = self.state();
        let put = |error| Error::refused(path, "the new state cannot be put in place", error);
        let kept = old.map(|kept| self.keep(&kept, steps)).transpose()?.flatten();
        fs::rename(self.new_state(), path).map_err(|error| {
            // Only if the state still has its own name.
            if let Some(other) = kept.as_ref().filter(|_| path.exists()) {
                let _ = fs::remove_file(other);
            }
            put(error)
        })?;
        sync_directory(path).map_err(|error| match &kept {
            // The rename may not be on disk: undo it.
            Some(other) if fs::rename(other, path).is_ok() => put(error).beside(path),
            _ => put(error),
        })?;
        names::limit_aside(path, kept.as_deref(), steps);
        Ok(())
    }

    /// Removes what [`Directory::create`] made, and says in an error that the state is as it was, if it is.
    #[must_use]
    pub fn without_new(&self, error: Error) -> Error {
        let is_beside = fs::remove_file(self.new_state()).is_ok();
        if is_beside && self.state.exists() { error.beside(&self.state) } else { error }
    }

    /// Gives the state a second name, so that it always has one. Returns the second name, or `None` if it could not be
    /// given.
    fn keep(&self, kept: &Kept, steps: Steps<'_>) -> Result<Option<PathBuf>, Error> {
        let path = self.state();
        let (other, step) = match kept {
            Kept::UntilShutdown => {
                let previous = path.with_file_name(PREVIOUS);
                let _ = fs::remove_file(&previous);
                (previous.clone(), Step::PreviousKept(previous))
            }
            Kept::Aside(stamp) => {
                let aside = names::aside(path, OTHER_LAYOUT, *stamp);
                let reason = "not everything in it could be carried over".to_owned();
                (aside.clone(), Step::SetAside { aside, reason })
            }
            Kept::Damaged(damage, stamp) => {
                let aside = names::aside(path, damage.word(), *stamp);
                (aside.clone(), Step::SetAside { aside, reason: damage.to_string() })
            }
        };
        match fs::hard_link(path, &other) {
            Ok(()) => {}
            // Everything in it is in the new one.
            Err(error) if *kept == Kept::UntilShutdown => {
                steps(Step::PreviousNotKept(other, error.to_string()));
                return Ok(None);
            }
            // A process that is killed between this renaming and the next has lost nothing that could be used.
            Err(_) if matches!(kept, Kept::Damaged(..)) => {
                fs::rename(path, &other).map_err(|error| Error::refused(path, "it cannot be set aside", error))?;
            }
            Err(error) => return Err(Error::refused(&other, "the state cannot be kept under this name", error)),
        }
        steps(step);
        Ok(Some(other))
    }

    /// The generation that the next use of a state has, later than all before it.
    #[must_use]
    pub fn next_generation(&self, arena: &Arena) -> u64 {
        arena.generation().max(self.seen.unwrap_or_default()).saturating_add(1)
    }

    /// Notes that the state is in use, in the state and in the lock, so that an older copy of it is known as one.
    pub fn note_generation(&self, arena: &Arena, generation: u64) {
        // In this order: a process that is killed in between leaves a state that is later than the lock.
        arena.set_generation(generation);
        // If the lock cannot be written, the only loss is that an older copy goes unnoticed. Another program's file is left alone.
        if self.seen.is_some() {
            let _ = self.lock.write_all_at(format!("{generation:020}\n").as_bytes(), 0);
        }
    }

    /// Removes what was kept of the state before its last carry-over.
    pub fn forget_previous(&self, steps: Steps<'_>) {
        names::forget_previous(&self.state, steps);
    }

    /// Writes a closed block to the state's path again, after its file was removed or replaced. What is there now is left
    /// alone.
    ///
    /// # Errors
    /// When it cannot be written; and when another file has the path, after the block was written beside it.
    pub fn write_again(&self, arena: &Arena, stamp: i64, steps: Steps<'_>) -> Result<(), Error> {
        let lock_is_ours = Arena::is_file_at(&self.lock, &self.path.join(LOCK));
        // The directory was replaced too: another process may use it.
        let anew = if lock_is_ours { None } else { Some(Self::lock(&self.path, steps)?) };
        let directory = anew.as_ref().unwrap_or(self);
        let copy = directory.create_file(arena.words().len() * size_of::<u64>(), steps)?;
        let path = directory.state();
        let cannot_write = |error| Error::refused(path, "the state cannot be written again", error);
        copy.copy_of(arena);
        copy.sign().and_then(|()| copy.close()).map_err(cannot_write)?;
        directory.note_generation(&copy, copy.generation());
        // Unlike a rename, a hard link never replaces a file that has just appeared.
        let linked = fs::hard_link(directory.new_state(), path);
        let has_no_links = || fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if linked.is_ok() || has_no_links() && fs::rename(directory.new_state(), path).is_ok() {
            let _ = fs::remove_file(directory.new_state());
            steps(Step::WrittenAgain(path.to_owned()));
            return sync_directory(path).map_err(cannot_write);
        }
        let saved = names::aside(path, REPLACED, stamp);
        fs::rename(directory.new_state(), &saved).and_then(|()| sync_directory(&saved)).map_err(cannot_write)?;
        names::limit_aside(path, Some(&saved), steps);
        Err(Error::Replaced { path: path.to_owned(), saved })
    }

    /// An error of the state's.
    #[must_use]
    pub fn refused(&self, what: &'static str, error: io::Error) -> Error {
        Error::refused(self.state(), what, error)
    }
}

const fn header_bytes() -> u64 {
    (HEADER_WORDS * size_of::<u64>()) as u64
}

/// The path that a symbolic link leads to, and whether it is one.
fn follow(state: PathBuf) -> Result<(PathBuf, bool), Error> {
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

/// The generation that a lock's file holds; 0 in an empty one, as 0.1.0 made it, and `None` in another program's.
fn generation_in(lock: &File) -> Option<u64> {
    if lock.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Some(0);
    }
    let mut digits = [0; 20];
    lock.read_exact_at(&mut digits, 0).ok()?;
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Whether a file starts as ours do.
fn is_ours(file: &File) -> bool {
    let mut start = [0; size_of::<u64>()];
    file.read_exact_at(&mut start, 0).is_ok() && u64::from_ne_bytes(start) == header::MAGIC
}

/// Locks the state's own file besides the directory's lock, which somebody may have removed.
fn lock_too(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_owned() }),
        // Where the file system has no locks, the directory's had none either.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

fn map(file: &File, path: &Path) -> Result<MmapRaw, Error> {
    MmapOptions::new().map_raw(file).map_err(|error| Error::refused(path, "it cannot be mapped", error))
}

fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), Error> {
    blocks_on_disk::reserve(file, bytes).map_err(|error| {
        if blocks_on_disk::is_full(&error) {
            Error::NoRoom { path: path.to_owned(), bytes, old: None }
        } else {
            Error::refused(path, "its space cannot be reserved", error)
        }
    })
}

/// Writes a directory to disk, in which a file was renamed. Some file systems (SMB, 9p) cannot, and say so.
fn sync_directory(file: &Path) -> io::Result<()> {
    let synced = File::open(file.parent().unwrap_or(file)).and_then(|directory| directory.sync_all());
    let unsupported = [Errno::INVAL, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
    match synced {
        Err(error) if unsupported.contains(&error.raw_os_error()) => Ok(()),
        synced => synced,
    }
}
