//! Requests that other programs send, byte for byte.

use crate::support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, message};

const MESSAGES: &str = "openim_group_messages_total";
const GROUP_MESSAGES: &str = r#"openim_exporter_callbacks_total{command="callbackAfterSendGroupMsgCommand"}"#;

#[test]
fn each_spelling_of_a_callback_is_a_group_message() {
    let exporter = Exporter::start(&[]);
    let requests: [&[u8]; 5] = [
        include_bytes!("cases/ce-empty.http"),
        include_bytes!("cases/ce-identity-capital.http"),
        include_bytes!("cases/ce-identity-twice.http"),
        include_bytes!("cases/path-percent-encoded.http"),
        include_bytes!("cases/query-percent-encoded.http"),
    ];
    for (before, request) in requests.into_iter().enumerate() {
        let answer = exporter.ask(request);
        assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS), "{}", String::from_utf8_lossy(request));
        let scrape = exporter.scrape();
        let count = before as f64 + 1.0;
        assert_eq!((scrape.sum(MESSAGES), scrape.value(GROUP_MESSAGES)), (count, count));
    }
    for path in [
        "/CallbackAfterSendGroupMsgCommand",
        "/x/callbackAfterSendGroupMsgCommand/",
        "/?command=%20callbackAfterSendGroupMsgCommand+",
    ] {
        assert_eq!(exporter.post(path, message("g", "u")).text(), SUCCESS, "{path}");
    }
    assert_eq!(exporter.scrape().value(GROUP_MESSAGES), 8.0);
}

#[test]
fn an_answer_over_http_1_0_that_the_end_of_the_connection_ends_does_not_promise_to_keep_it() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    client.send(include_bytes!("cases/http10-keepalive-scrape.http")).unwrap();
    let answer = client.rest().to_ascii_lowercase();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("keep-alive"), "{head}");
    assert!(body.contains(MESSAGES));
}

#[test]
fn an_invalid_host_is_refused() {
    let exporter = Exporter::start(&[]);
    for host in ["a b", "a/b", "a@b", "a\\b", "\"a\""] {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let (_, detail) = exporter.ask(request.as_bytes()).refusal(400);
        assert!(detail.contains("Host"), "{host}: {detail}");
    }
}

#[test]
fn mentions_of_nobody_are_not_counted() {
    let exporter = Exporter::start(&[]);
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, include_bytes!("cases/mention-null-and-empty.json")).status, 200);
    assert_eq!(exporter.scrape().sum_of("openim_group_mentions_total", "kind", "user"), 0.0);
}

#[test]
fn long_group_ids_cannot_be_forged() {
    let exporter = Exporter::start(&[]);
    let bodies: [&[u8]; 3] = [
        include_bytes!("cases/collide-long-group-a.json"),
        include_bytes!("cases/collide-long-group-b.json"),
        include_bytes!("cases/collide-long-group-shown.json"),
    ];
    for body in bodies {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200);
    }
    let scrape = exporter.scrape();
    let counts: Vec<_> = scrape.of("openim_group_messages_by_group_total").map(|(_, count)| count).collect();
    assert_eq!(counts, [1.0; 3]);
}

#[test]
fn a_duplicate_with_escapes_in_its_id_is_a_duplicate() {
    let exporter = Exporter::start(&["--callback.dedup-window", "10m"]);
    for id in ["msg-1", "msg\\u002d1", "\\u006dsg-1"] {
        let body = format!(r#"{{"sendID":"u","groupID":"g","serverMsgID":"{id}"}}"#);
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200, "{id}");
    }
    let scrape = exporter.scrape();
    assert_eq!((scrape.sum(MESSAGES), scrape.value("openim_exporter_callback_repeats_total")), (1.0, 2.0));
}

#[test]
fn whole_numbers_in_the_notation_of_floats_are_counted() {
    let exporter = Exporter::start(&[]);
    for number in ["101.0", "1.01E2", "101"] {
        let body = format!(r#"{{"sendID":"u","groupID":"g","contentType":{number},"seq":-0.0,"sendTime":1.7E12}}"#);
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200, "{number}");
    }
    assert_eq!(exporter.scrape().sum_of(MESSAGES, "content_type", "text"), 3.0);
}
