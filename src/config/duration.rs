//! Durations as text: numbers, each with its unit, without spaces, as in `1h30m`.

use std::time::Duration;

/// Which durations are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// The flags': whole numbers of milliseconds to days.
    Flags,
    /// Go's, without a sign: nanoseconds to hours, with decimal fractions; `0` needs no unit.
    /// <https://pkg.go.dev/time#ParseDuration>
    Go,
}

/// Units with their nanoseconds.
type Units = &'static [(&'static str, u64)];

const FLAG_UNITS: Units = &[
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const GO_UNITS: Units = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The duration, of at most 584 years; fractions of a nanosecond are dropped.
pub(super) fn parse(text: &str, notation: Notation) -> Option<Duration> {
    let units = match notation {
        Notation::Go if text == "0" => return Some(Duration::ZERO),
        Notation::Go => GO_UNITS,
        Notation::Flags if text.contains('.') => return None,
        Notation::Flags => FLAG_UNITS,
    };
    let is_number = |character: char| character.is_ascii_digit() || character == '.';
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|character| !is_number(character))?);
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let (_, nanoseconds) = units.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(part(number, *nanoseconds)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// A decimal number of a unit.
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
    fn a_flag_s_duration_is_whole_numbers_with_units() {
        for (text, milliseconds) in
            [("30s", 30_000), ("500ms", 500), ("5m", 300_000), ("1h30m", 5_400_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse(text, Notation::Flags), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "0", "30", "s", "1.5s", "-1s", "1 s", "1x", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse(text, Notation::Flags), None, "{text}");
        }
    }

    #[test]
    fn go_s_durations_are_parsed_as_go_parses_them() {
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
            assert_eq!(parse(text, Notation::Go), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
        let endless = format!("{}s", "9".repeat(1000));
        for text in ["", "1", "s", ".s", "1d", "-1s", "+1s", "1 s", "1..5s", "1s ", "0x1s", "1S", "１s", &endless] {
            assert_eq!(parse(text, Notation::Go), None, "{text}");
        }
    }
}
