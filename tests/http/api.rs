//! The API: it agrees with the metrics, and returns the requested page of groups.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Exporter, GROUP_MESSAGE_PATH, Samples, callbacks, eventually, message};

fn get_json(exporter: &Exporter, path: &str) -> Value {
    let answer = exporter.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    answer.json()
}

/// The groups in an answer.
fn rows(answer: &Value) -> &[Value] {
    answer["groups"].as_array().unwrap()
}

fn ids(answer: &Value) -> Vec<String> {
    rows(answer).iter().map(|group| group["group_id"].as_str().unwrap().to_owned()).collect()
}

/// Posts a message to a group with any name.
fn post(exporter: &Exporter, group: &str, sender: &str) {
    let body = json!({"sendID": sender, "groupID": group}).to_string();
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200, "{group}");
}

/// Encodes every byte as `%` and two digits.
fn percent_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn now_seconds() -> f64 {
    now_ms() as f64 / 1000.0
}

/// Checks that a JSON object has the same values as a family by its label, with or without the zeros.
fn assert_counts(found: &Value, samples: &Samples, family: &str, label: &str) {
    let found = found.as_object().unwrap_or_else(|| panic!("no counts of {family}: {found}"));
    let mut listed = 0.0;
    for (name, count) in found {
        let is_it = format!(r#"{label}="{name}""#);
        let values: Vec<_> = samples.of(family).filter(|(series, _)| series.contains(&is_it)).collect();
        assert!(!values.is_empty(), "{family} has no {is_it}");
        let expected: f64 = values.iter().map(|(_, value)| value).sum();
        assert_eq!(count.as_f64(), Some(expected), "{family} {name}");
        listed += expected;
    }
    assert_eq!(listed, samples.sum(family), "{family}: something is missing in {found:?}");
}

/// An exporter that has counted every valid callback and refused every invalid one.
fn busy() -> Exporter {
    let exporter = Exporter::start(&["--groups.max-tracked", "5", "--groups.max-exported", "3"]);
    for (name, body) in callbacks(".good.json") {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200, "{name}");
    }
    for (name, body) in callbacks(".bad.json") {
        assert_ne!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200, "{name}");
    }
    for group in ["a", "b", "b", "c", "d", "e"] {
        post(&exporter, group, "u");
    }
    let sent = now_ms() - 1500;
    let body = json!({"sendID": "u", "groupID": "b", "sendTime": sent, "createTime": sent - 300});
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body.to_string()).status, 200);
    let online = r#"{"userID":"v","platformID":1}"#;
    let single = r#"{"sendID":"u","contentType":101,"recvID":"v"}"#;
    for (path, body) in [("/callbackUserOnlineCommand", online), ("/callbackAfterSendSingleMsgCommand", single)] {
        assert_eq!(exporter.post(path, body).status, 200);
    }
    exporter
}

#[test]
fn the_summary_agrees_with_the_metrics() {
    let exporter = busy();
    let (summary, samples) = (get_json(&exporter, "/api/v1/summary"), exporter.scrape());
    let messages = "openim_group_messages_total";
    let windows = ["5m", "1h", "24h", "7d", "30d"];
    for (found, family, label, least) in [
        (&summary["messages"]["by_content_type"], messages, "content_type", 2),
        (&summary["messages"]["by_platform"], messages, "platform", 12),
        (&summary["messages"]["by_source"], messages, "source", 3),
        (&summary["messages"]["by_status"], "openim_group_messages_by_status_total", "status", 5),
        (&summary["messages_folded"], "openim_group_messages_folded_total", "reason", 2),
        (&summary["mentions"], "openim_group_mentions_total", "kind", 2),
        (&summary["clock_errors"], "openim_group_message_clock_errors_total", "kind", 3),
        (&summary["active_senders"], "openim_active_senders", "window", windows.len()),
        (&summary["active_groups"], "openim_active_groups", "window", windows.len()),
        (&summary["single_messages"]["by_content_type"], "openim_single_messages_total", "content_type", 1),
        (&summary["single_messages"]["by_platform"], "openim_single_messages_total", "platform", 12),
        (&summary["single_messages"]["active_senders"], "openim_single_active_senders", "window", windows.len()),
        (&summary["active_users"], "openim_active_users", "window", windows.len()),
        (&summary["users_online"], "openim_users_online", "platform", 12),
        (&summary["callbacks"]["by_command"], "openim_exporter_callbacks_total", "command", 2),
        (&summary["callbacks"]["excluded"], "openim_exporter_callbacks_excluded_total", "reason", 2),
        (&summary["callbacks"]["rejected"], "openim_exporter_callbacks_rejected_total", "reason", 5),
    ] {
        assert_counts(found, &samples, family, label);
        assert!(found.as_object().unwrap().len() >= least, "{family} {label}: {found}");
    }
    for (found, sum) in [
        (&summary["messages"]["total"], samples.sum(messages)),
        (&summary["single_messages"]["total"], samples.sum("openim_single_messages_total")),
        (&summary["callbacks"]["total"], samples.sum("openim_exporter_callbacks_total")),
        (&summary["callbacks"]["last"], samples.value("openim_exporter_last_callback_timestamp_seconds")),
        (&summary["groups"]["tracked"], samples.value("openim_exporter_groups_tracked")),
        (&summary["groups"]["capacity"], samples.value("openim_exporter_groups_capacity")),
        (&summary["groups"]["exported"], samples.value("openim_exporter_groups_exported")),
    ] {
        assert!(sum > 0.0);
        assert_eq!(found.as_f64(), Some(sum), "{summary:#}");
    }
    assert_ne!(summary["messages_folded"]["capacity"], 0);
    assert_eq!(summary["groups"]["retired"], 0);
}

#[test]
fn histograms_in_the_summary_have_the_count_and_mean_of_the_metrics() {
    let exporter = busy();
    let (summary, samples) = (get_json(&exporter, "/api/v1/summary"), exporter.scrape());
    for name in ["content_bytes", "delivery_delay_seconds", "submit_delay_seconds"] {
        let (found, family) = (&summary[name], format!("openim_group_message_{name}"));
        let (sum, count) = (samples.value(&format!("{family}_sum")), samples.value(&format!("{family}_count")));
        assert!(count > 0.0, "{name}");
        assert_eq!(found["count"].as_f64(), Some(count), "{name}");
        assert!((found["mean"].as_f64().unwrap() - sum / count).abs() < 1e-9, "{name}: {found} {sum}");
    }
    // The only message with a time of today had a delay of 1.5 s, between the bounds 1 s and 2.5 s.
    let delay = &summary["delivery_delay_seconds"];
    assert_eq!((&delay["count"], &delay["p50"]), (&json!(1), &json!(1.75)));
    assert_eq!((&delay["p95"], &delay["p99"]), (&json!(2.425), &json!(2.485)));
}

#[test]
fn the_summary_of_a_new_exporter_has_zeros_and_nulls() {
    let begin = now_seconds();
    let exporter = Exporter::start(&["--groups.max-tracked", "77", "--groups.max-exported", "7"]);
    let summary = get_json(&exporter, "/api/v1/summary");
    assert_eq!(summary["version"], env!("CARGO_PKG_VERSION"));
    let since = summary["since"].as_f64().unwrap();
    assert!((begin - 0.01..=now_seconds()).contains(&since), "{begin} {since}");
    let uptime = summary["uptime_seconds"].as_f64().unwrap();
    assert!((0.0..=now_seconds() - begin).contains(&uptime), "{uptime}");
    assert_eq!(summary["messages"]["total"], 0);
    assert_eq!(summary["messages"]["by_content_type"], json!({}));
    assert_eq!(summary["messages"]["by_source"], json!({"user": 0, "admin": 0, "other": 0}));
    assert_eq!(summary["groups"], json!({"tracked": 0, "capacity": 77, "exported": 0, "retired": 0}));
    let excluded = json!({"content_type": 0, "sender": 0});
    assert_eq!(
        summary["callbacks"],
        json!({"total": 0, "by_command": {}, "excluded": excluded, "rejected": {}, "last_rejected": [], "last": null})
    );
    let nothing = json!({"count": 0, "mean": null, "p50": null, "p95": null, "p99": null});
    assert_eq!(summary["delivery_delay_seconds"], nothing);
    assert_eq!(summary["connections"], 1);
    std::thread::sleep(Duration::from_millis(20));
    assert!(get_json(&exporter, "/api/v1/summary")["uptime_seconds"].as_f64().unwrap() >= uptime + 0.02);
    let groups = get_json(&exporter, "/api/v1/groups");
    assert_eq!(groups, json!({"total": 0, "limit": 50, "offset": 0, "sort": "messages", "groups": []}));
}

#[test]
fn the_row_of_a_group_agrees_with_the_metrics_and_has_its_times() {
    let exporter = Exporter::start(&["--groups.max-exported", "1"]);
    let begin = now_seconds();
    for group in ["a", "b", "b", "b"] {
        post(&exporter, group, "u");
        std::thread::sleep(Duration::from_millis(5));
    }
    let end = now_seconds();
    let answer = get_json(&exporter, "/api/v1/groups");
    let [b, a] = rows(&answer) else { panic!("{answer}") };
    for (row, id, messages, share, is_exported) in [(a, "a", 1, 0.25, true), (b, "b", 3, 0.75, false)] {
        assert_eq!((&row["group_id"], &row["messages"]), (&json!(id), &json!(messages)), "{row}");
        assert_eq!((&row["share"], &row["exported"]), (&json!(share), &json!(is_exported)), "{row}");
        let (first, last) = (row["first_seen"].as_f64().unwrap(), row["last_seen"].as_f64().unwrap());
        assert!(begin - 0.001 <= first && first <= last && last <= end, "{begin} {row} {end}");
        assert_eq!(last > first, messages > 1, "{row}");
    }
    assert_eq!(answer["total"], 2);
    assert_eq!(exporter.scrape().value(r#"openim_group_messages_by_group_total{group_id="a"}"#), 1.0);
}

#[test]
fn groups_are_sorted_by_each_field_and_then_by_id() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    for number in 0..60 {
        for sender in 0..(number * 7 % 5 + 1) {
            let body = message(&format!("g{}", number * 13 % 60), &format!("u{sender}"));
            assert_eq!(client.post(GROUP_MESSAGE_PATH, body).status, 200);
        }
    }
    // Rates are computed every ten seconds.
    let by_rate = || get_json(&exporter, "/api/v1/groups?sort=rate&limit=1");
    eventually("the rates", || rows(&by_rate())[0]["rate"].as_f64().unwrap() > 0.0);
    for (sort, key) in [
        ("messages", "/messages"),
        ("rate", "/rate"),
        ("active_senders", "/active_senders/24h"),
        ("last_seen", "/last_seen"),
    ] {
        let answer = get_json(&exporter, &format!("/api/v1/groups?sort={sort}&limit=1000"));
        assert_eq!((&answer["sort"], &answer["limit"]), (&json!(sort), &json!(1000)));
        let keys: Vec<_> = rows(&answer).iter().map(|row| row.pointer(key).unwrap().as_f64().unwrap()).collect();
        let found: Vec<_> = keys.iter().copied().zip(ids(&answer)).collect();
        let mut expected = found.clone();
        expected.sort_by(|(key, id), (other_key, other_id)| other_key.total_cmp(key).then_with(|| id.cmp(other_id)));
        assert_eq!((found.len(), &found), (60, &expected), "{sort}");
        assert!(sort == "active_senders" || keys[0] > keys[59], "{sort}: all are equal");
    }
}

#[test]
fn pages_cover_every_group_exactly_once() {
    const GROUPS: usize = 203;
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    for number in 0..GROUPS * 2 {
        let group = format!("g{}", number * number % GROUPS + number % 3);
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message(&group, "u")).status, 200);
    }
    for sort in ["messages", "last_seen"] {
        let all = get_json(&exporter, &format!("/api/v1/groups?sort={sort}&limit=1000"));
        let total = usize::try_from(all["total"].as_u64().unwrap()).unwrap();
        assert!(total > 50 && ids(&all).len() == total, "{all}");
        let mut pages = Vec::new();
        for offset in (0..=total + 9).step_by(10) {
            let page = get_json(&exporter, &format!("/api/v1/groups?sort={sort}&limit=10&offset={offset}"));
            assert_eq!((&page["total"], &page["offset"]), (&json!(total), &json!(offset)));
            assert!(ids(&page).len() <= 10);
            pages.extend(ids(&page));
        }
        assert_eq!(pages, ids(&all), "{sort}");
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), total, "{sort}");
    }
    assert_eq!(ids(&get_json(&exporter, "/api/v1/groups")).len(), 50);
    assert_eq!(rows(&get_json(&exporter, "/api/v1/groups?offset=100000")), [json!(null); 0]);
}

#[test]
fn a_percent_encoded_search_finds_every_name() {
    const NAMES: [&str; 14] = [
        "plain",
        "quote\"d",
        "back\\slash",
        "line\nbreak",
        "nul\0byte",
        "100%",
        "%41",
        "a+b",
        "a&q=b#c?d/e;f",
        "<script>alert(1)</script>",
        "Grüße",
        "ΟΔΟΣ",
        "群聊\u{1f44b}",
        "\u{202e}right to left\u{2028}",
    ];
    let exporter = Exporter::start(&[]);
    NAMES.iter().for_each(|name| post(&exporter, name, "u"));
    for name in NAMES {
        for text in [name.to_owned(), name.to_uppercase(), name.to_lowercase()] {
            let answer = get_json(&exporter, &format!("/api/v1/groups?q={}", percent_encode(&text)));
            assert_eq!((ids(&answer), &answer["total"]), (vec![name.to_owned()], &json!(1)), "{text:?}");
        }
    }
    for (query, found) in [
        ("q=a%2Bb", vec!["a+b"]),
        // A literal plus sign means a space.
        ("q=a+b", vec![]),
        ("q=t+TO+l", vec!["\u{202e}right to left\u{2028}"]),
        ("q=%25", vec!["%41", "100%"]),
        ("q=%2525", vec![]),
        ("q=%E7%BE%A4", vec!["群聊\u{1f44b}"]),
        ("q=nothing+of+the+kind", vec![]),
        ("q=BREAK&limit=1&sort=last_seen", vec!["line\nbreak"]),
    ] {
        assert_eq!(ids(&get_json(&exporter, &format!("/api/v1/groups?{query}"))), found, "{query}");
    }
    let every = get_json(&exporter, "/api/v1/groups?q=");
    assert_eq!(every["total"], NAMES.len());
    // The total counts all groups that match, not only those on the page.
    let some = get_json(&exporter, "/api/v1/groups?q=a&limit=1");
    assert_eq!(some["total"], NAMES.iter().filter(|name| name.contains('a')).count());
    assert_eq!(ids(&some).len(), 1);
}

#[test]
fn head_and_get_have_the_same_head() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    for path in ["/api/v1/groups", "/api/v1/groups?limit=7"] {
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).unwrap();
        let whole = client.answer();
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n")).unwrap();
        let head = client.answer_to_head();
        for name in ["content-length", "content-type", "cache-control"] {
            assert!(head.header(name).is_some() && head.header(name) == whole.header(name), "{path} {name}");
        }
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
}

#[test]
fn an_answer_counts_until_it_is_read_and_leaves_room_for_scrapes() {
    let exporter = Exporter::start(&["--web.max-requests", "1"]);
    let mut client = exporter.connect();
    for number in 0..1000 {
        let group = format!("{number:064}");
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message(&group, "u")).status, 200);
    }
    let status = || exporter.get("/api/v1/summary").status;
    let mut deaf = exporter.connect();
    // Far more than the kernel buffers for a client.
    deaf.send("GET /api/v1/groups?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200)).unwrap();
    let busy = || {
        std::thread::sleep(Duration::from_millis(10));
        status() == 503
    };
    eventually("the answers that are not read to block", || {
        // For longer than the exporter needs to write more, also on a busy machine.
        let is_stuck = (0..70).all(|_| busy());
        if !is_stuck {
            // Perhaps between two answers, when no share is taken. Try again.
            deaf.some(10_000).unwrap();
        }
        is_stuck
    });
    assert_eq!(exporter.get("/metrics").status, 200);
    drop(deaf);
    eventually("its share to be free", || status() == 200);
}

#[test]
fn the_api_changes_no_statistic() {
    let exporter = busy();
    let before = exporter.scrape();
    for path in ["/api/v1/summary", "/api/v1/groups?sort=rate"] {
        get_json(&exporter, path);
    }
    exporter.get("/api/v1/groups?sort=wrong").refusal(400);
    assert_eq!(exporter.scrape().statistics(), before.statistics());
}
