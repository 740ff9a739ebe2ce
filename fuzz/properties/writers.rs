//! Names and numbers are written and read back unchanged.

use arbitrary::{Result, Unstructured};
use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::Format;
use openim_exporter::exposition::fuzz::{Families, write_to_vec};
use openim_exporter::stats::Exemplar;

use super::exposition::{Family, Labels, Sample, parse};

/// Maximum length of an exemplar's operation ID, in bytes.
const LONGEST_ID: usize = 64;

/// Maximum number of samples in each family.
const MOST_ROWS: usize = 8;

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(families) = families(&mut Unstructured::new(bytes)) else { return };
    for format in [Format::Text, Format::OpenMetrics] {
        let text = String::from_utf8(write_to_vec(&families, format)).unwrap();
        let parsed = parse(&text, format).unwrap_or_else(|line| panic!("{line:?} in {text:?}"));
        let [counters, gauges, histogram] = &parsed[..] else { panic!("{parsed:?}") };
        are_the_counters(counters, &families, format);
        are_the_gauges(gauges, &families);
        is_the_histogram(histogram, &families, format);
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
    Ok(families)
}

fn exemplar(bytes: &mut Unstructured<'_>) -> Result<Exemplar> {
    let id: &str = bytes.arbitrary()?;
    let operation_id = id[..id.floor_char_boundary(LONGEST_ID)].to_owned();
    Ok(Exemplar { operation_id, value_ms: bytes.arbitrary::<u32>()?.into(), at: UnixMillis(bytes.arbitrary()?) })
}

fn are_the_counters(family: &Family, families: &Families, format: Format) {
    assert_eq!(family.kind, "counter");
    let mut samples = family.samples.iter();
    for (name, count, since) in &families.groups {
        let sample = samples.next().unwrap();
        assert_eq!((&sample.labels, &sample.value), (&label("group_id", name), &count.to_string()));
        if format == Format::OpenMetrics {
            let created = samples.next().unwrap();
            assert!(created.name.ends_with("_created"));
            assert_eq!(created.labels, sample.labels);
            assert_eq!(milliseconds(&created.value), since.0.max(0));
        }
    }
    assert_eq!(samples.next(), None);
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
        let lies_inside = |exemplar: &&Exemplar| {
            let seconds = exemplar.value_ms as f64 / 1000.0;
            format == Format::OpenMetrics && below < seconds && seconds <= *bound
        };
        is_the_exemplar(sample, exemplar.as_ref().filter(lies_inside));
        below = *bound;
    }
    let last = buckets.last().unwrap();
    assert_eq!((&last.labels, &last.value), (&label("le", "+Inf"), &families.count.to_string()));
    is_number(&rest[0].value, families.sum);
    assert_eq!(rest[1].value, families.count.to_string());
    match (format, &rest[2..]) {
        (Format::Text, []) => {}
        (Format::OpenMetrics, [created]) => assert_eq!(milliseconds(&created.value), families.began.0.max(0)),
        (_, more) => panic!("{more:?}"),
    }
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

fn label(name: &str, value: &str) -> Labels {
    vec![(name.to_owned(), value.to_owned())]
}

/// Whether two numbers have the same bits, or are both NaN.
fn is_number(text: &str, expected: f64) {
    let read: f64 = text.parse().unwrap();
    assert!(read.to_bits() == expected.to_bits() || read.is_nan() && expected.is_nan(), "{text}: {expected}");
}

/// Seconds with three decimals.
fn milliseconds(text: &str) -> i64 {
    let (seconds, rest) = text.split_once('.').unwrap();
    assert_eq!(rest.len(), 3);
    seconds.parse::<i64>().unwrap() * 1000 + rest.parse::<i64>().unwrap()
}
