//! The directory of the records and the files in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::lines::Lines;
use crate::domain::{FileSync, UnixMillis};
use crate::telemetry::Telemetry;

/// The records contain what people write.
const MODE: u32 = 0o700;
/// The permission bits of the group and of others.
const OTHERS: u32 = 0o077;

const PREFIX: &str = "callbacks-";
const PLAIN: &str = ".jsonl";
/// Appended to the name of a compressed file.
const COMPRESSED: &str = ".gz";
/// Appended to that while it is written.
const PART: &str = ".part";

/// How many milliseconds later than now a file's name may be, if files with earlier names exist.
const MAX_LATER: i64 = 10_000;

/// The directory of the records. No other exporter can lock it while this one does.
pub(super) struct Directory {
    path: PathBuf,
    _locked: File,
}

/// A file with records.
pub(super) struct RecordFile {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When it was last written. A compressed file has the time of the file before.
    pub(super) modified: SystemTime,
}

impl RecordFile {
    pub(super) fn is_plain(&self) -> bool {
        self.path.to_string_lossy().ends_with(PLAIN)
    }
}

impl Directory {
    /// Creates the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be created or opened, or another process has locked it.
    pub(super) fn lock(path: &Path, telemetry: &Telemetry) -> io::Result<Self> {
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(MODE).create(path)?;
        }
        let directory = File::open(path)?;
        let mode = directory.metadata()?.permissions().mode();
        if mode & OTHERS != 0 {
            telemetry.record_directory_is_open(path, mode & 0o777);
        }
        match directory.try_lock() {
            Err(TryLockError::WouldBlock) => {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "another exporter uses this directory for its records"))
            }
            // Some network file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { path: path.to_owned(), _locked: directory }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a file, whose name is the time.
    pub(super) fn begin(&self, now: UnixMillis, sync: FileSync) -> io::Result<Lines> {
        let mut last = io::ErrorKind::AlreadyExists.into();
        for later in 0..MAX_LATER {
            let path = self.path.join(format!("{PREFIX}{}{PLAIN}", stamp(UnixMillis(now.0 + later))));
            if compressed(&path).exists() {
                continue;
            }
            match Lines::create(path, sync) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// All files with records, oldest first.
    pub(super) fn files(&self) -> io::Result<Vec<RecordFile>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_ours = name.starts_with(PREFIX)
                && (name.ends_with(PLAIN) || name.strip_suffix(COMPRESSED).is_some_and(|name| name.ends_with(PLAIN)));
            // It may have been removed meanwhile.
            if is_ours && let Ok(metadata) = entry.metadata() {
                let modified = metadata.modified()?;
                files.push(RecordFile { path: entry.path(), bytes: metadata.len(), modified });
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    /// Removes what a killed process left of a compression.
    pub(super) fn remove_parts(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(PREFIX) && name.ends_with(PART) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The path of a file once it is compressed.
pub(super) fn compressed(path: &Path) -> PathBuf {
    with_suffix(path, COMPRESSED)
}

/// The path of a compressed file while it is written.
pub(super) fn part(compressed: &Path) -> PathBuf {
    with_suffix(compressed, PART)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// A time in a file's name, in UTC like those in the file: names sort by time.
fn stamp(time: UnixMillis) -> String {
    let time = Timestamp::from_millisecond(time.0).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_has_the_time_in_utc() {
        assert_eq!(stamp(UnixMillis(1_795_897_041_067)), "20261128T201721.067Z");
        assert_eq!(stamp(UnixMillis(1_795_897_041_000)), "20261128T201721.000Z");
    }
}
