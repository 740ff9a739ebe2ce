//! Directories and files that only the exporter's user can access.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::names;
use super::step::{Error, Step, Steps};

/// For the user that runs the exporter alone: the files hold group IDs and operation IDs.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// Makes a directory if there is none. One that has other files than ours keeps its mode: it may be meant for others.
pub(super) fn make_private(path: &Path, steps: Steps<'_>) -> Result<(), Error> {
    let is_new = !path.exists();
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|error| Error::refused(path, "the directory cannot be made", error))?;
    let mode = fs::metadata(path).map_or(DIRECTORY_MODE, |metadata| metadata.permissions().mode());
    let narrow = || fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE));
    if is_new {
        // A umask may have taken the owner's rights too.
        return narrow().map_err(|error| Error::refused(path, "its mode cannot be set", error));
    }
    if mode & OTHERS != 0 {
        let stays = |why: String| Step::ModeStays(path.to_owned(), why);
        steps(match names::are_all_ours(path).then(narrow) {
            Some(Ok(())) => Step::ModeNarrowed(path.to_owned()),
            Some(Err(error)) => stays(error.to_string()),
            None => stays("it holds other files than the state's".to_owned()),
        });
    }
    Ok(())
}

/// Opens a file to be read and written, never through a symbolic link, and keeps others from doing so.
pub(super) fn open(path: &Path, options: &mut OpenOptions, steps: Steps<'_>) -> io::Result<File> {
    let is_new = path.symlink_metadata().is_err();
    let file = open_as_it_is(path, options)?;
    keep_private(&file, path, is_new, steps);
    Ok(file)
}

/// Opens a file to be read and written, never through a symbolic link.
pub(super) fn open_as_it_is(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.read(true).write(true).mode(FILE_MODE).custom_flags(no_link).open(path)
}

/// Keeps others from reading and writing a file. A umask may have taken the owner's rights to a new one.
pub(super) fn keep_private(file: &File, path: &Path, is_new: bool, steps: Steps<'_>) {
    let mode = file.metadata().map_or(FILE_MODE, |metadata| metadata.permissions().mode());
    if is_new || mode & OTHERS != 0 {
        match file.set_permissions(Permissions::from_mode(FILE_MODE)) {
            Ok(()) if is_new => {}
            Ok(()) => steps(Step::ModeNarrowed(path.to_owned())),
            Err(error) => steps(Step::ModeStays(path.to_owned(), error.to_string())),
        }
    }
}
