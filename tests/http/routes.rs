//! Routes.

use crate::support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, Samples};

const MESSAGE: &str = r#"{"sendID":"u1","callbackCommand":"callbackAfterSendGroupMsgCommand","groupID":"g1"}"#;

fn commands_taken(samples: &Samples, command: &str) -> f64 {
    samples.value(&format!(r#"openim_exporter_callbacks_total{{command="{command}"}}"#))
}

#[test]
fn a_browser_s_request_for_an_icon_is_not_refused() {
    let exporter = Exporter::start(&["--web.telemetry-address", "127.0.0.1:0"]);
    let answer = exporter.get("/favicon.ico");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("content-type"), Some("image/x-icon"));
    assert!(exporter.log().iter().all(|line| !line.contains("level=warn")), "{:?}", exporter.log());
}

#[test]
fn every_form_of_openim_s_url_counts_one_message() {
    let exporter = Exporter::start(&[]);
    let urls = [
        "/callbackAfterSendGroupMsgCommand",
        "/callbackAfterSendGroupMsgCommand?contenttype=json",
        "/callbackAfterSendGroupMsgCommand?key=eyJzZW5kSUQiOiJ1MSIsInJlY3ZJRCI6IiIsImdyb3VwSUQiOiJnMSJ9",
        "/callbackExample/callbackAfterSendGroupMsgCommand",
        "/any//prefix/at.all~/%E7%BE%A4/callbackAfterSendGroupMsgCommand?contenttype=json",
        "/callback?command=callbackAfterSendGroupMsgCommand",
        "/?command=callbackAfterSendGroupMsgCommand",
        "/callback?contenttype=json&command=callbackAfterSendGroupMsgCommand",
        // Only the body has the command of these.
        "/",
        "/callback",
        "/callbackExample?contenttype=json",
        "/a/path/that/serves/nothing/else",
        // The absolute form, which a proxy sends.
        "http://exporter:10006/callbackAfterSendGroupMsgCommand",
    ];
    for (before, url) in urls.into_iter().enumerate() {
        let response = exporter.post(url, MESSAGE);
        assert_eq!((response.status, response.text().as_str()), (200, SUCCESS), "{url}");
        let samples = exporter.scrape();
        assert_eq!(samples.sum("openim_group_messages_total"), before as f64 + 1.0, "{url}");
    }
    let samples = exporter.scrape();
    assert_eq!(commands_taken(&samples, "callbackAfterSendGroupMsgCommand"), urls.len() as f64);
    assert_eq!(samples.value(r#"openim_group_messages_by_group_total{group_id="g1"}"#), urls.len() as f64);
}

#[test]
fn other_commands_get_the_same_answer_and_are_counted_only_by_command() {
    let exporter = Exporter::start(&[]);
    exporter.post(GROUP_MESSAGE_PATH, MESSAGE);
    let before = exporter.scrape();
    // A duplicate of a message that was counted already.
    let saved = MESSAGE.replace("callbackAfterSendGroupMsgCommand", "callbackAfterMsgSaveDBCommand");
    for (url, body, command) in [
        ("/callbackAfterMsgSaveDBCommand", saved.as_str(), "callbackAfterMsgSaveDBCommand"),
        ("/callback?command=callbackAfterMsgSaveDBCommand", &saved, "callbackAfterMsgSaveDBCommand"),
        ("/callback", &saved, "callbackAfterMsgSaveDBCommand"),
        ("/callback", r#"{"callbackCommand":"callbackBeforeAddFriendCommand"}"#, "callbackBeforeAddFriendCommand"),
        ("/p/callbackUserKickOffCommand?contenttype=json", r#"{"userID":"u"}"#, "callbackUserKickOffCommand"),
        ("/callbackAfterTheFutureCommand", "{}", "other"),
        ("/callback?command=callbackAfterTheFutureCommand", "{}", "other"),
        ("/callback", r#"{"callbackCommand":"callbackAfterTheFutureCommand"}"#, "other"),
        // In the query or the body a command need not end in `Command`. In a path it must: `/callbackExample` is not
        // one.
        ("/callbackExample", r#"{"callbackCommand":"callbackOfAnotherKind"}"#, "other"),
        ("/callback?command=callbackOfAnotherKind", "{}", "other"),
    ] {
        let earlier = exporter.scrape();
        let response = exporter.post(url, body);
        assert_eq!((response.status, response.text().as_str()), (200, SUCCESS), "{url} {body}");
        let later = exporter.scrape();
        assert_eq!(commands_taken(&later, command) - commands_taken(&earlier, command), 1.0, "{url} {body}");
    }
    let after = exporter.scrape();
    assert_eq!(after.statistics(), before.statistics());
    assert_eq!(commands_taken(&after, "callbackAfterSendGroupMsgCommand"), 1.0);
    assert_eq!(after.sum("openim_exporter_callbacks_total"), 11.0);
    assert_eq!(after.sum("openim_exporter_callbacks_rejected_total"), 0.0);
}

#[test]
fn health_checks_are_answered_and_not_counted() {
    let exporter = Exporter::start(&[]);
    for path in ["/-/healthy", "/-/ready"] {
        let response = exporter.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"), "{path}");
        assert!(!response.body.is_empty(), "{path}");
    }
    let samples = exporter.scrape();
    assert_eq!(samples.sum("openim_exporter_callbacks_total"), 0.0);
    assert_eq!(samples.sum("openim_exporter_callbacks_rejected_total"), 0.0);
    assert_eq!(samples.value("openim_exporter_callback_duration_seconds_count"), 0.0);
}

#[test]
fn the_metrics_are_only_at_the_path_of_the_flag() {
    let exporter = Exporter::start(&["--web.telemetry-path", "/own/metrics"]);
    let metrics = exporter.get("/own/metrics");
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.text().contains("# TYPE openim_group_messages_total counter\n"));
    exporter.get("/metrics").refusal(404);
    assert_eq!(exporter.get("/own/metrics?name[]=x").status, 200);
}

#[test]
fn a_head_request_gets_the_head_without_a_body() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    for path in ["/", "/page/page.css", "/metrics", "/metrics/groups", "/-/ready", "/api/v1/summary", "/api/v1/live"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n")).unwrap();
        let head = client.answer_to_head();
        assert_eq!(head.status, 200, "{path}");
        assert_ne!(head.header("content-length"), Some("0"), "{path}");
    }
    // A body would precede this answer.
    assert_eq!(client.post(GROUP_MESSAGE_PATH, MESSAGE).text(), SUCCESS);
}
