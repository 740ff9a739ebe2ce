//! What is known about a segment: one file of a spool.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// Where a record is. Later records have higher positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}:{}", self.segment, self.offset)
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (segment, offset) = text.split_once(':')?;
            Some(Self { segment: u64::from_str_radix(segment, 16).ok()?, offset: offset.parse().ok()? })
        };
        parse().ok_or("give a position as `openim-exporter spool show` prints it, as in 2a7c41f05:1520")
    }
}

/// What was written down about a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Bytes of the file when it was closed; 0 before.
    pub(super) bytes: u64,
    /// Records that were pending at that time.
    pub(super) pending: u64,
}

/// One file of a spool. Its number is its place in the order and, in the lower half, the random salt of its checksums.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Bytes whose writes have ended. The kernel does one append after the other, so these are the file's first bytes.
    written: AtomicU64,
    /// True when nothing is appended any more.
    closed: AtomicBool,
    /// True when the next three are complete. Before, they are what was noted.
    counted: AtomicBool,
    records: AtomicU64,
    record_bytes: AtomicU64,
    newest_ms: AtomicI64,
    done: AtomicU64,
    done_bytes: AtomicU64,
    /// Records that are being marked as done.
    marking: AtomicU64,
    /// Damaged parts, and the end of the last one.
    damaged: AtomicU64,
    damaged_until: AtomicU64,
    /// Every record before this offset is done. Used by the maintaining thread only.
    pub(super) first_pending: AtomicU64,
    /// Whether an operator marked a record in it.
    pub(super) has_requests: AtomicBool,
    /// True when it is no longer a part of the spool.
    pub(super) gone: AtomicBool,
}

impl Segment {
    /// The number of a new segment.
    pub(super) const fn number_of(sequence: u32, salt: u32) -> u64 {
        (sequence as u64) << 32 | salt as u64
    }

    /// Where a segment is in the order.
    #[allow(clippy::cast_possible_truncation, reason = "the upper half")]
    pub(super) const fn sequence_of(number: u64) -> u32 {
        (number >> 32) as u32
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(super) const fn salt_of(number: u64) -> u32 {
        number as u32
    }

    /// A segment that is about to be written.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            written: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            counted: AtomicBool::new(true),
            records: AtomicU64::new(0),
            record_bytes: AtomicU64::new(0),
            newest_ms: AtomicI64::new(i64::MIN),
            done: AtomicU64::new(0),
            done_bytes: AtomicU64::new(0),
            marking: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            damaged_until: AtomicU64::new(0),
            first_pending: AtomicU64::new(0),
            has_requests: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// A file that an earlier process wrote. If it is shorter than noted, the missing bytes count as damaged.
    pub(super) fn found(number: u64, bytes: u64, noted: Noted) -> Self {
        let bytes = bytes.max(noted.bytes);
        Self {
            written: AtomicU64::new(bytes),
            closed: AtomicBool::new(true),
            counted: AtomicBool::new(false),
            records: AtomicU64::new(noted.pending),
            record_bytes: AtomicU64::new(bytes),
            ..Self::new(number)
        }
    }

    pub(super) const fn salt(&self) -> u32 {
        Self::salt_of(self.number)
    }

    /// How far the file can be read, and whether that is final.
    pub(super) fn extent(&self) -> (u64, bool) {
        // In this order: nothing is written after it is closed.
        let closed = self.closed.load(Acquire);
        (self.written.load(Acquire), closed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.written.load(Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    /// Nothing is appended any more. The file has this many bytes, perhaps also some that were not appended here.
    pub(super) fn close(&self, bytes: u64) {
        self.written.fetch_max(bytes, AcqRel);
        self.closed.store(true, Release);
    }

    /// A record was written. Returns how many bytes are written now.
    pub(super) fn appended(&self, bytes: u64, received_ms: i64) -> u64 {
        self.records.fetch_add(1, Relaxed);
        self.record_bytes.fetch_add(bytes, Relaxed);
        self.newest_ms.fetch_max(received_ms, Relaxed);
        // Only now may it be read and marked as done.
        self.written.fetch_add(bytes, Release) + bytes
    }

    /// A part of a record was written.
    pub(super) fn tore(&self, bytes: u64) {
        self.written.fetch_add(bytes, Release);
    }

    pub(super) fn is_counted(&self) -> bool {
        self.counted.load(Acquire)
    }

    /// Stores what was counted in the file, unless another thread was faster: records may be done since.
    pub(super) fn set_counted(&self, records: u64, bytes: u64, newest_ms: i64) {
        if !self.counted.swap(true, AcqRel) {
            self.records.store(records, Relaxed);
            self.record_bytes.store(bytes, Relaxed);
            self.newest_ms.store(newest_ms, Relaxed);
        }
    }

    /// When the newest record was received. Before the segment is counted, no time is known.
    pub(super) fn newest_ms(&self) -> i64 {
        if self.is_counted() { self.newest_ms.load(Relaxed) } else { i64::MAX }
    }

    /// A record was delivered, dropped or moved elsewhere: `mark` marks it as done in the file.
    pub(super) fn finish<T>(&self, bytes: u64, mark: impl FnOnce() -> T) -> T {
        self.marking.fetch_add(1, AcqRel);
        let marked = mark();
        // After the mark: if no record is pending according to the numbers, none is in the file.
        self.done.fetch_add(1, Release);
        self.done_bytes.fetch_add(bytes, Relaxed);
        self.marking.fetch_sub(1, Release);
        marked
    }

    /// Whether the numbers lack a record that may be marked as done in the file.
    pub(super) fn is_marking(&self) -> bool {
        self.marking.load(Acquire) > 0
    }

    /// Records that are not done. For figures only: what is done is what the file says.
    pub(super) fn pending(&self) -> u64 {
        self.records.load(Relaxed).saturating_sub(self.done.load(Acquire))
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        if self.pending() == 0 {
            return 0;
        }
        self.record_bytes.load(Relaxed).saturating_sub(self.done_bytes.load(Relaxed))
    }

    /// The file has a pending record although none was expected.
    pub(super) fn expect_one(&self) {
        self.records.store(self.done.load(Relaxed) + 1, Relaxed);
    }

    /// Bytes from `from` to `until` are no record. Returns whether a record is lost that was not known to be. What is torn
    /// was reported when it was appended, or its process ended before it answered.
    pub(super) fn is_new_loss(&self, from: u64, until: u64, is_torn: bool) -> bool {
        let known = self.damaged_until.fetch_max(until, AcqRel);
        // What begins where the last one ended is its continuation.
        if known > from || known == from && known > 0 {
            return false;
        }
        if is_torn {
            return false;
        }
        self.damaged.fetch_add(1, Relaxed);
        // A damaged record was counted as pending, unless the damage was found by counting.
        if self.is_counted() && self.pending() > 0 {
            self.records.fetch_sub(1, Relaxed);
        }
        true
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Relaxed) > 0
    }
}
