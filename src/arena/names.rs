//! The names of the files in a state's directory, and which of them are kept.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::step::{Step, Steps};

/// The mapped file.
pub(super) const STATE: &str = "state";

/// The path of a directory's state.
pub(crate) fn state_path(directory: &Path) -> PathBuf {
    directory.join(STATE)
}

/// Whether a directory has something at the path of its state.
///
/// # Errors
/// When that cannot be found out.
pub(crate) fn has_state(directory: &Path) -> io::Result<bool> {
    match state_path(directory).symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A new state, until it is complete.
pub(super) const NEW_STATE: &str = "state.new";

/// The state before its conversion, until the next regular shutdown.
pub(super) const PREVIOUS: &str = "state.previous";

/// Locked while a process uses the directory. Not the state itself, because that may be replaced.
pub(super) const LOCK: &str = "lock";

/// Why a file was renamed: `state.<word>-<time>`.
pub(super) const OTHER_LAYOUT: &str = "other-layout";
pub(super) const REPLACED: &str = "replaced";
const WORDS: [&str; 5] = ["damaged", "foreign", "other-version", OTHER_LAYOUT, REPLACED];

/// How many renamed files are kept. Each takes as much space as a state.
const MAX_ASIDE: usize = 3;

/// What a file in a state's directory is, by its name; `None` for the state itself and for files that are not ours.
pub(crate) fn describe(name: &str) -> Option<&'static str> {
    let kept = |word: &str| name.strip_prefix(STATE)?.strip_prefix('.')?.strip_prefix(word)?.strip_prefix('-');
    match name {
        LOCK => Some("prevents a second process from using the state"),
        NEW_STATE => Some("an incomplete new state; the next start removes it"),
        PREVIOUS => Some("the state before its conversion; the next graceful shutdown removes it"),
        _ if parse_stamp(name).is_none() => None,
        _ if kept(OTHER_LAYOUT).is_some() => {
            Some("the state before its conversion, with parts that are not in the new one")
        }
        _ if kept(REPLACED).is_some() => Some("a state that another file or a backup replaced"),
        _ if kept("damaged").is_some() => Some("a damaged state"),
        _ if kept("foreign").is_some() => Some("a file that is not a state"),
        _ => Some("a state that the program could not read"),
    }
}

/// An unused name for a file that is renamed at this time, in milliseconds since the epoch.
pub(super) fn stamped_path(state: &Path, word: &str, stamp: i64) -> PathBuf {
    let names = (0..).map(|number: u32| match number {
        0 => format!("{STATE}.{word}-{stamp}"),
        _ => format!("{STATE}.{word}-{stamp}-{number}"),
    });
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    names.map(|name| state.with_file_name(name)).find(is_free).unwrap_or_default()
}

/// When a file was renamed, and its number among the files of the same time; `None` for any other file.
fn parse_stamp(name: &str) -> Option<(i64, u32)> {
    let rest = name.strip_prefix(STATE)?.strip_prefix('.')?;
    let stamp = WORDS.iter().find_map(|word| rest.strip_prefix(word)?.strip_prefix('-'))?;
    match stamp.rsplit_once('-') {
        Some((stamp, number)) if !stamp.is_empty() => Some((stamp.parse().ok()?, number.parse().ok()?)),
        _ => Some((stamp.parse().ok()?, 0)),
    }
}

/// Removes all but the newest renamed files. `newest` stays even if the clock was set back.
pub(super) fn limit_aside(state: &Path, newest: Option<&Path>, steps: Steps<'_>) {
    let Some(Ok(entries)) = state.parent().map(fs::read_dir) else { return };
    let file = |entry: fs::DirEntry| {
        let stamp = parse_stamp(entry.file_name().to_str()?)?;
        // A directory at the state's path is renamed too, but not removed, because it is not ours.
        let is_removable = entry.file_type().is_ok_and(|kind| !kind.is_dir());
        is_removable.then(|| (newest == Some(&entry.path()), stamp, entry.path()))
    };
    let mut files: Vec<_> = entries.flatten().filter_map(file).collect();
    files.sort();
    let excess = files.len().saturating_sub(MAX_ASIDE);
    for (.., path) in files.into_iter().take(excess) {
        remove(path, steps);
    }
}

/// The name for the state before a conversion. An older one with this name is removed.
pub(super) fn free_previous(state: &Path, steps: Steps<'_>) -> PathBuf {
    let previous = state.with_file_name(PREVIOUS);
    let inode = |path: &Path| fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    // After a kill during a conversion, both names may be the same file.
    let is_older = inode(state) != inode(&previous);
    if fs::remove_file(&previous).is_ok() && is_older {
        steps(Step::PreviousReplaced(previous.clone()));
    }
    previous
}

/// Removes the state before the last conversion.
pub(super) fn remove_previous(state: &Path, steps: Steps<'_>) {
    remove(state.with_file_name(PREVIOUS), steps);
}

/// Removes a file. An error is ignored: the file only takes up space, and the next call tries again.
pub(super) fn remove(path: PathBuf, steps: Steps<'_>) {
    if fs::remove_file(&path).is_ok() {
        steps(Step::Removed(path));
    }
}

/// mkfs creates it in the root of a volume.
const LOST_AND_FOUND: &str = "lost+found";

/// Whether a directory has only files of a state.
pub(super) fn has_only_our_files(directory: &Path) -> bool {
    let is_ours =
        |name: &str| [STATE, NEW_STATE, PREVIOUS, LOCK, LOST_AND_FOUND].contains(&name) || parse_stamp(name).is_some();
    fs::read_dir(directory).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_ours)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_renamed_file_is_recognized_by_its_name() {
        for (name, stamp_of_it) in [
            ("state.damaged-1732345678901", Some((1_732_345_678_901, 0))),
            ("state.other-version-17-2", Some((17, 2))),
            ("state.other-layout--5", Some((-5, 0))),
            ("state.replaced--5-1", Some((-5, 1))),
            ("state", None),
            ("state.new", None),
            ("state.previous", None),
            ("state.damaged", None),
            ("state.damaged-", None),
            ("state.damaged-mine", None),
            ("state.backup-17", None),
            ("other.damaged-17", None),
        ] {
            assert_eq!(parse_stamp(name), stamp_of_it, "{name}");
        }
    }

    #[test]
    fn every_file_that_is_kept_has_a_description_of_its_own() {
        let names = WORDS.map(|word| format!("state.{word}-17-2"));
        let all: Vec<_> = names.iter().map(String::as_str).chain([LOCK, NEW_STATE, PREVIOUS]).collect();
        let described: std::collections::BTreeSet<_> = all.iter().map(|name| describe(name).unwrap()).collect();
        assert_eq!(described.len(), all.len());
        assert_eq!(["state", "state.damaged", "forward", "mine"].map(describe), [None; 4]);
    }

    #[test]
    fn only_the_three_newest_are_kept_and_other_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join(STATE);
        let made = [("foreign", 30), ("damaged", 10), ("damaged", 10), ("other-version", 20), ("other-layout", 40)];
        let paths = made.map(|(word, stamp)| {
            let path = stamped_path(&state, word, stamp);
            fs::write(&path, "").unwrap();
            path
        });
        let others = ["state", "state.backup-1", "mine"].map(|name| directory.path().join(name));
        others.iter().for_each(|path| fs::write(path, "").unwrap());
        fs::create_dir(directory.path().join("state.foreign-1")).unwrap();
        let removed = RefCell::new(Vec::new());
        limit_aside(&state, Some(&paths[1]), &|step| removed.borrow_mut().push(step));
        assert_eq!(*removed.borrow(), [2, 3].map(|oldest| Step::Removed(paths[oldest].clone())));
        assert!([0, 1, 4].iter().all(|kept| paths[*kept].exists()) && others.iter().all(|path| path.exists()));
        assert!(directory.path().join("state.foreign-1").exists());
    }
}
