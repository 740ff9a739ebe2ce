//! The rate of requests.

use std::num::NonZeroU32;
use std::time::Duration;

use super::section::Field;
use crate::config::file::FileError;

/// The longest interval, so that the time a whole burst takes is a `Duration` too.
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Go's units with their nanoseconds, each before those it ends with.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A token bucket: it holds `burst` requests, and gets one more each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time until one more request is answered; from a nanosecond to 24 hours.
    pub interval: Duration,
    /// Requests that are answered at once.
    pub burst: NonZeroU32,
}

pub(super) fn parse(field: Field) -> Result<Option<RateLimit>, FileError> {
    let line = field.line;
    let mut section = field.section(&["interval", "burst"])?;
    let burst = section.take("burst");
    let interval = section.take("interval").map_or(Ok(Duration::ZERO), |field| interval(&field))?;
    if interval.is_zero() {
        // The toolkit's way to turn it off.
        return Ok(None);
    }
    let missing =
        || FileError::at(line, "rate_limit.burst", "without a burst nothing would be answered; give 1 or more");
    let field = burst.ok_or_else(missing)?;
    let problem = "give a whole number from 1 to 4294967295: the requests that are answered at once";
    let burst = field.text()?.parse().map_err(|_| field.refused(problem))?;
    Ok(Some(RateLimit { interval, burst }))
}

fn interval(field: &Field) -> Result<Duration, FileError> {
    let problem = "give a time of at most 24h with its unit, as in 1s, 250ms or 1m30s; 0 is no limit";
    let interval = duration(field.text()?).filter(|interval| *interval <= LONGEST_INTERVAL);
    interval.ok_or_else(|| field.refused(problem))
}

/// A duration as Go writes it, without a sign: numbers, each with its unit and maybe a fraction; 0 needs no unit.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at(unit_at);
        let unit_end = after.find(|character: char| character.is_ascii_digit() || character == '.');
        let (unit, after) = after.split_at(unit_end.unwrap_or(after.len()));
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(part(number, *nanoseconds)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// A decimal number of a unit; what is under a nanosecond is dropped.
fn part(number: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let mut nanoseconds = whole.checked_mul(unit)?;
    let mut scale = unit;
    for digit in fraction.chars() {
        scale /= 10;
        nanoseconds = nanoseconds.checked_add(u64::from(digit.to_digit(10)?) * scale)?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_go_reads_it() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("1s", 1_000_000_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h", 3_600_000_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("7ns", 7),
            ("1.00000000099s", 1_000_000_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_go_would_not_read_or_not_mean_is_refused() {
        let endless = format!("{}s", "9".repeat(1000));
        for text in ["", "1", "s", ".s", "1d", "-1s", "+1s", "1 s", "1..5s", "1s ", "0x1s", "1S", "１s", &endless] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
