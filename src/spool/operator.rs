//! What operators see of a spool and ask for, through its files. The exporter may be running.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::files::{self, Found, Trouble};
use super::log::mark;
use super::record::{Entry, State};
use super::segment::{Position, Segment};
use super::store::DEAD;
use super::window::{Source, Step, Window};
use super::{manifest, requests};

/// The callbacks of a spool, or its dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Callbacks to be delivered.
    Pending,
    /// Callbacks that the target rejected.
    DeadLetters,
}

/// What an operator asks for. The exporter does it within seconds, or after its next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Drop them.
    Drop,
    /// Deliver them once more: append them to the pending callbacks.
    Replay,
}

/// What a part of a spool holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Records.
    pub records: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// When the oldest of them was received, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
    /// Records that an operator marked and the exporter has not moved or dropped yet.
    pub requested: u64,
    /// Damaged parts of files, and missing files.
    pub damaged: u64,
    /// Files that were set aside because they are damaged.
    pub set_aside: Vec<PathBuf>,
}

fn directory_of(spool: &Path, part: Part) -> PathBuf {
    match part {
        Part::Pending => spool.to_owned(),
        Part::DeadLetters => spool.join(DEAD),
    }
}

/// What a part of the spool in a directory holds.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn list(spool: &Path, part: Part) -> io::Result<Listing> {
    let directory = directory_of(spool, part);
    let mut listing = Listing::default();
    let damaged = walk(&directory, false, &mut |_, _, step| {
        let header = match step {
            Step::Pending(entry) => entry.header(),
            Step::Other(header) => {
                listing.requested += u64::from(header.state != State::Done);
                return ControlFlow::Continue(());
            }
            Step::Damage { .. } | Step::End => return ControlFlow::Continue(()),
        };
        listing.records += 1;
        listing.bytes += header.bytes();
        listing.oldest_ms = Some(listing.oldest_ms.map_or(header.received_ms, |oldest| oldest.min(header.received_ms)));
        ControlFlow::Continue(())
    })?;
    let found = files::list(&directory)?;
    let is_there = |number| found.iter().any(|(_, found)| matches!(found, Found::Segment(found) if *found == number));
    let missing = manifest::read(&directory).into_keys().filter(|number| !is_there(*number)).count();
    listing.damaged = damaged + missing as u64;
    let set_aside = found.into_iter().filter(|(_, found)| matches!(found, Found::Damaged));
    listing.set_aside = set_aside.map(|(path, _)| path).collect();
    Ok(listing)
}

/// Visits the records of a part in their order, until `visit` breaks.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn visit(spool: &Path, part: Part, visit: &mut dyn FnMut(Position, &Entry) -> ControlFlow<()>) -> io::Result<()> {
    walk(&directory_of(spool, part), false, &mut |_, position, step| match step {
        Step::Pending(entry) => visit(position, entry),
        _ => ControlFlow::Continue(()),
    })
    .map(drop)
}

/// Marks the records for which `wants` returns true. Returns their number.
///
/// # Errors
/// When the directory or a file cannot be read or written. Some records may be marked then.
pub fn request(
    spool: &Path,
    part: Part,
    request: Request,
    wants: &mut dyn FnMut(Position, &Entry) -> bool,
) -> io::Result<u64> {
    let directory = directory_of(spool, part);
    let state = match request {
        Request::Drop => State::ToDrop,
        Request::Replay => State::ToReplay,
    };
    let (mut marked, mut written) = (0, Ok(()));
    let walked = walk(&directory, true, &mut |file, position, step| {
        if let Step::Pending(entry) = step
            && wants(position, entry)
        {
            written = mark(file, position.offset, state);
            if written.is_err() {
                return ControlFlow::Break(());
            }
            marked += 1;
        }
        ControlFlow::Continue(())
    });
    if marked > 0 {
        // Only now: the exporter removes the file before it looks for marks.
        files::replace(&requests::path(&directory), "")?;
    }
    walked.and(written).map(|()| marked)
}

/// Visits everything that is in the segments of a directory. Returns the number of damaged parts.
fn walk(
    directory: &Path,
    for_marks: bool,
    visit: &mut dyn FnMut(&File, Position, &Step) -> ControlFlow<()>,
) -> io::Result<u64> {
    let mut segments: Vec<_> = files::list(directory)?
        .into_iter()
        .filter_map(|(path, found)| if let Found::Segment(number) = found { Some((number, path)) } else { None })
        .collect();
    segments.sort_unstable();
    let (last, mut damaged) = (segments.last().map(|(number, _)| *number), 0);
    let mut window = Window::new();
    for (number, path) in segments {
        let file = match files::open(&path, for_marks) {
            Ok(file) => file,
            // All of it is done.
            Err(Trouble::Missing) => continue,
            Err(Trouble::Unusable) => {
                damaged += 1;
                continue;
            }
            Err(Trouble::Passing(error)) => return Err(error),
        };
        window.clear();
        // The last record of the last segment may be in the middle of its append.
        let is_final = Some(number) != last;
        let source = Source { file: &file, salt: Segment::salt_of(number), limit: file.metadata()?.len(), is_final };
        let mut offset = 0;
        loop {
            let step = window.step(&source, offset);
            let until = match &step {
                Step::End => break,
                Step::Damage { until, is_torn } => {
                    damaged += u64::from(!is_torn);
                    *until
                }
                Step::Pending(entry) => offset + entry.bytes(),
                Step::Other(header) => offset + header.bytes(),
            };
            if visit(&file, Position { segment: number, offset }, &step).is_break() {
                return Ok(damaged);
            }
            offset = until;
        }
    }
    Ok(damaged)
}
