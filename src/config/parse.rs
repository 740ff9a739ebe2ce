//! Parsers of the flags' values. Their errors say how to correct a value; clap adds the flag and the value.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{self, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};

use super::duration::{self, Notation};
use crate::domain::Calendar;
use crate::named::Named;

/// Largest number of bytes that a flag accepts: a callback's body is held in memory as a whole.
const MAX_BYTES: u64 = 1 << 30;

/// Sizes of what is kept on a disk. The smallest has room for a callback of the default maximum size.
const DISK_BYTES: RangeInclusive<u64> = 1 << 20..=100 << 40;

/// How long something may be kept on a disk.
const AGES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3650 * 86_400);

/// Longest time from a signal to the drain. Service managers kill processes that take too long to end.
const MAX_DRAIN_DELAY: Duration = Duration::from_secs(600);

/// Longest time for which duplicate messages are ignored.
const MAX_DEDUP_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The type of a setting that is a number. Without this list, the literals of a range alone would be `i32`, and clap
/// would panic at every start.
pub(super) trait FlagNumber: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static {
    /// The product; `None` if it does not fit.
    fn times(self, factor: u32) -> Option<Self>;
}

macro_rules! flag_numbers {
    ($($whole:ty),+) => {
        $(impl FlagNumber for $whole {
            fn times(self, factor: u32) -> Option<Self> {
                self.checked_mul(Self::try_from(factor).ok()?)
            }
        })+
    };
}
flag_numbers!(usize, u32, u64);

impl FlagNumber for f64 {
    fn times(self, factor: u32) -> Option<Self> {
        Some(self * Self::from(factor))
    }
}

/// A parser of numbers in a range, with or without a unit.
pub(super) fn number<T: FlagNumber>(range: RangeInclusive<T>) -> impl TypedValueParser<Value = T> {
    move |text: &str| {
        let (digits, factor) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (text.get(..text.len() - 1), 1000),
            Some(b'M') => (text.get(..text.len() - 1), 1_000_000),
            _ => (Some(text), 1),
        };
        let number = digits.and_then(|digits| digits.parse().ok()).and_then(|number: T| number.times(factor));
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            format!("give a number from {} to {}; 2k means 2000, 1M a million", range.start(), range.end())
        })
    }
}

/// The value of a switch, which only its variable can have.
pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err("give true or false"),
    }
}

/// The value of an enum with this name.
pub(super) fn name_of<T: Named + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let find = |name: String| T::VALUES.iter().copied().find(|value| value.name() == name).ok_or("unknown");
    PossibleValuesParser::new(T::VALUES.iter().map(|value| value.name())).try_map(find)
}

/// A number of bytes that are held in memory.
pub(super) fn bytes(text: &str) -> Result<usize, &'static str> {
    size(text, 1..=MAX_BYTES)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or("give a number of bytes from 1 to 1GiB, as in 1048576, 64KiB or 1MiB")
}

/// A number of bytes on a disk.
pub(super) fn disk_bytes(text: &str) -> Result<u64, &'static str> {
    size(text, DISK_BYTES).ok_or("give a size from 1MiB to 100TiB, as in 512MiB or 10GiB")
}

/// How long something is kept on a disk, in whole seconds.
pub(super) fn age(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text, Notation::Flags).filter(|age| AGES.contains(age) && age.subsec_nanos() == 0).ok_or_else(
        || match text.parse::<u64>() {
            Ok(_) => "the unit is missing; give whole seconds from 1m to 3650d, as in 90m, 72h or 7d",
            Err(_) => "give whole seconds from 1m to 3650d, as in 90m, 72h or 7d",
        },
    )
}

/// A number of bytes, with or without a unit. As in Prometheus, each unit is 1,024 times the one before.
fn size(text: &str, range: RangeInclusive<u64>) -> Option<u64> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = match text.get(digits.len()..) {
        Some("" | "B") => 1,
        Some("KiB" | "KB" | "kB" | "K" | "k") => 1 << 10,
        Some("MiB" | "MB" | "M") => 1 << 20,
        Some("GiB" | "GB" | "G") => 1 << 30,
        Some("TiB" | "TB" | "T") => 1 << 40,
        _ => 0,
    };
    let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    bytes.filter(|bytes| range.contains(bytes))
}

/// The path of a file or directory, as an absolute path: so an error or a log line shows where it is.
pub(super) fn absolute_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|path| path::absolute(&path).unwrap_or_else(|_| path.into()))
}

/// The path of the metrics.
pub(super) fn metrics_path(path: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return Err("give a path that starts with / and has only letters, digits and - . _ ~ /, as in /metrics");
    }
    if path == "/" || path.starts_with("/-/") || path.starts_with("/api/") || path.starts_with("/page/") {
        return Err("this path is used by the page, the health checks or the API; give another, as in /metrics");
    }
    Ok(path.to_owned())
}

/// A time zone's calendar.
pub(super) fn calendar(zone: &str) -> Result<Calendar, &'static str> {
    // Files beside the time zones: browsers, for example, do not know these names.
    let is_file = matches!(zone, "localtime" | "posixrules");
    let found = if is_file { None } else { Calendar::of_zone(zone).ok() };
    found.ok_or("give the IANA name of a time zone, as in UTC, Asia/Shanghai or Europe/Berlin")
}

/// How long the exporter keeps serving after a signal.
pub(super) fn drain_delay(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text, Notation::Flags)
        .filter(|delay| *delay <= MAX_DRAIN_DELAY)
        .ok_or("give a duration up to 10m, as in 5s or 1500ms; 0s drains at once")
}

/// How long duplicates are ignored, in whole seconds.
pub(super) fn dedup_window(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text, Notation::Flags)
        .filter(|window| *window <= MAX_DEDUP_WINDOW && window.subsec_nanos() == 0)
        .ok_or("give whole seconds up to 24h, as in 10m, 90s or 1h30m; 0s turns it off")
}
