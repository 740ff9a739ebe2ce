use std::time::{Duration, Instant};

use super::*;
use crate::domain::{Event, Message};
use crate::exposition::catalog;
use crate::stats::{Capacities, Recorded, UnitedCounts};

const NOW: UnixMillis = UnixMillis(1_732_345_678_000);
const HOUR_MS: i64 = 3_600_000;

fn stats(groups: usize, exported_groups: usize) -> Arc<Stats> {
    let stats = Stats::in_memory(
        Capacities {
            groups,
            exported_groups,
            sender_pairs: 100,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        },
        NOW,
    )
    .unwrap();
    (0..groups)
        .for_each(|group| assert_eq!(record(&stats, group, NOW), Recorded::Added(u32::try_from(group).unwrap())));
    Arc::new(stats)
}

fn name(group: usize) -> String {
    format!("group-{group:0>56}")
}

fn record(stats: &Stats, group: usize, now: UnixMillis) -> Recorded {
    stats.record(&Message::of(&name(group), "u"), now)
}

fn scraper(scope: Scope, format: Format, stats: &Arc<Stats>) -> Scraper {
    let telemetry = Arc::new(Telemetry::default());
    Scraper::new(scope, format, Arc::clone(stats), telemetry, NOW)
}

/// The remaining chunks of a scrape as text.
fn chunks(scraper: &mut Scraper) -> Vec<String> {
    bytes(scraper).unwrap().into_iter().map(|chunk| String::from_utf8(chunk).unwrap()).collect()
}

fn bytes(scraper: &mut Scraper) -> Result<Vec<Vec<u8>>, GroupRemoved> {
    let mut chunks = Vec::new();
    let mut has_more = true;
    while has_more {
        let mut chunk = Vec::new();
        has_more = scraper.next_chunk(&mut chunk)?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// The sum of the samples of a family.
fn sum(text: &str, name: &str) -> u64 {
    let of_family = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    text.lines().filter(of_family).map(value).sum()
}

#[test]
fn a_scrape_of_many_groups_is_complete_and_each_chunk_is_bounded() {
    let stats = stats(20_000, 20_000);
    for (scope, messages, senders) in [
        (Scope::Metrics, catalog::BY_GROUP, catalog::GROUP_ACTIVE_SENDERS),
        (Scope::Groups, catalog::TRACKED_GROUP_MESSAGES, catalog::TRACKED_GROUP_ACTIVE_SENDERS),
    ] {
        for format in [Format::Text, Format::TextV1, Format::OpenMetrics] {
            let mut scraper = scraper(scope, format, &stats);
            let chunks = chunks(&mut scraper);
            assert_are_full(&chunks);
            let text = chunks.concat();
            assert_eq!(sum(&text, messages.name), 20_000);
            assert_eq!(text.matches(senders.name).count(), 40_000 + 2, "{scope:?} {format:?}");
            assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), scraper.series());
            assert_eq!(text.matches("# EOF\n").count(), usize::from(format == Format::OpenMetrics));
        }
    }
}

/// Each chunk but the last is as long as it should be, or longer by a row or a family that is written at once.
fn assert_are_full<T: AsRef<[u8]>>(chunks: &[T]) {
    let lens: Vec<_> = chunks.iter().map(|chunk| chunk.as_ref().len()).collect();
    let (last, full) = lens.split_last().unwrap();
    assert!(full.iter().all(|len| (CHUNK_BYTES..CHUNK_BYTES * 4).contains(len)), "{lens:?}");
    assert!((1..CHUNK_BYTES * 4).contains(last), "{lens:?}");
}

/// The names of the families in a scrape.
fn families(scope: Scope, format: Format) -> Vec<String> {
    let text = chunks(&mut scraper(scope, format, &stats(3, 1))).concat();
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn each_family_is_on_one_page() {
    for format in [Format::Text, Format::OpenMetrics] {
        let [metrics, groups] = [Scope::Metrics, Scope::Groups].map(|scope| families(scope, format));
        assert!(groups.iter().all(|name| name.starts_with("openim_tracked_group_")), "{groups:?}");
        assert_eq!((groups.len(), metrics.iter().filter(|name| groups.contains(name)).count()), (2, 0));
    }
}

#[test]
fn a_scrape_has_all_families_in_order_and_then_those_of_the_process() {
    let (ours, process): (Vec<_>, Vec<_>) =
        families(Scope::Metrics, Format::Text).into_iter().partition(|name| name.starts_with("openim_"));
    let of_groups = families(Scope::Groups, Format::Text);
    let expected: Vec<_> = catalog::CATALOG.iter().map(|family| family.name.to_owned()).collect();
    assert_eq!(ours, expected.iter().filter(|name| !of_groups.contains(name)).cloned().collect::<Vec<_>>());
    assert_eq!(ours.len() + of_groups.len(), expected.len());
    assert!(!process.is_empty() && process.iter().all(|name| name.starts_with("process_")), "{process:?}");
}

#[test]
fn the_numbers_of_all_exporters_are_exposed_while_they_are_known() {
    let stats = stats(1, 1);
    let united = |line: &&str| line.contains("_united{");
    let text = || chunks(&mut scraper(Scope::Metrics, Format::Text, &stats)).concat();
    assert_eq!(text().lines().filter(united).collect::<Vec<_>>(), [""; 0]);
    let counts = UnitedCounts {
        windows: [[1, 2, 3, 4, 5], [6; 5], [7; 5], [8; 5]],
        online: std::array::from_fn(|platform| platform as u64 + 9),
        ..UnitedCounts::default()
    };
    stats.set_united(counts, Instant::now());
    let text = text();
    let line = |line: &str| assert!(text.lines().any(|found| found == line), "{line}");
    [("5m", 1), ("1h", 2), ("24h", 3), ("7d", 4), ("30d", 5)]
        .iter()
        .for_each(|(window, senders)| line(&format!("openim_active_senders_united{{window=\"{window}\"}} {senders}")));
    line("openim_single_active_senders_united{window=\"30d\"} 6");
    line("openim_active_users_united{window=\"5m\"} 7");
    line("openim_active_groups_united{window=\"1h\"} 8");
    line("openim_users_online_united{platform=\"ios\"} 9");
    line("openim_users_online_united{platform=\"unknown\"} 20");
    assert_eq!(text.lines().filter(united).count(), 4 * 5 + 12);
}

#[test]
fn the_groups_never_sum_to_less_than_the_total_while_messages_arrive() {
    let stats = stats(1000, 1000);
    let mut scraper = scraper(Scope::Metrics, Format::Text, &stats);
    let mut text = Vec::new();
    let mut has_more = true;
    while has_more {
        let mut chunk = Vec::new();
        has_more = scraper.next_chunk(&mut chunk).unwrap();
        text.extend(chunk);
        // In tracked groups, and in some beyond the capacity.
        (0..1100).for_each(|group| {
            record(&stats, group, NOW);
        });
    }
    let text = String::from_utf8(text).unwrap();
    let by_group = sum(&text, catalog::BY_GROUP.name) + sum(&text, catalog::FOLDED.name);
    assert_eq!(sum(&text, catalog::MESSAGES.name), 1000);
    assert!(by_group > 1000, "{by_group}");
}

#[test]
fn no_group_is_retired_during_a_scrape_of_all_groups() {
    for (scope, meanwhile) in [(Scope::Groups, Recorded::Folded), (Scope::Metrics, Recorded::Added(0))] {
        let stats = stats(1000, 10);
        let mut scraper = scraper(scope, Format::Text, &stats);
        let later = UnixMillis(NOW.0 + 25 * HOUR_MS);
        scraper.now = later;
        stats.tick(later);
        assert_eq!(scraper.next_chunk(&mut Vec::new()), Ok(true), "there are more chunks");
        let recorded = record(&stats, 1000, later);
        assert_eq!(std::mem::discriminant(&recorded), std::mem::discriminant(&meanwhile), "{scope:?}: {recorded:?}");
        chunks(&mut scraper);
        // The scrape is complete, but not dropped yet.
        assert!(matches!(record(&stats, 1001, later), Recorded::Added(_)), "{scope:?}");
    }
}

/// The bytes of the families, each of which begins with its length. The last one must be complete.
fn delimited(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut families = Vec::new();
    while let Some(last) = bytes.iter().position(|byte| *byte < 0x80) {
        let len = bytes[..=last].iter().rev().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7f));
        let (family, rest) = bytes[last + 1..].split_at(len);
        families.push(family);
        bytes = rest;
    }
    assert_eq!(bytes, b"");
    families
}

/// How often a text occurs.
fn occurrences(bytes: &[u8], text: &str) -> usize {
    memchr::memmem::find_iter(bytes, text).count()
}

#[test]
fn families_of_many_groups_have_their_lengths_while_groups_come_and_messages_arrive() {
    let stats = stats(20_000, 20_000);
    let removed = |group: usize| stats.record_event(Event::Dismissal(&name(group)), NOW);
    (0..100).for_each(removed);
    stats.tick(NOW);
    for scope in [Scope::Metrics, Scope::Groups] {
        let mut scraper = scraper(scope, Format::Protobuf, &stats);
        let (mut chunks, mut has_more, mut added) = (Vec::new(), true, 100_000);
        while has_more {
            let mut chunk = Vec::new();
            has_more = scraper.next_chunk(&mut chunk).unwrap();
            chunks.push(chunk);
            // In free slots, and in those that are scraped.
            (added..added + 5).chain(200..1000).for_each(|group| {
                record(&stats, group, NOW);
            });
            added += 5;
        }
        assert_are_full(&chunks);
        let bytes = chunks.concat();
        let [of_messages, of_senders] = match scope {
            Scope::Metrics => [catalog::BY_GROUP, catalog::GROUP_ACTIVE_SENDERS],
            Scope::Groups => [catalog::TRACKED_GROUP_MESSAGES, catalog::TRACKED_GROUP_ACTIVE_SENDERS],
        };
        let families = delimited(&bytes);
        let of = |family: Family| families.iter().find(|bytes| occurrences(bytes, family.name) == 1).unwrap();
        // The scrape of all groups sees those that came before its second family.
        let (messages, senders) = (occurrences(of(of_messages), "group-"), occurrences(of(of_senders), "group-"));
        assert!(messages >= 19_900 && senders >= 2 * messages && senders <= 2 * 20_000, "{messages} {senders}");
        if scope == Scope::Groups {
            assert_eq!(scraper.series(), messages + senders);
        }
    }
}

#[test]
fn a_removed_group_ends_a_scrape_whose_lengths_included_it() {
    let stats = stats(5000, 5000);
    // Dismisses a group after this time, when some groups have been written.
    let dismiss = |stats: &Arc<Stats>, scope, group: usize, after_ms| {
        let mut scraper = scraper(scope, Format::Protobuf, stats);
        let mut chunk = Vec::new();
        while occurrences(&chunk, "group-") == 0 {
            chunk.clear();
            assert_eq!(scraper.next_chunk(&mut chunk), Ok(true));
        }
        stats.record_event(Event::Dismissal(&name(group)), UnixMillis(NOW.0 + after_ms));
        bytes(&mut scraper).map(drop)
    };
    for (group, scope) in [(4991, Scope::Metrics), (4992, Scope::Groups)] {
        // It stays for ten seconds.
        assert_eq!(dismiss(&stats, scope, group - 10, 9999), Ok(()), "{scope:?}");
        assert_eq!(dismiss(&stats, scope, group, 10_000), Err(GroupRemoved), "{scope:?}");
    }
    // A few groups are written at once, so they cannot be removed meanwhile.
    assert_eq!(dismiss(&self::stats(5000, 1000), Scope::Metrics, 1, 10_000), Ok(()));
}

#[test]
fn a_scrape_of_named_families_has_no_others() {
    let stats = stats(3, 3);
    let own = "openim_exporter_scrape_duration_seconds";
    let names = [catalog::BY_GROUP.name, catalog::MESSAGES.name, own, "process_open_fds", "unknown"];
    let only = |scope, format| {
        let scraper = scraper(scope, format, &stats).only(Names::only(names.map(str::to_owned)));
        bytes(&mut { scraper }).unwrap().concat()
    };
    let text = String::from_utf8(only(Scope::Metrics, Format::Text)).unwrap();
    let found: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(found, [catalog::MESSAGES.name, catalog::BY_GROUP.name, own, "process_open_fds"]);
    assert_eq!(delimited(&only(Scope::Metrics, Format::Protobuf)).len(), 4);
    assert_eq!(only(Scope::Groups, Format::OpenMetrics), b"# EOF\n");
    assert_eq!(only(Scope::Groups, Format::Protobuf), b"");
}
