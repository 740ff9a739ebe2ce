//! The samples of the statistics one by one, for exports: the same names, labels and numbers as in a scrape.

use std::borrow::Cow;
use std::sync::Arc;

use super::catalog::{STATE_START, STATISTICS};
use super::format::Format;
use super::names::Names;
use super::scraper::{Scope, Scraper};
use crate::domain::UnixMillis;
use crate::stats::Stats;
use crate::telemetry::Telemetry;

/// A sample, as in the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample<'a> {
    /// The family's name; for a histogram with the suffix.
    pub(crate) name: &'a str,
    /// The labels as in PromQL, without braces: `platform="ios",source="user"`.
    pub(crate) labels: &'a str,
    /// The number.
    pub(crate) value: &'a str,
}

/// Reads every sample of the statistics in `/metrics`, with windows that end `now`. The outcome of the start
/// and the capacities are missing, because they belong to a process and its flags.
///
/// # Errors
/// Those of `each`.
pub(crate) fn for_each_sample<E>(
    stats: &Arc<Stats>,
    now: UnixMillis,
    mut each: impl FnMut(Sample<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let is_counted = |name: &&str| *name != STATE_START.name && !name.ends_with("_capacity");
    let names = STATISTICS.iter().map(|declared| declared.family.name).filter(is_counted);
    let scraper = Scraper::new(Scope::Metrics, Format::Text, Arc::clone(stats), Arc::new(Telemetry::default()), now);
    let mut scraper = scraper.only(Names::only(names.map(str::to_owned)));
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        // Only the format with lengths has errors.
        let has_more = scraper.next_chunk(&mut chunk).unwrap_or_default();
        // A chunk ends with a line. An ID may have any other line break than `\n`.
        let text = String::from_utf8_lossy(&chunk);
        text.split('\n').filter(|line| !line.starts_with('#')).filter_map(Sample::parse).try_for_each(&mut each)?;
        if !has_more {
            return Ok(());
        }
    }
}

impl<'a> Sample<'a> {
    /// Parses a line that this exporter wrote.
    fn parse(line: &'a str) -> Option<Self> {
        // A label's value may contain spaces, a number cannot.
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        Some(Self { name, labels, value })
    }

    /// The names of the labels and their values.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        let mut rest = self.labels;
        std::iter::from_fn(move || {
            let (name, quoted) = rest.split_once("=\"")?;
            let end = end_of_value(quoted)?;
            let (value, behind) = quoted.split_at_checked(end)?;
            rest = behind.strip_prefix("\",").unwrap_or_default();
            Some((name, unescaped(value)))
        })
    }
}

/// The position of the first quote that is not escaped.
fn end_of_value(quoted: &str) -> Option<usize> {
    let mut is_escaped = false;
    quoted.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return value.into();
    }
    let (mut plain, mut characters) = (String::with_capacity(value.len()), value.chars());
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => characters.next().map_or('\\', |escaped| if escaped == 'n' { '\n' } else { escaped }),
            other => other,
        });
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::domain::Message;
    use crate::stats::Capacities;

    #[test]
    fn every_label_of_a_line_is_read_whatever_its_value() {
        let values = ["", "plain", "a\"b", "a\\", "\\n", "a\nb", "x\",y=\"z", "} 1", "a b=c", "\u{2028}群", "\r"];
        for value in values {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("a_total{{group_id=\"{escaped}\",kind=\"{escaped}\"}} 12.5");
            let sample = Sample::parse(&line).unwrap();
            assert_eq!((sample.name, sample.value), ("a_total", "12.5"), "{line}");
            let pairs: Vec<_> = sample.pairs().collect();
            assert_eq!(pairs, [("group_id", value.into()), ("kind", value.into())], "{line}");
        }
        let plain = Sample::parse("a_total 7").unwrap();
        assert_eq!((plain.name, plain.labels, plain.value, plain.pairs().count()), ("a_total", "", "7", 0));
        assert_eq!(Sample::parse(""), None);
    }

    #[test]
    fn all_statistics_are_read_and_nothing_of_the_process() {
        let capacities = Capacities {
            groups: 5000,
            exported_groups: 5000,
            sender_pairs: 100,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        };
        let now = UnixMillis(1_700_000_000_000);
        let stats = Arc::new(Stats::in_memory(capacities, now).unwrap());
        // More than one chunk.
        let id = |number: u64| format!("=\"{number}\"\n{}", "x".repeat(40));
        for number in 0..3000 {
            stats.record(&Message::of(&id(number), "u"), now);
        }
        stats.tick(now);
        let (mut families, mut groups) = (BTreeMap::<String, u64>::new(), BTreeMap::new());
        for_each_sample(&stats, now, |sample| {
            *families.entry(sample.name.to_owned()).or_default() += 1;
            if sample.name == "openim_group_messages_by_group_total" {
                groups.insert(sample.pairs().next().unwrap().1.into_owned(), sample.value.to_owned());
            }
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(groups.len(), 3000);
        assert_eq!(groups.get(&id(7)).map(String::as_str), Some("1"));
        assert!(families.contains_key("openim_group_message_content_bytes_bucket"));
        assert!(families.keys().all(|name| name.starts_with("openim_")), "{families:?}");
        for absent in ["openim_exporter_state_start", "openim_exporter_connections"] {
            assert!(!families.contains_key(absent), "{absent}");
        }
        let stopped = for_each_sample(&stats, now, |_| Err("full"));
        assert_eq!(stopped, Err("full"));
    }
}
