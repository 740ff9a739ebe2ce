//! A real exporter gives the answers in the examples.

use std::process::Command;

use serde_json::Value;

use crate::support::{self, Exporter, eventually};
use crate::{API, ERRORS, README, at, block};

/// The example of OpenIM's documentation: its file and the request path.
fn example() -> (&'static str, &'static str) {
    ("tests/callbacks/doc-sample.good.json", support::GROUP_MESSAGE_PATH)
}

/// The path and the body that the README's curl command sends.
fn readme_example() -> (&'static str, &'static str) {
    let command = README.block("## Try", "sh").strip_prefix("curl http://localhost:10006").unwrap();
    let (path, rest) = command.split_once(' ').unwrap();
    let (_, body) = rest.split_once("-d '").unwrap();
    (path, body.strip_suffix('\'').unwrap())
}

#[test]
fn the_readme_s_example_gets_the_documented_answer_and_metrics() {
    let (path, body) = readme_example();
    let exporter = Exporter::start(&[]);
    let shown = README.block("## Try", "text");
    let missing = |metrics: &str| shown.lines().filter(|line| !metrics.lines().any(|found| found == *line)).count();
    assert_eq!(missing(&exporter.get("/metrics").text()), shown.lines().count(), "none of them exists before");

    let answer = exporter.post(path, body);
    assert_eq!(answer.text(), README.block("## Try", "json"));
    assert_eq!(missing(&exporter.get("/metrics").text()), 0, "{shown}");
    assert!(API.text.contains(&format!("`{}`", answer.text())));
}

#[test]
#[ignore = "needs curl"]
fn the_readme_s_commands_show_a_first_message() {
    let exporter = Exporter::start(&[]);
    let address = exporter.address().to_string();
    let run = |heading| {
        let command = README.block(heading, "sh").replace("localhost:10006", &address);
        let ran = Command::new("sh").args(["-c", &command]).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    assert_eq!(run("## The first message"), "");
    assert_eq!(run("## Try"), README.block("## Try", "json"));
    let first = README.block("## Try", "text").lines().next().unwrap();
    assert_eq!(run("## The first message"), format!("{first}\n"));
}

/// The path and the type of each value. For a list, only its first item is used.
pub(crate) fn shape(value: &Value) -> Vec<String> {
    let under =
        |key: &str, value: &Value| shape(value).into_iter().map(|path| format!("/{key}{path}")).collect::<Vec<_>>();
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| under(key, value)).collect(),
        Value::Array(items) => items.first().map_or_else(|| vec!["/[]".into()], |first| under("0", first)),
        Value::Null => vec![" null".into()],
        Value::Bool(_) => vec![" bool".into()],
        Value::Number(_) => vec![" number".into()],
        Value::String(_) => vec![" string".into()],
    }
}

#[test]
fn the_api_gives_the_documented_answers_after_the_example() {
    let (file, path) = example();
    let exporter = Exporter::start(&[]);
    assert_eq!(exporter.post(path, std::fs::read(at(file)).unwrap()).status, 200);
    let hours = || exporter.get("/api/v1/history?step=hour").json();
    eventually("the history to have the message", || hours()["rows"][0]["group_messages"] == 1);
    for (heading, path, fixed, (old, new)) in [
        (
            "### Summary",
            "/api/v1/summary",
            &["messages", "messages_folded", "mentions", "active_senders", "groups", "clock_errors"][..],
            ("\"connections\": 1\n", "\"connection\": 1\n"),
        ),
        (
            "### Groups",
            "/api/v1/groups?q=USER&limit=2",
            &["total", "limit", "offset", "sort"],
            ("\"exported\": true", "\"exported\": 1"),
        ),
        (
            "### History",
            "/api/v1/history?step=hour",
            &["step", "time_zone"],
            ("\"complete\": false", "\"complete\": 0"),
        ),
        ("### Days", "/api/v1/days", &["time_zone"], ("\"days\": [{", "\"day\": [{")),
        (
            "### Live",
            "/api/v1/live?format=json",
            &["version", "time_zone", "group_messages", "senders", "users_online", "groups", "viewers"],
            ("\"viewers\": 0", "\"viewers\": {}"),
        ),
    ] {
        let answer = exporter.get(path).json();
        let shown = |page: &str| serde_json::from_str::<Value>(block(page, heading, "json")).unwrap();
        assert_eq!(shape(&shown(API.text)), shape(&answer), "{path}");
        assert_ne!(shape(&shown(&API.spoilt(old, new))), shape(&answer), "{path}");
        for key in fixed {
            assert_eq!(shown(API.text)[key], answer[key], "{path}: {key}");
        }
        let endpoint = format!("`GET {}`", path.split('?').next().unwrap());
        assert!(API.text.contains(&endpoint) && API.text.contains(path), "{path}");
    }
}

#[test]
fn the_documented_erasures_are_the_real_ones() {
    let (file, path) = example();
    let exporter = Exporter::start(&["--web.enable-admin-api"]);
    for (heading, erased, (old, new)) in [
        ("### Erase a group", "/api/v1/groups/user456", ("\"messages_folded\": 1", "\"messages_folded\": 2")),
        ("### Erase a person", "/api/v1/users/user123", ("\"users_online\": 0", "\"users_online\": 1")),
    ] {
        assert_eq!(exporter.post(path, std::fs::read(at(file)).unwrap()).status, 200);
        let request = format!("DELETE {erased} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = exporter.ask(request.as_bytes());
        let shown = |page: &str| serde_json::from_str::<Value>(block(page, heading, "json")).unwrap();
        assert_eq!((answer.status, answer.json()), (200, shown(API.text)));
        assert_ne!(answer.json(), shown(&API.spoilt(old, new)));
        assert!(API.text.contains(&format!("`{erased}`")));
    }
}

#[test]
fn the_documented_refusal_is_the_real_one() {
    let exporter = Exporter::start(&[]);
    let request = "POST /callbackAfterSendGroupMsgCommand HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    let answer = exporter.ask(request.as_bytes());
    let shown = ERRORS.block("## The answer to a refused request", "json");
    assert_eq!((answer.status, answer.text().as_str()), (415, shown));
}
