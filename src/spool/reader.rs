//! The thread that delivers: reads the spool's callbacks in their order and marks those that are delivered.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::log::Log;
use super::record::{Entry, State, Verdict};
use super::segment::{Position, Segment};
use super::window::{Step, Window, read_entry, read_header};

/// Maximum number of bytes of a reason that are kept with a dead letter.
const MAX_REASON: usize = 1024;

/// Reads the callbacks of a spool in their order, and marks those that are delivered.
pub struct Reader {
    log: Arc<Log>,
    dead: Arc<Log>,
    window: Window,
    /// Where the next record is.
    place: Position,
    /// The highest place so far. Records before it may have been delivered since the window was read.
    furthest: Position,
}

impl Reader {
    pub(super) const fn new(log: Arc<Log>, dead: Arc<Log>) -> Self {
        let place = Position { segment: 0, offset: 0 };
        Self { log, dead, window: Window::new(), place, furthest: place }
    }

    /// The next pending callback, in the order of the appends. `None` at the end.
    ///
    /// # Errors
    /// When a file cannot be opened at the moment, for lack of memory or open files: try again later. What is damaged
    /// or missing is counted and passed over.
    #[allow(clippy::should_implement_trait, reason = "after the end, there may be more later")]
    pub fn next(&mut self) -> io::Result<Option<(Position, Entry)>> {
        let log = Arc::clone(&self.log);
        while let Some(segment) = log.segment_from(self.place.segment) {
            log.count(&segment, &mut self.window)?;
            if segment.number != self.place.segment {
                self.place = Position { segment: segment.number, offset: 0 };
                self.window.clear();
            }
            let from = self.place.offset.max(segment.first_pending.load(Relaxed));
            let mut found = None;
            let end = log.walk(&segment, &mut self.window, from, |_, offset, step| {
                if let Step::Pending(entry) = step
                    && entry.record().received_ms >= log.cutoff_ms.load(Relaxed)
                {
                    found = Some((Position { segment: segment.number, offset }, entry.clone()));
                }
                found.is_none()
            })?;
            if let Some((position, entry)) = found {
                // If this fails, the next call tries the same record again.
                let is_pending = self.is_still_pending(&segment, position)?;
                self.place.offset = end + entry.bytes();
                self.furthest = self.furthest.max(self.place);
                if is_pending {
                    return Ok(Some((position, entry)));
                }
                continue;
            }
            self.place.offset = end;
            match segment.extent() {
                (limit, true) if end >= limit => self.place.segment += 1,
                (_, true) => {}
                (_, false) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether a record that was pending in the window still is. It may have been delivered since, if it was read before,
    /// and an operator may have changed it.
    fn is_still_pending(&self, segment: &Segment, position: Position) -> io::Result<bool> {
        if position >= self.furthest && !self.window.is_old() {
            return Ok(!self.log.is_done(position, State::Pending));
        }
        let Some(file) = self.log.file(segment)? else { return Ok(false) };
        Ok(self.log.state(&file, position).is_ok_and(|state| state == State::Pending))
    }

    /// The callback at a position, again. `None` if it has been delivered or dropped since.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn read(&mut self, position: Position) -> io::Result<Option<Entry>> {
        let Some((segment, file)) = self.file(position)? else { return Ok(None) };
        let is_pending = |entry: &Entry| {
            let state = entry.header().state;
            state == State::Pending && !self.log.is_done(position, state)
        };
        let entry = read_entry(&file, segment.salt(), position.offset).filter(is_pending);
        Ok(entry.filter(|entry| entry.record().received_ms >= self.log.cutoff_ms.load(Relaxed)))
    }

    /// Rewinds: continues with the callback at this position.
    pub fn rewind(&mut self, to: Position) {
        // The window is of one segment only.
        if to.segment != self.place.segment {
            self.window.clear();
        }
        self.place = to;
    }

    /// Marks a callback as delivered.
    ///
    /// # Errors
    /// When the mark cannot be written. It is kept in memory and tried again by `Spool::maintain`, so there is nothing
    /// to do but to report it: after a crash of the process, the callback would be delivered again.
    pub fn delivered(&mut self, position: Position) -> io::Result<()> {
        let Some((segment, file)) = self.file(position)? else { return Ok(()) };
        match read_header(&file, segment.salt(), position.offset) {
            Some(header) if !self.log.is_done(position, header.state) => {
                self.log.finish(&segment, &file, position, &header)
            }
            // An operator dropped it meanwhile, or it is damaged since, and counted as such.
            _ => Ok(()),
        }
    }

    /// Moves a callback to the dead letters.
    ///
    /// # Errors
    /// When the dead letter cannot be written. The callback is still pending then.
    pub fn bury(&mut self, position: Position, status: u16, reason: &str) -> io::Result<()> {
        if let Some(entry) = self.read(position)? {
            let reason = reason.get(..reason.floor_char_boundary(MAX_REASON)).unwrap_or_default();
            self.dead.append(&entry.record(), Verdict { status, reason }).map_err(io::Error::other)?;
        }
        self.delivered(position)
    }

    /// The segment of a position and its file, if it is still a part of the spool.
    fn file(&self, position: Position) -> io::Result<Option<(Arc<Segment>, Arc<File>)>> {
        let segment = self.log.segment_from(position.segment).filter(|found| found.number == position.segment);
        let Some(segment) = segment else { return Ok(None) };
        Ok(self.log.file(&segment)?.map(|file| (segment, file)))
    }
}
