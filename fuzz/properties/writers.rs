//! Names and numbers are written and read back unchanged, in each format.

use arbitrary::{Result, Unstructured};
use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::fuzz::{Families, NativeReading, write_to_vec};
use openim_exporter::exposition::{Escaping, Format};
use openim_exporter::stats::Exemplar;

use super::exposition::{Family, Labels, Sample, parse};
use super::protobuf::{self, Metric, MetricFamily, Timestamp, absolute};

/// Maximum length of an exemplar's operation ID, in bytes.
const LONGEST_ID: usize = 64;

/// Maximum number of samples in each family.
const MOST_ROWS: usize = 8;

/// Maximum number of buckets of a native histogram.
const MOST_BUCKETS: usize = 40;

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(families) = families(&mut Unstructured::new(bytes)) else { return };
    for escaping in [Escaping::Underscores, Escaping::Dots] {
        for format in [Format::Text, Format::TextV1, Format::OpenMetrics] {
            let text = String::from_utf8(write_to_vec(&families, format, escaping)).unwrap();
            let parsed = parse(&text, format).unwrap_or_else(|line| panic!("{line:?} in {text:?}"));
            let [counters, gauges, histogram] = &parsed[..] else { panic!("{parsed:?}") };
            are_the_counters(counters, &families, escaping);
            are_the_gauges(gauges, &families);
            is_the_histogram(histogram, &families, format);
        }
        is_the_same_in_protobuf(&families, escaping);
    }
}

fn families(bytes: &mut Unstructured<'_>) -> Result<Families> {
    let mut count = 0;
    let mut bound = f64::NEG_INFINITY;
    let mut families = Families {
        began: UnixMillis(bytes.arbitrary()?),
        groups: Vec::new(),
        gauges: Vec::new(),
        buckets: Vec::new(),
        sum: bytes.arbitrary()?,
        count: 0,
        native: None,
    };
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_ROWS {
        families.groups.push((bytes.arbitrary()?, bytes.arbitrary()?, UnixMillis(bytes.arbitrary()?)));
    }
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_ROWS {
        families.gauges.push((bytes.arbitrary()?, bytes.arbitrary()?));
    }
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_ROWS {
        let next: f64 = bytes.arbitrary()?;
        count += u64::from(bytes.arbitrary::<u32>()?);
        let exemplar = if bytes.arbitrary()? { Some(exemplar(bytes)?) } else { None };
        // The bounds of a histogram are increasing numbers.
        if next > bound && next.is_finite() {
            bound = next;
            families.buckets.push((bound, count, exemplar));
        }
    }
    families.count = count.saturating_add(bytes.arbitrary()?);
    families.native = if bytes.arbitrary()? { Some(native(bytes)?) } else { None };
    Ok(families)
}

fn exemplar(bytes: &mut Unstructured<'_>) -> Result<Exemplar> {
    let id: &str = bytes.arbitrary()?;
    let operation_id = id[..id.floor_char_boundary(LONGEST_ID)].to_owned();
    Ok(Exemplar { operation_id, value_ms: bytes.arbitrary::<u32>()?.into(), at: UnixMillis(bytes.arbitrary()?) })
}

fn native(bytes: &mut Unstructured<'_>) -> Result<NativeReading> {
    let (first, zero_count) = (i32::from(bytes.arbitrary::<i16>()?), bytes.arbitrary::<u32>()?.into());
    let mut reading = NativeReading { zero_threshold: 0.001, zero_count, first, buckets: Vec::new() };
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_BUCKETS {
        // Many are empty.
        let count = if bytes.arbitrary()? { bytes.arbitrary::<u32>()?.into() } else { 0 };
        reading.buckets.push(count);
    }
    Ok(reading)
}

fn are_the_counters(family: &Family, families: &Families, escaping: Escaping) {
    assert_eq!((family.kind.as_str(), family.samples.len()), ("counter", families.groups.len()));
    for (sample, (name, count, _)) in family.samples.iter().zip(&families.groups) {
        assert_eq!((&sample.labels, &sample.value), (&label(label_of_groups(escaping), name), &count.to_string()));
    }
}

const fn label_of_groups(escaping: Escaping) -> &'static str {
    if matches!(escaping, Escaping::Dots) { "group__id" } else { "group_id" }
}

fn are_the_gauges(family: &Family, families: &Families) {
    assert_eq!((family.kind.as_str(), family.samples.len()), ("gauge", families.gauges.len()));
    for (sample, (name, value)) in family.samples.iter().zip(&families.gauges) {
        assert!(sample.labels.iter().all(|(_, read)| read == name) && sample.labels.len() == 2);
        is_number(&sample.value, *value);
    }
}

fn is_the_histogram(family: &Family, families: &Families, format: Format) {
    assert_eq!(family.kind, "histogram");
    let (buckets, rest) = family.samples.split_at(families.buckets.len() + 1);
    let mut below = f64::NEG_INFINITY;
    for (sample, (bound, count, exemplar)) in buckets.iter().zip(&families.buckets) {
        let [(name, read)] = &sample.labels[..] else { panic!("{sample:?}") };
        assert_eq!((name.as_str(), &sample.value), ("le", &count.to_string()));
        is_number(read, *bound);
        let expected = exemplar.as_ref().filter(|exemplar| lies_within(exemplar, below, *bound));
        is_the_exemplar(sample, expected.filter(|_| format == Format::OpenMetrics));
        below = *bound;
    }
    let last = buckets.last().unwrap();
    assert_eq!((&last.labels, &last.value), (&label("le", "+Inf"), &families.count.to_string()));
    let [sum, count] = rest else { panic!("{rest:?}") };
    is_number(&sum.value, families.sum);
    assert_eq!(count.value, families.count.to_string());
}

fn lies_within(exemplar: &Exemplar, below: f64, bound: f64) -> bool {
    let seconds = exemplar.value_ms as f64 / 1000.0;
    below < seconds && seconds <= bound
}

fn is_the_exemplar(sample: &Sample, expected: Option<&Exemplar>) {
    match (&sample.exemplar, expected) {
        (None, None) => {}
        (Some((labels, value, at)), Some(expected)) => {
            assert!(labels.len() == 1 && labels[0].1 == expected.operation_id);
            is_number(value, expected.value_ms as f64 / 1000.0);
            assert_eq!(milliseconds(at), expected.at.0.max(0));
        }
        other => panic!("{other:?}"),
    }
}

fn is_the_same_in_protobuf(families: &Families, escaping: Escaping) {
    let bytes = write_to_vec(families, Format::Protobuf, escaping);
    let mut parsed = protobuf::parse(&bytes).unwrap_or_else(|error| panic!("{error}")).into_iter();
    let counters = if families.groups.is_empty() { Vec::new() } else { parsed.next().unwrap().metrics };
    assert_eq!(counters.len(), families.groups.len());
    for (metric, (name, count, since)) in counters.iter().zip(&families.groups) {
        assert_eq!(protobuf_labels(metric), label(label_of_groups(escaping), name));
        let counter = metric.counter.unwrap();
        is_float(counter.value, *count as f64);
        is_time(counter.created, *since);
    }
    let gauges = if families.gauges.is_empty() { Vec::new() } else { parsed.next().unwrap().metrics };
    assert_eq!(gauges.len(), families.gauges.len());
    for (metric, (name, value)) in gauges.iter().zip(&families.gauges) {
        assert!(protobuf_labels(metric).iter().all(|(_, read)| read == name) && metric.labels.len() == 2);
        is_float(metric.gauge.unwrap().value, *value);
    }
    is_the_histogram_in_protobuf(&parsed.next().unwrap(), families);
    assert_eq!(parsed.next(), None);
}

fn is_the_histogram_in_protobuf(family: &MetricFamily, families: &Families) {
    assert_eq!(family.unit.as_deref(), Some("seconds"));
    let [Metric { histogram: Some(histogram), labels, .. }] = &family.metrics[..] else { panic!("{family:?}") };
    assert_eq!((labels.len(), histogram.buckets.len()), (0, families.buckets.len()));
    is_float(histogram.sum, families.sum);
    is_time(histogram.created, families.began);
    let total = families
        .native
        .as_ref()
        .map_or(families.count, |native| native.zero_count + native.buckets.iter().sum::<u64>());
    assert_eq!(histogram.count, Some(total));
    let mut below = f64::NEG_INFINITY;
    for (bucket, (bound, count, exemplar)) in histogram.buckets.iter().zip(&families.buckets) {
        is_float(bucket.bound, *bound);
        assert_eq!(bucket.count, Some(*count.min(&total)));
        let expected = exemplar.as_ref().filter(|exemplar| lies_within(exemplar, below, *bound));
        assert_eq!(bucket.exemplar.is_some(), expected.is_some());
        if let (Some(read), Some(expected)) = (&bucket.exemplar, expected) {
            assert!(read.labels.len() == 1 && read.labels[0].value.as_ref() == Some(&expected.operation_id));
            is_float(read.value, expected.value_ms as f64 / 1000.0);
            is_time(read.time, expected.at);
        }
        below = *bound;
    }
    let Some(native) = &families.native else { return assert_eq!(histogram.schema, None) };
    assert_eq!((histogram.zero_threshold, histogram.zero_count), (Some(0.001), Some(native.zero_count)));
    let mut index = 0;
    let mut counts = absolute(&histogram.deltas).into_iter();
    let mut read: Vec<(i32, u64)> = Vec::new();
    for span in &histogram.spans {
        index += span.offset.unwrap();
        for _ in 0..span.length.unwrap() {
            read.push((index, counts.next().unwrap()));
            index += 1;
        }
    }
    read.retain(|(_, count)| *count != 0);
    let expected = (native.first..).zip(native.buckets.iter().copied());
    assert_eq!(read, expected.filter(|(_, count)| *count != 0).collect::<Vec<_>>());
}

fn protobuf_labels(metric: &Metric) -> Labels {
    let labels = metric.labels.iter().map(|label| (label.name.clone().unwrap(), label.value.clone().unwrap()));
    labels.collect()
}

fn is_time(time: Option<Timestamp>, expected: UnixMillis) {
    let Timestamp { seconds: Some(seconds), nanoseconds: Some(nanoseconds) } = time.unwrap() else {
        panic!("{time:?}")
    };
    assert!((0..1_000_000_000).contains(&nanoseconds) && nanoseconds % 1_000_000 == 0);
    assert_eq!(seconds * 1000 + i64::from(nanoseconds / 1_000_000), expected.0.max(0));
}

fn label(name: &str, value: &str) -> Labels {
    vec![(name.to_owned(), value.to_owned())]
}

/// Whether two numbers have the same bits, or are both NaN.
fn is_number(text: &str, expected: f64) {
    is_float(text.parse().ok(), expected);
}

fn is_float(read: Option<f64>, expected: f64) {
    let read = read.unwrap();
    assert!(read.to_bits() == expected.to_bits() || read.is_nan() && expected.is_nan(), "{read}: {expected}");
}

/// Seconds with three decimals.
fn milliseconds(text: &str) -> i64 {
    let (seconds, rest) = text.split_once('.').unwrap();
    assert_eq!(rest.len(), 3);
    seconds.parse::<i64>().unwrap() * 1000 + rest.parse::<i64>().unwrap()
}
