//! What is recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Exporter, callbacks, eventually};
use crate::{files, lines, recording, records, stop};

const MESSAGE: &str = "callbackAfterSendGroupMsgCommand";

/// The part of a line after its time.
fn after_time(line: &str) -> &str {
    let (time, rest) = line.split_at(r#"{"time":"2026-11-28T20:17:21.067Z","#.len());
    assert!(time.starts_with(r#"{"time":"2"#) && time.ends_with("Z\","), "{line}");
    rest
}

#[test]
fn each_callback_is_recorded_as_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = recording(directory.path(), &[]);
    let mut expected = Vec::new();
    for (_, body) in callbacks(".good.json") {
        exporter.post(&format!("/secret/{MESSAGE}?key=a%3D&b=%22c%22"), &body);
        let body = String::from_utf8(body).unwrap().trim_end().replace(['\n', '\r'], " ");
        expected
            .push(format!(r#""path":"/{MESSAGE}","query":"key=a%3D&b=%22c%22","command":"{MESSAGE}","body":{body}}}"#));
    }
    for (url, path, query) in [
        (format!("/x?command={MESSAGE}"), "", format!("command={MESSAGE}")),
        (format!("/x/{MESSAGE}/"), "/callbackAfterSendGroupMsgCommand", String::new()),
        ("/secret".to_owned(), "", String::new()),
    ] {
        let body = format!(r#"{{"callbackCommand":"{MESSAGE}","sendID":"1","groupID":"2"}}"#);
        assert_eq!(exporter.post(&url, &body).status, 200, "{url}");
        expected.push(format!(r#""path":"{path}","query":"{query}","command":"{MESSAGE}","body":{body}}}"#));
    }
    let body = r#"{"any":["thing"]}"#;
    exporter.post("/callbackNewCommand", body);
    expected.push(format!(r#""path":"/callbackNewCommand","query":"","command":"callbackNewCommand","body":{body}}}"#));
    let lines = lines(directory.path());
    assert_eq!(lines.iter().map(|line| after_time(line)).collect::<Vec<_>>(), expected);
    assert_eq!(exporter.scrape().sum("openim_exporter_record_written_total"), expected.len() as f64);
    let mode = fs::metadata(&files(directory.path())[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stop(exporter);
}

#[test]
fn a_refused_callback_is_recorded_and_what_is_not_a_callback_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = recording(directory.path(), &["--callback.max-body-bytes", "2KiB"]);
    let path = format!("/{MESSAGE}");
    let refused = callbacks(".bad.json");
    for (name, body) in &refused {
        assert_ne!(exporter.post(&path, body).status, 200, "{name}");
    }
    for (path, body) in [("/x", r#"{"callbackCommand":"other"}"#), ("/x", "{"), (&path, &"x".repeat(3000))] {
        assert_ne!(exporter.post(path, body).status, 200, "{body}");
    }
    let form = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{{}}");
    assert_eq!(exporter.ask(form.as_bytes()).status, 415);
    let records = records(directory.path());
    assert_eq!(records.len(), refused.len());
    for (record, (name, body)) in records.iter().zip(&refused) {
        let is_same = match serde_json::from_slice::<Value>(body) {
            Ok(body) => record["body"] == body,
            Err(_) => record["text"] == *String::from_utf8_lossy(body),
        };
        assert!(is_same, "{name}: {record}");
    }
}

#[test]
fn without_content_no_message_name_or_picture_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = recording(directory.path(), &["--record.content", "none"]);
    let body = json!({
        "sendID": "1", "groupID": "2", "senderNickname": "PRIVATE", "faceURL": "PRIVATE", "content": "{\"PRIVATE\"}",
        "users": [{"nickname": "PRIVATE", "faceURL": "PRIVATE", "userID": "3"}]
    });
    assert_eq!(exporter.post(&format!("/{MESSAGE}"), body.to_string()).status, 200);
    exporter.post("/callbackBeforeUserRegisterCommand", body.to_string());
    exporter.post(&format!("/{MESSAGE}"), "{\"content\":\"PRIVATE");
    let lines = lines(directory.path());
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert!(!line.contains("PRIVATE"), "{line}");
    }
    let records = records(directory.path());
    for record in &records[..2] {
        let body = &record["body"];
        assert_eq!((&body["content"], &body["users"][0]["nickname"]), (&json!(""), &json!("")), "{record}");
        assert_eq!((&body["sendID"], &body["users"][0]["userID"]), (&json!("1"), &json!("3")), "{record}");
    }
    assert_eq!(records[2]["bytes"], 19);
}

fn post_large(exporter: &Exporter, number: u32) {
    let body = format!(r#"{{"sendID":"1","groupID":"2","ex":"{number} {}"}}"#, "x".repeat(100_000));
    assert_eq!(exporter.post(&format!("/{MESSAGE}"), body).status, 200);
}

#[test]
fn files_are_compressed_and_all_together_keep_to_their_limit() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = recording(directory.path(), &["--record.max-file-bytes", "1MiB"]);
    (0..30).for_each(|number| post_large(&exporter, number));
    let compressed = || files(directory.path()).into_iter().filter(|path| path.to_string_lossy().ends_with(".gz"));
    eventually("a compressed file", || compressed().count() > 0);
    for file in compressed() {
        let tested = Command::new("gzip").arg("-t").arg(&file).status().unwrap();
        assert!(tested.success(), "{}", file.display());
    }
    stop(exporter);
    let numbers: Vec<_> = records(directory.path())
        .iter()
        .map(|record| record["body"]["ex"].as_str().unwrap().split(' ').next().unwrap().parse::<u32>().unwrap())
        .collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());

    // Random bytes, which gzip cannot compress.
    fs::write(directory.path().join("callbacks-20260101T000000.000Z.jsonl.gz"), random(2 << 20)).unwrap();
    let exporter = recording(directory.path(), &["--record.max-bytes", "1MiB"]);
    let removed = || exporter.scrape().sum("openim_exporter_record_files_removed_total");
    eventually("a removed file", || removed() > 0.0);
    assert!(!files(directory.path())[0].to_string_lossy().contains("20260101"));
    assert!(exporter.scrape().sum("openim_exporter_record_bytes") < f64::from(1 << 20));
}

fn random(bytes: usize) -> Vec<u8> {
    use rand::{RngCore, SeedableRng};
    let mut random = vec![0; bytes];
    rand_pcg::Pcg64Mcg::seed_from_u64(1).fill_bytes(&mut random);
    random
}

#[test]
fn nothing_is_recorded_by_default_and_a_wrong_path_is_an_error() {
    let exporter = Exporter::start(&[]);
    exporter.post(&format!("/{MESSAGE}"), r#"{"sendID":"1","groupID":"2"}"#);
    assert_eq!(exporter.scrape().sum("openim_exporter_record_written_total"), 0.0);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let started = crate::command(&["--web.listen-address", "127.0.0.1:0", "--record.path", file.to_str().unwrap()])
        .output()
        .unwrap();
    let printed = String::from_utf8(started.stderr).unwrap();
    assert!(started.status.code() == Some(1) && printed.contains("--record.path"), "{printed}");
}
