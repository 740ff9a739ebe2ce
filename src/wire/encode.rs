//! Encoding callbacks as OpenIM's Go server does, and recognizing the answers that it accepts.

pub(crate) mod body;
mod content;

use std::io;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::ser::Formatter;

pub use content::{Content, Media, write_content};

/// The header with the body's operation ID.
pub const OPERATION_ID_HEADER: &str = "operationid";

/// The entry in the list of mentions for everyone.
pub const MENTION_OF_ALL: &str = "AtAllTag";

/// A callback that reports a message. The fields have OpenIM's order.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Callback<'a> {
    /// The sender.
    #[serde(rename = "sendID")]
    pub sender_id: &'a str,
    /// The callback's name, for example [`GROUP_MESSAGE`](crate::domain::GROUP_MESSAGE).
    #[serde(rename = "callbackCommand")]
    pub command: &'a str,
    /// The server's ID of the message, new for each send.
    #[serde(rename = "serverMsgID")]
    pub server_message_id: &'a str,
    /// The client's ID of the message, which stays the same when the client sends it again.
    #[serde(rename = "clientMsgID")]
    pub client_message_id: &'a str,
    /// The ID of the operation in OpenIM's logs.
    #[serde(rename = "operationID")]
    pub operation_id: &'a str,
    /// 0 for messages of the server itself.
    #[serde(rename = "senderPlatformID")]
    pub platform_id: i32,
    /// The sender's display name.
    #[serde(rename = "senderNickname")]
    pub nickname: &'a str,
    /// 3 for groups, 1 between two users.
    pub session_type: i32,
    /// 100 for a user, 200 for an administrator or the system.
    #[serde(rename = "msgFrom")]
    pub message_from: i32,
    /// The kind of message.
    pub content_type: i32,
    /// The message's status.
    pub status: i32,
    /// Milliseconds since the epoch.
    pub send_time: i64,
    /// Milliseconds since the epoch.
    pub create_time: i64,
    /// A string that usually contains JSON, see [`write_content`].
    pub content: &'a str,
    /// Always 0 in this callback.
    pub seq: u32,
    /// The mentions. An empty list is written as `null`, as Go does for a nil slice.
    #[serde(serialize_with = "null_if_empty")]
    pub at_user_list: &'a [&'a str],
    /// The URL of the sender's picture.
    #[serde(rename = "faceURL")]
    pub face_url: &'a str,
    /// The app's own data.
    pub ex: &'a str,
    /// The receiver of a message between two users. Left out if empty.
    #[serde(rename = "recvID", skip_serializing_if = "str::is_empty")]
    pub receiver_id: &'a str,
    /// The group. Left out if empty.
    #[serde(rename = "groupID", skip_serializing_if = "str::is_empty")]
    pub group_id: &'a str,
}

fn null_if_empty<S: Serializer>(list: &[&str], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_none() } else { list.serialize(serializer) }
}

/// Replaces `body` with the body of a callback, byte for byte as Go's `json.Encoder` writes it.
///
/// # Errors
/// None in practice: these types can always be serialized into memory.
pub fn encode(callback: &Callback<'_>, body: &mut Vec<u8>) -> serde_json::Result<()> {
    body.clear();
    callback.serialize(&mut serde_json::Serializer::with_formatter(&mut *body, GoFormatter))?;
    body.push(b'\n');
    Ok(())
}

/// The first bytes of characters that Go escapes: searching for bytes is faster than decoding characters. 0xE2 is the
/// first byte of the two line separators, and of characters that are not escaped.
const fn may_be_escaped(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'&' | 0xE2)
}

/// Compact JSON with Go's additional escapes, which make it safe in an HTML page or a script.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.bytes().position(may_be_escaped) {
            let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
            writer.write_all(plain.as_bytes())?;
            let mut characters = special.chars();
            match characters.next() {
                Some(character @ ('<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => {
                    write!(writer, "\\u{:04x}", u32::from(character))?;
                }
                Some(other) => writer.write_all(other.encode_utf8(&mut [0; 4]).as_bytes())?,
                None => {}
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Whether an answer accepts a callback: a JSON object with `actionCode` and `nextCode` 0.
///
/// OpenIM also accepts an answer without the codes. This does not, so that the `{}` of another server is not a success.
#[must_use]
pub fn is_success(answer: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Codes {
        action_code: i64,
        next_code: i64,
    }
    // A derived struct would also be read from an array.
    let is_object = answer.trim_ascii_start().starts_with(b"{");
    is_object
        && serde_json::from_slice::<Codes>(answer).is_ok_and(|codes| codes.action_code == 0 && codes.next_code == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that OpenIM 3.8.3 sent.
    const SAMPLE: &str = concat!(
        r#"{"sendID":"5318432619","callbackCommand":"callbackAfterSendGroupMsgCommand","#,
        r#""serverMsgID":"8a2f0c6b7d1e4f3a9b5c2d8e7f6a1b0c","clientMsgID":"c1d2e3f4a5b697887766554433221100","#,
        r#""operationID":"1732345678901234567","senderPlatformID":2,"senderNickname":"Mei","sessionType":3,"#,
        r#""msgFrom":100,"contentType":101,"status":1,"sendTime":1732345678901,"createTime":1732345678700,"#,
        r#""content":"{\"content\":\"see you at 8 \u003c3\"}","seq":0,"atUserList":null,"faceURL":"","ex":"","#,
        r#""groupID":"2478291056"}"#,
        "\n"
    );

    fn sample<'a>(content: &'a str, at_user_list: &'a [&'a str]) -> Callback<'a> {
        Callback {
            sender_id: "5318432619",
            command: crate::domain::GROUP_MESSAGE,
            server_message_id: "8a2f0c6b7d1e4f3a9b5c2d8e7f6a1b0c",
            client_message_id: "c1d2e3f4a5b697887766554433221100",
            operation_id: "1732345678901234567",
            platform_id: 2,
            nickname: "Mei",
            session_type: 3,
            message_from: 100,
            content_type: 101,
            status: 1,
            send_time: 1_732_345_678_901,
            create_time: 1_732_345_678_700,
            content,
            seq: 0,
            at_user_list,
            face_url: "",
            ex: "",
            receiver_id: "",
            group_id: "2478291056",
        }
    }

    fn encoded(content: &str, at_user_list: &[&str]) -> String {
        let mut body = b"left over".to_vec();
        encode(&sample(content, at_user_list), &mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_body_is_byte_for_byte_what_openim_sends() {
        let mut buffer = Vec::new();
        let content = write_content(&Content::Text("see you at 8 <3"), &mut buffer).unwrap();
        assert_eq!(encoded(content, &[]), SAMPLE);
    }

    #[test]
    fn html_is_escaped_as_in_go() {
        let body = encoded("<a>&\u{2028}\u{2029}\"\\\n李😀…€", &["AtAllTag", "1002"]);
        assert!(body.contains(r#""content":"\u003ca\u003e\u0026\u2028\u2029\"\\\n李😀…€""#), "{body}");
        assert!(body.contains(r#""atUserList":["AtAllTag","1002"]"#), "{body}");
    }

    #[test]
    fn only_an_object_with_both_codes_0_is_a_success() {
        assert!(is_success(br#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#));
        assert!(is_success(b" {\"nextCode\":0,\"actionCode\":0}\n"));
        let failures: [&[u8]; 8] = [
            b"",
            b"{}",
            b"[0,0]",
            b"null",
            br#"{"actionCode":1,"nextCode":0}"#,
            br#"{"actionCode":0,"nextCode":1}"#,
            br#"{"actionCode":"0","nextCode":0}"#,
            br#"{"actionCode":0,"nextCode":0"#,
        ];
        for answer in failures {
            assert!(!is_success(answer), "{}", String::from_utf8_lossy(answer));
        }
    }
}
