//! Names and numbers are written and read back unchanged, in each format.

use arbitrary::{Result, Unstructured};
use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::fuzz::{Families, Histogram, NativeReading, write_to_vec};
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
            let [counters, gauges, delay, delays] = &parsed[..] else { panic!("{parsed:?}") };
            are_the_counters(counters, &families, escaping);
            are_the_gauges(gauges, &families);
            are_the_histograms(delay, [(None, &families.delay)].into_iter(), format);
            are_the_histograms(delays, labelled(&families.delays), format);
        }
        is_the_same_in_protobuf(&families, escaping);
    }
}

fn families(bytes: &mut Unstructured<'_>) -> Result<Families> {
    let (began, sum) = (UnixMillis(bytes.arbitrary()?), bytes.arbitrary()?);
    let (mut groups, mut gauges, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_ROWS {
        groups.push((bytes.arbitrary()?, bytes.arbitrary()?, UnixMillis(bytes.arbitrary()?)));
    }
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_ROWS {
        gauges.push((bytes.arbitrary()?, bytes.arbitrary()?));
    }
    let delay = histogram(bytes, sum)?;
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_ROWS {
        let (platform, sum) = (bytes.arbitrary()?, bytes.arbitrary()?);
        delays.push((platform, histogram(bytes, sum)?));
    }
    Ok(Families { began, groups, gauges, delay, delays })
}

/// A histogram with this sum.
fn histogram(bytes: &mut Unstructured<'_>, sum: f64) -> Result<Histogram> {
    let (mut buckets, mut count, mut bound) = (Vec::new(), 0, f64::NEG_INFINITY);
    for _ in 0..bytes.arbitrary::<u8>()? as usize % MOST_ROWS {
        let next: f64 = bytes.arbitrary()?;
        count += u64::from(bytes.arbitrary::<u32>()?);
        let exemplar = if bytes.arbitrary()? { Some(exemplar(bytes)?) } else { None };
        // The bounds of a histogram are increasing numbers.
        if next > bound && next.is_finite() {
            bound = next;
            buckets.push((bound, count, exemplar));
        }
    }
    count = count.saturating_add(bytes.arbitrary()?);
    let native = if bytes.arbitrary()? { Some(native(bytes)?) } else { None };
    Ok(Histogram { buckets, sum, count, native })
}

/// Each histogram with its expected label.
fn labelled(rows: &[(String, Histogram)]) -> impl ExactSizeIterator<Item = (Option<&str>, &Histogram)> {
    rows.iter().map(|(label, histogram)| (Some(label.as_str()), histogram))
}

/// The labels of a row.
fn row(platform: Option<&str>) -> Labels {
    platform.into_iter().flat_map(|platform| label("platform", platform)).collect()
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

fn are_the_histograms<'a>(
    family: &Family,
    rows: impl Iterator<Item = (Option<&'a str>, &'a Histogram)>,
    format: Format,
) {
    assert_eq!(family.kind, "histogram");
    let mut samples = family.samples.as_slice();
    for (label, histogram) in rows {
        let own;
        // The buckets with a finite bound, the `+Inf` bucket, the sum and the count.
        (own, samples) = samples.split_at(histogram.buckets.len() + 3);
        is_the_histogram(own, &row(label), histogram, format);
    }
    assert_eq!(samples, []);
}

fn is_the_histogram(samples: &[Sample], row: &Labels, histogram: &Histogram, format: Format) {
    let with_bound = |bound: &str| [row.clone(), label("le", bound)].concat();
    let (buckets, rest) = samples.split_at(histogram.buckets.len() + 1);
    let mut below = f64::NEG_INFINITY;
    for (sample, (bound, count, exemplar)) in buckets.iter().zip(&histogram.buckets) {
        let (_, read) = sample.labels.last().unwrap();
        assert_eq!((&sample.labels, &sample.value), (&with_bound(read), &count.to_string()));
        is_number(read, *bound);
        let expected = exemplar.as_ref().filter(|exemplar| lies_within(exemplar, below, *bound));
        is_the_exemplar(sample, expected.filter(|_| format == Format::OpenMetrics));
        below = *bound;
    }
    let last = buckets.last().unwrap();
    assert_eq!((&last.labels, &last.value), (&with_bound("+Inf"), &histogram.count.to_string()));
    let [sum, count] = rest else { panic!("{rest:?}") };
    is_number(&sum.value, histogram.sum);
    assert_eq!(count.value, histogram.count.to_string());
    for (sample, suffix) in buckets.iter().map(|bucket| (bucket, "_bucket")).chain([(sum, "_sum"), (count, "_count")]) {
        assert!(sample.name.ends_with(suffix), "{sample:?}");
    }
    assert_eq!([&sum.labels, &count.labels], [row; 2]);
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
    are_the_histograms_in_protobuf(&parsed.next().unwrap(), [(None, &families.delay)].into_iter(), families.began);
    if !families.delays.is_empty() {
        are_the_histograms_in_protobuf(&parsed.next().unwrap(), labelled(&families.delays), families.began);
    }
    assert_eq!(parsed.next(), None);
}

fn are_the_histograms_in_protobuf<'a>(
    family: &MetricFamily,
    rows: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Histogram)>,
    began: UnixMillis,
) {
    assert_eq!((family.unit.as_deref(), family.metrics.len()), (Some("seconds"), rows.len()));
    for (metric, (label, histogram)) in family.metrics.iter().zip(rows) {
        assert_eq!(protobuf_labels(metric), row(label));
        let read = metric.histogram.as_ref().unwrap();
        is_time(read.created, began);
        is_the_histogram_in_protobuf(read, histogram);
    }
}

fn is_the_histogram_in_protobuf(read: &protobuf::Histogram, expected: &Histogram) {
    assert_eq!(read.buckets.len(), expected.buckets.len());
    is_float(read.sum, expected.sum);
    let total = expected
        .native
        .as_ref()
        .map_or(expected.count, |native| native.zero_count + native.buckets.iter().sum::<u64>());
    assert_eq!(read.count, Some(total));
    let mut below = f64::NEG_INFINITY;
    for (bucket, (bound, count, exemplar)) in read.buckets.iter().zip(&expected.buckets) {
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
    let Some(native) = &expected.native else { return assert_eq!(read.schema, None) };
    assert_eq!((read.zero_threshold, read.zero_count), (Some(0.001), Some(native.zero_count)));
    let mut index = 0;
    let mut counts = absolute(&read.deltas).into_iter();
    let mut found: Vec<(i32, u64)> = Vec::new();
    for span in &read.spans {
        index += span.offset.unwrap();
        for _ in 0..span.length.unwrap() {
            found.push((index, counts.next().unwrap()));
            index += 1;
        }
    }
    found.retain(|(_, count)| *count != 0);
    let buckets = (native.first..).zip(native.buckets.iter().copied());
    assert_eq!(found, buckets.filter(|(_, count)| *count != 0).collect::<Vec<_>>());
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
