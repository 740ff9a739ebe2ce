//! docs/capacity.md agrees with the measurements.

use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::stats::{Capacities, Stats, UnitedCounts};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire;

use crate::tables::assert_table;
use crate::{CAPACITY, PERFORMANCE, REPLICAS, at};

const PLOTS: &str = include_str!("../../docs/capacity.svg");

/// The expected sentences about TLS that docs/capacity.md lacks, computed from the measurements in docs/performance.md.
fn wrong_about_tls(performance: &str, guide: &str) -> Vec<String> {
    let row = performance.lines().find(|line| line.starts_with("| TLS, HTTP/2, ")).unwrap();
    let mut times: Vec<f64> = row.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    let [least, most] = times[..] else { panic!("{row}") };
    // One core handles 70,000 per second. Each of the two workers of an OpenIM process sends one callback per 0.55 ms.
    let left = (70.0 / most).floor();
    let processes = (left * 0.55 / 2.0).floor();
    let phrases = [
        format!(
            "HTTP/2 needs {least:.2} to {most:.2} times the CPU ([performance.md](performance.md#tls-and-authentication)), which leaves about {left},000"
        ),
        format!("or {processes} with TLS"),
    ];
    let one_line = guide.replace('\n', " ");
    phrases.into_iter().filter(|phrase| !one_line.contains(phrase)).collect()
}

#[test]
fn docs_capacity_agrees_with_the_measurements_of_tls() {
    assert_eq!(wrong_about_tls(PERFORMANCE.text, CAPACITY.text), [""; 0]);
    let spoilt = PERFORMANCE.spoilt("| 1.32 | 1.52 |", "| 1.96 | 1.84 |");
    assert_eq!(wrong_about_tls(&spoilt, CAPACITY.text).len(), 2);
}

/// The results of the script after one measurement was edited: docs/capacity.md with its tables, and the plots.
fn drawn(edit: impl Fn(&str) -> String) -> [String; 2] {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("measured")).unwrap();
    let docs = at("docs");
    for file in ["plots.py", "drawing.py", "capacity.md"] {
        std::fs::copy(docs.join(file), folder.path().join(file)).unwrap();
    }
    for file in ["traffic.csv", "connections.csv", "memory.csv", "scrapes.csv", "disk.csv"] {
        let text = std::fs::read_to_string(docs.join("measured").join(file)).unwrap();
        let text = if file == "memory.csv" { edit(&text) } else { text };
        std::fs::write(folder.path().join("measured").join(file), text).unwrap();
    }
    let ran = Command::new("/usr/bin/python3").arg(folder.path().join("plots.py")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ["capacity.md", "capacity.svg"].map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap())
}

#[test]
#[ignore = "needs python3"]
fn docs_capacity_has_the_tables_and_plots_of_the_measurements() {
    let present = [CAPACITY.text, PLOTS].map(str::to_owned);
    assert!(drawn(str::to_owned) == present, "run docs/plots.py");
    let other = drawn(|text| text.replacen("\n1000000,", "\n1000000,9", 1));
    assert!(other[0] != present[0] && other[1] != present[1]);
}

const NOW: UnixMillis = UnixMillis(1_795_897_041_067);

/// The pages in the table of series, with the number of groups.
const SCRAPES: [(&str, Scope, u32); 5] = [
    ("A new exporter", Scope::Metrics, 0),
    ("1,000 groups", Scope::Metrics, 1000),
    ("1,000 groups, `/metrics/groups`", Scope::Groups, 1000),
    ("100,000 groups", Scope::Metrics, 100_000),
    ("100,000 groups, `/metrics/groups`", Scope::Groups, 100_000),
];

/// Statistics with the default limits for exported groups, and a message of a user in each of this many groups.
fn stats(groups: u32) -> Arc<Stats> {
    let capacities = Capacities {
        groups: 100_000,
        exported_groups: 1000,
        sender_pairs: 100_000,
        dedup_window: Duration::ZERO,
        online: 1000,
        history_days: 40,
    };
    let stats = Stats::in_memory(capacities, NOW).unwrap();
    for group in 0..groups {
        let body = format!(
            r#"{{"sendID":"53{group:08}","senderPlatformID":2,"msgFrom":100,"contentType":101,"groupID":"24{group:08}"}}"#
        );
        wire::decode_group_message(body.as_bytes(), |message| stats.record(message, NOW)).unwrap();
    }
    stats.tick(NOW);
    Arc::new(stats)
}

/// The series of a scrape, and its size uncompressed and compressed, in KiB.
fn measure(stats: &Arc<Stats>, telemetry: &Arc<Telemetry>, scope: Scope, format: Format) -> (usize, [f64; 2]) {
    let mut scraper = Scraper::new(scope, format, Arc::clone(stats), Arc::clone(telemetry), NOW);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let (mut bytes, mut has_more) = (0, true);
    while has_more {
        let mut chunk = Vec::new();
        has_more = scraper.next_chunk(&mut chunk).unwrap();
        bytes += chunk.len();
        gzip.write_all(&chunk).unwrap();
    }
    let sizes = [bytes, gzip.finish().unwrap().len()].map(|bytes| bytes as f64 / 1024.0);
    (scraper.series(), sizes)
}

/// A number with commas, of which only the first three digits are shown.
fn readable(number: f64) -> String {
    let unit = 10_f64.powf((number.log10().floor() - 2.0).max(-1.0));
    let rounded = (number / unit).round() * unit;
    if rounded < 100.0 { format!("{rounded:.1}") } else { with_commas(format!("{rounded:.0}").parse().unwrap()) }
}

fn with_commas(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", with_commas(number / 1000), number % 1000) }
}

/// Whether all numbers of a cell are within 3 % of the expected ones: numbers about the process, such as its memory, have
/// various lengths.
fn is_near(found: &str, expected: &str) -> bool {
    let numbers = |cell: &str| -> Vec<f64> {
        cell.split(" / ").map(|number| number.replace(',', "").parse().unwrap_or(f64::NAN)).collect()
    };
    let (found, expected) = (numbers(found), numbers(expected));
    found.len() == expected.len()
        && found.iter().zip(&expected).all(|(found, expected)| (found / expected - 1.0).abs() < 0.03)
}

#[test]
fn the_table_of_series_matches_the_code() {
    let (mut of_groups, telemetry) = (Vec::new(), Arc::new(Telemetry::default()));
    let rows = SCRAPES.map(|(label, scope, groups)| {
        if of_groups.last().is_none_or(|(measured, _)| *measured != groups) {
            of_groups.push((groups, stats(groups)));
        }
        let stats = &of_groups.last().unwrap().1;
        let [text, open_metrics, protobuf] = [Format::Text, Format::OpenMetrics, Format::Protobuf]
            .map(|format| measure(stats, &telemetry, scope, format));
        assert_eq!(text.0, open_metrics.0, "{label}");
        let sizes = [text, open_metrics, protobuf].map(|(_, sizes)| sizes.map(readable).join(" / "));
        ([label.to_owned(), with_commas(text.0), with_commas(protobuf.0)], sizes)
    });
    let spoils =
        [("| 100,000 groups, `/metrics/groups` | 300,000 |", "| 100,000 groups, `/metrics/groups` | 300,001 |")];
    assert_table(&CAPACITY, "Scrape", &rows.clone().map(|(row, _)| row), &spoils);
    let shown: Vec<_> = CAPACITY
        .text
        .lines()
        .filter(|line| SCRAPES.iter().any(|(label, ..)| line.starts_with(&format!("| {label} |"))))
        .collect();
    assert_eq!(shown.len(), rows.len());
    let wrong: Vec<_> = shown
        .iter()
        .zip(rows)
        .filter(|(line, (_, sizes))| {
            let found: Vec<_> = line.trim_matches(['|', ' ']).split(" | ").skip(3).collect();
            found.len() != sizes.len() || !found.iter().zip(sizes).all(|(found, size)| is_near(found, size))
        })
        .map(|(_, (row, sizes))| format!("| {} |", [row.as_slice(), &sizes].concat().join(" | ")))
        .collect();
    assert!(wrong.is_empty(), "these rows must be about:\n{}", wrong.join("\n"));
}

/// The sentence about Prometheus' series in docs/replicas.md, if the page lacks it.
fn wrong_about_replicas(page: &str) -> Option<String> {
    let (stats, telemetry) = (stats(0), Arc::new(Telemetry::default()));
    stats.set_united(UnitedCounts::default(), Instant::now());
    telemetry.add_replicas();
    let [text, protobuf] =
        [Format::Text, Format::Protobuf].map(|format| measure(&stats, &telemetry, Scope::Metrics, format).0);
    let most = with_commas((text + 3 * 1000) * 100);
    let sentence = format!(
        "Prometheus gets {text} series from each new exporter (in protobuf {protobuf}), and three more for each exported \
         group that it has messages of: with 1,000 exported groups, up to {most} from 100 exporters."
    );
    (!page.replace('\n', " ").contains(&sentence)).then_some(sentence)
}

#[test]
fn docs_replicas_has_the_series_of_exporters_with_a_union() {
    assert_eq!(wrong_about_replicas(REPLICAS.text), None);
    assert!(
        wrong_about_replicas(&REPLICAS.spoilt("three more for each exported", "four more for each exported")).is_some()
    );
}
