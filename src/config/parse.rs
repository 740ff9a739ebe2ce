//! Parsers of the flags' values. Their errors say how to correct a value; clap adds the flag and the value.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::TypedValueParser;

use super::duration::{self, Notation};

/// Largest number of bytes that a flag accepts: a callback's body is held in memory as a whole.
const MAX_BYTES: u64 = 1 << 30;

/// Longest time for which duplicate messages are ignored.
const MAX_DEDUP_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The type of a setting that is a number. Without this list, the literals of a range alone would be `i32`, and clap
/// would panic at every start.
pub(super) trait FlagNumber: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static {}
impl FlagNumber for usize {}
impl FlagNumber for u32 {}
impl FlagNumber for u64 {}
impl FlagNumber for f64 {}

/// A parser of numbers in a range.
pub(super) fn number<T: FlagNumber>(range: RangeInclusive<T>) -> impl TypedValueParser<Value = T> {
    move |text: &str| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("give a number from {} to {}", range.start(), range.end()))
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

/// A number of bytes, with or without a unit.
pub(super) fn bytes(text: &str) -> Result<usize, &'static str> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = match text.get(digits.len()..) {
        Some("" | "B") => 1,
        Some("KiB" | "K" | "k") => 1 << 10,
        Some("MiB" | "M") => 1 << 20,
        Some("GiB" | "G") => 1 << 30,
        _ => 0,
    };
    let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    bytes
        .filter(|bytes| (1..=MAX_BYTES).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or("give a number of bytes from 1 to 1GiB, as in 1048576, 64KiB or 1MiB")
}

/// The path of the metrics.
pub(super) fn metrics_path(path: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return Err("give a path that starts with / and has only letters, digits and - . _ ~ /, as in /metrics");
    }
    if path == "/" || path.starts_with("/-/") || path.starts_with("/api/") {
        return Err(
            "this path is used by the landing page, the health checks or the API; give another, as in /metrics",
        );
    }
    Ok(path.to_owned())
}

/// How long duplicates are ignored, in whole seconds.
pub(super) fn dedup_window(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text, Notation::Flags)
        .filter(|window| *window <= MAX_DEDUP_WINDOW && window.subsec_nanos() == 0)
        .ok_or("give whole seconds up to 24h, as in 10m, 90s or 1h30m; 0s turns it off")
}
