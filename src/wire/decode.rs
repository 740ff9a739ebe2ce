//! Decoding a callback's body into a checked [`Message`].

use std::borrow::Cow;

use super::field::{ErrorContext, Measured, MentionList, Number, Plain, Skipped, Text};
use super::limits::{MAX_DEPTH, MAX_NAME_BYTES, too_deep_at};
use super::object::{Fill, fields};
use crate::domain::Reason;
use crate::domain::{Attempt, Chat, Message, Source, Stage, UnixMillis};

fields! {
    /// Every documented field of the callback. All of them are optional; unknown fields are ignored.
    struct Fields {
        "sendID" => send_id: Text<'a>,
        "callbackCommand" => _callback_command: Skipped,
        "serverMsgID" => server_msg_id: Text<'a>,
        "clientMsgID" => _client_msg_id: Skipped,
        "operationID" => operation_id: Plain<'a>,
        "senderPlatformID" => sender_platform_id: Number<i32>,
        "senderNickname" => _sender_nickname: Skipped<MAX_NAME_BYTES>,
        "sessionType" => session_type: Number<i32>,
        "msgFrom" => msg_from: Number<i32>,
        "contentType" => content_type: Number<i32>,
        "status" => status: Number<i32>,
        "sendTime" => send_time: Number<i64>,
        "createTime" => create_time: Number<i64>,
        "content" => content: Measured,
        "seq" => _seq: Number<u32>,
        "atUserList" => at_user_list: MentionList,
        "faceURL" => _face_url: Skipped<MAX_NAME_BYTES>,
        // The app's own, limited only by the body.
        "ex" => _ex: Skipped<{ usize::MAX }>,
        "groupID" => group_id: Text<'a>,
        "recvID" => recv_id: Text<'a>,
    }
}

fields! {
    /// The only field that is needed if the URL does not name the command.
    struct CommandOnly {
        "callbackCommand" => callback_command: Text<'a>,
    }
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// What is wrong, and where.
    pub detail: String,
}

impl Problem {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Decodes a group message that was sent, and passes it to `count`.
///
/// # Errors
/// When the body is not a group message; then `count` is not called.
pub fn decode_group_message<R>(body: &[u8], count: impl FnOnce(&Message<'_>) -> R) -> Result<R, Problem> {
    let fields: Fields<'_> = parse(body)?;
    let group = if fields.group_id.0.is_empty() { &fields.recv_id.0 } else { &fields.group_id.0 };
    Ok(count(&fields.message(Some(group), Stage::Sent)?))
}

/// The same for a message that was sent to a user.
pub(super) fn decode_single_message<R>(body: &[u8], count: impl FnOnce(&Message<'_>) -> R) -> Result<R, Problem> {
    let fields: Fields<'_> = parse(body)?;
    Ok(count(&fields.message(None, Stage::Sent)?))
}

/// Decodes a message that is to be sent, and passes it to `count`. Its body has the same fields.
pub(super) fn decode_attempt(body: &[u8], chat: Chat, count: impl FnOnce(Attempt<'_>)) -> Result<(), Problem> {
    let fields: Fields<'_> = parse(body)?;
    count(Attempt { chat, sender_id: &fields.send_id.0, content_type: fields.content_type.0 });
    Ok(())
}

/// Decodes a message that was stored, and passes it to `count`. Does not call `count` for a system notification, which
/// belongs neither to a group nor to two users.
pub(super) fn decode_stored_message(body: &[u8], count: impl FnOnce(&Message<'_>)) -> Result<(), Problem> {
    let fields: Fields<'_> = parse(body)?;
    let group = &*fields.group_id.0;
    let group = match fields.session_type.0 {
        NOTIFICATION_SESSION => return Ok(()),
        session if is_group_session(session, group) => Some(group),
        _ => None,
    };
    count(&fields.message(group, Stage::Stored)?);
    Ok(())
}

/// The `sessionType` of a conversation for system notifications.
pub(super) const NOTIFICATION_SESSION: i32 = 4;

/// Whether a message with this `sessionType` and `groupID` is for a group. Some versions do not report the type.
pub(super) fn is_group_session(session_type: i32, group: &str) -> bool {
    match session_type {
        2 | 3 => true,
        1 | NOTIFICATION_SESSION => false,
        _ => !group.is_empty(),
    }
}

impl Fields<'_> {
    /// The message, if it has a sender and, for a group, its ID.
    fn message<'s>(&'s self, group_id: Option<&'s str>, stage: Stage) -> Result<Message<'s>, Problem> {
        if self.send_id.0.is_empty() {
            return Err(Problem::new(Reason::MissingSender, "sendID is absent or empty; a message needs its sender"));
        }
        if group_id.is_some_and(str::is_empty) {
            let detail = match stage {
                Stage::Sent => "groupID and recvID are absent or empty; a message needs its group in one of them",
                Stage::Stored => "groupID is absent or empty; a message with sessionType 2 or 3 needs its group",
            };
            return Err(Problem::new(Reason::MissingGroup, detail));
        }
        let time = |millis: &Number<i64>| (millis.0 != 0).then_some(UnixMillis(millis.0));
        Ok(Message {
            group_id,
            stage,
            sender_id: &self.send_id.0,
            content_type: self.content_type.0,
            platform_id: self.sender_platform_id.0,
            source: Source::from_code(self.msg_from.0),
            status: self.status.0,
            content_bytes: self.content.0,
            mentions: self.at_user_list.0,
            server_msg_id: &self.server_msg_id.0,
            operation_id: self.operation_id.0,
            send_time: time(&self.send_time),
            create_time: time(&self.create_time),
        })
    }
}

/// Decodes the name of the command in a body; empty if it is absent.
///
/// # Errors
/// When the body is not a JSON object, or its `callbackCommand` is not a string.
pub fn decode_command_name(body: &[u8]) -> Result<Cow<'_, str>, Problem> {
    parse::<CommandOnly<'_>>(body).map(|fields| fields.callback_command.0)
}

/// How the results of the quick and the full decoder compare.
#[cfg(feature = "fuzzing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderComparison {
    /// The quick decoder does not support the body.
    Unsupported,
    /// Both read the same.
    Equal,
    /// The full decoder reads something else, or refuses the body: a defect.
    Different,
}

/// Decodes a body with both decoders and compares the results.
#[cfg(feature = "fuzzing")]
#[must_use]
pub fn compare_decoders(body: &[u8]) -> DecoderComparison {
    match std::str::from_utf8(body).ok().and_then(|text| Some((text, Fields::quick(text)?))) {
        None => DecoderComparison::Unsupported,
        Some((text, fields)) if parse_any_json(text).as_ref() == Ok(&fields) => DecoderComparison::Equal,
        Some(_) => DecoderComparison::Different,
    }
}

pub(super) fn parse<'a, T: Fill<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    if body.is_empty() {
        return Err(Problem::new(Reason::EmptyBody, "the body is empty; a JSON object is expected"));
    }
    // Faster for the whole body at once than for each string, and includes ignored fields.
    let text = simdutf8::basic::from_utf8(body).map_err(|_| not_utf8(body))?;
    T::quick(text).map_or_else(|| parse_any_json(text), Ok)
}

/// Decodes any JSON with `serde_json`, which determines what is refused.
fn parse_any_json<'a, T: Fill<'a>>(text: &'a str) -> Result<T, Problem> {
    if let Some(at) = too_deep_at(text, MAX_DEPTH) {
        return Err(Problem::new(Reason::TooDeep, format!("nesting exceeds {MAX_DEPTH} levels at byte {at}")));
    }
    let mut value = T::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let context = ErrorContext::new();
    match value.fill_from(&mut json, &context).and_then(|()| json.end()) {
        Ok(()) => Ok(value),
        Err(error) => Err(problem_from(&error, context)),
    }
}

#[cold]
fn not_utf8(body: &[u8]) -> Problem {
    let at = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
    Problem::new(Reason::MalformedJson, format!("the body is not UTF-8 at byte {at}"))
}

/// What is wrong with a body, where only `serde` knows it.
pub(super) fn problem_of(error: &serde_json::Error) -> Problem {
    problem_from(error, ErrorContext::new())
}

#[cold]
fn problem_from(error: &serde_json::Error, context: ErrorContext) -> Problem {
    if !error.is_data() {
        return Problem::new(Reason::MalformedJson, error.to_string());
    }
    let (reason, field) = context.into_parts();
    Problem::new(reason, if field.is_empty() { error.to_string() } else { format!("{field}: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Mentions;

    fn problem(body: &[u8]) -> Problem {
        decode_group_message(body, |_| ()).unwrap_err()
    }

    #[test]
    fn every_field_that_is_used_is_decoded() {
        let body = br#"{"sendID":"u1","callbackCommand":"callbackAfterSendGroupMsgCommand","operationID":"op-1","senderPlatformID":2,
            "sessionType":3,"msgFrom":100,"contentType":101,"status":2,"sendTime":1732345678901,"createTime":1732345678700,
            "content":"{\"content\":\"hi\"}","seq":0,"atUserList":["AtAllTag","u2"],"groupID":"g1","recvID":"u9"}"#;
        let expected = Message {
            group_id: Some("g1"),
            stage: Stage::Sent,
            sender_id: "u1",
            content_type: 101,
            platform_id: 2,
            source: Source::User,
            status: 2,
            content_bytes: 16,
            mentions: Mentions { users: 1, all: true },
            server_msg_id: "",
            operation_id: "op-1",
            send_time: Some(UnixMillis(1_732_345_678_901)),
            create_time: Some(UnixMillis(1_732_345_678_700)),
        };
        decode_group_message(body, |message| assert_eq!(*message, expected)).unwrap();
    }

    #[test]
    fn absent_null_and_empty_are_the_same() {
        for rest in
            ["", r#","content":null,"atUserList":null,"sendTime":null,"recvID":null"#, r#","sendTime":0,"content":"""#]
        {
            let body = format!(r#"{{"sendID":"u1","groupID":"g1"{rest}}}"#);
            decode_group_message(body.as_bytes(), |message| {
                assert_eq!((message.content_bytes, message.send_time), (0, None));
                assert_eq!(message.mentions, Mentions::default());
            })
            .unwrap();
        }
    }

    #[test]
    fn the_group_is_the_receiver_if_there_is_no_group() {
        for group in [r#""recvID":"r1""#, r#""groupID":"","recvID":"r1""#, r#""groupID":null,"recvID":"r1""#] {
            let body = format!(r#"{{"sendID":"u1",{group}}}"#);
            decode_group_message(body.as_bytes(), |message| assert_eq!(message.group_id, Some("r1"))).unwrap();
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_the_position() {
        let wrong_type = problem(br#"{"sendID":"u1","groupID":"g1","contentType":"text"}"#);
        assert_eq!(wrong_type.reason, Reason::WrongType);
        assert!(wrong_type.detail.starts_with("contentType: invalid type: string \"text\""), "{}", wrong_type.detail);
        assert!(wrong_type.detail.ends_with("at line 1 column 50"), "{}", wrong_type.detail);
        let too_large = problem(br#"{"sendID":"u1","groupID":"g1","sendTime":99999999999999999999}"#);
        assert_eq!(too_large.reason, Reason::OutOfRange);
        assert!(too_large.detail.starts_with("sendTime: invalid value"), "{}", too_large.detail);
        let in_list = problem(br#"{"sendID":"u1","atUserList":["a",2]}"#);
        assert!(in_list.detail.starts_with("atUserList[1]: invalid type: integer `2`"), "{}", in_list.detail);
        let unknown = problem(br#"{"sendID":"u1","n\u0065w":["\udc00"]}"#);
        assert!(unknown.detail.starts_with("new: invalid value"), "{}", unknown.detail);
        let twice = problem(br#"{"sendID":"u1","sendID":"u2"}"#);
        assert!(twice.detail.starts_with("duplicate field `sendID`"), "{}", twice.detail);
    }

    #[test]
    fn each_problem_has_its_reason() {
        let cases: [(&[u8], Reason); 17] = [
            (b"", Reason::EmptyBody),
            (b" ", Reason::MalformedJson),
            (b"{", Reason::MalformedJson),
            (br#"{"sendID":"u1"}x"#, Reason::MalformedJson),
            (b"{\"sendID\":\"u\xff\"}", Reason::MalformedJson),
            (b"{\"new\":\"\xff\"}", Reason::MalformedJson),
            (br#"{"sendID":"\ud800"}"#, Reason::MalformedJson),
            (br#"["sendID"]"#, Reason::WrongType),
            (b"null", Reason::WrongType),
            (br#"{"sendID":"u1","sendID":"u2","groupID":"g"}"#, Reason::WrongType),
            (br#"{"sendID":"u1","groupID":"g","content":1}"#, Reason::WrongType),
            (br#"{"sendID":"u1","groupID":"g","seq":-1}"#, Reason::OutOfRange),
            (br#"{"sendID":"u1","groupID":"g","ex":"\ud800"}"#, Reason::OutOfRange),
            (br#"{"sendID":"u1","groupID":"g","operationID":"\ud800"}"#, Reason::OutOfRange),
            (br#"{"sendID":"u1","groupID":"g","new":[{"a":"\udc00"}]}"#, Reason::OutOfRange),
            (br#"{"sendID":"","groupID":"g"}"#, Reason::MissingSender),
            (br#"{"sendID":"u1","recvID":""}"#, Reason::MissingGroup),
        ];
        for (body, reason) in cases {
            assert_eq!(problem(body).reason, reason, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_value_over_its_limit_is_refused_with_the_limit() {
        let limits: [(&str, Option<usize>); 13] = [
            ("sendID", Some(8192)),
            ("callbackCommand", Some(8192)),
            ("serverMsgID", Some(8192)),
            ("clientMsgID", Some(8192)),
            ("operationID", Some(8192)),
            ("senderNickname", Some(16384)),
            ("content", None),
            ("atUserList", Some(8192)),
            ("faceURL", Some(16384)),
            ("ex", None),
            ("groupID", Some(8192)),
            ("recvID", Some(8192)),
            ("new", None),
        ];
        for (field, limit) in limits {
            let rest =
                ["sendID", "groupID"].map(|id| if id == field { String::new() } else { format!(r#","{id}":"i""#) });
            let list = if field == "atUserList" { ("[", "]") } else { ("", "") };
            let body = |text: String| format!(r#"{{"{field}":{}"{text}"{}{}}}"#, list.0, list.1, rest.concat());
            let decoded =
                |text: String| decode_group_message(body(text).as_bytes(), |_| ()).map_err(|problem| problem.reason);
            assert_eq!(decoded("x".repeat(limit.unwrap_or(100_000))), Ok(()), "{field}");
            if let Some(limit) = limit {
                assert_eq!(decoded("x".repeat(limit + 1)), Err(Reason::ValueTooLong), "{field}");
                let found = problem(body("x".repeat(limit + 1)).as_bytes()).detail;
                assert!(found.starts_with(field) && found.contains(&format!("at most {limit} bytes")), "{found}");
            }
        }
    }

    #[test]
    fn the_command_is_found_among_other_fields() {
        let command = |body: &'static str| decode_command_name(body.as_bytes()).map(Cow::into_owned);
        assert_eq!(command(r#"{"a":[1],"callbackCommand":"x"}"#), Ok("x".to_owned()));
        assert_eq!(command("{}"), Ok(String::new()));
        assert!(command("[]").is_err());
        assert!(command(r#"{"callbackCommand":5}"#).is_err());
    }
}
