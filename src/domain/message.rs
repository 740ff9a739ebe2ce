//! A checked message: what the statistics may rely on.

use super::event::Chat;
use super::time::UnixMillis;
use crate::named::named;

/// A message, as a callback reported it. Only `wire` makes one, from a valid callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The group; `None` for a message between two users. Never empty.
    pub group_id: Option<&'a str>,
    /// When OpenIM reported it.
    pub stage: Stage,
    /// The sender. Never empty.
    pub sender_id: &'a str,
    /// OpenIM's content type; 0 if absent.
    pub content_type: i32,
    /// OpenIM's platform ID; 0 if absent.
    pub platform_id: i32,
    /// Who sent it: a user, an administrator, or something else.
    pub source: Source,
    /// OpenIM's message status; 0 if absent.
    pub status: i32,
    /// Length of the unescaped `content` in UTF-8 bytes.
    pub content_bytes: u64,
    /// Who is mentioned.
    pub mentions: Mentions,
    /// The server's ID of the message, with JSON's escapes: it is only compared. Empty if absent.
    pub server_msg_id: &'a str,
    /// The ID by which OpenIM's logs can be searched for the message; empty if absent.
    pub operation_id: &'a str,
    /// When it was sent, by the client's or the server's clock.
    pub send_time: Option<UnixMillis>,
    /// When it was created, by the client's clock.
    pub create_time: Option<UnixMillis>,
}

impl Message<'_> {
    /// Where it was sent.
    pub(crate) const fn chat(&self) -> Chat {
        if self.group_id.is_some() { Chat::Group } else { Chat::Single }
    }
}

#[cfg(test)]
impl<'a> Message<'a> {
    /// A text of one byte that a user sent to a group from iOS, without the optional fields.
    pub(crate) fn of(group_id: &'a str, sender_id: &'a str) -> Self {
        Message {
            group_id: Some(group_id),
            stage: Stage::Sent,
            sender_id,
            content_type: 101,
            platform_id: 1,
            source: Source::User,
            status: 2,
            content_bytes: 1,
            mentions: Mentions::default(),
            server_msg_id: "",
            operation_id: "",
            send_time: None,
            create_time: None,
        }
    }
}

/// When OpenIM reports a message. With both callbacks enabled, it reports each message twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// After it was accepted: the after-send callbacks.
    Sent,
    /// After it was stored: `callbackAfterMsgSaveDBCommand`.
    Stored,
}

named! {
    /// Which callbacks messages are counted from.
    pub enum MessageSource {
        /// For each kind of message, from the first callback that reports one.
        Auto = "auto",
        /// From `callbackAfterSendGroupMsgCommand` and `callbackAfterSendSingleMsgCommand`.
        AfterSend = "after-send",
        /// From `callbackAfterMsgSaveDBCommand`.
        AfterSave = "after-save",
    }
}

named! {
    /// Who sent a message: OpenIM's `msgFrom`.
    pub enum Source {
        /// An app user (100).
        User = "user",
        /// An administrator or the system, through the REST API (200).
        Admin = "admin",
        /// Another value, or none.
        Other = "other",
    }
}

impl Source {
    /// The source for a value of OpenIM's `msgFrom`.
    pub(crate) const fn from_code(msg_from: i32) -> Self {
        match msg_from {
            100 => Self::User,
            200 => Self::Admin,
            _ => Self::Other,
        }
    }
}

/// Who is mentioned in a message: OpenIM's `atUserList`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Number of entries that name a user.
    pub users: u32,
    /// Whether everyone is mentioned (`AtAllTag`).
    pub all: bool,
}
