//! The files of a spool: their names, and how they are opened, created and set aside.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::domain::FileSync;

/// The end of the name of a file that was set aside.
const DAMAGED: &str = ".damaged";

/// Maximum number of files of one name that are set aside.
const MAX_NUMBER: u32 = 1000;

/// What is in the spool's directory.
pub(super) enum Found {
    /// A segment with this number.
    Segment(u64),
    /// A file that was set aside.
    Damaged,
    /// Not a segment.
    Other,
}

/// What the name of a file says.
pub(super) fn classify(path: &Path) -> Found {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if name.contains(DAMAGED) {
        return Found::Damaged;
    }
    let digits = name.strip_suffix(".spool").filter(|digits| digits.len() == 16);
    let is_ours = |digits: &&str| digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    digits.filter(is_ours).and_then(|digits| u64::from_str_radix(digits, 16).ok()).map_or(Found::Other, Found::Segment)
}

/// The path of a segment.
pub(super) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.spool"))
}

/// What is in a directory: paths and what their names say.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(PathBuf, Found)>> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    entries.map(|path| path.map(|path| (path.clone(), classify(&path)))).collect()
}

/// Why a file cannot be opened.
pub(super) enum Trouble {
    /// There is none.
    Missing,
    /// It will not work later either.
    Unusable,
    /// The process lacks memory or open files at the moment.
    Passing(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR];
        match error.raw_os_error() {
            Some(code) if code == Errno::NOENT.raw_os_error() => Self::Missing,
            Some(code) if passing.iter().any(|errno| errno.raw_os_error() == code) => Self::Passing(error),
            _ => Self::Unusable,
        }
    }
}

/// Opens a file for reading, and for marks. Never follows a link, and never waits for the other end of a pipe.
pub(super) fn open(path: &Path, for_marks: bool) -> Result<File, Trouble> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).write(for_marks).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Trouble::Unusable) }
}

/// Creates a segment for appending.
pub(super) fn create(path: &Path, sync: FileSync) -> io::Result<File> {
    let flags = if sync == FileSync::Append { OFlags::DSYNC.bits().cast_signed() } else { 0 };
    OpenOptions::new().append(true).create_new(true).mode(0o600).custom_flags(flags).open(path)
}

/// Creates a directory that only its owner may read. What is at its path and is not a directory is set aside.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    if path.exists() && !path.is_dir() {
        set_aside(path)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        // On a file system without modes, this is all that can be done.
        let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    }
    Ok(())
}

/// Gives a damaged file a name that says so. Returns its new path.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let with = |end: String| {
        let mut name = OsString::from(path);
        name.push(end);
        PathBuf::from(name)
    };
    let is_free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    let mut names =
        (0..MAX_NUMBER).map(|number| with(if number == 0 { DAMAGED.into() } else { format!("{DAMAGED}.{number}") }));
    let to = names.find(is_free).ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &to)?;
    Ok(to)
}

/// Replaces a small file at once.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        io::Write::write_all(&mut options.custom_flags(flags).open(&new)?, text.as_bytes())?;
        fs::rename(&new, path)
    };
    write().or_else(|error| {
        // Something that is not a file may be at one of the paths.
        let is_other = |path: &&Path| fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
        let mut in_the_way = [new.as_path(), path].into_iter().filter(is_other).peekable();
        if in_the_way.peek().is_none() {
            return Err(error);
        }
        in_the_way.try_for_each(|path| set_aside(path).map(drop))?;
        write()
    })
}

/// Writes the names in a directory to the disk. Some file systems (SMB, 9p) do not support that.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let unsupported = [Errno::INVAL, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
    match File::open(path).and_then(|directory| directory.sync_all()) {
        Err(error) if unsupported.contains(&error.raw_os_error()) => Ok(()),
        synced => synced,
    }
}
