//! What operators ask for: they mark records in the files, and create a file that says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use super::limits::Dropped;
use super::log::Log;
use super::record::{Entry, State};
use super::segment::{Position, Segment};
use super::window::{Step, Window, read_entry};

/// The file that says that an operator marked records.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("requests")
}

/// Does what operators asked for: drops records, or passes them to `append`, which returns false if it cannot take one.
///
/// # Errors
/// When a file cannot be opened, or a record cannot be appended. It is tried again at the next call.
pub(super) fn obey(log: &Log, window: &mut Window, append: &dyn Fn(&Entry) -> bool) -> io::Result<()> {
    let (segments, path) = (log.all_segments(), path(&log.directory));
    if fs::symlink_metadata(&path).is_ok() {
        // It may be something else than a file.
        fs::remove_file(&path).or_else(|_| log.set_aside(&path))?;
        segments.iter().for_each(|segment| segment.has_requests.store(true, Relaxed));
    }
    for segment in segments.iter().filter(|segment| segment.is_counted() && segment.has_requests.load(Relaxed)) {
        // Cleared first, because another request may arrive meanwhile.
        segment.has_requests.store(false, Relaxed);
        obey_in(log, segment, window, append).inspect_err(|_| segment.has_requests.store(true, Relaxed))?;
    }
    Ok(())
}

fn obey_in(log: &Log, segment: &Segment, window: &mut Window, append: &dyn Fn(&Entry) -> bool) -> io::Result<()> {
    window.clear();
    let mut obeyed = Ok(());
    log.walk(segment, window, segment.first_pending.load(Relaxed), |file, offset, step| {
        let Step::Other(header) = step else { return true };
        match header.state {
            State::ToDrop => log.drop_records(Dropped::Operator, 1),
            State::ToReplay => match read_entry(file, segment.salt(), offset) {
                Some(entry) if append(&entry) => {}
                Some(_) => {
                    obeyed = Err(io::ErrorKind::StorageFull.into());
                    return false;
                }
                None => log.drop_records(Dropped::Damaged, 1),
            },
            State::Pending | State::Done => return true,
        }
        // A mark that cannot be written is tried again.
        let _ = log.finish(segment, file, Position { segment: segment.number, offset }, header);
        true
    })?;
    obeyed
}
