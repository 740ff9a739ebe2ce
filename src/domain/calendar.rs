//! Calendar days in a time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::time::UnixMillis;

/// The calendar days of a time zone. They begin at midnight there, so they may have 23 or 25 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar(TimeZone);

/// A calendar day: the number of days since 1970-01-01, whatever the time zone. Earlier days do not occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u64);

/// The date of day 0.
const FIRST: Date = jiff::civil::date(1970, 1, 1);

impl Calendar {
    /// The calendar of a time zone with this IANA name, such as `Asia/Shanghai`.
    ///
    /// # Errors
    /// When there is no such time zone.
    pub fn of_zone(name: &str) -> Result<Self, jiff::Error> {
        TimeZone::get(name).map(Self)
    }

    /// The time zone's IANA name.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The day that a time is in. A time outside the calendar is in its first or last day.
    #[must_use]
    pub fn day_of(&self, time: UnixMillis) -> Day {
        let time = Timestamp::from_millisecond(time.0.max(0)).unwrap_or(Timestamp::MAX);
        Day::from_date(self.0.to_datetime(time).date())
    }

    /// A time in the time zone, with the offset from UTC, as in `2026-11-29T13:00:00+08:00` (RFC 3339).
    #[must_use]
    pub fn local(&self, time: UnixMillis) -> String {
        let time = Timestamp::from_millisecond(time.0.max(0)).unwrap_or(Timestamp::MAX);
        let local = time.to_zoned(self.0.clone());
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// When a day begins: at midnight, or at the first moment after it if midnight is skipped.
    #[must_use]
    pub fn begin_of(&self, day: Day) -> UnixMillis {
        let begin = day.date().to_zoned(self.0.clone()).map(|begin| begin.timestamp());
        UnixMillis(begin.unwrap_or(Timestamp::MAX).as_millisecond())
    }
}

/// The time zone's name.
impl std::fmt::Display for Calendar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.zone_name())
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Day {
    /// The day of a date such as `2026-11-29`; `None` if it is not a date, or before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        // Without the check of the length, a date with a time would be accepted too.
        (text.len() == "2026-11-29".len() && date >= FIRST).then(|| Self::from_date(date))
    }

    fn from_date(date: Date) -> Self {
        let days = FIRST.until(date).map_or(0, |span| span.get_days());
        Self(days.max(0).unsigned_abs().into())
    }

    fn date(self) -> Date {
        let days = i64::try_from(self.0).unwrap_or(i64::MAX);
        Span::new().try_days(days).and_then(|days| FIRST.checked_add(days)).unwrap_or(Date::MAX)
    }
}

/// As in `2026-11-29`.
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.date().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// The length of a day in hours.
    fn hours(zone: &str, date: &str) -> i64 {
        let (calendar, day) = (Calendar::of_zone(zone).unwrap(), Day::parse(date).unwrap());
        calendar.begin_of(Day(day.0 + 1)).since(calendar.begin_of(day)) / HOUR
    }

    #[test]
    fn a_day_is_as_long_as_its_time_zone_says() {
        for (zone, date, length) in [
            ("UTC", "2026-03-29", 24),
            ("Europe/Berlin", "2026-03-29", 23),
            ("Europe/Berlin", "2026-10-25", 25),
            ("Asia/Shanghai", "2026-10-25", 24),
            // Midnight is skipped.
            ("Africa/Cairo", "2026-04-24", 23),
            // The whole day is skipped: the island crossed the date line.
            ("Pacific/Apia", "2011-12-30", 0),
        ] {
            assert_eq!(hours(zone, date), length, "{zone} {date}");
        }
    }

    #[test]
    fn a_day_contains_its_beginning_and_not_the_moment_before() {
        for zone in ["UTC", "Asia/Kolkata", "America/New_York", "Africa/Cairo", "Pacific/Kiritimati"] {
            let calendar = Calendar::of_zone(zone).unwrap();
            for day in (0..24_000).step_by(13).map(Day) {
                let begin = calendar.begin_of(day);
                assert_eq!(calendar.day_of(begin).0.max(1), day.0.max(1), "{zone} {day}");
                assert!(calendar.day_of(UnixMillis(begin.0 - 1)) <= Day(day.0.saturating_sub(1)), "{zone} {day}");
            }
        }
    }

    #[test]
    fn dates_are_parsed_and_written_alike() {
        for (date, day) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2026-11-29", 20_786)] {
            assert_eq!(Day::parse(date), Some(Day(day)));
            assert_eq!(Day(day).to_string(), date);
        }
        for no_date in ["", "2026-02-30", "2026-1-1", "1969-12-31", "2026-11-29T10:00", "20261129", "tomorrow"] {
            assert_eq!(Day::parse(no_date), None, "{no_date}");
        }
    }

    #[test]
    fn a_local_time_has_its_offset() {
        for (zone, local) in [
            ("UTC", "2026-11-29T05:00:00+00:00"),
            ("Asia/Shanghai", "2026-11-29T13:00:00+08:00"),
            ("America/St_Johns", "2026-11-29T01:30:00-03:30"),
        ] {
            assert_eq!(Calendar::of_zone(zone).unwrap().local(UnixMillis(1_795_928_400_000)), local);
        }
    }

    #[test]
    fn extreme_times_have_a_day() {
        let calendar = Calendar::default();
        assert_eq!(calendar.day_of(UnixMillis(i64::MIN)), Day(0));
        let last = calendar.day_of(UnixMillis(i64::MAX));
        assert_eq!(last.to_string(), "9999-12-30");
        assert_eq!(Day(u64::MAX).to_string(), "9999-12-31");
        assert!(calendar.begin_of(Day(u64::MAX)) > calendar.begin_of(last));
    }
}
