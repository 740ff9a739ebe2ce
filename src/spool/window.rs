//! Reads records from a segment, and finds the next one behind damaged bytes. Never holds more than a part of the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use memchr::memmem;

use super::record::{Entry, HEADER, Header, MAGIC, State};

/// Bytes that are read at a time.
const CHUNK: usize = 256 * 1024;

/// Bytes that are read at once of a single record: more than most have.
const USUAL_BYTES: usize = 4096;

/// How long the states in a window are believed: an operator's request may take effect this much later.
const FRESH: Duration = Duration::from_secs(1);

/// After a byte that the disk cannot read, reading continues at the next multiple of this.
const PAGE: u64 = 4096;

/// A segment with more unreadable places than this is given up from there on, because each may take seconds.
const MAX_UNREADABLE: u32 = 16;

/// A file that is read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a File,
    pub(super) salt: u32,
    /// How far it may be read.
    pub(super) limit: u64,
    /// Whether the limit is final.
    pub(super) is_final: bool,
}

/// What is at an offset.
pub(super) enum Step {
    /// A pending record, whose checksum is right.
    Pending(Entry),
    /// The header of another record, whose checksum is right too.
    Other(Header),
    /// No record. The next one may be at `until`. `is_torn`: it is the beginning of a record of which the rest was never
    /// written, because the process ended or the disk was full. So its callback was not answered.
    Damage { until: u64, is_torn: bool },
    /// Nothing, or not yet.
    End,
}

/// A part of a file.
pub(super) struct Window {
    buffer: Vec<u8>,
    /// Where it is in the file.
    start: u64,
    /// When it was read; `None` while it is empty.
    read_at: Option<Instant>,
    unreadable: u32,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, read_at: None, unreadable: 0 }
    }

    /// To be called before another file is read, and to read the same bytes again.
    pub(super) fn clear(&mut self) {
        *self = Self { buffer: std::mem::take(&mut self.buffer), ..Self::new() };
        self.buffer.clear();
    }

    /// Whether the states of its records may have changed since it was read.
    pub(super) fn is_old(&self) -> bool {
        self.read_at.is_none_or(|at| at.elapsed() >= FRESH)
    }

    /// What is at this offset.
    pub(super) fn step(&mut self, source: &Source<'_>, at: u64) -> Step {
        if at >= source.limit {
            return Step::End;
        }
        let fits = source.limit - at >= HEADER as u64;
        let header = match self.header(source, at) {
            Ok(header) => header,
            Err(_) => return Step::Damage { until: self.after_unreadable(source, at), is_torn: false },
        };
        let is_complete = header.map_or(fits, |header| header.bytes() <= source.limit - at);
        if !is_complete && !source.is_final {
            return Step::End;
        }
        let complete = header.filter(|_| is_complete);
        match complete.and_then(|header| self.entry(source, at, header)) {
            Some(entry) if entry.header().state == State::Pending => Step::Pending(entry),
            Some(entry) => Step::Other(*entry.header()),
            None => {
                let until = self.next_record(source, at + 1);
                Step::Damage { until, is_torn: self.is_torn(source, (at, until), header) }
            }
        }
    }

    /// Whether the bytes are the beginning of a record that needs more than there are before the next one or the end.
    fn is_torn(&mut self, source: &Source<'_>, (at, until): (u64, u64), header: Option<Header>) -> bool {
        let length = header.map_or(HEADER as u64, |header| header.bytes());
        let there = usize::try_from(until - at).unwrap_or(usize::MAX);
        let is_begun = |bytes: &[u8]| bytes.iter().take(there).zip(MAGIC).all(|(byte, magic)| *byte == magic);
        until - at < length
            && (source.is_final || self.is_record(source, until))
            && self.bytes(source, at, MAGIC.len()).is_ok_and(|bytes| !bytes.is_empty() && is_begun(bytes))
    }

    /// The offset of the first record from `at` on; the limit if there is none.
    fn next_record(&mut self, source: &Source<'_>, mut at: u64) -> u64 {
        while at < source.limit {
            let bytes = match self.bytes(source, at, MAGIC.len()) {
                Ok(bytes) if bytes.len() >= MAGIC.len() => bytes,
                // Also at the end of a file that was cut off.
                Ok(_) | Err(_) => {
                    at = self.after_unreadable(source, at);
                    continue;
                }
            };
            match memmem::find(bytes, &MAGIC) {
                Some(found) => {
                    at += found as u64;
                    if self.is_record(source, at) {
                        return at;
                    }
                    at += 1;
                }
                None => at += (bytes.len() - (MAGIC.len() - 1)) as u64,
            }
        }
        // The start of a record that is being written may be before the limit.
        if source.is_final { source.limit } else { source.limit.saturating_sub(HEADER as u64 - 1) }
    }

    fn is_record(&mut self, source: &Source<'_>, at: u64) -> bool {
        match self.header(source, at) {
            Ok(Some(header)) if header.bytes() <= source.limit - at => self.entry(source, at, header).is_some(),
            // It is being written.
            Ok(Some(_)) => !source.is_final,
            _ => false,
        }
    }

    fn after_unreadable(&mut self, source: &Source<'_>, at: u64) -> u64 {
        self.unreadable += 1;
        if self.unreadable > MAX_UNREADABLE { source.limit } else { ((at / PAGE + 1) * PAGE).min(source.limit) }
    }

    fn header(&mut self, source: &Source<'_>, at: u64) -> io::Result<Option<Header>> {
        self.bytes(source, at, HEADER).map(|bytes| Header::read(bytes, source.salt))
    }

    fn entry(&mut self, source: &Source<'_>, at: u64, header: Header) -> Option<Entry> {
        let (at, length) = (at + HEADER as u64, header.length as usize);
        let payload = if length <= CHUNK {
            Bytes::copy_from_slice(self.bytes(source, at, length).ok()?.get(..length)?)
        } else {
            let mut payload = vec![0; length];
            source.file.read_exact_at(&mut payload, at).ok()?;
            payload.into()
        };
        Entry::new(header, payload, source.salt)
    }

    /// The bytes from `at` on that are in the window: at least `length`, unless the file or the limit ends before.
    fn bytes(&mut self, source: &Source<'_>, at: u64, length: usize) -> io::Result<&[u8]> {
        let end = at.saturating_add(length as u64).min(source.limit);
        if at < self.start || end > self.start + self.buffer.len() as u64 {
            self.fill(source, at)?;
        }
        let skipped = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(skipped..).unwrap_or_default())
    }

    fn fill(&mut self, source: &Source<'_>, at: u64) -> io::Result<()> {
        let wanted = usize::try_from(source.limit - at).unwrap_or(usize::MAX).min(CHUNK);
        self.start = at;
        self.read_at = Some(Instant::now());
        self.buffer.clear();
        self.buffer.resize(wanted, 0);
        let mut filled = 0;
        while let Some(rest) = self.buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match source.file.read_at(rest, at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was read before may be all that is needed.
                Err(_) if filled > 0 => break,
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

/// The header of the record at an offset as it is in the file now. `None` if there is none any more.
pub(super) fn read_header(file: &File, salt: u32, at: u64) -> Option<Header> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, at).ok()?;
    Header::read(&header, salt)
}

/// The record at an offset as it is in the file now, in any state. `None` if there is none any more.
pub(super) fn read_entry(file: &File, salt: u32, at: u64) -> Option<Entry> {
    let mut usual = [0; USUAL_BYTES];
    let read = file.read_at(&mut usual, at).ok()?;
    let header = Header::read(usual.get(..read)?, salt)?;
    let length = header.length as usize;
    if let Some(payload) = usual.get(HEADER..read).and_then(|rest| rest.get(..length)) {
        return Entry::new(header, Bytes::copy_from_slice(payload), salt);
    }
    let payload_at = at + HEADER as u64;
    // A damaged length must not reserve memory.
    let is_there = file.metadata().ok()?.len() >= payload_at + u64::from(header.length);
    let mut payload = vec![0; if is_there { length } else { 0 }];
    file.read_exact_at(&mut payload, payload_at).ok()?;
    Entry::new(header, payload.into(), salt)
}
