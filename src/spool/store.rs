//! The spool of a target: its pending callbacks, its dead letters, and the work that keeps both within their limits.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use parking_lot::Mutex;

use super::limits::{AppendError, Dropped, Figures, Limits};
use super::log::Log;
use super::manifest;
use super::reader::Reader;
use super::record::{Entry, Record, Verdict};
use super::upkeep::{self, Upkeep};

/// The directory of the dead letters, in the spool's.
pub(super) const DEAD: &str = "dead";

/// The spool of a target. Serving threads append, one thread delivers with the [`Reader`], one thread maintains.
pub struct Spool {
    log: Arc<Log>,
    dead: Arc<Log>,
    /// Nobody waits for this lock: it says who maintains.
    upkeep: Mutex<[Upkeep; 2]>,
}

impl Spool {
    /// Opens the spool in a directory, which is created if it does not exist. Reads no callback.
    ///
    /// # Errors
    /// When the directory cannot be created or read.
    pub fn open(directory: &Path, limits: Limits) -> io::Result<(Arc<Self>, Reader)> {
        let (log, upkeep) = upkeep::open(directory, limits)?;
        let (dead, dead_upkeep) = upkeep::open(&directory.join(DEAD), limits)?;
        let (log, dead) = (Arc::new(log), Arc::new(dead));
        let reader = Reader::new(Arc::clone(&log), Arc::clone(&dead));
        Ok((Arc::new(Self { log, dead, upkeep: Mutex::new([upkeep, dead_upkeep]) }), reader))
    }

    /// Uses other limits from the next [`Spool::maintain`] or [`Spool::make_room`] on, for which the thread is woken.
    pub fn set_limits(&self, limits: Limits) {
        *self.log.limits.lock() = limits;
        *self.dead.limits.lock() = limits;
        self.log.wake_maintainer();
    }

    /// Appends a callback with one system call, without a lock or an allocation. Afterwards it survives a crash of the
    /// process.
    ///
    /// # Errors
    /// When it cannot be written. It is then counted as dropped.
    pub fn append(&self, record: &Record<'_>) -> Result<(), AppendError> {
        self.log.append(record, Verdict::default()).inspect_err(|error| {
            let reason = if matches!(error, AppendError::Full) { Dropped::Bytes } else { Dropped::Disk };
            self.log.drop_records(reason, 1);
        })
    }

    /// To be called each second, on a thread that may wait for the disk: syncs, creates a new file, drops what is above
    /// the limits, removes what is delivered, does what operators asked for.
    ///
    /// # Errors
    /// The first error. All other work is still done, and what failed is retried at the next call.
    pub fn maintain(&self, now_ms: i64) -> io::Result<()> {
        self.log.maintainer.get_or_init(thread::current);
        let Some(mut upkeep) = self.upkeep.try_lock() else { return Ok(()) };
        let [pending, dead] = &mut *upkeep;
        let append = |entry: &Entry| self.log.append(&entry.record(), Verdict::default()).is_ok();
        let (dead, pending) = (dead.run(&self.dead, now_ms, &append), pending.run(&self.log, now_ms, &append));
        pending.and(dead)
    }

    /// Begins a new file and drops the oldest callbacks, if that is needed. To be called by the thread that called
    /// [`Spool::maintain`] first, whenever it is unparked: so bursts drop the oldest callbacks and not the newest.
    ///
    /// # Errors
    /// As [`Spool::maintain`].
    pub fn make_room(&self, now_ms: i64) -> io::Result<()> {
        let Some(mut upkeep) = self.upkeep.try_lock() else { return Ok(()) };
        let [pending, _] = &mut *upkeep;
        pending.make_room(&self.log, now_ms)
    }

    /// What the spool holds and what it dropped. Cheap.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures { is_counted: true, dropped: self.log.dropped(), ..Figures::default() };
        for segment in self.log.segments.lock().values() {
            figures.pending += segment.pending();
            figures.pending_bytes += segment.pending_bytes();
            figures.is_counted &= segment.is_counted();
        }
        for segment in self.dead.segments.lock().values() {
            figures.dead_letters += segment.pending();
            figures.dead_letter_bytes += segment.pending_bytes();
            figures.is_counted &= segment.is_counted();
        }
        figures.oldest_pending_ms = Some(self.log.oldest_ms.load(Relaxed)).filter(|oldest| *oldest != i64::MAX);
        // An operator drops dead letters as well as pending callbacks.
        let [age, bytes, damaged, disk, operator] = self.dead.dropped();
        figures.dead_letters_dropped = age + bytes + damaged + disk;
        if let Some(dropped) = figures.dropped.get_mut(Dropped::Operator as usize) {
            *dropped += operator;
        }
        figures.damaged_files = self.log.damaged_files.load(Relaxed) + self.dead.damaged_files.load(Relaxed);
        figures
    }
}

impl Drop for Spool {
    /// Writes the lists of segments, now that every file's length is final.
    fn drop(&mut self) {
        for log in [&self.log, &self.dead] {
            log.current.load().iter().for_each(|active| active.segment.close(0));
            // Without it, a segment that goes missing until the next start is not noticed.
            let _ = manifest::write(&log.directory, &log.all_segments());
        }
    }
}
