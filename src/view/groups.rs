//! A page of the tracked groups.

use std::cmp::{Ordering, Reverse};

use memchr::memmem::Finder;
use serde::Serialize;

use super::csv;
use crate::domain::UnixMillis;
use crate::stats::{Group, Stats, Top, Week};

/// The sort order of groups, always descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    /// Messages counted.
    Messages,
    /// Recent messages per second.
    Rate,
    /// Distinct senders in the last 24 hours.
    ActiveSenders,
    /// When the last message was received.
    LastSeen,
    /// How many more messages than in the week before. Groups for which this is not known come last.
    Growth,
}

impl Sort {
    /// The sort order of this name; `None` if there is none.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "messages" => Some(Self::Messages),
            "rate" => Some(Self::Rate),
            "active_senders" => Some(Self::ActiveSenders),
            "last_seen" => Some(Self::LastSeen),
            "growth" => Some(Self::Growth),
            _ => None,
        }
    }
}

/// A query for groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupQuery {
    pub(crate) sort: Sort,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
    /// A part of the group's ID, ignoring case; empty for all groups.
    pub(crate) search: String,
}

/// A page of the groups that match.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    /// Groups that match, on all pages.
    total: usize,
    limit: usize,
    offset: usize,
    sort: Sort,
    groups: Vec<Row>,
}

/// A group.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    group_id: String,
    messages: u64,
    /// Fraction of all messages, from 0 to 1.
    share: f64,
    /// Messages per second.
    rate: f64,
    active_senders: ActiveSenders,
    /// In seconds since the epoch, like `last_seen`.
    first_seen: f64,
    last_seen: f64,
    exported: bool,
    /// Only of exported groups.
    week: Option<Days>,
}

/// Messages of recent days; `None` for a day that is not known.
#[derive(Debug, Serialize)]
struct Days {
    /// Fourteen calendar days. The last is today.
    days: Vec<Option<u64>>,
    /// The last seven complete days.
    this: Option<u64>,
    /// The seven days before these.
    last: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ActiveSenders {
    #[serde(rename = "1h")]
    hour: u32,
    #[serde(rename = "24h")]
    day: u32,
}

/// Reads a page, in one pass over all groups. Memory is needed only for the page and the groups before it.
///
/// Retirement is not paused, because that would block new groups. A group that is retired meanwhile may be missing.
pub(crate) fn read(stats: &Stats, query: &GroupQuery, now: UnixMillis) -> Page {
    let mut search = Search::new(&query.search);
    let mut top = Top::new((query.offset + query.limit).min(stats.group_slots()));
    let mut total = 0;
    for group in stats.groups().filter(|group| search.finds(&group.name)) {
        total += 1;
        top.add(Ranked { key: sort_key(query.sort, &group, || stats.group_week(&group, now)), group });
    }
    // Read after the groups: a message is counted for its group first, and in the total last.
    let messages = stats.messages();
    let row = |group: &Group| row(group, messages, stats.group_week(group, now));
    let groups = top.into_sorted_vec().iter().skip(query.offset).map(|ranked| row(&ranked.group)).collect();
    Page { total, limit: query.limit, offset: query.offset, sort: query.sort, groups }
}

/// All tracked groups, in no order.
pub(crate) fn all(stats: &Stats, now: UnixMillis) -> impl Iterator<Item = Row> {
    let messages = stats.messages();
    stats.groups().map(move |group| row(&group, messages, stats.group_week(&group, now)))
}

impl Row {
    /// The header of the groups as CSV.
    pub(crate) const CSV: &str =
        "group_id,messages,share,rate,active_senders_1h,active_senders_24h,first_seen,last_seen,exported\r\n";

    /// The line of the group as CSV, without its week.
    pub(crate) fn csv(&self) -> String {
        let Self { group_id, messages, share, rate, active_senders, first_seen, last_seen, exported, .. } = self;
        let ActiveSenders { hour, day } = active_senders;
        let id = csv::text(group_id);
        format!("{id},{messages},{share},{rate},{hour},{day},{first_seen},{last_seen},{exported}\r\n")
    }
}

fn row(group: &Group, messages: u64, week: Option<Week>) -> Row {
    let [hour, day] = group.active_senders;
    Row {
        group_id: group.name.as_str().to_owned(),
        messages: group.messages,
        // A message that is being counted at this moment may be missing from the total.
        share: group.messages as f64 / messages.max(group.messages).max(1) as f64,
        rate: group.rate,
        active_senders: ActiveSenders { hour, day },
        first_seen: group.created.seconds(),
        last_seen: group.last_seen.seconds(),
        exported: group.is_exported,
        week: week.map(|Week { days, this, last }| Days { days: days.to_vec(), this, last }),
    }
}

/// A number that sorts like the chosen field.
fn sort_key(sort: Sort, group: &Group, week: impl FnOnce() -> Option<Week>) -> u64 {
    match sort {
        Sort::Messages => group.messages,
        // Never negative or NaN, so its bits sort like the number.
        Sort::Rate => group.rate.to_bits(),
        Sort::ActiveSenders => u64::from(group.active_senders[1]),
        Sort::LastSeen => group.last_seen.0.max(0).unsigned_abs(),
        Sort::Growth => week().and_then(|week| growth(&week)).map_or(0, |growth| growth.cast_unsigned() ^ (1 << 63)),
    }
}

/// How many more messages there were this week than last.
fn growth(week: &Week) -> Option<i64> {
    let [this, last] = [week.this?, week.last?].map(u64::cast_signed);
    Some(this.saturating_sub(last))
}

/// A group that sorts by the greatest key first, then by name.
struct Ranked {
    key: u64,
    group: Group,
}

impl Ranked {
    fn order(&self) -> (Reverse<u64>, &str) {
        (Reverse(self.key), &self.group.name)
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// Searches names for a text, ignoring case.
struct Search {
    finder: Finder<'static>,
    /// The folded name. One buffer for all names.
    folded: String,
}

impl Search {
    fn new(text: &str) -> Self {
        let mut folded = String::new();
        fold(text, &mut folded);
        Self { finder: Finder::new(&folded).into_owned(), folded }
    }

    fn finds(&mut self, name: &str) -> bool {
        if self.finder.needle().is_empty() {
            return true;
        }
        fold(name, &mut self.folded);
        self.finder.find(self.folded.as_bytes()).is_some()
    }
}

/// Writes a text in lower case. Goes through upper case, because some letters have two lower-case forms, such as sigma.
fn fold(text: &str, folded: &mut String) {
    folded.clear();
    if text.is_ascii() {
        folded.push_str(text);
        folded.make_ascii_lowercase();
    } else {
        folded.extend(text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Message;
    use crate::stats::Capacities;

    const BEGIN: i64 = 1_700_000_000_000;

    fn stats(groups: usize) -> Stats {
        Stats::in_memory(
            Capacities {
                groups,
                exported_groups: 2,
                sender_pairs: 100,
                dedup_window: Duration::ZERO,
                online: 100,
                history_days: 40,
            },
            UnixMillis(BEGIN),
        )
        .unwrap()
    }

    fn count(stats: &Stats, group_id: &str, messages: u64, after_ms: i64) {
        let message = Message::of(group_id, "u");
        for _ in 0..messages {
            stats.record(&message, UnixMillis(BEGIN + after_ms));
        }
    }

    fn ids(stats: &Stats, sort: Sort, limit: usize, offset: usize, search: &str) -> Vec<String> {
        let page = read(stats, &GroupQuery { sort, limit, offset, search: search.into() }, UnixMillis(BEGIN));
        page.groups.into_iter().map(|row| row.group_id).collect()
    }

    #[test]
    fn each_sort_is_descending_and_then_by_name() {
        let stats = stats(10);
        count(&stats, "old", 9, 0);
        stats.tick(UnixMillis(BEGIN + 10_000));
        for (group, messages) in [("d", 4), ("b", 4), ("new", 2)] {
            count(&stats, group, messages, 15_000);
        }
        count(&stats, "new", 1, 16_000);
        stats.tick(UnixMillis(BEGIN + 20_000));
        for (sort, order) in [
            (Sort::Messages, ["old", "b", "d", "new"]),
            (Sort::Rate, ["old", "b", "d", "new"]),
            (Sort::LastSeen, ["new", "b", "d", "old"]),
            (Sort::ActiveSenders, ["b", "d", "new", "old"]),
        ] {
            assert_eq!(ids(&stats, sort, 10, 0, ""), order, "{sort:?}");
        }
        // The weight of old messages decays.
        stats.tick(UnixMillis(BEGIN + 900_000));
        count(&stats, "new", 2, 900_000);
        stats.tick(UnixMillis(BEGIN + 910_000));
        assert_eq!(ids(&stats, Sort::Rate, 10, 0, "")[0], "new");
        assert_eq!(ids(&stats, Sort::Messages, 10, 0, ""), ["old", "new", "b", "d"]);
    }

    #[test]
    fn active_senders_sort_by_the_last_day() {
        let stats = stats(1);
        count(&stats, "g", 1, 0);
        let group = Group { active_senders: [9, 70_000], ..stats.group(0).unwrap() };
        assert_eq!(sort_key(Sort::ActiveSenders, &group, || None), 70_000);
        let row = row(&group, 4, None);
        assert_eq!((row.active_senders.hour, row.active_senders.day, row.share), (9, 70_000, 0.25));
    }

    #[test]
    fn pages_contain_every_group_once() {
        let stats = stats(500);
        for number in 0..500 {
            count(&stats, &format!("g{}", number * 7919 % 500), number % 4 + 1, 0);
        }
        let all = ids(&stats, Sort::Messages, 1000, 0, "");
        assert_eq!(all.len(), 500);
        let mut expected: Vec<_> =
            stats.groups().map(|group| (Reverse(group.messages), group.name.to_string())).collect();
        expected.sort_unstable();
        assert_eq!(all, expected.into_iter().map(|(_, name)| name).collect::<Vec<_>>());
        let pages: Vec<_> =
            (0..).step_by(7).map(|offset| ids(&stats, Sort::Messages, 7, offset, "")).take(73).collect();
        assert_eq!(pages[..72].concat(), all);
        assert!(pages[72].is_empty());
    }

    #[test]
    fn a_search_finds_any_part_and_ignores_case() {
        for (name, text, is_found) in [
            ("Group-7", "group", true),
            ("group-7", "UP-7", true),
            ("group-7", "group-7", true),
            ("group-7", "group-77", false),
            ("group-7", "", true),
            ("GRÜNE Gruppe", "grüne g", true),
            ("grune", "grüne", false),
            ("Straße", "STRASSE", true),
            ("ΟΔΟΣ", "οδος", true),
            ("οδός", "ΌΣ", true),
            ("群聊", "聊", true),
            ("群聊", "群群", false),
            ("a\0b", "\0B", true),
            ("a.b", "a*b", false),
        ] {
            assert_eq!(Search::new(text).finds(name), is_found, "{text} in {name}");
        }
    }

    #[test]
    fn a_search_checks_each_name_independently() {
        let mut search = Search::new("b");
        let names = ["ab", "c", "B", "", "aß", "b"];
        assert_eq!(names.map(|name| search.finds(name)), [true, false, true, false, false, true]);
    }

    #[test]
    fn the_total_counts_all_matching_groups() {
        let stats = stats(10);
        ["a1", "a2", "a3", "b1"].into_iter().for_each(|group| count(&stats, group, 1, 0));
        for (search, offset, total, rows) in
            [("", 0, 4, 2), ("a", 0, 3, 2), ("a", 2, 3, 1), ("a", 9, 3, 0), ("x", 0, 0, 0)]
        {
            let page = read(
                &stats,
                &GroupQuery { sort: Sort::Messages, limit: 2, offset, search: search.into() },
                UnixMillis(BEGIN),
            );
            assert_eq!((page.total, page.groups.len()), (total, rows), "{search} {offset}");
        }
    }
}
