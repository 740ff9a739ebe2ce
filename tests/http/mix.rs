//! The combinations of content type, platform and source that have series from the start.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Exporter, SUCCESS, callbacks, command};

/// The bodies that OpenIM itself sends, from the catalogue.
const BODIES: &str = include_str!("../answers/bodies.jsonl");

/// Commands that report messages.
const REPORTS: [&str; 3] =
    ["callbackAfterSendGroupMsgCommand", "callbackAfterSendSingleMsgCommand", "callbackAfterMsgSaveDBCommand"];

/// Callbacks with unusual combinations: the example in OpenIM's documentation has values that no version sends, and the
/// other one has no content type.
const UNUSUAL: [&str; 2] = ["doc-sample.good.json", "only-required-fields.good.json"];

/// Notifications about groups and messages, by where OpenIM sends them: the table `newSessionTypeConf` in OpenIM's
/// `notification/msg.go`. The revocation is not in it, because it goes to the message's chat.
const TO_GROUPS: [i32; 17] =
    [1501, 1502, 1504, 1507, 1508, 1509, 1510, 1511, 1512, 1513, 1514, 1515, 1516, 1517, 1518, 1519, 1520];
const TO_USERS: [i32; 4] = [1503, 1505, 1506, 2102];

const FAMILIES: [&str; 2] = ["openim_group_messages_total", "openim_single_messages_total"];

/// The series of messages.
fn series(exporter: &Exporter) -> BTreeSet<String> {
    let samples = exporter.scrape();
    FAMILIES
        .iter()
        .flat_map(|family| samples.of(family).map(|(series, _)| series.to_owned()).collect::<Vec<_>>())
        .collect()
}

/// Posts a body that must be accepted.
fn post(exporter: &Exporter, body: &[u8]) {
    assert_eq!(exporter.post("/callback", body).text(), SUCCESS, "{}", String::from_utf8_lossy(body));
}

#[test]
fn what_openim_sends_has_a_series_from_the_start() {
    let exporter = Exporter::start(&[]);
    let before = series(&exporter);
    let mut messages = 0;
    for body in BODIES.lines() {
        let read: Value = serde_json::from_str(body).unwrap();
        if REPORTS.contains(&read["callbackCommand"].as_str().unwrap()) {
            post(&exporter, body.as_bytes());
            messages += 1;
        }
    }
    assert!(messages >= 4, "{messages}");
    for (name, body) in callbacks(".good.json") {
        if !UNUSUAL.contains(&name.as_str()) {
            post(&exporter, &body);
        }
    }
    assert_eq!(series(&exporter), before);
    for (name, body) in callbacks(".good.json").iter().filter(|(name, _)| UNUSUAL.contains(&name.as_str())) {
        let before = series(&exporter);
        post(&exporter, body);
        assert_eq!(series(&exporter).len(), before.len() + 1, "{name}");
    }
}

#[test]
fn each_notification_has_a_series_from_the_start_in_the_chat_to_which_openim_sends_it() {
    let exporter = Exporter::start(&[]);
    // As OpenIM sends them: from the system, without a platform.
    let new_series = |code: i32, [command, to]: [&str; 2]| {
        let before = series(&exporter);
        let body = format!(r#"{{"sendID":"u","{to}":"x","contentType":{code},"senderPlatformID":0,"msgFrom":200}}"#);
        assert_eq!(exporter.post(&format!("/{command}"), body).text(), SUCCESS, "{code}");
        series(&exporter).len() - before.len()
    };
    let [group, single] = [[REPORTS[0], "groupID"], [REPORTS[1], "recvID"]];
    for (codes, chat, other) in [(&TO_GROUPS[..], group, single), (&TO_USERS, single, group)] {
        for code in codes {
            assert_eq!((new_series(*code, chat), new_series(*code, other)), (0, 1), "{code}");
        }
    }
    assert_eq!([group, single].map(|chat| new_series(2101, chat)), [0, 0]);
}

#[test]
fn what_simulate_sends_has_a_series_from_the_start() {
    let exporter = Exporter::start(&[]);
    let before = series(&exporter);
    let target = format!("http://{}", exporter.address());
    let flags = ["simulate", "--count", "20000", "--rate", "100000", "--seed", "7", "--target", &target];
    let ran = command(&flags).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let new: Vec<_> = series(&exporter).difference(&before).cloned().collect();
    // An app's own content type.
    assert!(!new.is_empty() && new.iter().all(|series| series.contains("content_type=\"9001\"")), "{new:?}");
}

#[test]
fn only_usual_combinations_are_exposed_before_their_first_message() {
    let exporter = Exporter::start(&[]);
    let samples = exporter.scrape();
    for (labels, group, single) in [
        (r#"content_type="text",platform="ios",source="user""#, true, true),
        (r#"content_type="quote",platform="harmonyos",source="user""#, true, true),
        (r#"content_type="at_text",platform="web",source="user""#, true, false),
        (r#"content_type="custom",platform="admin",source="admin""#, true, true),
        (r#"content_type="text",platform="unknown",source="admin""#, true, true),
        (r#"content_type="oa_notification",platform="admin",source="admin""#, true, true),
        (r#"content_type="member_quit",platform="unknown",source="admin""#, true, false),
        (r#"content_type="join_group_application",platform="unknown",source="admin""#, false, true),
        (r#"content_type="msg_revoke_notification",platform="unknown",source="admin""#, true, true),
        (r#"content_type="has_read_receipt",platform="unknown",source="admin""#, false, true),
        // A notification has no platform, a user one of its own, and a source that OpenIM does not have is unusual.
        (r#"content_type="member_quit",platform="ios",source="admin""#, false, false),
        (r#"content_type="member_quit",platform="unknown",source="user""#, false, false),
        (r#"content_type="text",platform="admin",source="user""#, false, false),
        (r#"content_type="text",platform="unknown",source="user""#, false, false),
        (r#"content_type="text",platform="ios",source="admin""#, false, false),
        (r#"content_type="text",platform="ios",source="other""#, false, false),
        // Not reported, or rare.
        (r#"content_type="typing",platform="ios",source="user""#, false, false),
        (r#"content_type="other",platform="unknown",source="other""#, false, false),
    ] {
        let exposed = FAMILIES.map(|family| samples.get(&format!("{family}{{{labels}}}")));
        assert_eq!(exposed, [group, single].map(|is_usual| is_usual.then_some(0.0)), "{labels}");
    }
    let unusual = r#"{"sendID":"u","groupID":"g","contentType":113,"senderPlatformID":1,"msgFrom":100}"#;
    assert_eq!(exporter.post("/callbackAfterSendGroupMsgCommand", unusual).text(), SUCCESS);
    let series = r#"openim_group_messages_total{content_type="typing",platform="ios",source="user"}"#;
    assert_eq!(exporter.scrape().value(series), 1.0);
}

#[test]
fn a_new_exporter_has_at_most_700_samples() {
    let samples = Exporter::start(&[]).scrape();
    assert!((500..=700).contains(&samples.0.len()), "{}", samples.0.len());
}
