//! Every callback in `tests/callbacks`, posted to a running exporter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, Samples, callbacks};

/// The series that a good callback must increase, and by how much, without windows, sizes and delays.
fn expected_rises(name: &str) -> Vec<(&'static str, f64)> {
    match name {
        "doc-sample.good.json" => vec![
            (r#"openim_group_messages_total{content_type="1",platform="ios",source="other"}"#, 1.0),
            (r#"openim_group_messages_by_status_total{status="1"}"#, 1.0),
            (r#"openim_group_messages_by_group_total{group_id="user456"}"#, 1.0),
            (r#"openim_group_mentions_total{kind="user"}"#, 2.0),
            (r#"openim_group_message_content_bytes_sum"#, 19.0),
            (r#"openim_group_message_submit_delay_seconds_count"#, 1.0),
            (r#"openim_group_message_clock_errors_total{kind="stale"}"#, 1.0),
        ],
        "hostile-group-name.good.json" => vec![
            (r#"openim_group_messages_total{content_type="custom",platform="ios",source="user"}"#, 1.0),
            (r#"openim_group_messages_by_status_total{status="1"}"#, 1.0),
            (r#"openim_group_messages_by_group_total{group_id="g\"quoted\\back\nline"}"#, 1.0),
        ],
        "only-required-fields.good.json" => vec![
            // Go decodes missing fields as 0, which is not one of OpenIM's content types.
            (r#"openim_group_messages_total{content_type="0",platform="unknown",source="other"}"#, 1.0),
            (r#"openim_group_messages_by_status_total{status="other"}"#, 1.0),
            (r#"openim_group_messages_by_group_total{group_id="g1"}"#, 1.0),
        ],
        "v3.5-mention-all-no-send-time.good.json" => vec![
            (r#"openim_group_messages_total{content_type="at_text",platform="web",source="user"}"#, 1.0),
            (r#"openim_group_messages_by_status_total{status="1"}"#, 1.0),
            (r#"openim_group_messages_by_group_total{group_id="群聊-1"}"#, 1.0),
            (r#"openim_group_mentions_total{kind="user"}"#, 1.0),
            (r#"openim_group_mentions_total{kind="all"}"#, 1.0),
            (r#"openim_group_message_content_bytes_sum"#, 48.0),
        ],
        "v3.8.3-admin-rest.good.json" => vec![
            (r#"openim_group_messages_total{content_type="oa_notification",platform="admin",source="admin"}"#, 1.0),
            (r#"openim_group_messages_by_status_total{status="2"}"#, 1.0),
            (r#"openim_group_messages_by_group_total{group_id="2478291056"}"#, 1.0),
            (r#"openim_group_message_content_bytes_sum"#, 51.0),
            (r#"openim_group_message_submit_delay_seconds_count"#, 1.0),
            (r#"openim_group_message_clock_errors_total{kind="stale"}"#, 1.0),
        ],
        "v3.8.3-text.good.json" => vec![
            (r#"openim_group_messages_total{content_type="text",platform="android",source="user"}"#, 1.0),
            (r#"openim_group_messages_by_status_total{status="1"}"#, 1.0),
            (r#"openim_group_messages_by_group_total{group_id="2478291056"}"#, 1.0),
            (r#"openim_group_message_content_bytes_sum"#, 29.0),
            (r#"openim_group_message_submit_delay_seconds_count"#, 1.0),
            (r#"openim_group_message_submit_delay_seconds_sum"#, 0.201),
            (r#"openim_group_message_clock_errors_total{kind="stale"}"#, 1.0),
        ],
        other => panic!("add the series that {other} must increase"),
    }
}

/// The increases of the statistics that do not depend on the time of the test or on the buckets of a histogram.
fn told_rises(before: &Samples, after: &Samples) -> BTreeMap<String, f64> {
    let rises = after.statistics().rose_since(&before.statistics());
    let is_compared = |series: &str| {
        !series.contains("_bucket{")
            && !series.starts_with("openim_active_")
            && !series.starts_with("openim_exporter_")
            // Updated by the tick at any time.
            && !series.starts_with("openim_group_active_senders")
            && series != "openim_group_message_content_bytes_count"
    };
    rises.into_iter().filter(|(series, _)| is_compared(series)).collect()
}

#[test]
fn every_good_callback_is_answered_with_success_and_increases_only_its_series() {
    for (name, body) in callbacks(".good.json") {
        let exporter = Exporter::start(&[]);
        let before = exporter.scrape();
        let response = exporter.post(GROUP_MESSAGE_PATH, &body);
        assert_eq!((response.status, response.text().as_str()), (200, SUCCESS), "{name}");
        assert_eq!(response.header("content-type"), Some("application/json"), "{name}");
        let after = exporter.scrape();

        let expected = expected_rises(&name).into_iter().map(|(series, rise)| (series.to_owned(), rise)).collect();
        assert_eq!(told_rises(&before, &after), expected, "{name}");
        assert_eq!(after.value("openim_group_message_content_bytes_count"), 1.0, "{name}");
        for window in ["5m", "1h", "24h", "7d", "30d"] {
            for what in ["senders", "groups"] {
                assert_eq!(after.value(&format!(r#"openim_active_{what}{{window="{window}"}}"#)), 1.0, "{name}");
            }
        }
        let taken = r#"openim_exporter_callbacks_total{command="callbackAfterSendGroupMsgCommand"}"#;
        assert_eq!((after.value(taken), after.sum("openim_exporter_callbacks_total")), (1.0, 1.0), "{name}");
        assert_eq!(after.sum("openim_exporter_callbacks_rejected_total"), 0.0, "{name}");
    }
}

#[test]
fn the_example_of_openim_s_documentation_is_counted_in_these_series() {
    let exporter = Exporter::start(&[]);
    let (_, body) = callbacks("doc-sample.good.json").remove(0);
    exporter.post("/callbackAfterSendGroupMsgCommand?contenttype=json", body);
    let text = exporter.get("/metrics").text();
    for line in [
        r#"openim_group_messages_total{content_type="1",platform="ios",source="other"} 1"#,
        r#"openim_group_messages_by_group_total{group_id="user456"} 1"#,
        r#"openim_group_messages_by_status_total{status="1"} 1"#,
        r#"openim_group_mentions_total{kind="user"} 2"#,
    ] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}");
    }
}

/// The reason for which a bad callback must be refused, and a word that the answer's `errDlt` must contain.
fn expected_refusal(name: &str) -> (&'static str, &'static str) {
    match name {
        "array.bad.json" => ("wrong_type", "object"),
        "content-type-is-a-string.bad.json" => ("wrong_type", "contentType"),
        "empty.bad.json" => ("empty_body", "empty"),
        "invalid-utf8.bad.json" => ("malformed_json", "UTF-8"),
        "no-group.bad.json" => ("missing_group", "groupID"),
        "no-sender.bad.json" => ("missing_sender", "sendID"),
        "send-time-overflows.bad.json" => ("out_of_range", "sendTime"),
        "truncated.bad.json" => ("malformed_json", "line 2 column 0"),
        other => panic!("add the reason for which {other} must be refused"),
    }
}

#[test]
fn every_bad_callback_is_refused_for_its_reason_and_changes_no_statistic() {
    let exporter = Exporter::start(&[]);
    // Something to be wrongly moved.
    for (_, body) in callbacks(".good.json") {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200);
    }
    for (name, body) in callbacks(".bad.json") {
        let (reason, named) = expected_refusal(&name);
        for path in [GROUP_MESSAGE_PATH, "/callback?command=callbackAfterSendGroupMsgCommand"] {
            let before = exporter.scrape();
            let response = exporter.post(path, &body);
            let after = exporter.scrape();
            let (_, detail) = response.refusal(400);
            assert!(detail.contains(named), "{name}: {detail}");

            assert_eq!(after.statistics(), before.statistics(), "{name}");
            let series = format!(r#"openim_exporter_callbacks_rejected_total{{reason="{reason}"}}"#);
            assert_eq!(after.value(&series) - before.value(&series), 1.0, "{name}");
            let refused = "openim_exporter_callbacks_rejected_total";
            assert_eq!(after.sum(refused) - before.sum(refused), 1.0, "{name}");
            let taken = "openim_exporter_callbacks_total";
            assert_eq!(after.sum(taken), before.sum(taken), "{name}");
        }
    }
}

#[test]
fn the_err_msg_of_a_refusal_does_not_depend_on_the_request() {
    let exporter = Exporter::start(&[]);
    let refused = |body: &str| exporter.post(GROUP_MESSAGE_PATH, body).refusal(400);
    let (first, first_detail) = refused(r#"{"sendID":"u","groupID":"g","status":"one"}"#);
    let (second, second_detail) = refused(r#"{"sendID":["u"],"groupID":"g"}"#);
    assert_eq!(first, second);
    assert_ne!(first_detail, second_detail);
}
