//! `openim-exporter state backup`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::{Builder, NamedTempFile};

use super::copied::copy_of;
use super::error::Error;
use super::words::size;
use crate::config::Output;
use crate::stats::{Source, StateCopy};

/// A shorter backup shows no progress.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// Time between two changes of what is shown.
const SHOW_INTERVAL: Duration = Duration::from_millis(200);

/// Writes a copy of the state in this file.
pub(super) fn back_up(state: &Path, to: &Output, force: bool, output: &mut dyn Write) -> Result<(), Error> {
    match to {
        Output::Standard if io::stdout().is_terminal() => Err(Error::Terminal),
        Output::Standard => {
            let copy = copy_of(state)?;
            let mut progress = Progress::new(output, copy.written_bytes());
            // Also if the reader has ended: then the backup is not complete.
            let written = copy.write(&mut progress).and_then(|()| progress.flush());
            written.map_err(|error| Error::OutputFailed("-".into(), error))?;
            drop(progress);
            // Not to standard output, which is the backup.
            let _ = writeln!(io::stderr(), "{}", describe(&copy));
            Ok(())
        }
        Output::File(path) => {
            check_output(state, path, force)?;
            let copy = copy_of(state)?;
            let failed = |error| Error::OutputFailed(path.clone(), error);
            let file = write_beside(path, &copy).map_err(failed)?;
            // Under its temporary name: a backup that cannot be read never gets its final one.
            copy_of(file.path())?;
            put_in_place(file, path, force).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => Error::OutputExists(path.clone()),
                _ => failed(error),
            })?;
            Ok(writeln!(output, "{}: {}", path.display(), describe(&copy))?)
        }
    }
}

/// Checks that the backup may have this name, before the state is copied.
fn check_output(state: &Path, path: &Path, force: bool) -> Result<(), Error> {
    // Not of what a link leads to: the link itself is replaced.
    let Ok(existing) = fs::symlink_metadata(path) else { return Ok(()) };
    let inode = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    // Each has a lock file beside it if an exporter has used that directory.
    let states = [Ok(state.to_owned()), fs::canonicalize(state)];
    let is_own = states.into_iter().flatten().any(|state| {
        let own = [fs::symlink_metadata(&state), fs::metadata(state.with_file_name("lock"))];
        own.iter().flatten().any(|own| inode(own) == inode(&existing))
    });
    // A link to a device, for example, must stay.
    let is_file = fs::metadata(path).map_or(existing.is_symlink(), |metadata| metadata.is_file());
    match force {
        _ if is_own || existing.is_dir() => Err(Error::UnusableOutput(path.to_owned())),
        false => Err(Error::OutputExists(path.to_owned())),
        true if !is_file => Err(Error::UnusableOutput(path.to_owned())),
        true => Ok(()),
    }
}

/// Writes the copy to disk under a temporary name, with mode 0600. The file is removed when it is dropped.
fn write_beside(path: &Path, copy: &StateCopy) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or(OsStr::new("backup"));
    let mut prefix = OsStr::new(".").to_owned();
    prefix.push(name);
    let mut file = Builder::new().prefix(&prefix).suffix(".incomplete").tempfile_in(directory_of(path))?;
    let mut progress = Progress::new(&mut file, copy.written_bytes());
    copy.write(&mut progress)?;
    progress.flush()?;
    drop(progress);
    file.as_file().sync_all()?;
    Ok(file)
}

fn put_in_place(file: NamedTempFile, path: &Path, force: bool) -> io::Result<()> {
    if force {
        file.persist(path)?
    } else {
        file.persist_noclobber(path)?
    };
    // Some file systems cannot do this.
    let _ = File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn describe(copy: &StateCopy) -> String {
    let stats = &copy.stats;
    let counters = match copy.source {
        Source::Closed => "the exporter was stopped",
        Source::InUse => "the exporter was running, so its counters start from 0 when the backup is restored",
        Source::Killed | Source::Copied => {
            "the state was not closed, so its counters start from 0 when the backup is restored"
        }
    };
    format!(
        "backup of {}; messages: {} in groups, {} between two users; groups: {}; {counters}",
        size(copy.written_bytes()),
        stats.messages(),
        stats.single_messages(),
        stats.groups_tracked(),
    )
}

/// Shows on a terminal how much has been written, if that takes long.
struct Progress<W: Write> {
    to: W,
    written: u64,
    all: u64,
    /// When to show it next; `None` without a terminal.
    next: Option<Instant>,
    is_shown: bool,
}

impl<W: Write> Progress<W> {
    fn new(to: W, all: u64) -> Self {
        let next = io::stderr().is_terminal().then(|| Instant::now() + SHOW_AFTER);
        Self { to, written: 0, all, next, is_shown: false }
    }
}

impl<W: Write> Write for Progress<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.written += written as u64;
        if self.next.is_some_and(|next| next <= Instant::now()) {
            self.next = Some(Instant::now() + SHOW_INTERVAL);
            self.is_shown = true;
            let percent = (self.written * 100).checked_div(self.all).unwrap_or_default();
            let _ = write!(io::stderr(), "\r{percent} % of {} written", size(self.all));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        if self.is_shown {
            // Erases the line.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
