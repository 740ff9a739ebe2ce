//! A scrape of many groups by our writer, compared with the `prometheus` crate's registry and encoder.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use openim_exporter::domain::{Clock, SystemClock};
use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::simulate::group_id;
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire;
use prometheus::{Encoder, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use support::{Failure, median, ratio, verdict};

const ROUNDS: usize = 9;
const SERIES: [u32; 3] = [1000, 100_000, 1_000_000];

/// Series per group: its messages, and its senders in two windows.
const SERIES_OF_GROUP: u32 = 3;

/// The same groups in our statistics and in the crate's registry.
struct Setup {
    series: u32,
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    registry: Registry,
}

impl Setup {
    fn new(series: u32) -> Result<Self, Failure> {
        let groups = series.div_ceil(SERIES_OF_GROUP);
        let capacities = Capacities {
            groups: groups as usize,
            exported_groups: 1000,
            sender_pairs: 1,
            dedup_window: std::time::Duration::ZERO,
            online: 100,
            history_days: 40,
        };
        let stats = Stats::in_memory(capacities, SystemClock.now())?;
        let registry = Registry::new();
        let messages = IntCounterVec::new(Opts::new("messages_total", "Messages."), &["group_id"])?;
        let senders = IntGaugeVec::new(Opts::new("senders", "Senders."), &["group_id", "window"])?;
        registry.register(Box::new(messages.clone()))?;
        registry.register(Box::new(senders.clone()))?;
        for rank in 1..=groups {
            let group = group_id(rank).to_string();
            let body = format!(r#"{{"sendID":"1","groupID":"{group}"}}"#);
            wire::decode_group_message(body.as_bytes(), |message| stats.record(message, SystemClock.now()))
                .map_err(|problem| problem.detail)?;
            messages.with_label_values(&[&group]).inc();
            for window in ["1h", "24h"] {
                senders.with_label_values(&[group.as_str(), window]).set(0);
            }
        }
        let telemetry = Arc::new(Telemetry::default());
        Ok(Self { series, stats: Arc::new(stats), telemetry, registry })
    }

    /// Writes a scrape of all groups, and passes each chunk to a function.
    fn scrape(&self, format: Format, mut with: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<usize, Failure> {
        let (stats, telemetry) = (Arc::clone(&self.stats), Arc::clone(&self.telemetry));
        let mut scraper = Scraper::new(Scope::Groups, format, stats, telemetry, SystemClock.now());
        let mut has_more = true;
        while has_more {
            // Each chunk is allocated, as in the server.
            let mut chunk = Vec::new();
            has_more = scraper.next_chunk(&mut chunk)?;
            with(&chunk)?;
        }
        Ok(scraper.series())
    }

    /// The time of our writer in milliseconds.
    fn ours(&self, format: Format) -> Result<f64, Failure> {
        let begin = Instant::now();
        let series = self.scrape(format, |chunk| {
            black_box(chunk);
            Ok(())
        })?;
        assert!(series >= self.series as usize);
        Ok(milliseconds(begin))
    }

    fn crate_s(&self) -> Result<f64, Failure> {
        let begin = Instant::now();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        black_box(&text);
        Ok(milliseconds(begin))
    }

    /// The same with compression: the time in milliseconds, and the bytes before and after.
    fn compressed(&self, level: u32) -> Result<(f64, usize, usize), Failure> {
        let begin = Instant::now();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(level));
        let mut before = 0;
        self.scrape(Format::OpenMetrics, |chunk| {
            before += chunk.len();
            gzip.write_all(chunk)
        })?;
        Ok((milliseconds(begin), before, gzip.finish()?.len()))
    }
}

fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

fn main() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "\n## Scrape: {ROUNDS} rounds, medians\n")?;
    writeln!(out, "| series of groups | ours, ms | OpenMetrics, ms | the crate's, ms | ours / the crate's |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for series in SERIES {
        let setup = Setup::new(series)?;
        let mut rounds: [Vec<f64>; 3] = Default::default();
        for round in 0..=ROUNDS {
            let theirs = setup.crate_s()?;
            // Not measured: the first allocation after the crate's makes the allocator merge millions of freed blocks.
            setup.ours(Format::Text)?;
            let taken = [setup.ours(Format::Text)?, setup.ours(Format::OpenMetrics)?, theirs];
            if round > 0 {
                rounds.iter_mut().zip(taken).for_each(|(rounds, taken)| rounds.push(taken));
            }
        }
        let [ours, open_metrics, theirs] = &rounds;
        let shown = match series {
            100_000 => verdict(ratio(ours, theirs), 0.1),
            _ => format!("{:.3}", ratio(ours, theirs)),
        };
        let [ours, open_metrics, theirs] = [ours, open_metrics, theirs].map(|rounds| median(rounds.iter().copied()));
        writeln!(out, "| {series} | {ours:.2} | {open_metrics:.2} | {theirs:.2} | {shown} |")?;
    }
    compression(&mut out)
}

/// The time and the size for each compression level.
fn compression(out: &mut impl Write) -> Result<(), Failure> {
    let setup = Setup::new(100_000)?;
    writeln!(
        out,
        "\n| gzip, OpenMetrics, 100,000 series of groups | ms | bytes | share of uncompressed |\n|---|---|---|---|"
    )?;
    for level in [1, 2, 3, 6] {
        let rounds = (0..ROUNDS).map(|_| setup.compressed(level)).collect::<Result<Vec<_>, _>>()?;
        let (_, before, after) = rounds[0];
        let taken = median(rounds.iter().map(|(taken, ..)| *taken));
        writeln!(out, "| level {level} | {taken:.1} | {after} | {:.3} |", after as f64 / before as f64)?;
    }
    writeln!(out)?;
    Ok(())
}
