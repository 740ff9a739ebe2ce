//! What a record of a callback needs to know about its body: whether it is JSON, and which values are private.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::limits::{MAX_DEPTH, too_deep_at};

/// Fields with what people write to each other, in lower case: messages, requests to join or to become a friend, and
/// the names that they give each other. Up to 3.8.0, `secret` is OpenIM's own, in registrations.
const PRIVATE: [&str; 9] =
    ["content", "title", "desc", "reqmsg", "reqmessage", "handlemsg", "reason", "remark", "secret"];

/// How the names of fields with nicknames and with URLs of pictures end, in lower case.
const PRIVATE_ENDS: [&str; 2] = ["nickname", "faceurl"];

/// Whether a body is JSON in UTF-8 that other programs can read too: most limit the nesting.
#[must_use]
pub fn is_json(body: &[u8]) -> bool {
    // `IgnoredAny` does not check the UTF-8 of strings.
    simdutf8::basic::from_utf8(body)
        .is_ok_and(|text| too_deep_at(text, MAX_DEPTH).is_none() && serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Appends a body without its private values: messages, nicknames and the URLs of pictures, however deep they are in it.
/// Each is replaced by an empty string, or by `null` if it was not a string. The body must be JSON: in anything else,
/// private values may be missed.
pub fn append_without_content(body: &[u8], to: &mut Vec<u8>) {
    let mut rest = body;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let (before, string_on) = rest.split_at(quote);
        let (string, after) = string_on.split_at(string_len(string_on));
        to.extend_from_slice(before);
        to.extend_from_slice(string);
        rest = after;
        // A string before a colon is a field's name.
        if let Some(colon) = after.trim_ascii_start().strip_prefix(b":")
            && is_private(string)
        {
            let value = colon.trim_ascii_start();
            to.extend_from_slice(if value.starts_with(b"\"") { b":\"\"" } else { b":null" });
            rest = value.get(value_len(value)..).unwrap_or_default();
        }
    }
    to.extend_from_slice(rest);
}

/// Whether a field is private, by its name in quotes. Go's decoders ignore case, so an app's server may do so too.
fn is_private(quoted: &[u8]) -> bool {
    let name = if quoted.contains(&b'\\') {
        serde_json::from_slice::<String>(quoted).map(String::into_bytes).unwrap_or_default().into()
    } else {
        Cow::Borrowed(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
    };
    let ends_with = |end: &str| {
        let begin = name.len().checked_sub(end.len());
        begin.and_then(|begin| name.get(begin..)).is_some_and(|found| found.eq_ignore_ascii_case(end.as_bytes()))
    };
    PRIVATE.iter().any(|private| name.eq_ignore_ascii_case(private.as_bytes()))
        || PRIVATE_ENDS.into_iter().any(ends_with)
}

/// The length of the string at the beginning of some JSON, with its quotes.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// The length of the value at the beginning of some JSON.
fn value_len(json: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at += string_len(json.get(at..).unwrap_or_default());
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_content(body: &str) -> String {
        let mut left = Vec::new();
        append_without_content(body.as_bytes(), &mut left);
        String::from_utf8(left).unwrap()
    }

    #[test]
    fn only_private_values_are_left_out_and_the_rest_is_unchanged() {
        for (body, expected) in [
            (r#"{"content":"hi","sendID":"1"}"#, r#"{"content":"","sendID":"1"}"#),
            (r#"{"content" : "a \"b\" \\","x":1}"#, r#"{"content":"","x":1}"#),
            (r#"{"content":{"a":["}",{"b":"]"}]} , "x":1}"#, r#"{"content":null , "x":1}"#),
            (r#"{"content":12}"#, r#"{"content":null}"#),
            (r#"{"content":null,"contentType":101}"#, r#"{"content":null,"contentType":101}"#),
            (r#"[[{"a":{"senderNickname":"n","faceURL":"u"}}]]"#, r#"[[{"a":{"senderNickname":"","faceURL":""}}]]"#),
            (
                r#"{"nickName":"n","NICKNAME":"n","groupFaceURL":"u"}"#,
                r#"{"nickName":"","NICKNAME":"","groupFaceURL":""}"#,
            ),
            (r#"{"c\u006fntent":"hi"}"#, r#"{"c\u006fntent":""}"#),
            (r#"{"a":"content","b":"\"content\":\"x\""}"#, r#"{"a":"content","b":"\"content\":\"x\""}"#),
            (r#"{"a":["content","nickname"],"contents":"x"}"#, r#"{"a":["content","nickname"],"contents":"x"}"#),
            ("{}", "{}"),
            ("7", "7"),
        ] {
            assert_eq!(without_content(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_json_ends_too() {
        for body in
            ["\"", "{\"content\"", "{\"content\":", "{\"content\":\"x", "{\"content\":{\"", "\"\\", "{\"content\":]}"]
        {
            without_content(body);
        }
    }

    #[test]
    fn only_json_that_every_reader_takes_is_json() {
        for (body, expected) in [
            ("{}\n", true),
            (" [1.5e3,\"\\ud800\"] ", true),
            ("", false),
            ("{}{}", false),
            ("{\"a\":\"\n\"}", false),
            ("\u{feff}{}", false),
        ] {
            assert_eq!(is_json(body.as_bytes()), expected, "{body}");
        }
        assert!(!is_json(b"\"\xff\""));
        assert!(is_json(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes()));
        assert!(!is_json(format!("{}{}", "[".repeat(65), "]".repeat(65)).as_bytes()));
    }
}
