//! A group message, checked: what the statistics may rely on.

use super::UnixMillis;

/// One group message, as its callback reported it. Built only by `wire`, which refuses what is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The group: `groupID`, or `recvID` where that is absent or empty. Never empty.
    pub group_id: &'a str,
    /// The sender. Never empty.
    pub sender_id: &'a str,
    /// OpenIM's content type; 0 where the sender left it out.
    pub content_type: i32,
    /// OpenIM's platform ID; 0 where the sender left it out.
    pub platform_id: i32,
    /// Who sent it: a person, an administrator, or something else.
    pub source: Source,
    /// OpenIM's message status; 0 where the sender left it out.
    pub status: i32,
    /// Length of `content` in UTF-8 bytes, after JSON's escapes are undone.
    pub content_bytes: u64,
    /// Whom the message mentions.
    pub mentions: Mentions,
    /// What OpenIM's server calls it, new for each send; empty where the sender left it out. As it stands in the body: it
    /// is compared, never shown.
    pub server_msg_id: &'a str,
    /// What links it to OpenIM's logs; empty where the sender left it out.
    pub operation_id: &'a str,
    /// When it was sent, by the client's or the server's clock.
    pub send_time: Option<UnixMillis>,
    /// When it was made, by the client's clock.
    pub create_time: Option<UnixMillis>,
}

#[cfg(test)]
impl<'a> Message<'a> {
    /// A text of one byte from a person on iOS, with nothing that may be left out.
    pub(crate) fn of(group_id: &'a str, sender_id: &'a str) -> Self {
        Message {
            group_id,
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

/// Who a message came from: OpenIM's `msgFrom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An app user (100).
    User,
    /// An administrator or the system, through the REST API (200).
    Admin,
    /// Any other value, or none.
    Other,
}

impl Source {
    /// Every source, in the order of their indices.
    pub const ALL: [Self; 3] = [Self::User, Self::Admin, Self::Other];

    /// The source that OpenIM's `msgFrom` code stands for.
    #[must_use]
    pub const fn from_code(msg_from: i32) -> Self {
        match msg_from {
            100 => Self::User,
            200 => Self::Admin,
            _ => Self::Other,
        }
    }

    /// Position in [`Source::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::User => 0,
            Self::Admin => 1,
            Self::Other => 2,
        }
    }

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }
}

/// Whom a message mentions: OpenIM's `atUserList`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// How many entries name a user.
    pub users: u32,
    /// Whether the list holds `AtAllTag`, the mention of everyone.
    pub all: bool,
}
