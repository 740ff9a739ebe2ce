//! One scrape: everything that is known, family by family.

use prometheus::{Encoder, TextEncoder};

use super::catalog;
use super::text::TextWriter;
use crate::domain::UnixMillis;
use crate::domain::codes::{OTHER, STATUSES};
use crate::stats::{ClockError, Outcome, Stats, WINDOWS};
use crate::telemetry::Telemetry;

/// The content type of what [`scrape`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Milliseconds in seconds.
const MILLISECOND: f64 = 0.001;

/// What a scrape is made from.
#[derive(Clone, Copy, Debug)]
pub struct Scrape<'a> {
    /// The statistics.
    pub stats: &'a Stats,
    /// The exporter's own metrics.
    pub telemetry: &'a Telemetry,
    /// The time now: the end of the windows.
    pub now: UnixMillis,
}

/// Writes a scrape behind what `out` holds; returns the number of series.
///
/// # Errors
/// When the `prometheus` crate refuses one of the exporter's own metrics.
pub fn scrape(from: &Scrape<'_>, out: &mut Vec<u8>) -> prometheus::Result<usize> {
    let mut writer = TextWriter::new(out);
    messages(from.stats, &mut writer);
    groups(from, &mut writer);
    sizes_and_delays(from.stats, &mut writer);
    windows(from, &mut writer);
    state(from.stats, &mut writer);
    let series = writer.series();
    let own = from.telemetry.gather();
    TextEncoder::new().encode(&own, out)?;
    Ok(series + own.iter().map(series_of).sum::<usize>())
}

fn messages(stats: &Stats, writer: &mut TextWriter<'_>) {
    let mut family = writer.family(&catalog::MESSAGES);
    for cell in stats.mix() {
        family.sample([&cell.content_type, cell.platform, cell.source], cell.messages);
    }
    let mut family = writer.family(&catalog::BY_STATUS);
    for (status, messages) in STATUSES.into_iter().chain([OTHER]).zip(stats.by_status()) {
        family.sample([status], messages);
    }
    let mut family = writer.family(&catalog::MENTIONS);
    family.sample(["user"], stats.mentioned_users()).sample(["all"], stats.mentioned_all());
}

fn groups(from: &Scrape<'_>, writer: &mut TextWriter<'_>) {
    let mut exported = 0;
    let mut family = writer.family(&catalog::BY_GROUP);
    for group in from.stats.exported_groups().into_iter().filter_map(|slot| from.stats.group(slot)) {
        family.sample([&group.name], group.messages);
        exported += 1;
    }
    let folded = [from.stats.folded_for_capacity(), from.stats.folded_retired()];
    writer.family(&catalog::FOLDED).sample(["capacity"], folded[0]).sample(["retired"], folded[1]);
    writer.family(&catalog::GROUPS_TRACKED).sample([], from.stats.groups_tracked() as u64);
    writer.family(&catalog::GROUPS_CAPACITY).sample([], from.stats.groups_capacity() as u64);
    writer.family(&catalog::GROUPS_EXPORTED).sample([], exported);
}

fn state(stats: &Stats, writer: &mut TextWriter<'_>) {
    let mut family = writer.family(&catalog::STATE_START);
    for outcome in Outcome::ALL {
        family.sample([outcome.name()], u64::from(outcome == stats.outcome()));
    }
}

fn sizes_and_delays(stats: &Stats, writer: &mut TextWriter<'_>) {
    writer.family(&catalog::CONTENT_BYTES).histogram(&stats.content_bytes(), 1.0);
    writer.family(&catalog::DELIVERY_DELAY).histogram(&stats.delivery_delays(), MILLISECOND);
    writer.family(&catalog::SUBMIT_DELAY).histogram(&stats.submit_delays(), MILLISECOND);
    let mut family = writer.family(&catalog::CLOCK_ERRORS);
    for kind in ClockError::ALL {
        family.sample([kind.name()], stats.clock_errors(kind));
    }
}

fn windows(from: &Scrape<'_>, writer: &mut TextWriter<'_>) {
    let counts = [
        (&catalog::ACTIVE_SENDERS, from.stats.active_senders(from.now)),
        (&catalog::ACTIVE_GROUPS, from.stats.active_groups(from.now)),
    ];
    for (family, counts) in counts {
        let mut family = writer.family(family);
        for (window, count) in WINDOWS.into_iter().zip(counts) {
            family.sample([window.name], count);
        }
    }
}

/// Lines with a value that the crate writes for a family.
fn series_of(family: &prometheus::proto::MetricFamily) -> usize {
    // A histogram's buckets are written with `+Inf`, and then its sum and count.
    let lines = |metric: &prometheus::proto::Metric| match metric.get_histogram().get_bucket().len() {
        0 => 1,
        buckets => buckets + 3,
    };
    family.get_metric().iter().map(lines).sum()
}
