//! The numbers of the minutes, hours and calendar days of the history.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::SECOND;
use crate::domain::{Activity, Calendar, Chat, UnixMillis};
use crate::stats::{Gauge, HistogramReading, Period, Stats, Step, UnitedCounts, UnitedDay};

const DELAY: &str = "delivery_delay_seconds";

/// The quantiles of the delays.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

/// The rows of the periods that begin at `from` or later, and before `to`, the earliest first.
pub(crate) fn rows(stats: &Stats, step: Step, [from, to]: [UnixMillis; 2], now: UnixMillis) -> Vec<Row> {
    let periods = stats.history(step, from, to, now).into_iter();
    let united = stats.united();
    periods.map(|period| Row::of(stats, step, period, united.as_deref())).collect()
}

/// The rows of a step, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    step: &'static str,
    time_zone: String,
    rows: Vec<Row>,
}

impl History {
    pub(crate) fn new(stats: &Stats, step: Step, rows: Vec<Row>) -> Self {
        Self { step: step.name(), time_zone: stats.calendar().to_string(), rows }
    }
}

/// The daily report, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Days {
    time_zone: String,
    days: Vec<Row>,
}

impl Days {
    pub(crate) fn new(stats: &Stats, days: Vec<Row>) -> Self {
        Self { time_zone: stats.calendar().to_string(), days }
    }
}

/// Messages by content type.
type Types = Vec<(Cow<'static, str>, u64)>;

/// A column: its name, and a period's number.
type Column = (&'static str, fn(&Period) -> u64);

/// The same for a calendar day across all exporters.
type UnitedColumn = (&'static str, fn(&UnitedDay) -> u64);

/// The numbers of a period.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The date of a calendar day.
    date: Option<String>,
    period: Period,
    delays: HistogramReading,
    /// Messages by content type, of groups and between two users; `None` if they are not kept.
    types: Option<[Types; 2]>,
    /// The numbers of a calendar day across all exporters, if they are known.
    united: Option<UnitedDay>,
}

/// The columns of a [`Row`], except time, delays and content types, in the order of the CSV.
const COLUMNS: &[Column] = &[
    ("group_messages", |period| period.messages(Chat::Group)),
    ("single_messages", |period| period.messages(Chat::Single)),
    ("group_senders", |period| period.gauge(Gauge::GroupSenders)),
    ("single_senders", |period| period.gauge(Gauge::SingleSenders)),
    ("senders", |period| period.gauge(Gauge::Senders)),
    ("active_users", |period| period.gauge(Gauge::ActiveUsers)),
    ("active_groups", |period| period.gauge(Gauge::ActiveGroups)),
    ("users_online_peak", |period| period.gauge(Gauge::UsersOnlinePeak)),
    ("users_registered", |period| period.activity(Activity::UsersRegistered)),
    ("groups_created", |period| period.activity(Activity::GroupsCreated)),
    ("groups_dismissed", |period| period.activity(Activity::GroupsDismissed)),
    ("group_members_joined", |period| period.activity(Activity::MembersJoined)),
    ("group_members_left", |period| period.activity(Activity::MembersLeft)),
    ("group_members_removed", |period| period.activity(Activity::MembersRemoved)),
    ("group_members_invited", |period| period.activity(Activity::MembersInvited)),
    ("group_join_requests", |period| period.activity(Activity::JoinRequests)),
    ("friend_requests", |period| period.activity(Activity::FriendRequests)),
    ("friendships_started", |period| period.activity(Activity::FriendshipsStarted)),
    ("friendships_ended", |period| period.activity(Activity::FriendshipsEnded)),
    ("user_blocks", |period| period.activity(Activity::UserBlocks)),
    ("user_unblocks", |period| period.activity(Activity::UserUnblocks)),
    ("group_message_revocations", |period| period.activity(Activity::GroupRevocations)),
    ("single_message_revocations", |period| period.activity(Activity::SingleRevocations)),
    ("group_messages_read", |period| period.activity(Activity::GroupReads)),
    ("single_messages_read", |period| period.activity(Activity::SingleReads)),
    ("group_offline_pushes", |period| period.activity(Activity::GroupPushes)),
    ("single_offline_pushes", |period| period.activity(Activity::SinglePushes)),
    ("group_message_attempts", |period| period.activity(Activity::GroupAttempts)),
    ("single_message_attempts", |period| period.activity(Activity::SingleAttempts)),
    ("callbacks_rejected", Period::refusals),
];

/// The columns of a calendar day across all exporters, which come last.
const UNITED: [UnitedColumn; 5] = [
    ("group_senders_united", |day| day.group_senders),
    ("single_senders_united", |day| day.single_senders),
    ("senders_united", |day| day.senders),
    ("active_users_united", |day| day.active_users),
    ("active_groups_united", |day| day.active_groups),
];

impl Row {
    /// The numbers of a period.
    fn of(stats: &Stats, step: Step, period: Period, united: Option<&UnitedCounts>) -> Self {
        let day = (step == Step::Day).then(|| period.day());
        let united = united.zip(day).and_then(|(united, day)| united.day(day));
        let types = |chat| stats.content_types_of(&period, chat).collect();
        Self {
            date: day.map(|day| day.to_string()),
            delays: period.delivery_delays(),
            types: (step != Step::Minute).then(|| [types(Chat::Group), types(Chat::Single)]),
            period,
            united,
        }
    }

    /// The quantiles of the delays in seconds; `None` without a message that has a send time.
    fn quantiles(&self) -> impl Iterator<Item = (&'static str, Option<f64>)> {
        QUANTILES.into_iter().map(|(name, q)| (name, self.delays.quantile(q).map(|value| value / SECOND)))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &(self.period.begin.0 / 1000))?;
        if let Some(date) = &self.date {
            map.serialize_entry("date", date)?;
        }
        map.serialize_entry("complete", &self.period.is_complete)?;
        for (name, value) in COLUMNS {
            map.serialize_entry(name, &value(&self.period))?;
        }
        map.serialize_entry(DELAY, &(self.delays.count > 0).then(|| Map(self.quantiles().collect())))?;
        if let Some([group, single]) = &self.types {
            let types = [("group", group), ("single", single)].map(|(kind, types)| (kind, Map(types.clone())));
            map.serialize_entry("by_content_type", &Map(types.to_vec()))?;
        }
        if self.date.is_some() {
            for (name, value) in UNITED {
                map.serialize_entry(name, &self.united.as_ref().map(value))?;
            }
        }
        map.end()
    }
}

/// A JSON object with its fields in this order.
#[derive(Clone)]
struct Map<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Rows as CSV, without the content types: <https://www.rfc-editor.org/rfc/rfc4180>. No value needs quotes.
pub(crate) fn csv(rows: &[Row], step: Step, calendar: &Calendar) -> String {
    let date = if step == Step::Day { ",date" } else { "" };
    let mut text = format!("time,local_time{date},complete");
    COLUMNS.iter().for_each(|(name, _)| text.extend([",", name]));
    QUANTILES.iter().for_each(|(name, _)| text.extend([",", DELAY, "_", name]));
    let united = if step == Step::Day { &UNITED[..] } else { &[] };
    united.iter().for_each(|(name, _)| text.extend([",", name]));
    text.push_str("\r\n");
    for row in rows {
        // Writing to a string does not fail.
        let _ = write!(text, "{},{}", row.period.begin.0 / 1000, calendar.local(row.period.begin));
        row.date.iter().for_each(|date| text.extend([",", date]));
        let _ = write!(text, ",{}", row.period.is_complete);
        for (_, value) in COLUMNS {
            let _ = write!(text, ",{}", value(&row.period));
        }
        for (_, value) in row.quantiles() {
            let value = value.map(|value| format!("{value:.4}")).unwrap_or_default();
            text.extend([",", &value]);
        }
        for (_, value) in united {
            let value = row.united.as_ref().map(|day| value(day).to_string()).unwrap_or_default();
            text.extend([",", &value]);
        }
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::domain::Message;
    use crate::stats::Capacities;

    const DAY_MS: i64 = 86_400_000;
    /// 2023-11-15, 00:00 UTC.
    const MIDNIGHT: i64 = 1_700_006_400_000;

    #[test]
    fn the_days_that_are_known_have_the_numbers_of_all_exporters_in_the_last_columns() {
        let capacities = Capacities {
            groups: 10,
            exported_groups: 2,
            sender_pairs: 100,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        };
        let stats = Stats::in_memory(capacities, UnixMillis(MIDNIGHT)).unwrap();
        let today = UnixMillis(MIDNIGHT + DAY_MS);
        for now in [UnixMillis(MIDNIGHT), today] {
            stats.tick(now);
            stats.record(&Message::of("g", "u"), now);
        }
        stats.tick(today);
        let rows = |step| rows(&stats, step, [UnixMillis(0), UnixMillis(i64::MAX)], today);
        let of_days = || -> Vec<_> {
            let json = serde_json::to_value(rows(Step::Day)).unwrap();
            json.as_array().unwrap().iter().map(|row| UNITED.map(|(name, _)| row[name].as_u64())).collect()
        };
        let ends = |step| -> Vec<_> {
            let text = csv(&rows(step), step, stats.calendar());
            text.lines().map(|line| line.rsplitn(6, ',').take(5).collect::<Vec<_>>().join(",")).collect()
        };
        assert_eq!(of_days(), [[None; 5]; 2]);
        assert_eq!(ends(Step::Day)[1..], [",,,,"; 2]);
        let day = UnitedDay { group_senders: 1, single_senders: 2, senders: 3, active_users: 4, active_groups: 5 };
        let days = vec![(stats.calendar().day_of(today), day)];
        stats.set_united(UnitedCounts { days, ..UnitedCounts::default() }, Instant::now());
        assert_eq!(of_days(), [[None; 5], [1, 2, 3, 4, 5].map(Some)]);
        let reversed =
            "active_groups_united,active_users_united,senders_united,single_senders_united,group_senders_united";
        assert_eq!(ends(Step::Day), [reversed, ",,,,", "5,4,3,2,1"]);
        for step in [Step::Hour, Step::Minute] {
            assert!(serde_json::to_value(rows(step)).unwrap()[0].get("senders_united").is_none());
            assert!(!csv(&rows(step), step, stats.calendar()).contains("united"));
        }
    }
}
