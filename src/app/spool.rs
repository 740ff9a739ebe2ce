//! `openim-exporter spool`: looks at the spools of a running or a stopped exporter, and changes them.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::outputs::SPOOLS;
use crate::arena::advice_for_command;
use crate::config::{Selection, SpoolAction, SpoolCommand};
use crate::domain::{Clock as _, SystemClock};
use crate::spool::{Entry, Listing, Part, Position, Request, list, request, visit};

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("--storage.path is empty; set it to the directory of the exporter's state and spools")]
    NoDirectory,
    #[error("{path}: there is no spool; set --storage.path to that of the exporter that forwards", path = .0.display())]
    NoSpool(PathBuf),
    #[error("there is no spool for the target {name}; there are spools for {others}")]
    NoTarget { name: String, others: String },
    #[error("there are spools for several targets; choose one with --target: {0}")]
    SeveralTargets(String),
    #[error("{path}: {1}; {advice}", path = .0.display(), advice = advice_for_command(.1))]
    Spool(PathBuf, io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error("{0} would be dropped and lost; add --yes to drop them")]
    NotConfirmed(String),
    #[error("nothing matches in the {part} of {target}", part = if *.part == Part::Pending { "pending callbacks" } else { "dead letters" })]
    NothingMatches { part: Part, target: String },
}

/// A spool that was found.
struct Target {
    name: String,
    path: PathBuf,
}

/// Does what the command line says, and writes to `output`.
pub(super) fn run(command: &SpoolCommand, output: &mut dyn Write) -> Result<(), Error> {
    let targets = targets(&command.storage)?;
    let mut output = io::BufWriter::new(output);
    match &command.action {
        SpoolAction::List => {
            let chosen = match &command.target {
                Some(_) => vec![chosen(targets, command)?],
                None => targets,
            };
            print_table(&chosen, &mut output)?;
        }
        SpoolAction::Show(selection, dead_letters, limit) => {
            show(&chosen(targets, command)?, selection, part(*dead_letters), *limit, &mut output)?;
        }
        SpoolAction::Replay(selection) => {
            let target = chosen(targets, command)?;
            let marked = mark(&target, Part::DeadLetters, Request::Replay, selection)?;
            let number = counted(marked, Part::DeadLetters, &target)?;
            writeln!(output, "{number} of {} will be delivered again {WHEN}", target.name)?;
        }
        SpoolAction::Drop { selection, dead_letters, is_confirmed } => {
            let (target, part) = (chosen(targets, command)?, part(*dead_letters));
            if !is_confirmed {
                return Err(Error::NotConfirmed(counted(count(&target, part, selection)?, part, &target)?));
            }
            let number = counted(mark(&target, part, Request::Drop, selection)?, part, &target)?;
            writeln!(output, "{number} of {} will be dropped {WHEN}", target.name)?;
        }
    }
    Ok(output.flush()?)
}

/// When the exporter does what was asked for.
const WHEN: &str = "within seconds, or after the exporter's next start";

const fn part(dead_letters: bool) -> Part {
    if dead_letters { Part::DeadLetters } else { Part::Pending }
}

/// What was found, in words.
///
/// # Errors
/// When it is nothing: then the selection is probably wrong.
fn counted(number: u64, part: Part, target: &Target) -> Result<String, Error> {
    match (part, number) {
        (_, 0) => Err(Error::NothingMatches { part, target: target.name.clone() }),
        (Part::Pending, 1) => Ok("1 callback".to_owned()),
        (Part::Pending, _) => Ok(format!("{number} callbacks")),
        (Part::DeadLetters, 1) => Ok("1 dead letter".to_owned()),
        (Part::DeadLetters, _) => Ok(format!("{number} dead letters")),
    }
}

/// The spools in a directory, by name.
fn targets(storage: &Path) -> Result<Vec<Target>, Error> {
    if storage.as_os_str().is_empty() {
        return Err(Error::NoDirectory);
    }
    let path = storage.join(SPOOLS);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NoSpool(path)),
        Err(error) => return Err(Error::Spool(path, error)),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
    let named = |path: PathBuf| Some(Target { name: path.file_name()?.to_str()?.to_owned(), path });
    let mut targets: Vec<_> = paths.filter_map(named).collect();
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    if targets.is_empty() { Err(Error::NoSpool(path)) } else { Ok(targets) }
}

/// The target of the flags, or the only one.
fn chosen(mut targets: Vec<Target>, command: &SpoolCommand) -> Result<Target, Error> {
    let names = targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    match (&command.target, targets.len()) {
        (Some(name), _) => {
            let found = targets.into_iter().find(|target| target.name == *name);
            found.ok_or_else(|| Error::NoTarget { name: name.clone(), others: names })
        }
        (None, 2..) => Err(Error::SeveralTargets(names)),
        (None, _) => targets.pop().ok_or_else(|| Error::NoSpool(command.storage.clone())),
    }
}

/// Prints a line for each target, and what needs attention.
fn print_table(targets: &[Target], output: &mut dyn Write) -> Result<(), Error> {
    let headings = ["TARGET", "PENDING", "BYTES", "OLDEST", "DEAD LETTERS", "BYTES", "OLDEST"];
    let mut rows = vec![headings.map(str::to_owned)];
    let mut remarks = Vec::new();
    for target in targets {
        let list = |part| list(&target.path, part).map_err(|error| Error::Spool(target.path.clone(), error));
        let (pending, dead) = (list(Part::Pending)?, list(Part::DeadLetters)?);
        let cells = |listing: &Listing| {
            let oldest = listing.oldest_ms.map_or_else(|| "-".to_owned(), time);
            [listing.records.to_string(), listing.bytes.to_string(), oldest]
        };
        let ([pending_records, pending_bytes, oldest], [letters, bytes, oldest_letter]) =
            (cells(&pending), cells(&dead));
        rows.push([target.name.clone(), pending_records, pending_bytes, oldest, letters, bytes, oldest_letter]);
        for listing in [pending, dead] {
            remarks.extend(remarks_on(&target.name, &listing));
        }
    }
    let widths: [usize; 7] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default()
    });
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(output, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    for remark in remarks {
        writeln!(output, "{remark}")?;
    }
    Ok(())
}

fn remarks_on(target: &str, listing: &Listing) -> Vec<String> {
    let mut remarks = Vec::new();
    if listing.requested > 0 {
        let verb = if listing.requested == 1 { "is" } else { "are" };
        remarks.push(format!("{target}: {} {verb} marked to be replayed or dropped {WHEN}", listing.requested));
    }
    if listing.damaged > 0 {
        let what = match listing.damaged {
            1 => "1 part of a file is damaged or missing; the exporter skips it".to_owned(),
            damaged => format!("{damaged} parts of files are damaged or missing; the exporter skips them"),
        };
        remarks.push(format!("{target}: {what}"));
    }
    let set_aside = listing.set_aside.iter();
    remarks.extend(set_aside.map(|path| format!("{target}: {} was set aside because it is damaged", path.display())));
    remarks
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// Whether a callback is one of the selection.
fn has(selection: &Selection, position: Position, entry: &Entry, now_ms: i64) -> bool {
    let record = entry.record();
    let age = Duration::from_millis(now_ms.saturating_sub(record.received_ms).max(0).unsigned_abs());
    (selection.positions.is_empty() || selection.positions.contains(&position))
        && selection.commands.contains(record.command)
        && selection.older_than.is_none_or(|older_than| age > older_than)
}

fn count(target: &Target, part: Part, selection: &Selection) -> Result<u64, Error> {
    let (now_ms, mut number) = (SystemClock.now().0, 0);
    let counted = visit(&target.path, part, &mut |position, entry| {
        number += u64::from(has(selection, position, entry, now_ms));
        ControlFlow::Continue(())
    });
    counted.map_err(|error| Error::Spool(target.path.clone(), error))?;
    Ok(number)
}

fn mark(target: &Target, part: Part, what: Request, selection: &Selection) -> Result<u64, Error> {
    let now_ms = SystemClock.now().0;
    request(&target.path, part, what, &mut |position, entry| has(selection, position, entry, now_ms))
        .map_err(|error| Error::Spool(target.path.clone(), error))
}

/// A callback as a line of JSON. Fields that a record also has, have the same names.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    position: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    path: String,
    query: &'a str,
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl<'a> Line<'a> {
    fn new(position: Position, entry: &'a Entry, part: Part) -> Self {
        let record = entry.record();
        let body = serde_json::from_slice(record.body).ok();
        let is_dead = part == Part::DeadLetters;
        Self {
            time: time(record.received_ms),
            position: position.to_string(),
            status: is_dead.then(|| entry.status()),
            reason: is_dead.then(|| entry.reason()),
            path: if record.tail.is_empty() { String::new() } else { format!("/{}", record.tail) },
            query: record.query,
            command: record.command,
            text: body.is_none().then(|| String::from_utf8_lossy(record.body).into_owned()),
            body,
        }
    }
}

fn show(
    target: &Target,
    selection: &Selection,
    part: Part,
    limit: Option<u64>,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let (now_ms, mut left, mut written) = (SystemClock.now().0, limit.unwrap_or(u64::MAX), Ok(()));
    let mut print = |position, entry: &Entry| {
        let mut line = serde_json::to_vec(&Line::new(position, entry, part))?;
        // JSON has line breaks only between its tokens.
        line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        line.push(b'\n');
        output.write_all(&line)
    };
    let shown = visit(&target.path, part, &mut |position, entry| {
        if has(selection, position, entry, now_ms) {
            written = print(position, entry);
            left -= 1;
        }
        if written.is_err() || left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    shown.map_err(|error| Error::Spool(target.path.clone(), error))?;
    Ok(written?)
}
