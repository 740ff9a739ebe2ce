//! The record of a callback with any body: one line of JSON, which has the body as it came, or all of it but what is private.

use std::collections::BTreeMap;

use openim_exporter::config::RecordContent;
use openim_exporter::domain::UnixMillis;
use openim_exporter::record::{Record, line};
use openim_exporter::wire;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) fn holds(body: &[u8]) {
    let is_json = wire::is_json(body);
    // Any text can be in a URL and a command.
    let any = String::from_utf8_lossy(body);
    let record =
        Record { received: UnixMillis(1_795_897_041_067), path: &any, query: &any, command: &any, body, is_json };
    for content in RecordContent::ALL {
        let written = line(&record, content);
        let text = std::str::from_utf8(&written).unwrap();
        let text = text.strip_prefix('\n').and_then(|text| text.strip_suffix('\n')).unwrap();
        assert!(!text.contains(['\n', '\r']), "{text}");
        assert!(text.starts_with(r#"{"time":"2026-11-28T20:17:21.067Z","#), "{text}");
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
        let string = |field: &str| serde_json::from_str::<String>(fields[field].get()).unwrap();
        for field in ["path", "query", "command"] {
            assert_eq!(string(field), any);
        }
        let last = fields.keys().find(|field| ["body", "text", "bytes"].contains(&field.as_str())).unwrap();
        assert_eq!(fields.len(), 5);
        match (is_json, content) {
            (true, RecordContent::Full) => assert_eq!(fields["body"].get(), on_one_line(body)),
            (true, RecordContent::None) => check_private(body, fields["body"].get()),
            (false, RecordContent::Full) => assert_eq!(string("text"), any),
            (false, RecordContent::None) => {
                assert_eq!((last.as_str(), fields[last].get()), ("bytes", &*body.len().to_string()))
            }
        }
    }
}

fn on_one_line(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap().trim_matches([' ', '\t', '\n', '\r']);
    text.replace(['\n', '\r'], " ")
}

/// Compares what was left of a body with what another implementation leaves. Not of a body with a number or an escape that
/// the other one cannot hold.
fn check_private(body: &[u8], left: &str) {
    let Ok(mut expected) = serde_json::from_slice::<Value>(body) else { return };
    leave_out(&mut expected);
    assert_eq!(serde_json::from_str::<Value>(left).unwrap(), expected);
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(leave_out),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| {
            if is_private(&name.to_ascii_lowercase()) {
                *value = if value.is_string() { "".into() } else { Value::Null };
            } else {
                leave_out(value);
            }
        }),
        _ => {}
    }
}

fn is_private(name: &str) -> bool {
    let names = ["content", "title", "desc", "reqmsg", "reqmessage", "handlemsg", "reason", "remark", "secret"];
    names.contains(&name) || name.ends_with("nickname") || name.ends_with("faceurl")
}
