//! A strict parser of Prometheus' protobuf format, which knows nothing of how it is written.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#protobuf-format>

use prost::Message;
use prost::encoding::encode_varint;

/// The messages as published, as far as exporters of counters, gauges and histograms with integer counts use them. Each
/// field that is not repeated may be absent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) metrics: Vec<Metric>,
    #[prost(string, optional, tag = "5")]
    pub(crate) unit: Option<String>,
}

pub(crate) const COUNTER: i32 = 0;
pub(crate) const GAUGE: i32 = 1;
pub(crate) const HISTOGRAM: i32 = 4;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    pub(crate) gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    pub(crate) counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    pub(crate) histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) value: Option<String>,
}

/// A counter or a gauge. A gauge has no creation time.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Number {
    #[prost(double, optional, tag = "1")]
    pub(crate) value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub(crate) created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub(crate) sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) buckets: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    pub(crate) schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    pub(crate) zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    pub(crate) zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) spans: Vec<Span>,
    #[prost(sint64, repeated, packed = "true", tag = "13")]
    pub(crate) deltas: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    pub(crate) created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub(crate) bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub(crate) exemplar: Option<Exemplar>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Span {
    #[prost(sint32, optional, tag = "1")]
    pub(crate) offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    pub(crate) length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(double, optional, tag = "2")]
    pub(crate) value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub(crate) time: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, optional, tag = "1")]
    pub(crate) seconds: Option<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) nanoseconds: Option<i32>,
}

/// Reads a whole exposition. Each family must be encoded in the shortest form, without other fields. The fields must be
/// in the order of their numbers, except that the unit comes before the metrics.
///
/// # Errors
/// What is not valid.
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Vec<MetricFamily>, String> {
    let mut families: Vec<MetricFamily> = Vec::new();
    while !bytes.is_empty() {
        let before = bytes;
        let mut family = MetricFamily::decode_length_delimited(&mut bytes).map_err(|error| error.to_string())?;
        let read = &before[..before.len() - bytes.len()];
        let rows = MetricFamily { metrics: std::mem::take(&mut family.metrics), ..MetricFamily::default() };
        let body = [family.encode_to_vec(), rows.encode_to_vec()].concat();
        let mut expected = Vec::new();
        encode_varint(body.len() as u64, &mut expected);
        expected.extend(body);
        if read != expected {
            return Err(format!("unusual encoding or other fields: {read:?}, not {expected:?}"));
        }
        family.metrics = rows.metrics;
        check(&family)?;
        families.push(family);
    }
    let mut names: Vec<_> = families.iter().map(|family| &family.name).collect();
    names.sort();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("duplicate family".to_owned());
    }
    Ok(families)
}

/// What Prometheus requires of a family.
fn check(family: &MetricFamily) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {family:?}"));
    let name = family.name.as_deref().unwrap_or_default();
    if name.is_empty() || family.help.is_none() || family.metrics.is_empty() {
        return wrong("no name, no help or no metric");
    }
    if family.unit.as_ref().is_some_and(|unit| !name.ends_with(&format!("_{unit}"))) {
        return wrong("the name does not end with the unit");
    }
    for metric in &family.metrics {
        let kinds = match family.kind {
            Some(COUNTER) => (metric.counter.is_some(), metric.gauge.is_none(), metric.histogram.is_none()),
            Some(GAUGE) => (metric.gauge.is_some(), metric.counter.is_none(), metric.histogram.is_none()),
            Some(HISTOGRAM) => (metric.histogram.is_some(), metric.counter.is_none(), metric.gauge.is_none()),
            _ => return wrong("unknown type"),
        };
        if kinds != (true, true, true) {
            return wrong("a metric of another type");
        }
        if metric.gauge.is_some_and(|gauge| gauge.created.is_some()) {
            return wrong("a gauge with a creation time");
        }
        if let Some(histogram) = &metric.histogram
            && let Err(what) = check_histogram(histogram)
        {
            return wrong(what);
        }
    }
    Ok(())
}

fn check_histogram(histogram: &Histogram) -> Result<(), &'static str> {
    let Histogram { buckets, spans, deltas, schema, zero_threshold, zero_count, .. } = histogram;
    let count = histogram.count.ok_or("no count")?;
    histogram.sum.ok_or("no sum")?;
    let mut below = f64::NEG_INFINITY;
    for bucket in buckets {
        let bound = bucket.bound.ok_or("no bound")?;
        if bound <= below || bucket.count.ok_or("no count")? > count {
            return Err("bounds that do not rise, or a bucket above the count");
        }
        below = bound;
    }
    if schema.is_none() && zero_threshold.is_none() && zero_count.is_none() && spans.is_empty() && deltas.is_empty() {
        return Ok(());
    }
    let (Some(3), Some(_), Some(zeros)) = (schema, zero_threshold, zero_count) else {
        return Err("an incomplete native histogram");
    };
    let counts = absolute(deltas);
    let len: u64 = spans.iter().map(|span| u64::from(span.length.unwrap_or(u32::MAX))).sum();
    if len != counts.len() as u64 || spans.iter().skip(1).any(|span| span.offset.is_none_or(|offset| offset <= 2)) {
        return Err("spans that do not match the deltas");
    }
    // Numbers of a damaged state may be larger than any that were counted.
    if counts.iter().fold(*zeros, |sum, count| sum.wrapping_add(*count)) != count {
        return Err("native buckets that do not add up to the count");
    }
    if spans.is_empty() && *zeros == 0 {
        return Err("an empty native histogram must have a span");
    }
    Ok(())
}

/// The counts of the buckets.
pub(crate) fn absolute(deltas: &[i64]) -> Vec<u64> {
    let sums = deltas.iter().scan(0_u64, |sum, delta| {
        *sum = sum.wrapping_add_signed(*delta);
        Some(*sum)
    });
    sums.collect()
}
