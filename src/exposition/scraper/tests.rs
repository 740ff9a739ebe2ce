use std::time::{Duration, Instant};

use super::*;
use crate::domain::Message;
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
    for (scope, messages, senders) in [
        (Scope::Metrics, catalog::BY_GROUP, catalog::GROUP_ACTIVE_SENDERS),
        (Scope::Groups, catalog::TRACKED_GROUP_MESSAGES, catalog::TRACKED_GROUP_ACTIVE_SENDERS),
    ] {
        for format in [Format::Text, Format::OpenMetrics] {
            let mut scraper = scraper(scope, format, &stats);
            let chunks = chunks(&mut scraper);
            let (last, full) = chunks.split_last().unwrap();
            assert!(full.iter().all(|chunk| (CHUNK_BYTES..CHUNK_BYTES * 5 / 4).contains(&chunk.len())));
            assert!(!last.is_empty() && last.len() < CHUNK_BYTES * 5 / 4, "{}", last.len());
            let text = chunks.concat();
            assert_eq!(sum(&text, messages.name), 20_000);
            assert_eq!(text.matches(senders.name).count(), 40_000 + 2, "{scope:?} {format:?}");
            assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), scraper.series());
            assert_eq!(text.matches("# EOF\n").count(), usize::from(format == Format::OpenMetrics));
        }
    }
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
