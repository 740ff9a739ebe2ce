//! The segment that is appended to: when the next one begins, when the last one is closed, and syncs.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{mem, thread};

use super::files;
use super::limits::{Dropped, Limits};
use super::log::{Active, Log};
use super::segment::{Noted, Segment};
use crate::domain::FileSync;

/// The spool has about this many segments when it is full. The oldest is dropped as a whole.
const SEGMENTS: u32 = 64;

/// Bytes of a segment, at least and at most.
const SEGMENT_BYTES: (u64, u64) = (4 << 10, 16 << 20);

/// A segment of which everything is delivered is kept no longer than this: it has the content of messages.
const MAX_KEPT: Duration = Duration::from_secs(60);

/// How long a call waits for appends in progress, in milliseconds.
const MAX_WAIT: u32 = 50;

/// Every second sequence number is left free for [`read_again`].
const STEP: u32 = 2;

/// What the maintaining thread knows about the current segment and those before it.
pub(super) struct Current {
    /// The sequence number of the newest segment.
    sequence: u32,
    /// How the current file is synced.
    sync: FileSync,
    /// When it got its first record, at most a call later.
    begun_ms: Option<i64>,
    /// Bytes of it that are on disk.
    synced: u64,
    are_names_synced: bool,
    /// No longer current, but perhaps still written to, or not synced.
    closing: Vec<Arc<Active>>,
}

impl Current {
    pub(super) const fn new(sync: FileSync) -> Self {
        Self { sequence: 0, sync, begun_ms: None, synced: 0, are_names_synced: false, closing: Vec::new() }
    }

    /// New segments come after this one.
    pub(super) fn follow(&mut self, number: u64) {
        self.sequence = self.sequence.max(Segment::sequence_of(number));
    }

    /// Begins a new segment if the current one is long or old enough, or cannot be used.
    pub(super) fn begin_if_needed(&mut self, log: &Log, limits: Limits, now_ms: i64) -> io::Result<()> {
        let is_needed = log.current.load().as_deref().is_none_or(|active| {
            let bytes = active.segment.bytes();
            if bytes > 0 && self.begun_ms.is_none() {
                self.begun_ms = Some(now_ms);
            }
            let age = self.begun_ms.map_or(0, |begun| now_ms.saturating_sub(begun)).unsigned_abs();
            let age = Duration::from_millis(age);
            bytes >= segment_bytes(limits)
                || age > limits.max_age / SEGMENTS
                || age >= MAX_KEPT && active.segment.pending() == 0
                || limits.sync != self.sync
                || !is_in_place(active, &log.path(active.segment.number))
        });
        if log.has_failed.swap(false, Relaxed) || is_needed {
            return self.begin(log).inspect_err(|_| log.has_failed.store(true, Relaxed));
        }
        Ok(())
    }

    /// Begins a new segment.
    pub(super) fn begin(&mut self, log: &Log) -> io::Result<()> {
        let limits = *log.limits.lock();
        files::create_directory(&log.directory)?;
        self.sequence = self.sequence.checked_add(STEP).ok_or(io::ErrorKind::FileTooLarge)?;
        let salt = Segment::salt_of(RandomState::new().hash_one(self.sequence));
        let number = Segment::number_of(self.sequence, salt);
        let file = files::create(&log.path(number), limits.sync)?;
        if limits.sync == FileSync::Append {
            files::sync_directory(&log.directory)?;
        }
        let segment = Arc::new(Segment::new(number));
        log.segments.lock().insert(number, Arc::clone(&segment));
        let before = log.current.swap(Some(Arc::new(Active { file, segment })));
        self.closing.extend(before);
        (self.sync, self.begun_ms, self.synced, self.are_names_synced) = (limits.sync, None, 0, false);
        Ok(())
    }

    /// Closes the segments that are no longer current, when no thread writes to them any more.
    pub(super) fn close(&self, log: &Log) {
        for active in self.closing.iter().filter(|active| !active.segment.is_closed()) {
            let is_unused = || Arc::strong_count(active) == 1;
            if wait_until(is_unused) {
                let bytes = active.file.metadata().map_or(0, |file| file.len());
                if bytes < active.segment.bytes() {
                    read_again(log, &active.segment, bytes);
                }
                active.segment.close(bytes);
            }
        }
    }

    /// Syncs what was appended to disk.
    pub(super) fn sync(&mut self, log: &Log) -> io::Result<()> {
        let mut synced = Ok(());
        for active in mem::take(&mut self.closing) {
            synced = synced.and(active.file.sync_data());
            if !active.segment.is_closed() {
                self.closing.push(active);
            }
        }
        if let Some(active) = log.current.load_full().filter(|_| self.sync == FileSync::Second) {
            let bytes = active.segment.bytes();
            if bytes != self.synced {
                // After an error, a new file may work.
                synced = synced.and(active.file.sync_data().inspect_err(|_| log.has_failed.store(true, Relaxed)));
                self.synced = bytes;
            }
        }
        if !self.are_names_synced {
            synced = synced.and(files::sync_directory(&log.directory));
            self.are_names_synced = synced.is_ok();
        }
        synced
    }
}

/// When a segment is long enough.
pub(super) fn segment_bytes(limits: Limits) -> u64 {
    (limits.max_bytes / u64::from(SEGMENTS)).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1)
}

/// Whether the file that is written to is still the one at its path, with all that was appended and nothing else.
fn is_in_place(active: &Active, path: &Path) -> bool {
    let identity = |file: &fs::Metadata| (file.dev(), file.ino());
    let is_same = || {
        let (Ok(is), Ok(should_be)) = (active.file.metadata(), fs::symlink_metadata(path)) else { return false };
        identity(&is) == identity(&should_be)
    };
    let has_all = || active.file.metadata().is_ok_and(|file| file.len() == active.segment.bytes());
    // An append may be in progress.
    is_same() && wait_until(has_all)
}

/// Waits a moment for a condition. Returns whether it is true.
fn wait_until(is_so: impl Fn() -> bool) -> bool {
    (0..MAX_WAIT).any(|_| {
        is_so() || {
            thread::sleep(Duration::from_millis(1));
            false
        }
    })
}

/// Something made the file shorter while it was appended to, so nobody knows what is where. It gets the next number, as if
/// an earlier process had written it, and everything in it is read.
fn read_again(log: &Log, segment: &Segment, bytes: u64) {
    let number = segment.number + Segment::number_of(1, 0);
    if fs::rename(log.path(segment.number), log.path(number)).is_ok() && log.forget(segment) {
        log.drop_records(Dropped::Damaged, 1);
        log.segments.lock().insert(number, Arc::new(Segment::found(number, bytes, Noted::default())));
    }
}
