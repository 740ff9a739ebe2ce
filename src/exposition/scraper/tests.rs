use std::time::Duration;

use super::*;
use crate::domain::Message;
use crate::stats::{Capacities, Recorded};

const NOW: UnixMillis = UnixMillis(1_732_345_678_000);
const HOUR_MS: i64 = 3_600_000;

fn stats(groups: usize, exported_groups: usize) -> Arc<Stats> {
    let stats =
        Stats::in_memory(Capacities { groups, exported_groups, sender_pairs: 100, dedup_window: Duration::ZERO }, NOW)
            .unwrap();
    (0..groups)
        .for_each(|group| assert_eq!(record(&stats, group, NOW), Recorded::Added(u32::try_from(group).unwrap())));
    Arc::new(stats)
}

fn record(stats: &Stats, group: usize, now: UnixMillis) -> Recorded {
    let group = format!("group-{group:0>56}");
    stats.record(&Message::of(&group, "u"), now)
}

fn scraper(scope: Scope, format: Format, stats: &Arc<Stats>) -> Scraper {
    let telemetry = Arc::new(Telemetry::default());
    Scraper::new(scope, format, Arc::clone(stats), telemetry, NOW)
}

/// The remaining chunks of a scrape.
fn chunks(scraper: &mut Scraper) -> Vec<String> {
    let mut chunks = Vec::new();
    let mut has_more = true;
    while has_more {
        let mut chunk = Vec::new();
        has_more = scraper.next_chunk(&mut chunk);
        chunks.push(String::from_utf8(chunk).unwrap());
    }
    chunks
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
    for scope in [Scope::Metrics, Scope::Groups] {
        for format in [Format::Text, Format::OpenMetrics] {
            let mut scraper = scraper(scope, format, &stats);
            let chunks = chunks(&mut scraper);
            let (last, full) = chunks.split_last().unwrap();
            assert!(full.iter().all(|chunk| (CHUNK_BYTES..CHUNK_BYTES * 5 / 4).contains(&chunk.len())));
            assert!(!last.is_empty() && last.len() < CHUNK_BYTES * 5 / 4, "{}", last.len());
            let text = chunks.concat();
            assert_eq!(sum(&text, catalog::BY_GROUP.name), 20_000);
            assert_eq!(text.matches(catalog::GROUP_ACTIVE_SENDERS.name).count(), 40_000 + 2, "{scope:?} {format:?}");
            assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), scraper.series());
            assert_eq!(text.matches("# EOF\n").count(), usize::from(format == Format::OpenMetrics));
        }
    }
}

#[test]
fn a_scrape_has_all_families_in_order_and_then_those_of_the_process() {
    let text = chunks(&mut scraper(Scope::Metrics, Format::Text, &stats(3, 1))).concat();
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let (ours, process): (Vec<_>, Vec<_>) = families.into_iter().partition(|name| name.starts_with("openim_"));
    assert_eq!(ours, catalog::CATALOG.iter().map(|family| family.name).collect::<Vec<_>>());
    assert!(!process.is_empty() && process.iter().all(|name| name.starts_with("process_")), "{process:?}");
}

#[test]
fn the_groups_never_sum_to_less_than_the_total_while_messages_arrive() {
    let stats = stats(1000, 10);
    let mut scraper = scraper(Scope::Groups, Format::Text, &stats);
    let mut text = Vec::new();
    let mut has_more = true;
    while has_more {
        let mut chunk = Vec::new();
        has_more = scraper.next_chunk(&mut chunk);
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
        assert!(scraper.next_chunk(&mut Vec::new()), "there are more chunks");
        let recorded = record(&stats, 1000, later);
        assert_eq!(std::mem::discriminant(&recorded), std::mem::discriminant(&meanwhile), "{scope:?}: {recorded:?}");
        chunks(&mut scraper);
        // The scrape is complete, but not dropped yet.
        assert!(matches!(record(&stats, 1001, later), Recorded::Added(_)), "{scope:?}");
    }
}
