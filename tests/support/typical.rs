//! A typical message, for tests in which only the number of messages matters.

use openim_exporter::domain::{Mentions, Message, Source, Stage, UnixMillis};

/// A message that was sent just before `now`.
pub(crate) fn typical<'a>(group: &'a str, sender: &'a str, now: UnixMillis) -> Message<'a> {
    Message {
        group_id: Some(group),
        stage: Stage::Sent,
        sender_id: sender,
        content_type: 101,
        platform_id: 2,
        source: Source::User,
        status: 2,
        content_bytes: 20,
        mentions: Mentions { users: 1, all: false },
        server_msg_id: "",
        operation_id: "op",
        send_time: Some(UnixMillis(now.0 - 30)),
        create_time: Some(UnixMillis(now.0 - 40)),
    }
}
