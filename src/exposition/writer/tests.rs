use super::*;
use crate::exposition::catalog;

const BEGAN: UnixMillis = UnixMillis(1_732_345_678_007);

fn write_to_string(format: Format, write: impl FnOnce(&mut Writer<'_>)) -> String {
    let mut out = Vec::new();
    write(&mut Writer::new(format, Some(BEGAN), &mut out));
    String::from_utf8(out).unwrap()
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
fn openmetrics_counter_families_lack_total_and_have_created_samples() {
    let text = write_to_string(Format::OpenMetrics, |writer| {
        writer.family(&catalog::BY_GROUP).sample(["a"], 3_u64).sample_since(["b"], 4_u64, UnixMillis(1_000_090));
        writer.family(&catalog::GROUPS_TRACKED).sample([], 2_usize);
        writer.end();
    });
    assert_eq!(
        text,
        "# HELP openim_group_messages_by_group Group messages in each exported group.\n\
         # TYPE openim_group_messages_by_group counter\n\
         openim_group_messages_by_group_total{group_id=\"a\"} 3\n\
         openim_group_messages_by_group_created{group_id=\"a\"} 1732345678.007\n\
         openim_group_messages_by_group_total{group_id=\"b\"} 4\n\
         openim_group_messages_by_group_created{group_id=\"b\"} 1000.090\n\
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

fn exemplar(value_ms: u64) -> Option<Exemplar> {
    Some(Exemplar { operation_id: format!("op\"{value_ms}"), value_ms, at: UnixMillis(1_732_345_679_000) })
}

#[test]
fn openmetrics_histograms_have_units_float_bounds_and_exemplars_within_their_buckets() {
    let reading = HistogramReading { buckets: vec![(5, 1), (1000, 2), (2000, 3), (3000, 3)], sum: 9000, count: 4 };
    let observed = Observed::from_reading(&reading, MILLISECONDS);
    // The third is on the lower bound of its bucket, the fourth above the upper bound.
    let exemplars = [exemplar(0), exemplar(1000), exemplar(1000), exemplar(3001), exemplar(3001)];
    let write = |writer: &mut Writer<'_>| writer.family(&catalog::SUBMIT_DELAY).histogram(None, &observed, &exemplars);
    let text = write_to_string(Format::OpenMetrics, write);
    assert!(text.contains("# UNIT openim_group_message_submit_delay_seconds seconds\n"), "{text}");
    assert_eq!(
        samples(&text),
        [
            r#"openim_group_message_submit_delay_seconds_bucket{le="0.005"} 1 # {operation_id="op\"0"} 0 1732345679.000"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="1.0"} 2 # {operation_id="op\"1000"} 1 1732345679.000"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="2.0"} 3"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="3.0"} 3"#,
            r#"openim_group_message_submit_delay_seconds_bucket{le="+Inf"} 4 # {operation_id="op\"3001"} 3.001 1732345679.000"#,
            "openim_group_message_submit_delay_seconds_sum 9",
            "openim_group_message_submit_delay_seconds_count 4",
            "openim_group_message_submit_delay_seconds_created 1732345678.007",
        ]
    );
    assert!(!write_to_string(Format::Text, write).contains(EXEMPLAR_LABEL), "the text format has no exemplars");
}
