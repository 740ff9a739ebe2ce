//! A scrape of many groups by our writers, compared with the registries and encoders of the crates `prometheus` and
//! `prometheus-client`: CPU time per series.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use openim_exporter::domain::{Clock, SystemClock};
use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::simulate::group_id;
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire;
use prometheus::{Encoder, IntCounterVec, IntGaugeVec, Opts, TextEncoder};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use rustix::time::{ClockId, clock_gettime};
use support::{Failure, median, ratio, verdict};

const ROUNDS: usize = 9;
const SERIES: [u32; 3] = [1000, 100_000, 1_000_000];

/// Our formats, each with its budget: its time divided by that of either crate, for any number of series.
const FORMATS: [(&str, Format, f64); 4] = [
    ("text 0.0.4", Format::Text, 0.1),
    ("text 1.0.0", Format::TextV1, 0.1),
    ("OpenMetrics", Format::OpenMetrics, 0.1),
    ("protobuf", Format::Protobuf, 0.15),
];

/// Series per group: its messages, and its senders in two windows.
const SERIES_OF_GROUP: u32 = 3;

/// The same groups in our statistics and in the registries of the crates.
struct Setup {
    series: u32,
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    prometheus: prometheus::Registry,
    client: prometheus_client::registry::Registry,
}

/// The labels of a counter of `prometheus-client`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGroup {
    group_id: String,
}

/// The labels of a gauge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWindow {
    group_id: String,
    window: &'static str,
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
        let prometheus = prometheus::Registry::new();
        let messages = IntCounterVec::new(Opts::new("messages_total", "Messages."), &["group_id"])?;
        let senders = IntGaugeVec::new(Opts::new("senders", "Senders."), &["group_id", "window"])?;
        prometheus.register(Box::new(messages.clone()))?;
        prometheus.register(Box::new(senders.clone()))?;
        let mut client = prometheus_client::registry::Registry::default();
        let client_messages = Family::<OfGroup, Counter>::default();
        let client_senders = Family::<OfWindow, Gauge>::default();
        client.register("messages", "Messages", client_messages.clone());
        client.register("senders", "Senders", client_senders.clone());
        for rank in 1..=groups {
            let group = group_id(rank).to_string();
            let body = format!(r#"{{"sendID":"1","groupID":"{group}"}}"#);
            wire::decode_group_message(body.as_bytes(), |message| stats.record(message, SystemClock.now()))
                .map_err(|problem| problem.detail)?;
            messages.with_label_values(&[&group]).inc();
            client_messages.get_or_create(&OfGroup { group_id: group.clone() }).inc();
            for window in ["1h", "24h"] {
                senders.with_label_values(&[group.as_str(), window]).set(0);
                client_senders.get_or_create(&OfWindow { group_id: group.clone(), window }).set(0);
            }
        }
        let telemetry = Arc::new(Telemetry::default());
        Ok(Self { series, stats: Arc::new(stats), telemetry, prometheus, client })
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

    /// The CPU time of our writer in milliseconds.
    fn ours(&self, format: Format) -> Result<f64, Failure> {
        let begin = cpu_milliseconds();
        let series = self.scrape(format, |chunk| {
            black_box(chunk);
            Ok(())
        })?;
        assert!(series >= self.series as usize);
        Ok(cpu_milliseconds() - begin)
    }

    /// The same for the crate `prometheus`, in its text format.
    fn prometheus_s(&self) -> Result<f64, Failure> {
        let begin = cpu_milliseconds();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.prometheus.gather(), &mut text)?;
        black_box(&text);
        Ok(cpu_milliseconds() - begin)
    }

    /// The same for the crate `prometheus-client`, in OpenMetrics.
    fn client_s(&self) -> Result<f64, Failure> {
        let begin = cpu_milliseconds();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.client)?;
        black_box(&text);
        Ok(cpu_milliseconds() - begin)
    }

    /// The same with compression: the time in milliseconds, and the bytes before and after.
    fn compressed(&self, level: u32) -> Result<(f64, usize, usize), Failure> {
        let begin = cpu_milliseconds();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(level));
        let mut before = 0;
        self.scrape(Format::OpenMetrics, |chunk| {
            before += chunk.len();
            gzip.write_all(chunk)
        })?;
        Ok((cpu_milliseconds() - begin, before, gzip.finish()?.len()))
    }
}

/// The CPU time of this thread so far.
fn cpu_milliseconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn main() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "\n## Scrape: CPU time of a series, {ROUNDS} rounds, medians\n")?;
    writeln!(out, "| series of groups | format | ns | of `prometheus`' text | of `prometheus-client`'s OpenMetrics |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for series in SERIES {
        let setup = Setup::new(series)?;
        let mut rounds: [Vec<f64>; FORMATS.len() + 2] = Default::default();
        for round in 0..=ROUNDS {
            let theirs = [setup.prometheus_s()?, setup.client_s()?];
            // Not measured: the first allocation after the crates' makes the allocator merge millions of freed blocks.
            setup.ours(Format::Text)?;
            let ours = FORMATS.map(|(_, format, _)| setup.ours(format));
            let taken = theirs.into_iter().map(Ok).chain(ours).collect::<Result<Vec<_>, _>>()?;
            if round > 0 {
                rounds.iter_mut().zip(taken).for_each(|(rounds, taken)| rounds.push(taken));
            }
        }
        let [prometheus, client, ours @ ..] = &rounds;
        let each = |rounds: &[f64]| median(rounds.iter().copied()) * 1e6 / f64::from(series);
        for ((name, _, budget), ours) in FORMATS.iter().zip(ours) {
            let [of_prometheus, of_client] = [prometheus, client].map(|theirs| verdict(ratio(ours, theirs), *budget));
            writeln!(out, "| {series} | {name} | {:.0} | {of_prometheus} | {of_client} |", each(ours))?;
        }
        writeln!(out, "| {series} | `prometheus` | {:.0} | 1 | |", each(prometheus))?;
        writeln!(out, "| {series} | `prometheus-client` | {:.0} | | 1 |", each(client))?;
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
