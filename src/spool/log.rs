//! A directory of segments: what threads append, and what is read and marked as done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::files::{self, Trouble};
use super::limits::{AppendError, Dropped, Limits};
use super::record::{Header, Record, STATE_AT, State, Verdict, encode};
use super::segment::{Position, Segment};
use super::window::{Source, Step, Window};

/// Maximum number of files that are open for reading.
const MAX_OPEN: usize = 8;

/// Maximum number of delivered records whose marks could not be written. Records beyond it may be delivered again.
const MAX_UNMARKED: usize = 65_536;

/// The file that is appended to.
pub(super) struct Active {
    pub(super) file: File,
    pub(super) segment: Arc<Segment>,
}

/// The segments of a directory.
pub(super) struct Log {
    pub(super) directory: PathBuf,
    pub(super) current: ArcSwapOption<Active>,
    /// True if a write failed, so that the next segment should begin soon: another file may work.
    pub(super) has_failed: AtomicBool,
    pub(super) limits: Mutex<Limits>,
    /// Maximum size of the current segment in bytes, so that all segments together stay within the limit.
    pub(super) room: AtomicU64,
    /// When the current segment has this many bytes, the next one should begin.
    pub(super) enough: AtomicU64,
    /// The maintaining thread, which is woken when there is no more room, or soon none.
    pub(super) maintainer: OnceLock<Thread>,
    /// Callbacks that were received before this are dropped, in milliseconds since the Unix epoch.
    pub(super) cutoff_ms: AtomicI64,
    /// When the oldest pending record was received; the highest number if there is none.
    pub(super) oldest_ms: AtomicI64,
    pub(super) segments: Mutex<BTreeMap<u64, Arc<Segment>>>,
    /// Files that were set aside and that the maintaining thread does not know yet.
    pub(super) set_aside: Mutex<Vec<PathBuf>>,
    pub(super) damaged_files: AtomicU64,
    pub(super) unmarked: Mutex<BTreeSet<Position>>,
    files: Mutex<Vec<(u64, Arc<File>)>>,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

impl Log {
    pub(super) fn new(directory: &Path, limits: Limits) -> Self {
        Self {
            directory: directory.to_owned(),
            current: ArcSwapOption::empty(),
            has_failed: AtomicBool::new(false),
            limits: Mutex::new(limits),
            room: AtomicU64::new(limits.max_bytes),
            enough: AtomicU64::new(u64::MAX),
            maintainer: OnceLock::new(),
            cutoff_ms: AtomicI64::new(i64::MIN),
            oldest_ms: AtomicI64::new(i64::MAX),
            segments: Mutex::default(),
            set_aside: Mutex::default(),
            damaged_files: AtomicU64::new(0),
            unmarked: Mutex::default(),
            files: Mutex::default(),
            dropped: Default::default(),
        }
    }

    /// Appends a record with one system call.
    pub(super) fn append(&self, record: &Record<'_>, verdict: Verdict<'_>) -> Result<(), AppendError> {
        let current = self.current.load();
        let Some(active) = current.as_deref() else { return Err(AppendError::NoFile) };
        if active.segment.bytes() >= self.room.load(Relaxed) {
            self.wake_maintainer();
            return Err(AppendError::Full);
        }
        let written = encode(record, verdict, active.segment.salt(), |slices, length| {
            loop {
                match (&active.file).write_vectored(slices) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(written) if written == length => {
                        let bytes = active.segment.appended(written as u64, record.received_ms);
                        let enough = self.enough.load(Relaxed);
                        if bytes >= enough && bytes - (written as u64) < enough {
                            self.wake_maintainer();
                        }
                        return Ok(());
                    }
                    Ok(written) => {
                        active.segment.tore(written as u64);
                        return Err(io::ErrorKind::StorageFull.into());
                    }
                    Err(error) => return Err(error),
                }
            }
        });
        written.ok_or(AppendError::TooLong)?.map_err(|error| {
            self.has_failed.store(true, Relaxed);
            AppendError::Disk(error)
        })
    }

    pub(super) fn wake_maintainer(&self) {
        if let Some(thread) = self.maintainer.get() {
            thread.unpark();
        }
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        files::segment_path(&self.directory, number)
    }

    pub(super) fn drop_records(&self, reason: Dropped, records: u64) {
        if let Some(dropped) = self.dropped.get(reason as usize) {
            dropped.fetch_add(records, Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> [u64; Dropped::ALL.len()] {
        self.dropped.each_ref().map(|dropped| dropped.load(Relaxed))
    }

    /// The first segment with this number or a higher one.
    pub(super) fn segment_from(&self, number: u64) -> Option<Arc<Segment>> {
        self.segments.lock().range(number..).next().map(|(_, segment)| Arc::clone(segment))
    }

    pub(super) fn all_segments(&self) -> Vec<Arc<Segment>> {
        self.segments.lock().values().cloned().collect()
    }

    /// The file of a segment. `None` if there is none any more: its records are then counted as damaged.
    ///
    /// # Errors
    /// When it cannot be opened at the moment.
    pub(super) fn file(&self, segment: &Segment) -> io::Result<Option<Arc<File>>> {
        if segment.gone.load(SeqCst) {
            return Ok(None);
        }
        let known =
            self.files.lock().iter().find(|(number, _)| *number == segment.number).map(|(_, file)| Arc::clone(file));
        if known.is_some() {
            return Ok(known);
        }
        match files::open(&self.path(segment.number), true) {
            Ok(file) => {
                let file = Arc::new(file);
                let mut files = self.files.lock();
                if files.len() >= MAX_OPEN {
                    files.remove(0);
                }
                files.push((segment.number, Arc::clone(&file)));
                Ok(Some(file))
            }
            Err(Trouble::Passing(error)) => Err(error),
            Err(trouble) => {
                self.lose(segment);
                if let Trouble::Unusable = trouble {
                    self.set_aside(&self.path(segment.number))?;
                }
                Ok(None)
            }
        }
    }

    /// Gives a damaged file another name.
    pub(super) fn set_aside(&self, path: &Path) -> io::Result<()> {
        let path = files::set_aside(path)?;
        self.damaged_files.fetch_add(1, Relaxed);
        self.set_aside.lock().push(path);
        Ok(())
    }

    /// The file of a segment is missing or unusable.
    fn lose(&self, segment: &Segment) {
        if self.forget(segment) {
            // What is not counted yet may have some.
            self.drop_records(Dropped::Damaged, segment.pending().max(u64::from(!segment.is_counted())));
        }
    }

    /// The segment is no longer a part of the spool. Returns false if another thread was faster.
    pub(super) fn forget(&self, segment: &Segment) -> bool {
        let is_first = !segment.gone.swap(true, SeqCst);
        self.segments.lock().remove(&segment.number);
        // Otherwise the space of a removed file would not be free.
        self.files.lock().retain(|(number, _)| *number != segment.number);
        self.unmarked.lock().retain(|position| position.segment != segment.number);
        is_first
    }

    /// Visits the records from an offset on, until `visit` returns false or the segment ends. Returns the offset where it
    /// stopped. Damage is counted and passed over.
    ///
    /// # Errors
    /// When the file cannot be opened at the moment.
    pub(super) fn walk(
        &self,
        segment: &Segment,
        window: &mut Window,
        mut at: u64,
        mut visit: impl FnMut(&File, u64, &Step) -> bool,
    ) -> io::Result<u64> {
        let Some(file) = self.file(segment)? else { return Ok(at) };
        loop {
            let (limit, is_final) = segment.extent();
            let step = window.step(&Source { file: &file, salt: segment.salt(), limit, is_final }, at);
            let until = match &step {
                Step::End => return Ok(at),
                Step::Damage { until, is_torn } => {
                    if segment.is_new_loss(at, *until, *is_torn) {
                        self.drop_records(Dropped::Damaged, 1);
                        // If it is the current one: what else is lost is known when the segment ends.
                        if !is_final {
                            self.has_failed.store(true, Relaxed);
                        }
                    }
                    at = *until;
                    continue;
                }
                Step::Pending(entry) => at + entry.bytes(),
                Step::Other(header) => at + header.bytes(),
            };
            if !visit(&file, at, &step) {
                return Ok(at);
            }
            at = until;
        }
    }

    /// Counts the records of a segment that an earlier process wrote.
    ///
    /// # Errors
    /// When the file cannot be opened at the moment.
    pub(super) fn count(&self, segment: &Segment, window: &mut Window) -> io::Result<()> {
        if segment.is_counted() {
            return Ok(());
        }
        window.clear();
        let (mut records, mut bytes, mut newest_ms) = (0, 0, i64::MIN);
        let mut add = |length, received_ms: i64| {
            records += 1;
            bytes += length;
            newest_ms = newest_ms.max(received_ms);
        };
        let end = self.walk(segment, window, 0, |_, _, step| {
            match step {
                Step::Pending(entry) => add(entry.bytes(), entry.record().received_ms),
                Step::Other(header) if header.state != State::Done => {
                    segment.has_requests.store(true, Relaxed);
                    add(header.bytes(), header.received_ms);
                }
                _ => {}
            }
            true
        });
        window.clear();
        end?;
        segment.set_counted(records, bytes, newest_ms);
        Ok(())
    }

    /// The state of a record as it is in the file now.
    pub(super) fn state(&self, file: &File, position: Position) -> io::Result<State> {
        let mut byte = [0];
        file.read_exact_at(&mut byte, position.offset + STATE_AT)?;
        let state = State::of(byte[0]);
        Ok(if self.is_done(position, state) { State::Done } else { state })
    }

    /// Whether the record with this state in the file is done: the mark may be missing.
    pub(super) fn is_done(&self, position: Position, state: State) -> bool {
        state == State::Done || self.unmarked.lock().contains(&position)
    }

    /// Marks a record as done, and counts it as such. If the mark cannot be written, that is remembered.
    ///
    /// # Errors
    /// When the mark cannot be written now.
    pub(super) fn finish(&self, segment: &Segment, file: &File, position: Position, header: &Header) -> io::Result<()> {
        segment.finish(header.bytes(), || {
            mark(file, position.offset, State::Done).inspect_err(|_| {
                let mut unmarked = self.unmarked.lock();
                if unmarked.len() < MAX_UNMARKED {
                    unmarked.insert(position);
                }
            })
        })
    }
}

/// Changes the state of the record at an offset.
pub(super) fn mark(file: &File, offset: u64, state: State) -> io::Result<()> {
    file.write_all_at(&[state.byte()], offset + STATE_AT)
}
