//! Malicious bodies: each is refused for its reason, counted once, and changes no statistic.

use crate::refusals::assert_refused;
use crate::support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, post_bytes};

/// A message with these fields after its sender and group.
fn with(more: &str) -> String {
    format!(r#"{{"sendID":"u1","groupID":"g1"{more}}}"#)
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    with(&format!(r#","new":{}1{}"#, open.repeat(depth), close.repeat(depth)))
}

fn assert_each_refused(cases: &[(&str, Vec<u8>, &str, &str)]) {
    let exporter = Exporter::start(&[]);
    // A statistic that must not change.
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, with("")).text(), SUCCESS);
    for (what, body, reason, named) in cases {
        let bytes = post_bytes(GROUP_MESSAGE_PATH, "", body);
        let (_, detail) = assert_refused(&exporter, what, &bytes, 400, reason).refusal(400);
        assert!(detail.contains(named), "{what}: {detail}");
    }
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, with("")).text(), SUCCESS);
}

#[test]
fn more_than_64_levels_are_refused() {
    let exporter = Exporter::start(&[]);
    // The body is the first level.
    for body in [nested("[", "]", 63), nested(r#"{"a":"#, "}", 63), with(&format!(r#","ex":"{}""#, "[".repeat(1000)))] {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).text(), SUCCESS);
    }
    assert_each_refused(&[
        ("lists", nested("[", "]", 64).into(), "too_deep", "64"),
        ("objects", nested(r#"{"a":"#, "}", 64).into(), "too_deep", "64"),
        ("in a known field", with(&format!(r#","content":{}"#, "[".repeat(500_000))).into(), "too_deep", "at byte"),
        ("only brackets", "[".repeat(1_000_000).into(), "too_deep", "at byte 64"),
    ]);
}

#[test]
fn too_long_values_are_refused_with_the_field_and_the_limit() {
    let long = |field: &str, len: usize| format!(r#","{field}":"{}""#, "x".repeat(len));
    let message = |more: String| with(&more).into_bytes();
    let group = format!(r#"{{"sendID":"u1","groupID":"{}"}}"#, "群".repeat(2732));
    let sender = format!(r#"{{"sendID":"{}","groupID":"g1"}}"#, "x".repeat(500_000));
    let mention = format!(r#","atUserList":["a","{}"]"#, "x".repeat(8193));
    assert_each_refused(&[
        ("group", group.into(), "value_too_long", "groupID: invalid length 8196, expected at most 8192 bytes"),
        ("sender", sender.into(), "value_too_long", "sendID"),
        ("server's ID", message(long("serverMsgID", 8193)), "value_too_long", "serverMsgID"),
        ("operation", message(long("operationID", 8193)), "value_too_long", "operationID"),
        ("name", message(long("senderNickname", 16_385)), "value_too_long", "at most 16384 bytes"),
        ("mention", message(mention), "value_too_long", "atUserList"),
    ]);
}

#[test]
fn invalid_json_and_unicode_are_refused() {
    let message = |more: &str| with(more).into_bytes();
    let after = |start: &[u8]| [start, with("").as_bytes()].concat();
    let bytes = |text: &[u8]| [br#"{"sendID":"u1","groupID":"g1","ex":""#, text, br#""}"#].concat();
    let spaces = " ".repeat((1 << 20) - 1);
    assert_each_refused(&[
        ("a byte order mark", after(b"\xef\xbb\xbf"), "malformed_json", "line 1 column 1"),
        ("UTF-16", with("").encode_utf16().flat_map(u16::to_le_bytes).collect(), "malformed_json", "line 1 column"),
        ("a leading NUL", after(b"\0"), "malformed_json", "line 1 column 1"),
        ("NUL behind", [with("").as_bytes(), b"\0"].concat(), "malformed_json", "trailing"),
        ("NUL in a string", bytes(b"\0"), "malformed_json", "control character"),
        ("a cut-off character", bytes(b"\xe7\xbe"), "malformed_json", "not UTF-8"),
        ("an overlong character", bytes(b"\xc0\xaf"), "malformed_json", "not UTF-8"),
        ("a surrogate in UTF-8", bytes(b"\xed\xa0\x80"), "malformed_json", "not UTF-8"),
        ("only spaces", spaces.into_bytes(), "malformed_json", "EOF"),
        ("a lone surrogate in an ID", message(r#","recvID":"\ud800""#), "malformed_json", "hex escape"),
        ("two bodies", after(with("").as_bytes()), "malformed_json", "trailing"),
    ]);
    assert_each_refused(&[
        ("a lone surrogate", message(r#","ex":"\ud800""#), "out_of_range", "surrogate"),
        ("one in an unknown field", message(r#","new":{"a":["\udc00"]}"#), "out_of_range", "new"),
        ("half a pair", message(r#","content":"\ud83d\u0041""#), "out_of_range", "content"),
        ("the same field twice", message(r#","groupID":"g2""#), "wrong_type", "groupID"),
        ("the same field, escaped", message(r#","group\u0049D":"g2""#), "wrong_type", "groupID"),
        (
            "a number of a million digits",
            message(&format!(r#","seq":{}"#, "9".repeat(1_000_000))),
            "malformed_json",
            "",
        ),
        ("a number of 1,000 digits", message(&format!(r#","seq":{}"#, "9".repeat(1000))), "malformed_json", ""),
        ("a number of 300 digits", message(&format!(r#","seq":{}"#, "9".repeat(300))), "out_of_range", "seq"),
        ("a huge exponent", message(r#","sendTime":1e999999999"#), "malformed_json", "number out of range"),
        ("a large exponent", message(r#","sendTime":1e300"#), "out_of_range", "sendTime"),
    ]);
}

#[test]
fn unusual_valid_json_is_counted() {
    let exporter = Exporter::start(&[]);
    let spaced = format!("{}{}{}", " ".repeat(500_000), with(""), "\n".repeat(500_000));
    for body in [
        spaced,
        with(r#","ex":"\u0000""#),
        with(r#","new":1e999999999"#),
        with(r#","new":1,"new":2"#),
        with(r#","seq":-0"#),
        format!(r#"{{"send\u0049D":"u\u0031","groupID":"{}"}}"#, "g".repeat(8192)),
    ] {
        let before = exporter.scrape();
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, &body).text(), SUCCESS);
        let messages = "openim_group_messages_total";
        assert_eq!(exporter.scrape().sum(messages) - before.sum(messages), 1.0);
    }
}
