//! What a callback is about, whatever its command: enough to keep its order and to filter it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a callback is about. Each part may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The group.
    pub group: Option<Cow<'a, str>>,
    /// The sender of a message, or another user.
    pub sender: Option<Cow<'a, str>>,
    /// The content type of a message.
    pub content_type: Option<i32>,
    /// The ID that OpenIM gave to a message.
    pub server_msg_id: Option<Cow<'a, str>>,
}

/// Reads what a callback is about. A field that has another type is absent, and so is everything if the body is not a
/// JSON object: such a callback is forwarded too.
#[must_use]
pub fn subject(body: &[u8]) -> Subject<'_> {
    serde_json::from_slice::<Lenient<'_>>(body).map(|lenient| lenient.0).unwrap_or_default()
}

/// Takes the first of several fields with the same name, and no empty IDs.
struct Lenient<'a>(Subject<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Lenient<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SubjectVisitor).map(Self)
    }
}

struct SubjectVisitor;

impl<'de> Visitor<'de> for SubjectVisitor {
    type Value = Subject<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Subject<'de>, A::Error> {
        let mut found = Subject::default();
        let mut user = None;
        while let Some(Name(name)) = object.next_key::<Name<'de>>()? {
            let id = match &*name {
                "groupID" => &mut found.group,
                "sendID" => &mut found.sender,
                "userID" => &mut user,
                "serverMsgID" => &mut found.server_msg_id,
                "contentType" => {
                    let value = object.next_value::<&RawValue>()?.get();
                    found.content_type = found.content_type.or_else(|| serde_json::from_str(value).ok());
                    continue;
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = object.next_value::<&RawValue>()?.get();
            if id.is_none() {
                *id = serde_json::from_str::<Name<'de>>(value).ok().map(|Name(id)| id).filter(|id| !id.is_empty());
            }
        }
        found.sender = found.sender.or(user);
        Ok(found)
    }
}

/// A string, without a copy if it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_found_and_may_be_absent() {
        let found = subject(
            br#"{"sendID":"u1","content":"{\"groupID\":\"no\"}","groupID":"g\u00311","contentType":101,"serverMsgID":"m"}"#,
        );
        assert_eq!((found.group.as_deref(), found.sender.as_deref()), (Some("g11"), Some("u1")));
        assert_eq!((found.content_type, found.server_msg_id.as_deref()), (Some(101), Some("m")));
        assert_eq!(subject(br#"{"userID":"u2"}"#).sender.as_deref(), Some("u2"));
        assert_eq!(subject(br#"{"userID":"u2","sendID":"u1"}"#).sender.as_deref(), Some("u1"));
        assert_eq!(subject(br#"{"groupID":"","sendID":null,"x":[{}]}"#), Subject::default());
    }

    #[test]
    fn wrong_types_are_absent_and_hide_nothing_else() {
        let found = subject(br#"{"groupID":7,"contentType":"text","sendID":"u1","sendID":"u2","serverMsgID":["m"]}"#);
        assert_eq!(found, Subject { sender: Some("u1".into()), ..Subject::default() });
        for body in ["", "[]", "null", "{", "\"groupID\"", "{\"groupID\":\"g\"", "\u{0}"] {
            assert_eq!(subject(body.as_bytes()), Subject::default(), "{body}");
        }
        assert_eq!(subject(b"{\"groupID\":\"\xff\"}"), Subject::default());
    }
}
