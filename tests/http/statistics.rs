//! The statistics of messages, as scraped by Prometheus.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use openim_exporter::domain::{COMMANDS, Reason};

use crate::support::{Exporter, GROUP_MESSAGE_PATH, callbacks, message};

/// The series of a family that has one label.
fn series(family: &str, label: &str, value: &str) -> String {
    format!(r#"{family}{{{label}="{value}"}}"#)
}

#[test]
fn known_label_values_start_at_0() {
    let samples = Exporter::start(&[]).scrape();
    let commands: Vec<_> = COMMANDS.iter().map(|known| known.name).chain(["other"]).collect();
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    let windows = ["5m", "1h", "24h", "7d", "30d"];
    for (family, label, values) in [
        ("openim_group_messages_by_status_total", "status", &["1", "2", "3", "4", "other"][..]),
        ("openim_group_messages_folded_total", "reason", &["capacity", "retired", "dismissed", "erased"]),
        ("openim_group_mentions_total", "kind", &["user", "all"]),
        ("openim_group_message_clock_errors_total", "kind", &["future", "stale", "negative_submit"]),
        ("openim_active_senders", "window", &windows),
        ("openim_active_groups", "window", &windows),
        ("openim_exporter_callbacks_total", "command", &commands),
        ("openim_exporter_callbacks_rejected_total", "reason", &reasons),
    ] {
        for value in values {
            assert_eq!(samples.value(&series(family, label, value)), 0.0, "{family} {value}");
        }
        assert_eq!(samples.of(family).count(), values.len(), "{family}");
    }
}

#[test]
fn a_malicious_group_name_is_escaped_on_one_line() {
    let exporter = Exporter::start(&[]);
    let (_, body) = callbacks("hostile-group-name.good.json").remove(0);
    exporter.post(GROUP_MESSAGE_PATH, body);
    // U+2028, carriage returns and braces need no escaping in this format.
    exporter.post(GROUP_MESSAGE_PATH, "{\"sendID\":\"u\",\"groupID\":\"\\u2028\\r\\u0000 } 5\\u0085{a=\\\"b\\\",}\"}");
    let text = exporter.get("/metrics").text();
    let groups: Vec<_> =
        text.split('\n').filter(|line| line.starts_with("openim_group_messages_by_group_total")).collect();
    assert_eq!(
        groups,
        [
            r#"openim_group_messages_by_group_total{group_id="g\"quoted\\back\nline"} 1"#,
            "openim_group_messages_by_group_total{group_id=\"\u{2028}\r\0 } 5\u{85}{a=\\\"b\\\",}\"} 1",
        ]
    );
}

#[test]
fn the_first_32_unlisted_content_types_have_own_series_and_others_share_one() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    let codes: Vec<i32> = [-1, i32::MIN, i32::MAX, 0].into_iter().chain(5000..5036).collect();
    for code in codes.iter().chain(&codes) {
        let body = format!(r#"{{"sendID":"u","groupID":"g","contentType":{code}}}"#);
        assert_eq!(client.post(GROUP_MESSAGE_PATH, body).status, 200);
    }
    let samples = exporter.scrape();
    let count = |name: &str| {
        samples
            .get(&format!(r#"openim_group_messages_total{{content_type="{name}",platform="unknown",source="other"}}"#))
    };
    for (position, code) in codes.iter().enumerate() {
        assert_eq!(count(&code.to_string()), (position < 32).then_some(2.0), "{code}");
    }
    assert_eq!(count("other"), Some(2.0 * (codes.len() - 32) as f64));
    assert_eq!(samples.sum("openim_group_messages_total"), 2.0 * codes.len() as f64);
}

#[test]
fn groups_beyond_the_limits_are_folded_without_losing_messages() {
    for (exported, shown) in [("2", vec![("a", 2.0), ("b", 1.0)]), ("1", vec![("a", 2.0)]), ("0", vec![])] {
        let exporter = Exporter::start(&["--groups.max-tracked", "2", "--groups.max-exported", exported]);
        for group in ["a", "b", "a", "c", "c", "d"] {
            assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message(group, "u")).status, 200);
        }
        let samples = exporter.scrape();
        let by_group = "openim_group_messages_by_group_total";
        let expected: Vec<_> =
            shown.iter().map(|(group, count)| (series(by_group, "group_id", group), *count)).collect();
        assert_eq!(samples.of(by_group).map(|(name, count)| (name.to_owned(), count)).collect::<Vec<_>>(), expected);
        assert_eq!(samples.value(r#"openim_group_messages_folded_total{reason="capacity"}"#), 3.0);
        assert_eq!(samples.value(r#"openim_group_messages_folded_total{reason="retired"}"#), 0.0);
        assert_eq!(samples.sum("openim_group_messages_total"), 6.0);
        assert_eq!(samples.value("openim_exporter_groups_tracked"), 2.0);
        assert_eq!(samples.value("openim_exporter_groups_capacity"), 2.0);
        assert_eq!(samples.value("openim_exporter_groups_exported"), expected.len() as f64);
        assert_eq!(samples.value("openim_exporter_groups_exported_capacity").to_string(), exported);
        // Untracked groups also count as active.
        assert_eq!(samples.value(r#"openim_active_groups{window="5m"}"#), 4.0);
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn post_times(exporter: &Exporter, sent: i64, created: i64) {
    let body = format!(r#"{{"sendID":"u","groupID":"g","sendTime":{sent},"createTime":{created}}}"#);
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200);
}

#[test]
fn delays_are_observed_in_seconds() {
    let exporter = Exporter::start(&[]);
    let begin = now_ms();
    post_times(&exporter, begin - 1500, begin - 1700);
    let took = (now_ms() - begin) as f64 / 1000.0;
    let samples = exporter.scrape();
    let delivery = samples.value("openim_group_message_delivery_delay_seconds_sum");
    assert!((1.5..=1.5 + took).contains(&delivery), "{delivery}");
    assert_eq!(samples.value(r#"openim_group_message_delivery_delay_seconds_bucket{le="1"}"#), 0.0);
    assert_eq!(samples.value(r#"openim_group_message_delivery_delay_seconds_bucket{le="60"}"#), 1.0);
    assert_eq!(samples.value("openim_group_message_submit_delay_seconds_sum"), 0.2);
    assert_eq!(samples.value(r#"openim_group_message_submit_delay_seconds_bucket{le="0.1"}"#), 0.0);
    assert_eq!(samples.value(r#"openim_group_message_submit_delay_seconds_bucket{le="0.25"}"#), 1.0);
    assert_eq!(samples.sum("openim_group_message_clock_errors_total"), 0.0);
    let by_platform: Vec<_> = samples.0.iter().filter(|(series, _)| series.contains("_delay_by_platform_")).collect();
    let name = "openim_group_message_delivery_delay_by_platform_seconds";
    let expected = [
        (format!(r#"{name}_bucket{{platform="unknown",le="+Inf"}}"#), 1.0),
        (format!(r#"{name}_count{{platform="unknown"}}"#), 1.0),
        (format!(r#"{name}_sum{{platform="unknown"}}"#), delivery),
    ];
    assert_eq!(by_platform, expected.each_ref().map(|(series, value)| (series, value)));
}

#[test]
fn a_wrong_clock_is_counted_and_not_observed() {
    const HOUR: i64 = 3_600_000;
    let now = now_ms();
    for (sent, created, delivered, submitted, errors) in [
        (now + HOUR, now + HOUR - 5, 0.0, 1.0, &["future"][..]),
        (now - 2 * HOUR, now - 2 * HOUR - 5, 0.0, 1.0, &["stale"]),
        (now - 5000, now, 1.0, 0.0, &["negative_submit"]),
        (now - 5000, now - 5000 - HOUR, 1.0, 1.0, &[]),
        (now - 5000, now - 5001 - HOUR, 1.0, 0.0, &["stale"]),
        (now - 5000, now - 5000, 1.0, 1.0, &[]),
        (i64::MIN, i64::MAX, 0.0, 0.0, &["stale", "negative_submit"]),
        (i64::MAX, i64::MIN, 0.0, 0.0, &["future", "stale"]),
        // Go sends 0 for an unset time.
        (0, now, 0.0, 0.0, &[]),
        (now - 5000, 0, 1.0, 0.0, &[]),
    ] {
        let exporter = Exporter::start(&[]);
        post_times(&exporter, sent, created);
        let samples = exporter.scrape();
        let what = format!("sent {} created {}", sent.wrapping_sub(now), created.wrapping_sub(now));
        assert_eq!(samples.value("openim_group_message_delivery_delay_seconds_count"), delivered, "{what}");
        assert_eq!(samples.value("openim_group_message_submit_delay_seconds_count"), submitted, "{what}");
        for kind in ["future", "stale", "negative_submit"] {
            let expected = f64::from(u8::from(errors.contains(&kind)));
            assert_eq!(
                samples.value(&series("openim_group_message_clock_errors_total", "kind", kind)),
                expected,
                "{what}: {kind}"
            );
        }
        assert_eq!(samples.sum("openim_group_messages_total"), 1.0, "{what}");
    }
}

#[test]
fn content_is_measured_in_utf_8_after_decoding_escapes() {
    let exporter = Exporter::start(&[]);
    let mut sum = 0;
    let contents = [
        (r"plain", 5),
        (r#"{\"content\":\"\u003c3 \\ \/ \n\"}"#, 22),
        (r"群", 3),
        (r"\u7fa4", 3),
        (r"\ud83d\udc4b", 4),
        ("\u{1f44b}", 4),
        ("", 0),
    ];
    for (count, (content, bytes)) in contents.into_iter().enumerate() {
        let body = format!(r#"{{"sendID":"u","groupID":"g","content":"{content}"}}"#);
        let decoded: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(decoded["content"].as_str().unwrap().len(), bytes, "the test's own count of {content}");
        exporter.post(GROUP_MESSAGE_PATH, body);
        sum += bytes;
        let samples = exporter.scrape();
        assert_eq!(samples.value("openim_group_message_content_bytes_sum"), sum as f64, "{content}");
        assert_eq!(samples.value("openim_group_message_content_bytes_count"), count as f64 + 1.0);
    }
    let samples = exporter.scrape();
    assert_eq!(samples.value(r#"openim_group_message_content_bytes_bucket{le="16"}"#), 6.0);
    assert_eq!(samples.value(r#"openim_group_message_content_bytes_bucket{le="64"}"#), 7.0);
}

#[test]
fn a_too_long_group_name_is_shortened_with_a_hash() {
    let exporter = Exporter::start(&[]);
    let start = "x".repeat(100);
    for end in ["1", "2", "1"] {
        exporter.post(GROUP_MESSAGE_PATH, message(&format!("{start}{end}"), "u"));
    }
    let samples = exporter.scrape();
    let mut counts: Vec<_> = samples
        .of("openim_group_messages_by_group_total")
        .map(|(name, count)| {
            let (kept, hash) = name.split_once('"').unwrap().1.split_once('~').unwrap();
            assert_eq!((kept, hash.len()), ("x".repeat(31).as_str(), 32 + "\"}".len()), "{name}");
            count
        })
        .collect();
    counts.sort_by(f64::total_cmp);
    assert_eq!(counts, [1.0, 2.0]);
}

#[test]
fn four_connections_at_once_lose_no_message() {
    const EACH: u32 = 2000;
    let exporter = Exporter::start(&[]);
    let post_all = |sender: u32| {
        let mut client = exporter.connect();
        for number in 0..EACH {
            let body = format!(r#"{{"sendID":"u{sender}","groupID":"g{}","status":2,"contentType":101}}"#, number % 10);
            assert_eq!(client.post(GROUP_MESSAGE_PATH, body).status, 200);
        }
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..4).map(|sender| scope.spawn(move || post_all(sender))).collect();
        // Concurrent scrapes only increase, and are consistent.
        let mut last = 0.0;
        while senders.iter().any(|sender| !sender.is_finished()) {
            let messages = exporter.scrape().sum("openim_group_messages_total");
            assert!((last..=f64::from(4 * EACH)).contains(&messages), "{last} {messages}");
            last = messages;
        }
    });
    let samples = exporter.scrape();
    let all = f64::from(4 * EACH);
    assert_eq!(
        samples.value(r#"openim_group_messages_total{content_type="text",platform="unknown",source="other"}"#),
        all
    );
    assert_eq!(samples.value(r#"openim_group_messages_by_status_total{status="2"}"#), all);
    assert_eq!(samples.value("openim_group_message_content_bytes_count"), all);
    for group in 0..10 {
        assert_eq!(
            samples.value(&series("openim_group_messages_by_group_total", "group_id", &format!("g{group}"))),
            all / 10.0
        );
    }
    assert_eq!(samples.value(r#"openim_active_senders{window="5m"}"#), 4.0);
    assert_eq!(samples.value(r#"openim_active_groups{window="5m"}"#), 10.0);
    assert_eq!(samples.sum("openim_exporter_callbacks_total"), all);
}
