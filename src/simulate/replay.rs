//! Reads the records of a replay, on a thread of its own: a file, or the program that writes to a pipe, may be slow.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::error::Error;
use super::recorded::Recorded;
use crate::config::simulate;
use crate::domain::UnixMillis;

/// Records that are read ahead.
const AHEAD: usize = 64;

/// The longest line in bytes. A body's limit is far below it.
const MAX_LINE: u64 = 256 << 20;

/// How gzip begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// What was read in a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplayCounts {
    /// Records that were read without their body, so that they could not be sent: it was not JSON, and `--record.content`
    /// was `none`.
    pub without_body: u64,
    /// Lines that are not records, with `--skip-invalid`.
    pub skipped_lines: u64,
    /// The longest delay of a callback's start, because every connection was still waiting for an answer.
    pub latest_start_seconds: f64,
    /// Why the replay ended before the last record, with the file and the line.
    pub ended_by: Option<String>,
}

/// The records of some files, in the order of time.
pub(super) struct Replay {
    records: Mutex<Receiver<Result<Recorded, String>>>,
    problem: RefCell<Option<String>>,
    skips: Arc<Skips>,
}

#[derive(Default)]
struct Skips {
    without_body: AtomicU64,
    lines: AtomicU64,
}

impl Replay {
    /// Begins to read.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn open(settings: &simulate::Replay) -> Result<Self, Error> {
        let timed = |path: &PathBuf| first_time(path).map(|time| (time, path.clone()));
        let mut files = settings.files.iter().map(timed).collect::<Result<Vec<_>, _>>()?;
        files.sort_by_key(|(time, _)| *time);
        let (sender, records) = channel(AHEAD);
        let skips = Arc::new(Skips::default());
        let reading = Reading { skip_invalid: settings.skip_invalid, skips: Arc::clone(&skips), sender };
        let read = move || files.iter().try_for_each(|(_, path)| reading.read(path));
        thread::Builder::new().name("replay".to_owned()).spawn(read).map_err(Error::Thread)?;
        Ok(Self { records: Mutex::new(records), problem: RefCell::default(), skips })
    }

    /// The next record; `None` after the last one, or after a problem.
    pub(super) async fn next(&self) -> Option<Recorded> {
        let next = self.records.lock().await.recv().await?;
        next.map_err(|problem| self.problem.replace(Some(problem))).ok()
    }

    pub(super) fn counts(&self) -> ReplayCounts {
        ReplayCounts {
            without_body: self.skips.without_body.load(Ordering::Relaxed),
            skipped_lines: self.skips.lines.load(Ordering::Relaxed),
            latest_start_seconds: 0.0,
            ended_by: self.problem.borrow().clone(),
        }
    }
}

/// The time of a file's first record. Standard input is the only source, so its time does not matter.
fn first_time(path: &Path) -> Result<Option<UnixMillis>, Error> {
    if is_stdin(path) {
        return Ok(None);
    }
    let first = open(path).and_then(|mut reader| {
        let mut line = Vec::new();
        read_line(&mut *reader, &mut line).map(|_| line)
    });
    let line = first.map_err(|error| Error::Replay(path.to_owned(), error))?;
    // If it is not a record, the reading ends there.
    let first = Recorded::parse(&line).ok().flatten();
    Ok(first.map(|first| first.time))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file: Box<dyn Read> = if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut reader = BufReader::new(file);
    let is_compressed = reader.fill_buf()?.starts_with(GZIP);
    Ok(if is_compressed { Box::new(BufReader::new(MultiGzDecoder::new(reader))) } else { Box::new(reader) })
}

/// Reads a line. Returns whether there is one.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = reader.take(MAX_LINE).read_until(b'\n', line)?;
    if line.len() as u64 == MAX_LINE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is longer than 256 MiB"));
    }
    Ok(read > 0)
}

/// The work of the thread.
struct Reading {
    skip_invalid: bool,
    skips: Arc<Skips>,
    sender: Sender<Result<Recorded, String>>,
}

impl Reading {
    /// Reads a file. `None` after the end of the replay.
    fn read(&self, path: &Path) -> Option<()> {
        let mut reader = match open(path) {
            Ok(reader) => reader,
            Err(error) => return self.skip(&format!("{}: {error}", path.display())),
        };
        let mut line = Vec::new();
        for number in 1_u64.. {
            let place = |problem: &str| format!("{}: line {number} is not a record: {problem}", path.display());
            match read_line(&mut *reader, &mut line) {
                Ok(true) => {}
                Ok(false) => break,
                // What follows cannot be read either.
                Err(error) => return self.skip(&place(&error.to_string())),
            }
            match Recorded::parse(&line) {
                // A line that was torn by a full disk may have an empty one behind it.
                _ if line.trim_ascii().is_empty() => {}
                Ok(Some(record)) => self.sender.blocking_send(Ok(record)).ok()?,
                Ok(None) => {
                    self.skips.without_body.fetch_add(1, Ordering::Relaxed);
                }
                Err(problem) => self.skip(&place(&problem))?,
            }
        }
        Some(())
    }

    /// Counts a line that is not a record, or ends the replay.
    fn skip(&self, problem: &str) -> Option<()> {
        if self.skip_invalid {
            self.skips.lines.fetch_add(1, Ordering::Relaxed);
            return Some(());
        }
        // If nobody receives it, the run has ended already.
        let _ = self.sender.blocking_send(Err(problem.to_owned()));
        None
    }
}
