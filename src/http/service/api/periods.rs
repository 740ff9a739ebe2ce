//! Queries for the history and the daily report.

use super::query::{FORMAT, parse_pairs, quote};
use crate::domain::{Calendar, Day, UnixMillis};
use crate::stats::Step;

const STEP: &str = "step";
const FROM: &str = "from";
const TO: &str = "to";

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

/// A query for periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeriodQuery {
    pub(super) step: Step,
    /// The periods that begin at the first of these times or later, and before the second.
    pub(super) range: [UnixMillis; 2],
    pub(super) format: Format,
}

/// The range without limits.
const EVER: [UnixMillis; 2] = [UnixMillis(0), UnixMillis(i64::MAX)];

/// Parses a query for the history: a step, and times in seconds since the epoch or as dates of the calendar.
///
/// # Errors
/// The detail of the refusal.
pub(super) fn parse_history(query: &str, calendar: &Calendar) -> Result<PeriodQuery, String> {
    let pairs = parse_pairs(query, &[STEP, FROM, TO, FORMAT])?;
    let of = |name| value(&pairs, name);
    let step = of(STEP).map_or(Ok(Step::Minute), |value| {
        let wrong = || format!("{STEP}: {} is not one of minute, hour, day", quote(value));
        Step::ALL.into_iter().find(|step| step.name() == value).ok_or_else(wrong)
    })?;
    let [from, to] = EVER;
    let range = [
        of(FROM).map_or(Ok(from), |value| parse_time(FROM, value, calendar))?,
        of(TO).map_or(Ok(to), |value| parse_time(TO, value, calendar))?,
    ];
    Ok(PeriodQuery { step, range: in_order(range)?, format: parse_format(of(FORMAT))? })
}

/// Parses a query for the daily report: dates of the calendar, both inclusive.
///
/// # Errors
/// The detail of the refusal.
pub(super) fn parse_days(query: &str, calendar: &Calendar) -> Result<PeriodQuery, String> {
    let pairs = parse_pairs(query, &[FROM, TO, FORMAT])?;
    let of = |name| value(&pairs, name);
    let [from, to] = EVER;
    let begin_of = |name, value, more| Ok::<_, String>(calendar.begin_of(Day(parse_date(name, value)?.0 + more)));
    let range = [
        of(FROM).map_or(Ok(from), |value| begin_of(FROM, value, 0))?,
        of(TO).map_or(Ok(to), |value| begin_of(TO, value, 1))?,
    ];
    Ok(PeriodQuery { step: Step::Day, range: in_order(range)?, format: parse_format(of(FORMAT))? })
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn in_order([from, to]: [UnixMillis; 2]) -> Result<[UnixMillis; 2], String> {
    if from <= to { Ok([from, to]) } else { Err(format!("{FROM} is later than {TO}; exchange them")) }
}

fn parse_format(value: Option<&str>) -> Result<Format, String> {
    match value {
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some(value) => Err(format!("{FORMAT}: {} is not one of json, csv", quote(value))),
    }
}

fn parse_time(name: &str, value: &str, calendar: &Calendar) -> Result<UnixMillis, String> {
    let seconds = value.parse().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
    let time = seconds.and_then(|seconds: i64| seconds.checked_mul(1000)).map(UnixMillis);
    let time = time.or_else(|| Day::parse(value).map(|day| calendar.begin_of(day)));
    time.ok_or_else(|| {
        let value = quote(value);
        format!("{name}: {value} is not a time in whole seconds since 1970 or a date, as in 1764374400 or 2026-11-29")
    })
}

fn parse_date(name: &str, value: &str) -> Result<Day, String> {
    Day::parse(value).ok_or_else(|| format!("{name}: {} is not a date, as in 2026-11-29", quote(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omitted_parameters_mean_every_minute_as_json() {
        let all = PeriodQuery { step: Step::Minute, range: EVER, format: Format::Json };
        assert_eq!(parse_history("", &Calendar::default()), Ok(all.clone()));
        assert_eq!(parse_days("", &Calendar::default()), Ok(PeriodQuery { step: Step::Day, ..all }));
    }

    #[test]
    fn times_and_dates_limit_the_range() {
        let query = parse_history("step=hour&from=1764374400&to=1764378000&format=csv", &Calendar::default()).unwrap();
        let range = [UnixMillis(1_764_374_400_000), UnixMillis(1_764_378_000_000)];
        assert_eq!(query, PeriodQuery { step: Step::Hour, range, format: Format::Csv });
        let shanghai = Calendar::of_zone("Asia/Shanghai").unwrap();
        let from = parse_history("from=2025-11-29", &shanghai).unwrap().range[0];
        assert_eq!(from, UnixMillis(1_764_345_600_000));
        let range = parse_days("from=2025-11-29&to=2025-11-29", &shanghai).unwrap().range;
        assert_eq!(range, [UnixMillis(1_764_345_600_000), UnixMillis(1_764_432_000_000)]);
    }

    #[test]
    fn an_error_names_the_parameter_its_value_and_what_is_valid() {
        let calendar = Calendar::default();
        for (query, expected) in [
            ("step=week", "step: \"week\" is not one of minute, hour, day"),
            (
                "from=-5",
                "from: \"-5\" is not a time in whole seconds since 1970 or a date, as in 1764374400 or 2026-11-29",
            ),
            (
                "to=9999999999999999999",
                "to: \"9999999999999999999\" is not a time in whole seconds since 1970 or a date, as in 1764374400 or 2026-11-29",
            ),
            (
                "to=9000000000000000000",
                "to: \"9000000000000000000\" is not a time in whole seconds since 1970 or a date, as in 1764374400 or 2026-11-29",
            ),
            ("from=2&to=1", "from is later than to; exchange them"),
            ("format=xml", "format: \"xml\" is not one of json, csv"),
            ("last=5", "\"last\": unknown parameter; known parameters: step, from, to, format"),
        ] {
            assert_eq!(parse_history(query, &calendar).unwrap_err(), expected);
        }
        for (query, expected) in [
            ("from=2026-02-30", "from: \"2026-02-30\" is not a date, as in 2026-11-29"),
            ("from=2026-11-30&to=2026-11-28", "from is later than to; exchange them"),
            ("to=today", "to: \"today\" is not a date, as in 2026-11-29"),
            ("step=day", "\"step\": unknown parameter; known parameters: from, to, format"),
        ] {
            assert_eq!(parse_days(query, &calendar).unwrap_err(), expected);
        }
    }
}
