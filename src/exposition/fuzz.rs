//! The writer with arbitrary names and numbers.

use super::catalog;
use super::format::{Escaping, Format};
use super::writer::{FamilyWriter, Observed, Writer};
use crate::domain::UnixMillis;
use crate::stats::Exemplar;

pub use crate::native::NativeReading;

/// What to write.
#[derive(Clone, Debug)]
pub struct Families {
    /// When the counters began.
    pub began: UnixMillis,
    /// Names of groups, with a counter each, and when it began.
    pub groups: Vec<(String, u64, UnixMillis)>,
    /// Names of groups, with a gauge each.
    pub gauges: Vec<(String, f64)>,
    /// The delivery delay.
    pub delay: Histogram,
    /// Names of platforms, with the delivery delay of each.
    pub delays: Vec<(String, Histogram)>,
}

/// A histogram with classic buckets, a native one, both, or neither.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// The bounds in seconds, with the number of observations up to each, and its exemplar.
    pub buckets: Vec<(f64, u64, Option<Exemplar>)>,
    /// The sum of the observations.
    pub sum: f64,
    /// The number of observations.
    pub count: u64,
    /// The buckets of the native histogram.
    pub native: Option<NativeReading>,
}

/// Writes a counter, a gauge, a histogram, and histograms with a label.
#[must_use]
pub fn write_to_vec(families: &Families, format: Format, escaping: Escaping) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(format, escaping, Some(families.began), &mut out);
    {
        let mut counters = writer.family(&catalog::BY_GROUP);
        for (name, count, since) in &families.groups {
            counters.sample_since([name], *count, *since);
        }
    }
    {
        let mut gauges = writer.family(&catalog::GROUP_ACTIVE_SENDERS);
        for (name, value) in &families.gauges {
            gauges.sample([name.as_str(), name.as_str()], *value);
        }
    }
    write_histogram(None, &families.delay, &mut writer.family(&catalog::DELIVERY_DELAY));
    {
        let mut delays = writer.family(&catalog::DELIVERY_DELAY_BY_PLATFORM);
        for (platform, delay) in &families.delays {
            write_histogram(Some(platform), delay, &mut delays);
        }
    }
    writer.end();
    out
}

fn write_histogram(label: Option<&str>, histogram: &Histogram, rows: &mut FamilyWriter<'_, '_>) {
    let buckets = histogram.buckets.iter().map(|(bound, count, _)| (*bound, *count)).collect();
    let observed = Observed { buckets, sum: histogram.sum, count: histogram.count, native: histogram.native.clone() };
    let exemplars: Vec<_> = histogram.buckets.iter().map(|(.., exemplar)| exemplar.clone()).collect();
    rows.histogram(label, &observed, &exemplars);
}
