//! Scrapes of many groups: their memory, and that each format says the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, reason = "parsers that the fuzzer uses too")]
#[path = "../fuzz/properties/exposition.rs"]
mod exposition;
#[allow(dead_code, reason = "parsers that the fuzzer uses too")]
#[path = "../fuzz/properties/protobuf.rs"]
mod protobuf;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire;

const NOW: UnixMillis = UnixMillis(1_732_345_679_000);

/// More bytes than a chunk of a scrape has.
const CHUNK_BYTES: usize = 1 << 20;

fn stats(groups: usize, exported_groups: usize) -> Arc<Stats> {
    let capacities = Capacities {
        groups,
        exported_groups,
        sender_pairs: 1,
        dedup_window: Duration::ZERO,
        online: 100,
        history_days: 40,
    };
    let stats = Stats::in_memory(capacities, NOW).unwrap();
    for group in 0..groups {
        let received = UnixMillis(NOW.0 + i64::try_from(group % 5).unwrap());
        let body = format!(r#"{{"sendID":"u","groupID":"group \"{group}\""}}"#);
        wire::decode_group_message(body.as_bytes(), |message| stats.record(message, received)).unwrap();
    }
    Arc::new(stats)
}

fn scraper(scope: Scope, format: Format, stats: &Arc<Stats>) -> Scraper {
    Scraper::new(scope, format, Arc::clone(stats), Arc::new(Telemetry::default()), NOW)
}

fn whole(mut scraper: Scraper) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = Vec::new();
        let has_more = scraper.next_chunk(&mut chunk).unwrap();
        bytes.append(&mut chunk);
        if !has_more {
            return bytes;
        }
    }
}

#[test]
fn a_scrape_of_a_million_groups_needs_a_mebibyte_beyond_its_chunks() {
    const GROUPS: usize = 1_000_000;
    let stats = stats(GROUPS, GROUPS);
    for (scope, format) in [
        (Scope::Groups, Format::OpenMetrics),
        (Scope::Groups, Format::Protobuf),
        (Scope::Metrics, Format::OpenMetrics),
        (Scope::Metrics, Format::Protobuf),
    ] {
        let mut scraper = scraper(scope, format, &stats);
        let (mut chunk, mut bytes, mut has_more) = (Vec::with_capacity(CHUNK_BYTES), 0, true);
        let memory = allocation_counter::measure(|| {
            while has_more {
                chunk.clear();
                has_more = scraper.next_chunk(&mut chunk).unwrap();
                bytes += chunk.len();
            }
        });
        assert_eq!(chunk.capacity(), CHUNK_BYTES, "a chunk is smaller");
        assert!(bytes > 100 * GROUPS && scraper.series() >= 3 * GROUPS, "{bytes}");
        assert!(memory.bytes_max <= 1 << 20, "{scope:?} {format:?}: {memory:?}");
        // The measurement must include the set of groups, if there is one.
        let has_set = (scope, format) != (Scope::Groups, Format::OpenMetrics);
        assert_eq!(memory.bytes_max >= (GROUPS / 8) as u64, has_set, "{scope:?} {format:?}: {memory:?}");
    }
}

/// The samples without suffixes of histograms, by name and labels.
fn of_text(format: Format, bytes: &[u8]) -> BTreeMap<(String, Vec<(String, String)>), f64> {
    let families = exposition::parse(std::str::from_utf8(bytes).unwrap(), format).unwrap();
    let samples = families.into_iter().filter(|family| family.kind != "histogram").flat_map(|family| family.samples);
    samples.map(|sample| ((sample.name, sample.labels), sample.value.parse().unwrap())).collect()
}

/// The same of protobuf.
fn of_protobuf(bytes: &[u8]) -> BTreeMap<(String, Vec<(String, String)>), f64> {
    let mut samples = BTreeMap::new();
    for family in protobuf::parse(bytes).unwrap() {
        for metric in &family.metrics {
            let labels = metric.labels.iter().map(|label| (label.name.clone().unwrap(), label.value.clone().unwrap()));
            if let Some(number) = metric.counter.or(metric.gauge) {
                let before = samples.insert((family.name.clone().unwrap(), labels.collect()), number.value.unwrap());
                assert_eq!(before, None, "{metric:?}");
            }
        }
    }
    samples
}

#[test]
fn each_format_has_the_same_samples() {
    // So few groups that they are written at once, and so many that the length comes first.
    for groups in [3, 5000] {
        let stats = stats(groups, groups);
        for scope in [Scope::Metrics, Scope::Groups] {
            let of = |format| whole(scraper(scope, format, &stats));
            let mut samples = [
                of_text(Format::Text, &of(Format::Text)),
                of_text(Format::TextV1, &of(Format::TextV1)),
                of_text(Format::OpenMetrics, &of(Format::OpenMetrics)),
                of_protobuf(&of(Format::Protobuf)),
            ];
            for samples in &mut samples {
                // The process goes on between the scrapes.
                samples.retain(|(name, _), _| !name.starts_with("process_"));
            }
            assert!(samples[0].len() >= 3 * groups);
            assert!(samples.iter().all(|other| *other == samples[0]), "{scope:?}");
        }
    }
}

#[test]
fn a_counter_s_creation_time_is_that_of_the_state_the_group_or_the_process() {
    let stats = stats(2, 2);
    let families = protobuf::parse(&whole(scraper(Scope::Metrics, Format::Protobuf, &stats))).unwrap();
    let process = families.iter().find(|family| family.name.as_deref() == Some("process_start_time_seconds")).unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "a time in whole milliseconds")]
    let started = (process.metrics[0].gauge.unwrap().value.unwrap() * 1000.0).round() as i64;
    for family in families.iter().filter(|family| family.kind != Some(protobuf::GAUGE)) {
        let name = family.name.as_deref().unwrap();
        let of_process = family.help.as_deref().unwrap().contains("since the process started");
        for (position, metric) in (0..).zip(&family.metrics) {
            let counter = metric.counter.and_then(|counter| counter.created);
            let Some(created) = counter.or_else(|| metric.histogram.as_ref()?.created) else {
                // The network counts since before the process.
                assert!(name.starts_with("process_network_"), "{name}");
                continue;
            };
            assert!(!name.starts_with("process_network_"), "{name}");
            let created = created.seconds.unwrap() * 1000 + i64::from(created.nanoseconds.unwrap()) / 1_000_000;
            let expected = match name {
                // The second one got its message a millisecond later.
                "openim_group_messages_by_group_total" => NOW.0 + position,
                _ if of_process || name.starts_with("process_") => started,
                _ => NOW.0,
            };
            assert_eq!(created, expected, "{name}");
        }
    }
}
