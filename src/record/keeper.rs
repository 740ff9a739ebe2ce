//! Maintains the record files: starts, compresses and removes them.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, getrlimit};

use super::compression::Compression;
use super::files::{Directory, RecordFile};
use super::lines::{CurrentLines, Lines, is_full};
use crate::config::RecordSettings;
use crate::domain::{Clock, FileSync};
use crate::niceness::lower_priority;
use crate::telemetry::{RecordFailure, RecordRemoval, Telemetry};

/// Interval between two checks of the current file. It can exceed its limit by what is recorded in this time.
const CHECK: Duration = Duration::from_millis(100);

/// Interval between two syncs.
const SYNC: Duration = Duration::from_secs(1);

/// Interval between two listings of the directory, which find files that are too old or that others have removed.
const LIST: Duration = Duration::from_secs(10);

/// Delay before a retry, after a failure to create a file.
const BEGIN_AGAIN: Duration = Duration::from_secs(1);

/// The same after a failure to compress a file. The retry reads the file from its beginning.
const COMPRESS_AGAIN: Duration = Duration::from_secs(60);

/// The smallest size at which a file ends: half of the lowest `--record.max-bytes`. If a low file size limit made files
/// smaller, there would be too many of them.
const SMALLEST_FILE_BYTES: u64 = 512 * 1024;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// The work of the records' own thread.
pub(super) struct Keeper {
    directory: Directory,
    settings: RecordSettings,
    shared: Arc<CurrentLines>,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    /// The current file, and the number of its day.
    current: Option<(Arc<Lines>, u64)>,
    /// The previous file, while a serving thread may still write to it.
    previous: Option<Arc<Lines>>,
    compression: Option<Compression>,
    /// The files except the current one, oldest first.
    others: VecDeque<RecordFile>,
    next: Times,
}

/// When something is due.
struct Times {
    check: Instant,
    sync: Instant,
    list: Instant,
    begin: Instant,
    compress: Instant,
}

impl Keeper {
    /// Begins the first file.
    ///
    /// # Errors
    /// When it cannot be created, except on a full disk.
    pub(super) fn new(
        directory: Directory,
        settings: &RecordSettings,
        (shared, telemetry, clock): (Arc<CurrentLines>, Arc<Telemetry>, Arc<dyn Clock>),
    ) -> io::Result<Self> {
        let now = Instant::now();
        let next = Times { check: now, sync: now + SYNC, list: now, begin: now, compress: now };
        let settings = settings.clone();
        let (current, previous, compression, others) = (None, None, None, VecDeque::new());
        let mut keeper =
            Self { directory, settings, shared, telemetry, clock, current, previous, compression, others, next };
        match keeper.begin() {
            Err(error) if !is_full(&error) => return Err(error),
            Err(error) => keeper.count(RecordFailure::Begin, &error),
            Ok(()) => {}
        }
        if let Err(error) = keeper.directory.remove_parts() {
            keeper.count(RecordFailure::Remove, &error);
        }
        keeper.telemetry.recording(keeper.directory.path());
        Ok(keeper)
    }

    /// Works until `stopped` is disconnected.
    pub(super) fn run(mut self, stopped: &Receiver<()>) {
        lower_priority();
        loop {
            let wait = if self.compression.is_some() { Duration::ZERO } else { CHECK };
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => self.work(Instant::now()),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    fn work(&mut self, now: Instant) {
        if is_due(&mut self.next.check, now, CHECK) {
            self.check(now);
        }
        if is_due(&mut self.next.sync, now, SYNC) {
            self.sync();
        }
        if is_due(&mut self.next.list, now, LIST) {
            self.list();
        }
        if now >= self.next.compress
            && let Err(error) = self.compress()
        {
            self.compression = None;
            self.next.list = now;
            // It may have been removed meanwhile, for its age or by others.
            if error.kind() != io::ErrorKind::NotFound {
                self.next.compress = now + COMPRESS_AGAIN;
                self.count(RecordFailure::Compress, &error);
            }
        }
    }

    /// Looks at the current file: begins a new one if it must end, is gone, or does not exist.
    fn check(&mut self, now: Instant) {
        if self.previous.as_ref().is_some_and(|lines| Arc::strong_count(lines) == 1)
            && let Some(previous) = self.previous.take()
        {
            self.retire(&previous);
        }
        let today = self.clock.now().period(DAY_MS);
        let mut is_over = true;
        if let Some((lines, day)) = &self.current {
            match lines.size() {
                Ok(Some(size)) => {
                    is_over = size >= self.max_file_bytes() || *day != today;
                    self.limit_bytes(size);
                }
                Ok(None) => self.lose(),
                Err(error) => return self.count(RecordFailure::Lost, &error),
            }
        }
        if is_over
            && self.previous.is_none()
            && now >= self.next.begin
            && let Err(error) = if self.current.is_none() { self.begin_again() } else { self.begin() }
        {
            self.next.begin = now + BEGIN_AGAIN;
            self.count(RecordFailure::Begin, &error);
        }
    }

    /// The size at which the current file ends: the others can be removed, but it cannot. If it reached the file size limit
    /// (`ulimit -f`), nothing would be recorded until the next day, so half of the limit is left for the time until a check.
    fn max_file_bytes(&self) -> u64 {
        let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        let of_limit = (limit / 2).max(SMALLEST_FILE_BYTES);
        self.settings.max_file_bytes.min(self.settings.max_bytes / 2).min(of_limit)
    }

    /// The current file is gone: what is written to it from now on would be lost.
    fn lose(&mut self) {
        self.current = None;
        self.shared.store(None);
        self.compression = None;
        let error = io::Error::new(io::ErrorKind::NotFound, "the current file was removed or replaced");
        self.count(RecordFailure::Lost, &error);
        self.next.list = Instant::now();
    }

    /// Begins a file after the last one was lost, perhaps with its directory.
    fn begin_again(&mut self) -> io::Result<()> {
        let path = self.directory.path().to_owned();
        match Directory::lock(&path, &self.telemetry) {
            Ok(directory) => self.directory = directory,
            // Of the same directory, this process has the lock already.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(error),
        }
        self.begin()
    }

    /// Begins a file, which lines go to from now on.
    fn begin(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        let lines = Arc::new(self.directory.begin(now, self.settings.sync)?);
        self.telemetry.record_file_begun(lines.path());
        // Serving threads that still write to the previous file are counted from here on.
        self.shared.store(Some(Arc::clone(&lines)));
        self.previous = self.current.replace((lines, now.period(DAY_MS))).map(|(previous, _)| previous);
        Ok(())
    }

    /// Nobody writes to this file any more.
    fn retire(&mut self, lines: &Lines) {
        if let Err(error) = lines.sync() {
            self.count(RecordFailure::Sync, &error);
        }
        self.next.list = Instant::now();
    }

    /// Removes the oldest files while all take too much space, with the current one of this size.
    fn limit_bytes(&mut self, current: u64) {
        let mut total = current.saturating_add(self.others.iter().map(|file| file.bytes).sum());
        while total > self.settings.max_bytes
            && let Some(oldest) = self.others.pop_front()
        {
            total -= oldest.bytes;
            self.remove(&oldest, RecordRemoval::Bytes);
        }
        self.telemetry.set_record_bytes(total);
    }

    /// Lists the files, and removes those that are too old.
    fn list(&mut self) {
        let files = match self.directory.files() {
            Ok(files) => files,
            // The next check begins a new directory.
            Err(error) => return self.count(RecordFailure::Remove, &error),
        };
        let in_use = [self.current.as_ref().map(|(lines, _)| lines), self.previous.as_ref()];
        let in_use = in_use.map(|lines| lines.map(|lines| lines.path().to_owned()));
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.now().0.max(0).unsigned_abs());
        self.others.clear();
        for file in files {
            let age = now.duration_since(file.modified).unwrap_or_default();
            if in_use.iter().flatten().any(|path| *path == file.path) {
                continue;
            }
            if age > self.settings.max_age {
                self.remove(&file, RecordRemoval::Age);
            } else {
                self.others.push_back(file);
            }
        }
    }

    fn remove(&self, file: &RecordFile, limit: RecordRemoval) {
        match fs::remove_file(&file.path) {
            Ok(()) => self.telemetry.record_file_removed(limit, &file.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.count(RecordFailure::Remove, &error),
        }
    }

    /// Compresses some more of a file that has ended, or begins with the oldest.
    fn compress(&mut self) -> io::Result<()> {
        if let Some(compression) = &mut self.compression {
            if compression.step()? {
                self.compression = None;
                self.next.list = Instant::now();
            }
        } else if let Some(position) = self.others.iter().position(RecordFile::is_plain)
            && let Some(file) = self.others.get(position)
        {
            if file.bytes == 0 {
                fs::remove_file(&file.path)?;
                self.others.remove(position);
            } else {
                self.compression = Some(Compression::begin(file)?);
            }
        }
        Ok(())
    }

    fn sync(&self) {
        if self.settings.sync == FileSync::Second
            && let Some((lines, _)) = &self.current
            && let Err(error) = lines.sync()
        {
            self.count(RecordFailure::Sync, &error);
        }
    }

    /// Nothing is recorded any more. The next start compresses the last file.
    fn end(mut self) {
        self.shared.store(None);
        if let Some(previous) = self.previous.take() {
            self.retire(&previous);
        }
        let Some((lines, _)) = self.current.take() else { return };
        if let Err(error) = lines.sync() {
            self.count(RecordFailure::Sync, &error);
        }
        if matches!(lines.size(), Ok(Some(0))) {
            // Otherwise the next start does it.
            let _ = fs::remove_file(lines.path());
        }
    }

    fn count(&self, what: RecordFailure, error: &io::Error) {
        self.telemetry.record_failed(what, error, self.clock.now().0);
    }
}

/// Whether something is due. If so, it is due again after an interval.
fn is_due(next: &mut Instant, now: Instant, interval: Duration) -> bool {
    let is_due = now >= *next;
    if is_due {
        *next = now + interval;
    }
    is_due
}
