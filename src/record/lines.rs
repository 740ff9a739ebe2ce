//! A file that lines are appended to.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use rustix::fs::OFlags;

use crate::domain::FileSync;
use crate::telemetry::RecordFailure;

/// The records contain what people write.
const MODE: u32 = 0o600;

/// The file that lines are appended to; `None` while none can be created.
pub(super) type CurrentLines = ArcSwapOption<Lines>;

/// A file that lines are appended to.
pub(super) struct Lines {
    file: File,
    path: PathBuf,
    /// The last line is incomplete, because the disk was full.
    is_torn: AtomicBool,
}

impl Lines {
    /// Creates a file.
    ///
    /// # Errors
    /// When it exists, or cannot be created.
    pub(super) fn create(path: PathBuf, sync: FileSync) -> io::Result<Self> {
        let flags = match sync {
            FileSync::Second => OFlags::empty(),
            FileSync::Append => OFlags::DSYNC,
        };
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new().append(true).create_new(true).mode(MODE).custom_flags(flags).open(&path)?;
        Ok(Self { file, path, is_torn: AtomicBool::new(false) })
    }

    /// Appends a line, which has a line break in front, with one system call. If the previous line is torn, the line
    /// break in front ends it.
    ///
    /// # Errors
    /// When the line was not written, or not all of it.
    pub(super) fn append(&self, line: &[u8]) -> io::Result<()> {
        let is_torn = self.is_torn.load(Ordering::Relaxed);
        let line = line.get(usize::from(!is_torn)..).unwrap_or_default();
        let written = loop {
            match (&self.file).write(line) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if written < line.len() {
            self.is_torn.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::StorageFull.into());
        }
        if is_torn {
            self.is_torn.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Syncs to disk what was appended.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The size in bytes; `None` if the file is no longer at its path.
    pub(super) fn size(&self) -> io::Result<Option<u64>> {
        let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let own = self.file.metadata()?;
        match self.path.symlink_metadata() {
            Ok(found) if identity(&found) == identity(&own) => Ok(Some(own.len())),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Why a line was not written.
#[cold]
pub(super) fn failure(error: &io::Error) -> RecordFailure {
    if is_full(error) { RecordFailure::DiskFull } else { RecordFailure::Write }
}

/// Whether there is no space: on the disk, in the user's quota, or within the limit on the file size.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
