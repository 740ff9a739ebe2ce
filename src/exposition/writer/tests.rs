use super::*;
use crate::exposition::catalog;
use crate::stats::HistogramReading;

const BEGAN: UnixMillis = UnixMillis(1_732_345_678_007);

fn write_to_vec(format: Format, escaping: Escaping, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Writer::new(format, escaping, Some(BEGAN), &mut out));
    out
}

fn write_to_string(format: Format, write: impl FnOnce(&mut Writer<'_>)) -> String {
    String::from_utf8(write_to_vec(format, Escaping::default(), write)).unwrap()
}

fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn only_labels_are_escaped() {
    let text = write_to_string(Format::Text, |writer| {
        let name = "g\"quoted\\back\nline\r\t}{=,\u{2028}\u{202e}\u{1f44b}\\";
        writer.family(&catalog::BY_GROUP).sample([name], 3_u64);
    });
    let sample = "openim_group_messages_by_group_total{group_id=\"g\\\"quoted\\\\back\\nline\r\t}{=,\u{2028}\u{202e}\u{1f44b}\\\\\"} 3\n";
    assert!(text.ends_with(sample), "{text}");
    assert!(text.starts_with("# HELP openim_group_messages_by_group_total "), "{text}");
    assert!(text.contains("\n# TYPE openim_group_messages_by_group_total counter\n"), "{text}");
}

#[test]
fn openmetrics_counter_families_lack_total() {
    let text = write_to_string(Format::OpenMetrics, |writer| {
        writer.family(&catalog::BY_GROUP).sample(["a"], u64::MAX).sample_since(["b"], 0_u64, UnixMillis(1_000_090));
        writer.family(&catalog::GROUPS_TRACKED).sample([], 2_usize);
        writer.end();
    });
    assert_eq!(
        text,
        "# HELP openim_group_messages_by_group Group messages in each exported group.\n\
         # TYPE openim_group_messages_by_group counter\n\
         openim_group_messages_by_group_total{group_id=\"a\"} 18446744073709551615\n\
         openim_group_messages_by_group_total{group_id=\"b\"} 0\n\
         # HELP openim_exporter_groups_tracked Tracked groups, which have counters of their own.\n\
         # TYPE openim_exporter_groups_tracked gauge\n\
         openim_exporter_groups_tracked 2\n\
         # EOF\n"
    );
}

#[test]
fn histograms_are_cumulative_and_in_the_unit_of_the_family() {
    let reading = HistogramReading { buckets: vec![(5, 1), (3_600_000, 2)], sum: 1005, count: 3 };
    let observed = Observed::from_reading(&reading, MILLISECONDS);
    let text =
        write_to_string(Format::Text, |writer| writer.family(&catalog::SUBMIT_DELAY).histogram(None, &observed, &[]));
    assert_eq!(
        samples(&text),
        [
            "openim_group_message_submit_delay_seconds_bucket{le=\"0.005\"} 1",
            "openim_group_message_submit_delay_seconds_bucket{le=\"3600\"} 2",
            "openim_group_message_submit_delay_seconds_bucket{le=\"+Inf\"} 3",
            "openim_group_message_submit_delay_seconds_sum 1.005",
            "openim_group_message_submit_delay_seconds_count 3",
        ]
    );
}

/// An exemplar at some milliseconds after a second.
fn exemplar(value_ms: u64, at: i64) -> Option<Exemplar> {
    Some(Exemplar { operation_id: format!("op\"{value_ms}"), value_ms, at: UnixMillis(1_732_345_679_000 + at) })
}

#[test]
fn openmetrics_histograms_have_units_float_bounds_and_exemplars_within_their_buckets() {
    let reading = HistogramReading { buckets: vec![(5, 1), (1000, 2), (2000, 3), (3000, 3)], sum: 9000, count: 4 };
    let observed = Observed::from_reading(&reading, MILLISECONDS);
    // The third is on the lower bound of its bucket, the fourth above the upper bound.
    let exemplars = [exemplar(0, 7), exemplar(1000, 90), exemplar(1000, 0), exemplar(3001, 0), exemplar(3001, 999)];
    let write = |writer: &mut Writer<'_>| writer.family(&catalog::SUBMIT_DELAY).histogram(None, &observed, &exemplars);
    let text = write_to_string(Format::OpenMetrics, write);
    assert!(text.contains("# UNIT openim_group_message_submit_delay_seconds seconds\n"), "{text}");
    assert_eq!(
        samples(&text),
        [
            r#"openim_group_message_submit_delay_seconds_bucket{le="0.005"} 1 # {operation_id="op\"0"} 0 1732345679.007"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="1.0"} 2 # {operation_id="op\"1000"} 1 1732345679.090"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="2.0"} 3"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="3.0"} 3"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="+Inf"} 4 # {operation_id="op\"3001"} 3.001 1732345679.999"#,
            "openim_group_message_submit_delay_seconds_sum 9",
            "openim_group_message_submit_delay_seconds_count 4",
        ]
    );
    assert!(!write_to_string(Format::Text, write).contains(EXEMPLAR_LABEL), "the text format has no exemplars");
}

#[test]
fn the_dots_scheme_doubles_the_underscores_of_names() {
    let write = |writer: &mut Writer<'_>| {
        writer.family(&catalog::BY_GROUP).sample(["a_b"], 3_u64);
        let observed = Observed { buckets: Vec::new(), sum: 0.0, count: 0, native: None };
        writer.family(&catalog::SUBMIT_DELAY).histogram(None, &observed, &[]);
    };
    let text = |format| String::from_utf8(write_to_vec(format, Escaping::Dots, write)).unwrap();
    let samples = [
        "openim__group__messages__by__group__total{group__id=\"a_b\"} 3",
        "openim__group__message__submit__delay__seconds_bucket{le=\"+Inf\"} 0",
        "openim__group__message__submit__delay__seconds_sum 0",
        "openim__group__message__submit__delay__seconds_count 0",
    ];
    for format in [Format::TextV1, Format::OpenMetrics] {
        assert_eq!(self::samples(&text(format)), samples, "{format:?}");
    }
    assert!(text(Format::TextV1).contains("# TYPE openim__group__messages__by__group__total counter\n"));
    // The samples of a counter have the name of the family and `_total`.
    assert!(text(Format::OpenMetrics).contains("# TYPE openim__group__messages__by__group_ counter\n"));
}

#[test]
fn protobuf_has_lengths_before_families_and_no_family_without_a_metric() {
    let bytes = write_to_vec(Format::Protobuf, Escaping::default(), |writer| {
        writer.family(&catalog::FOLDED);
        writer.family(&catalog::BY_GROUP).sample_since(["a"], 3_u64, UnixMillis(1_732_345_678_007));
        writer.family(&catalog::GROUPS_TRACKED).sample([], 2_usize);
    });
    let text = |field: u8, text: &str| [&[field << 3 | 2, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let (counter, gauge) = (catalog::BY_GROUP, catalog::GROUPS_TRACKED);
    let label = [text(1, "group_id"), text(2, "a")].concat();
    // 3.0 as a little-endian double; then 1,732,345,678 s and 7,000,000 ns, seven bits in each byte.
    let number = b"\x1a\x16\x09\0\0\0\0\0\0\x08\x40\x1a\x0b\x08\xce\xfe\x85\xba\x06\x10\xc0\x9f\xab\x03";
    let metric = [&[0x22, 39, 0x0a, 13], &*label, number].concat();
    let counter = [text(1, counter.name), text(2, counter.help), vec![0x18, 0], metric].concat();
    let number = b"\x18\x01\x22\x0b\x12\x09\x09\0\0\0\0\0\0\0\x40";
    let gauge = [text(1, gauge.name), text(2, gauge.help), number.to_vec()].concat();
    assert_eq!(bytes, [&[121], &*counter, &[98], &*gauge].concat());
}
