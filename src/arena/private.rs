//! Creating and opening directories and files that only the exporter's user can access.

use std::fs::{self, DirBuilder, DirEntry, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::names::{self, LOCK};
use super::step::{Error, Step, Steps};

/// Only for the exporter's user, because the files contain group IDs and operation IDs.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Whether users have access who should not. If the path belongs to another user, this process may have access only as a
/// member of its group: in containers, a volume often belongs to root and to the container's group, and all users may list
/// it. The files in it are private all the same.
fn is_open(metadata: &Metadata) -> bool {
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let forbidden = match (is_ours, metadata.is_dir()) {
        (true, _) => 0o077,
        (false, true) => 0o002,
        (false, false) => 0o007,
    };
    metadata.mode() & forbidden != 0
}

/// Creates a directory if it is missing. An existing one that contains files that are not ours keeps its mode: it may
/// be shared on purpose.
///
/// # Errors
/// When the directory cannot be created.
pub(super) fn create_directory(path: &Path, steps: Steps<'_>) -> Result<(), Error> {
    let is_new = !path.exists();
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|error| Error::io(path, "the directory cannot be created", error))?;
    let restrict = || fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE));
    if is_new {
        // The umask may have removed the owner's permissions too.
        return restrict().map_err(|error| Error::io(path, "the mode cannot be set", error));
    }
    if fs::metadata(path).is_ok_and(|metadata| is_open(&metadata)) {
        steps(if names::has_only_our_files(path) {
            mode_step(path, restrict())
        } else {
            Step::ModeUnchanged(path.to_owned(), "it contains files that are not the exporter's".to_owned())
        });
    }
    Ok(())
}

/// Removes the lock file and the directories that [`create_directory`] has created, up to the topmost one. A directory
/// that contains anything else stays.
pub(crate) fn remove_created(directory: &Path, topmost: &Path) {
    let is_lock = |entry: io::Result<DirEntry>| entry.is_ok_and(|entry| entry.file_name() == LOCK);
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.all(is_lock)) {
        let _ = fs::remove_file(directory.join(LOCK));
    }
    for created in directory.ancestors().take_while(|directory| directory.starts_with(topmost)) {
        let _ = fs::remove_dir(created);
    }
}

/// Opens a file for reading and writing, restricts its mode, and never follows a symbolic link.
pub(super) fn open_private(path: &Path, options: &mut OpenOptions, steps: Steps<'_>) -> io::Result<File> {
    let is_new = path.symlink_metadata().is_err();
    let file = open(path, options)?;
    restrict_mode(&file, path, is_new, steps);
    Ok(file)
}

/// Opens a file for reading and writing, and never follows a symbolic link.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.read(true).write(true).mode(FILE_MODE).custom_flags(no_link).open(path)
}

/// Lets only the owner read and write a file. For a new one, the umask may have removed the owner's permissions too.
pub(super) fn restrict_mode(file: &File, path: &Path, is_new: bool, steps: Steps<'_>) {
    if is_new || file.metadata().is_ok_and(|metadata| is_open(&metadata)) {
        let result = file.set_permissions(Permissions::from_mode(FILE_MODE));
        if !is_new || result.is_err() {
            steps(mode_step(path, result));
        }
    }
}

/// The same for a renamed file, without opening it: it may be a device, or another program's file.
pub(super) fn restrict_kept(path: &Path, steps: Steps<'_>) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_file() && is_open(&metadata) {
        steps(mode_step(path, fs::set_permissions(path, Permissions::from_mode(FILE_MODE))));
    }
}

fn mode_step(path: &Path, restricted: io::Result<()>) -> Step {
    match restricted {
        Ok(()) => Step::ModeRestricted(path.to_owned()),
        Err(error) => Step::ModeUnchanged(path.to_owned(), error.to_string()),
    }
}
