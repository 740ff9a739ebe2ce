//! Values of the file: times, numbers, sizes, patterns, and what other files have.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::globs::{Commands, Globs};
use crate::config::duration::{self, Notation};
use crate::config::file::{FileError, redact_name};
use crate::config::similar::did_you_mean;
use crate::config::yaml::{Field, Mapping};
use crate::domain::COMMANDS;

/// Maximum number of patterns in a list, and their maximum length in bytes: each callback may be compared with all.
const MAX_PATTERNS: usize = 64;
const MAX_PATTERN: usize = 256;

/// Largest file with a password, a token or a secret, in bytes.
const MAX_SECRET: u64 = 4096;

/// Reads a file of at most so many bytes.
pub type ReadFile<'a> = dyn FnMut(&Path, u64) -> Result<Vec<u8>, FileError> + 'a;

/// The files that the file of targets names; relative paths start from its directory.
pub(super) struct Files<'a> {
    pub(super) directory: &'a Path,
    pub(super) read: &'a mut ReadFile<'a>,
}

impl Files<'_> {
    /// The bytes of the file that a field names.
    ///
    /// # Errors
    /// Do not name the file: the field may have a password by mistake.
    pub(super) fn bytes(&mut self, field: &Field, max_bytes: u64) -> Result<Vec<u8>, String> {
        let path = self.path(field).map_err(|_| "give the path of a file")?;
        (self.read)(&path, max_bytes).map_err(|error| error.to_string())
    }

    /// The one line of the file that a field names, parsed without its newline. The error shows nothing of it.
    pub(super) fn secret<T>(
        &mut self,
        field: &Field,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<T, FileError> {
        let bytes = self.bytes(field, MAX_SECRET).map_err(|problem| field.error(problem))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| "the file is not UTF-8; give the file with the secret");
        let line = text.map(|text| text.strip_suffix('\n').unwrap_or(text));
        let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line));
        line.and_then(parse).map_err(|problem| field.error(problem))
    }

    /// The path of the file that a field names.
    pub(super) fn path(&self, field: &Field) -> Result<PathBuf, FileError> {
        Ok(self.directory.join(field.text()?))
    }
}

/// A time, or the default if the key is missing.
pub(super) fn time(
    mapping: &Mapping,
    key: &str,
    default: Duration,
    range: RangeInclusive<Duration>,
) -> Result<Duration, FileError> {
    let Some(field) = mapping.get(key) else { return Ok(default) };
    let text = field.text()?;
    let time = duration::parse(text, Notation::Flags).or_else(|| duration::parse(text, Notation::Go));
    time.filter(|time| range.contains(time)).ok_or_else(|| {
        let missing = if text.parse::<f64>().is_ok() { "the unit is missing; " } else { "" };
        let (least, most) = (in_words(*range.start()), in_words(*range.end()));
        field.error(format!("{missing}give a time from {least} to {most}, as in 500ms, 2.5s or 1m30s"))
    })
}

/// A limit as the documentation writes it.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds if seconds > 60 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        _ => format!("{} s", time.as_secs_f64()),
    }
}

/// A number, or the default if the key is missing.
pub(super) fn number<T: FromStr + PartialOrd + Display>(
    mapping: &Mapping,
    key: &str,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, FileError> {
    let Some(field) = mapping.get(key) else { return Ok(default) };
    let number = field.text()?.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| field.error(format!("give a number from {} to {}", range.start(), range.end())))
}

/// What a flag's parser makes of the text, or the default if the key is missing.
pub(super) fn as_flag<T>(
    mapping: &Mapping,
    key: &str,
    default: T,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<T, FileError> {
    mapping.get(key).map_or(Ok(default), |field| parse(field.text()?).map_err(|problem| field.error(problem)))
}

/// The items of a list that is not empty.
pub(super) fn list<'a>(field: &Field<'a>, max: usize, what: &str) -> Result<Vec<Field<'a>>, FileError> {
    let items = field.items()?;
    match items.len() {
        0 => Err(field.error(format!("the list is empty; add {what}, or remove the key"))),
        len if len > max => Err(field.error(format!("{len} are too many; give at most {max}"))),
        _ => Ok(items),
    }
}

fn pattern(field: &Field) -> Result<Box<str>, FileError> {
    let text = field.text()?;
    if text.is_empty() || text.len() > MAX_PATTERN {
        return Err(field.error(format!("give 1 to {MAX_PATTERN} bytes; * stands for any characters")));
    }
    Ok(text.into())
}

/// Patterns of group IDs.
pub(super) fn globs(field: &Field) -> Result<Globs, FileError> {
    list(field, MAX_PATTERNS, "a group's ID")?.iter().map(pattern).collect::<Result<_, _>>().map(Globs)
}

/// Names and patterns of commands.
pub(super) fn commands(field: &Field) -> Result<Commands, FileError> {
    let patterns = list(field, MAX_PATTERNS, "a command")?.iter().map(command).collect::<Result<_, _>>();
    patterns.map(Commands::new)
}

/// A name of a command, or a pattern. A name that no version of OpenIM uses would match nothing.
fn command(field: &Field) -> Result<Box<str>, FileError> {
    let text = pattern(field)?;
    if text.contains('*') || Commands::new(vec![text.clone()]).known().next().is_some() {
        return Ok(text);
    }
    let advice = did_you_mean(&text, COMMANDS.iter().map(|known| known.name));
    Err(field.error(format!(
        "{} is not a known command; {advice}docs/callbacks.md lists them; for one of a newer OpenIM, add a * at its end",
        redact_name(&text)
    )))
}
