//! Single messages, users online and active users.

use crate::support::{Exporter, SUCCESS, Samples};

const SENT_TO_GROUP: &str = "callbackAfterSendGroupMsgCommand";
const SENT: &str = "callbackAfterSendSingleMsgCommand";
const SAVED: &str = "callbackAfterMsgSaveDBCommand";
const ONLINE: &str = "callbackAfterUserOnlineCommand";
const OFFLINE: &str = "callbackAfterUserOfflineCommand";

/// Posts a body that must be accepted.
fn post(exporter: &Exporter, command: &str, body: &str) {
    let answer = exporter.post(&format!("/{command}"), body);
    assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS), "{command} {body}");
}

/// A message of a user, with a type of content, in a conversation.
fn message(user: &str, content_type: u16, rest: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let times = format!(r#""sendTime":{now},"createTime":{}"#, now - 30);
    format!(
        r#"{{"sendID":"{user}","senderPlatformID":2,"msgFrom":100,"contentType":{content_type},"content":"hello",{times},{rest}}}"#
    )
}

fn windows(samples: &Samples, name: &str) -> Vec<f64> {
    ["5m", "1h", "24h", "7d", "30d"].map(|window| samples.value(&format!("{name}{{window=\"{window}\"}}"))).to_vec()
}

#[test]
fn a_single_message_counts_as_one_and_in_no_group() {
    let exporter = Exporter::start(&[]);
    let before = exporter.scrape();
    post(&exporter, SENT, &message("a", 101, r#""sessionType":1,"recvID":"b""#));
    post(&exporter, SENT, &message("a", 101, r#""sessionType":1,"recvID":"c""#));
    // A notification, as OpenIM sends it up to 3.8.3.
    post(&exporter, SENT, r#"{"sendID":"b","msgFrom":200,"contentType":2200,"content":"","recvID":"a"}"#);
    post(&exporter, SENT, r#"{"sendID":"b","msgFrom":100,"contentType":4711,"senderPlatformID":1,"recvID":"a"}"#);
    let after = exporter.scrape();
    let messages = |labels: &str| after.value(&format!("openim_single_messages_total{{{labels}}}"));
    assert_eq!(messages(r#"content_type="text",platform="android",source="user""#), 2.0);
    assert_eq!(messages(r#"content_type="has_read_receipt",platform="unknown",source="admin""#), 1.0);
    assert_eq!(messages(r#"content_type="4711",platform="ios",source="user""#), 1.0);
    assert_eq!(after.sum("openim_single_messages_total"), 4.0);
    assert_eq!(after.value("openim_single_message_content_bytes_sum"), 10.0);
    assert_eq!(after.value("openim_single_message_content_bytes_count"), 4.0);
    assert_eq!(after.value("openim_single_message_delivery_delay_seconds_count"), 2.0);
    assert_eq!(after.value("openim_single_message_submit_delay_seconds_sum"), 0.06);
    assert_eq!(windows(&after, "openim_single_active_senders"), [2.0; 5]);
    assert_eq!(windows(&after, "openim_active_users"), [2.0; 5]);
    let of_groups = |samples: &Samples| {
        let names = ["openim_group", "openim_active_senders", "openim_active_groups", "openim_exporter_groups"];
        let is_of_groups = |series: &str| names.iter().any(|name| series.starts_with(name));
        samples.0.iter().filter(|(series, _)| is_of_groups(series)).map(|(s, v)| (s.clone(), *v)).collect::<Vec<_>>()
    };
    assert_eq!(of_groups(&after), of_groups(&before));
    let (_, detail) = exporter.post(&format!("/{SENT}"), r#"{"recvID":"b"}"#).refusal(400);
    assert!(detail.starts_with("sendID"), "{detail}");
}

/// Group messages, single messages, and those that were not counted.
fn counted(exporter: &Exporter) -> [f64; 3] {
    let samples = exporter.scrape();
    ["openim_group_messages_total", "openim_single_messages_total", "openim_exporter_callback_repeats_total"]
        .map(|name| samples.sum(name))
}

#[test]
fn a_message_that_is_reported_as_sent_and_as_stored_counts_once() {
    let group = message("a", 101, r#""sessionType":3,"groupID":"g","recvID":"""#);
    let single = message("a", 101, r#""sessionType":1,"groupID":"","recvID":"b""#);
    let notification = message("a", 101, r#""sessionType":4,"groupID":"","recvID":"b""#);
    for (source, sent_first, expected) in [
        ("auto", true, [1.0, 1.0, 2.0]),
        ("auto", false, [1.0, 1.0, 2.0]),
        ("after-send", false, [1.0, 1.0, 2.0]),
        ("after-save", true, [1.0, 1.0, 2.0]),
    ] {
        let exporter = Exporter::start(&["--callback.message-source", source]);
        let sent = || {
            post(&exporter, SENT_TO_GROUP, &group);
            post(&exporter, SENT, &single);
        };
        let saved = || [&group, &single, &notification].iter().for_each(|body| post(&exporter, SAVED, body));
        if sent_first {
            sent();
            saved();
        } else {
            saved();
            sent();
        }
        assert_eq!(counted(&exporter), expected, "{source}, sent first: {sent_first}");
    }
    // Each kind has its own source.
    let exporter = Exporter::start(&[]);
    post(&exporter, SENT, &single);
    post(&exporter, SAVED, &group);
    assert_eq!(counted(&exporter), [1.0, 1.0, 0.0]);
    let (_, detail) = exporter.post(&format!("/{SAVED}"), r#"{"sendID":"a","sessionType":3}"#).refusal(400);
    assert!(detail.starts_with("groupID"), "{detail}");
}

fn presence(user: &str, platform: u8) -> String {
    format!(
        r#"{{"operationID":"p_1_1","platformID":{platform},"platform":"x","userID":"{user}","seq":1,"isAppBackground":false,"connID":""}}"#
    )
}

#[test]
fn users_are_online_from_the_first_report_until_they_go_offline() {
    let exporter = Exporter::start(&["--users.max-online", "3"]);
    let online = |platform: &str| exporter.scrape().value(&format!("openim_users_online{{platform=\"{platform}\"}}"));
    for _ in 0..2 {
        // OpenIM reports each user again every few minutes.
        post(&exporter, ONLINE, &presence("a", 1));
        post(&exporter, ONLINE, &presence("a", 2));
        post(&exporter, "callbackUserOnlineCommand", &presence("b", 1));
    }
    post(&exporter, ONLINE, &presence("c", 1));
    post(&exporter, ONLINE, r#"{"platformID":1}"#);
    assert_eq!(["ios", "android", "web"].map(online), [2.0, 1.0, 0.0]);
    post(&exporter, OFFLINE, &presence("a", 1));
    post(&exporter, OFFLINE, &presence("a", 1));
    post(&exporter, OFFLINE, &presence("d", 5));
    assert_eq!(["ios", "android", "web"].map(online), [1.0, 1.0, 0.0]);
    let samples = exporter.scrape();
    assert_eq!(samples.sum("openim_user_disconnects_total"), 3.0);
    assert_eq!(samples.value("openim_exporter_users_online_capacity"), 3.0);
    assert_eq!(samples.value("openim_exporter_users_online_overflow_total"), 1.0);
    assert_eq!(windows(&samples, "openim_active_users"), [3.0; 5]);
}

#[test]
fn a_user_who_does_several_things_is_one_active_user() {
    let exporter = Exporter::start(&[]);
    post(&exporter, ONLINE, &presence("a", 1));
    post(&exporter, SENT, &message("a", 101, r#""recvID":"b""#));
    post(&exporter, SENT_TO_GROUP, &message("a", 101, r#""groupID":"g""#));
    post(&exporter, "callbackAfterSingleMsgReadCommand", r#"{"conversationID":"si_a_b","userID":"b","Seqs":[1]}"#);
    post(&exporter, "callbackAfterGroupMsgReadCommand", r#"{"sendID":"c","contentType":3}"#);
    let samples = exporter.scrape();
    assert_eq!(windows(&samples, "openim_active_users"), [3.0; 5]);
    assert_eq!(windows(&samples, "openim_active_senders"), [1.0; 5]);
    assert_eq!(windows(&samples, "openim_single_active_senders"), [1.0; 5]);
}

#[test]
fn single_messages_and_users_online_survive_a_kill() {
    let directory = tempfile::TempDir::new().unwrap();
    let flags = ["--storage.path", directory.path().to_str().unwrap()];
    let exporter = Exporter::start(&flags);
    for number in 0..50 {
        post(&exporter, SENT, &message(&format!("u{number}"), 101, r#""recvID":"b""#));
        post(&exporter, ONLINE, &presence(&format!("u{number}"), 1 + number % 2));
    }
    post(&exporter, OFFLINE, &presence("u0", 1));
    let before = exporter.scrape();
    exporter.signal("KILL");
    exporter.wait();
    let after = Exporter::start(&flags).scrape();
    for name in [
        "openim_single_messages_total",
        "openim_single_message_content_bytes_count",
        "openim_single_active_senders",
        "openim_active_users",
        "openim_users_online",
        "openim_user_disconnects_total",
    ] {
        assert_eq!(after.of(name).collect::<Vec<_>>(), before.of(name).collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(after.sum("openim_users_online"), 49.0);
}

#[test]
fn the_series_of_a_dismissed_group_ends_at_the_next_scrape() {
    let exporter = Exporter::start(&[]);
    for (group, messages) in [("g", 3), ("h", 2)] {
        (0..messages)
            .for_each(|_| post(&exporter, SENT_TO_GROUP, &message("a", 101, &format!(r#""groupID":"{group}""#))));
    }
    let dismissal = r#"{"groupID":"g","ownerID":"a","groupType":"\u0002","membersID":["a","b"]}"#;
    post(&exporter, "callbackAfterDisMissGroupCommand", dismissal);
    let samples = exporter.scrape();
    let of_groups: Vec<_> = samples.of("openim_group_messages_by_group_total").collect();
    assert_eq!(of_groups, [(r#"openim_group_messages_by_group_total{group_id="h"}"#, 2.0)]);
    assert_eq!(samples.value(r#"openim_group_messages_folded_total{reason="dismissed"}"#), 3.0);
    assert_eq!(samples.sum("openim_group_messages_total"), 5.0);
    assert_eq!(samples.value("openim_exporter_groups_tracked"), 1.0);
    // The notification of the dismissal, which another process of OpenIM sends.
    post(&exporter, SENT_TO_GROUP, &message("a", 1511, r#""groupID":"g""#));
    let samples = exporter.scrape();
    assert_eq!(samples.of("openim_group_messages_by_group_total").count(), 1);
    assert_eq!(samples.value(r#"openim_group_messages_folded_total{reason="dismissed"}"#), 4.0);
}

#[test]
fn a_message_that_is_left_out_is_logged_once_for_each_kind() {
    let exporter = Exporter::start(&["--callback.message-source", "after-save"]);
    let group = message("a", 101, r#""sessionType":3,"groupID":"g""#);
    let single = message("a", 101, r#""sessionType":1,"recvID":"b""#);
    for _ in 0..3 {
        post(&exporter, SENT_TO_GROUP, &group);
        post(&exporter, SENT, &single);
    }
    exporter.wait_for_log("each kind", |lines| {
        let of_kind = |kind: &str| lines.iter().filter(|line| line.contains(&format!("kind={kind} "))).count();
        [of_kind("group"), of_kind("single")] == [1, 1]
    });
    let logged = exporter.log().into_iter().filter(|line| line.contains("--callback.message-source"));
    assert_eq!(logged.count(), 2);
}
