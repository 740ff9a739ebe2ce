//! The work of the maintaining thread on one directory: limits, removals, and in their order all other steps.

use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::current::{Current, segment_bytes};
use super::files::{self, Found};
use super::limits::{Dropped, Limits};
use super::log::{Log, mark};
use super::manifest;
use super::record::{Entry, State};
use super::requests;
use super::segment::{Noted, Position, Segment};
use super::window::{Step, Window};

/// Maximum number of files that are set aside.
const MAX_ASIDE: usize = 64;

/// Maximum number of bytes of an earlier process's segments that are counted in one call.
const MAX_COUNTED: u64 = 64 << 20;

/// A longer file is not a segment.
const MAX_SEGMENT: u64 = 4 << 30;

/// A file that was set aside.
struct Aside {
    path: PathBuf,
    bytes: u64,
    modified_ms: i64,
}

/// What the maintaining thread knows about a directory.
pub(super) struct Upkeep {
    window: Window,
    current: Current,
    aside: Vec<Aside>,
    /// Files to remove.
    removals: Vec<PathBuf>,
    /// The segments of the list on disk, with their bytes.
    listed: Vec<(u64, u64)>,
}

/// Opens a directory. Reads no record.
///
/// # Errors
/// When the directory cannot be created or read.
pub(super) fn open(directory: &Path, limits: Limits) -> io::Result<(Log, Upkeep)> {
    files::create_directory(directory)?;
    let log = Log::new(directory, limits);
    let mut upkeep = Upkeep {
        window: Window::new(),
        current: Current::new(limits.sync),
        aside: Vec::new(),
        removals: Vec::new(),
        listed: Vec::new(),
    };
    let mut noted = manifest::read(directory);
    for (path, found) in files::list(directory)? {
        match found {
            Found::Segment(number) => {
                upkeep.find(&log, &path, number, noted.remove(&number).unwrap_or_default());
            }
            Found::Damaged => log.set_aside.lock().push(path),
            Found::Other => {}
        }
    }
    for (number, missing) in noted {
        upkeep.current.follow(number);
        log.drop_records(Dropped::Damaged, missing.pending.max(u64::from(missing.bytes == 0)));
    }
    // If this fails, appends are refused and counted until it works.
    let _ = upkeep.current.begin(&log);
    Ok((log, upkeep))
}

impl Upkeep {
    /// Adds a segment of an earlier process.
    fn find(&mut self, log: &Log, path: &Path, number: u64, noted: Noted) {
        let bytes = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
        let is_possible = |bytes: &u64| *bytes <= MAX_SEGMENT && Segment::sequence_of(number) < u32::MAX;
        if let Some(bytes) = bytes.filter(is_possible) {
            self.current.follow(number);
            log.segments.lock().insert(number, Arc::new(Segment::found(number, bytes, noted)));
        } else {
            log.drop_records(Dropped::Damaged, noted.pending.max(1));
            // If this fails, it stays there, and is tried again at the next start.
            let _ = log.set_aside(path);
        }
    }

    /// Begins a new segment and drops the oldest ones, if that is needed. Waits for no sync.
    pub(super) fn make_room(&mut self, log: &Log, now_ms: i64) -> io::Result<()> {
        let limits = *log.limits.lock();
        let begun = self.current.begin_if_needed(log, limits, now_ms);
        self.current.close(log);
        let limited = self.limit(log, limits);
        // Before files are removed: a file that is missing but listed counts as damaged.
        let listed = self.list(log);
        begun.and(limited).and(listed).and(self.remove(log))
    }

    /// Does all work. If a part fails, does the rest nevertheless, and returns the first error.
    pub(super) fn run(&mut self, log: &Log, now_ms: i64, append: &dyn Fn(&Entry) -> bool) -> io::Result<()> {
        let limits = *log.limits.lock();
        let max_age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
        log.cutoff_ms.store(now_ms.saturating_sub(max_age), Relaxed);
        let begun = self.current.begin_if_needed(log, limits, now_ms);
        self.current.close(log);
        let counted = self.count(log);
        let requested = requests::obey(log, &mut self.window, append);
        let marked = mark_again(log);
        let advanced = self.advance(log);
        self.notice_aside(log);
        let limited = self.limit(log, limits);
        // Before files are removed: a file that is missing but listed counts as damaged.
        let listed = self.list(log);
        let removed = self.remove(log);
        let synced = self.current.sync(log);
        begun.and(counted).and(requested).and(marked).and(advanced).and(limited).and(listed).and(removed).and(synced)
    }

    /// Counts what an earlier process left.
    fn count(&mut self, log: &Log) -> io::Result<()> {
        let mut bytes = 0;
        for segment in log.all_segments().iter().filter(|segment| !segment.is_counted()) {
            if bytes > MAX_COUNTED {
                break;
            }
            bytes += segment.bytes();
            log.count(segment, &mut self.window)?;
        }
        Ok(())
    }

    /// Skips records that are done and drops those that are too old, in the first segment with other records. Finds
    /// segments in which everything is done.
    fn advance(&mut self, log: &Log) -> io::Result<()> {
        let mut oldest_ms = i64::MAX;
        for segment in log.all_segments().iter().filter(|segment| segment.is_counted()) {
            let is_oldest = oldest_ms == i64::MAX;
            let may_be_done = segment.is_closed() && segment.pending() == 0;
            if !is_oldest && !may_be_done {
                continue;
            }
            let cutoff_ms = log.cutoff_ms.load(Relaxed);
            let mut pending_ms = None;
            self.window.clear();
            let from = segment.first_pending.load(Relaxed);
            let end = log.walk(segment, &mut self.window, from, |file, offset, step| {
                let position = Position { segment: segment.number, offset };
                let header = match step {
                    Step::Other(header) if header.state != State::Done => {
                        pending_ms = Some(header.received_ms);
                        return false;
                    }
                    Step::Pending(entry) if !log.unmarked.lock().contains(&position) => entry.header(),
                    _ => return true,
                };
                if header.received_ms >= cutoff_ms {
                    pending_ms = Some(header.received_ms);
                    return false;
                }
                log.drop_records(Dropped::Age, 1);
                // A mark that could not be written is tried again.
                let _ = log.finish(segment, file, position, header);
                true
            })?;
            segment.first_pending.store(end, Relaxed);
            if pending_ms.is_some() && may_be_done {
                segment.expect_one();
            }
            oldest_ms = oldest_ms.min(pending_ms.unwrap_or(i64::MAX));
            if segment.extent() == (end, true) && !segment.is_marking() && log.forget(segment) {
                // What was counted, but is not found any more.
                log.drop_records(Dropped::Damaged, segment.pending());
                self.discard(log, segment)?;
            }
        }
        log.oldest_ms.store(oldest_ms, Relaxed);
        Ok(())
    }

    /// Gets rid of the file of a segment that is done.
    fn discard(&mut self, log: &Log, segment: &Segment) -> io::Result<()> {
        let path = log.path(segment.number);
        let kept = if segment.is_damaged() && path.exists() { log.set_aside(&path) } else { Ok(()) };
        // Unless it has another name now.
        self.removals.push(path);
        kept
    }

    /// Learns of files that were set aside.
    fn notice_aside(&mut self, log: &Log) {
        let aside = |path: PathBuf| {
            let found = fs::symlink_metadata(&path).ok()?;
            Some(Aside { path, bytes: found.len(), modified_ms: found.mtime().saturating_mul(1000) })
        };
        self.aside.extend(mem::take(&mut *log.set_aside.lock()).into_iter().filter_map(aside));
        self.aside.sort_by_key(|aside| aside.modified_ms);
    }

    /// Drops what is above the limits: files that were set aside first, then the oldest segments.
    fn limit(&mut self, log: &Log, limits: Limits) -> io::Result<()> {
        let cutoff_ms = log.cutoff_ms.load(Relaxed);
        let segments = log.all_segments();
        let of_segments: u64 = segments.iter().map(|segment| segment.bytes()).sum();
        let mut bytes = of_segments + self.aside.iter().map(|aside| aside.bytes).sum::<u64>();
        // Room for the appends until the next call.
        let most = limits.max_bytes.saturating_sub((2 * segment_bytes(limits)).max(limits.max_bytes / 8));
        let mut kept = self.aside.len();
        let (removals, mut rest) = (&mut self.removals, bytes);
        self.aside.retain(|aside| {
            let is_kept = rest <= most && kept <= MAX_ASIDE && aside.modified_ms >= cutoff_ms;
            if !is_kept {
                (rest, kept) = (rest - aside.bytes, kept - 1);
                removals.push(aside.path.clone());
            }
            is_kept
        });
        bytes = rest;
        log.damaged_files.store(self.aside.len() as u64, Relaxed);
        for segment in segments.iter().filter(|segment| segment.is_closed()) {
            let reason = match () {
                () if segment.newest_ms() < cutoff_ms => Dropped::Age,
                () if bytes > most => Dropped::Bytes,
                () => continue,
            };
            log.count(segment, &mut self.window)?;
            bytes = bytes.saturating_sub(segment.bytes());
            if log.forget(segment) {
                log.drop_records(reason, segment.pending());
                self.removals.push(log.path(segment.number));
            }
        }
        let current = log.current.load().as_deref().map_or(0, |active| active.segment.bytes());
        let room = limits.max_bytes.saturating_sub(bytes.saturating_sub(current));
        // Otherwise the next process would take a file that grew while the disk hung for damaged.
        log.room.store(room.min(MAX_SEGMENT / 2), Relaxed);
        log.enough.store(segment_bytes(limits).min(room / 2), Relaxed);
        Ok(())
    }

    /// Writes the list of segments, if it changed.
    fn list(&mut self, log: &Log) -> io::Result<()> {
        let segments = log.all_segments();
        let known = |segment: &Arc<Segment>| (segment.number, if segment.is_closed() { segment.bytes() } else { 0 });
        let listed: Vec<_> = segments.iter().map(known).collect();
        if listed != self.listed || !manifest::path(&log.directory).is_file() {
            manifest::write(&log.directory, &segments)?;
            self.listed = listed;
        }
        Ok(())
    }

    /// Removes files. If one cannot be removed now, the next call retries.
    fn remove(&mut self, log: &Log) -> io::Result<()> {
        let mut removed = Ok(());
        self.removals.retain(|path| match fs::remove_file(path) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) => {
                // Only an empty one: what is in it is not the spool's.
                let is_stuck = fs::remove_dir(path).is_err() && log.set_aside(path).is_err();
                removed = if is_stuck { Err(error) } else { Ok(()) };
                is_stuck
            }
            Err(error) => {
                removed = Err(error);
                true
            }
        });
        removed
    }
}

/// Tries again to write marks.
fn mark_again(log: &Log) -> io::Result<()> {
    let unmarked = log.unmarked.lock().clone();
    for position in unmarked {
        let segment = log.segment_from(position.segment).filter(|segment| segment.number == position.segment);
        if let Some(file) = segment.map(|segment| log.file(&segment)).transpose()?.flatten() {
            mark(&file, position.offset, State::Done)?;
        }
        log.unmarked.lock().remove(&position);
    }
    Ok(())
}
