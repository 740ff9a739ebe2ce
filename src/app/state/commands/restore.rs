//! `openim-exporter state restore`.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use super::error::Error;
use super::next_start::NextStart;
use super::words::size;
use crate::app::state::boot::current_boot;
use crate::arena::{
    self, Boot, Directory, ReadError, Received, RestoreError, Step, Trust, examine, owner_of, remove_created,
};
use crate::config::RestoredCounters;
use crate::domain::{Clock as _, SystemClock, UnixMillis};
use crate::stats::{CopyError, Stats};

/// A backup that was put in place.
struct Restored {
    state: PathBuf,
    bytes: u64,
    /// Where the state that was there before is kept.
    kept: Option<PathBuf>,
    /// Older files of that kind, which were removed.
    removed: Vec<PathBuf>,
}

/// Puts a backup in the place of the state in a directory. `None` is standard input.
pub(super) fn restore(
    backup: Option<&Path>,
    storage: &Path,
    counters: RestoredCounters,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let name = backup.map_or_else(|| PathBuf::from("standard input"), Path::to_owned);
    // First: a wrong path must not create the directory.
    let mut source = open(backup).map_err(|error| Error::Backup(name.clone(), RestoreError::Read(error)))?;
    let now = SystemClock.now();
    let boot = current_boot(now);
    // The topmost directory that is created: all new ones will belong to this process's user.
    let new = storage.ancestors().take_while(|directory| matches!(directory.try_exists(), Ok(false))).last();
    let restored = replace(&mut *source, &name, storage, counters, (boot, now)).inspect_err(|error| {
        // Otherwise the next attempt would take it for an existing directory. If another process uses it, or the path leads
        // out of it again, it may not be this command's.
        let is_ours = !matches!(error, Error::State(arena::Error::InUse { .. }))
            && storage.components().all(|part| part != Component::ParentDir);
        new.into_iter().filter(|_| is_ours).for_each(|new| remove_created(storage, new));
    })?;
    let (bytes, state) = (size(restored.bytes), restored.state.display());
    writeln!(output, "restored {} ({bytes}) to {state}", name.display())?;
    if let Some(kept) = restored.kept {
        writeln!(output, "the state that was there is kept as {}", kept.display())?;
    }
    for removed in restored.removed {
        writeln!(output, "{} was removed: only the newest of such files are kept", removed.display())?;
    }
    if let Some(new) = new.map(Path::display) {
        writeln!(output, "{new} is new; make sure that the exporter's user is its owner: chown -R USER {new}")?;
    }
    let next_start = NextStart::new(&examine(storage, boot)?, None);
    writeln!(output, "next start: {next_start}")?;
    Ok(())
}

/// Checks a backup, and replaces the state with it.
fn replace(
    source: &mut dyn Read,
    name: &Path,
    storage: &Path,
    counters: RestoredCounters,
    (boot, now): (Boot, UnixMillis),
) -> Result<Restored, Error> {
    let cannot_restore = |error| match error {
        RestoreError::Directory(error) => Error::State(error),
        error => Error::Backup(name.to_owned(), error),
    };
    let owner = owner_of(storage);
    let (kept, removed) = (RefCell::new(None), RefCell::new(Vec::new()));
    let report = |step| match step {
        Step::Renamed { path, .. } => drop(kept.replace(Some(path))),
        // Not what an interrupted restore left.
        Step::Removed(path) if path.extension() != Some("new".as_ref()) => removed.borrow_mut().push(path),
        _ => {}
    };
    let directory = Directory::lock(storage, &report)?;
    directory.give_lock(owner)?;
    let received = directory.receive(source, owner, &report).map_err(cannot_restore)?;
    let trust = received.assess(boot).map_err(cannot_restore)?;
    let must_keep = counters == RestoredCounters::Keep && matches!(trust, Trust::Torn(_));
    check(&received, boot, if must_keep { Trust::Restored } else { trust }, name)?;
    let marked = match counters {
        RestoredCounters::Keep if must_keep => received.keep_counters(),
        // This directory has had a later state, which the start cannot see in a backup of 0.1.0.
        RestoredCounters::Auto if !matches!(trust, Trust::Torn(_)) && received.is_older() => received.reset_counters(),
        RestoredCounters::Reset => received.reset_counters(),
        // The start decides, as for any copy.
        RestoredCounters::Auto | RestoredCounters::Keep => Ok(()),
    };
    let bytes = marked.and_then(|()| received.put_in_place(now.0, &report)).map_err(cannot_restore)?;
    Ok(Restored { state: directory.state().to_owned(), bytes, kept: kept.take(), removed: removed.take() })
}

/// Checks the numbers of a backup as a start does.
fn check(received: &Received<'_>, boot: Boot, trust: Trust, name: &Path) -> Result<(), Error> {
    let name = name.to_owned();
    Stats::check_state(&received.path(), boot, trust, SystemClock.now()).map_err(|error| match error {
        CopyError::Read(ReadError::Damaged { damage, .. }) => Error::Backup(name, damage.into()),
        CopyError::Newer { unknown, .. } => CopyError::Newer { path: name, unknown }.into(),
        error => error.into(),
    })
}

fn open(backup: Option<&Path>) -> io::Result<Box<dyn Read>> {
    Ok(match backup {
        // Not opened, because opening a device can have side effects, and a pipe would block.
        Some(path) if !fs::metadata(path)?.is_file() => {
            return Err(io::Error::other("it is not a regular file; give - to read standard input"));
        }
        Some(path) => Box::new(File::open(path)?),
        None => Box::new(io::stdin().lock()),
    })
}
