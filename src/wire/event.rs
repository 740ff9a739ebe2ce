//! Decoding what callbacks report.

use super::command::Command;
use super::decode::{
    Problem, decode_attempt, decode_group_message, decode_single_message, decode_stored_message, is_group_session,
    parse,
};
use super::field::{Length, Number, Skipped, Text};
use super::object::fields;
use crate::domain::{Activity, Chat, Event, Message, Presence, Subject};

/// What a callback reports.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// A message.
    Message(&'a Message<'a>),
    /// Something else.
    Event(Event<'a>),
}

fields! {
    /// Every field that callbacks without a message need. All of them are optional; unknown fields are ignored.
    rare struct Details {
        "callbackCommand" => _command: Skipped,
        "users" => users: Length,
        "kickedUserIDs" => removed: Length,
        "friendUserIDs" => friends: Length,
        "invitedUserIDs" => invited: Length,
        "memberList" => members: Length,
        "userIDList" => receivers: Length,
        // OpenIM itself writes it with a capital letter, its documentation with a small one.
        "Seqs" => read: Length,
        "seqs" => read_as_documented: Length,
        "conversationID" => conversation: Text<'a>,
        "groupID" => group: Text<'a>,
        "userID" => user: Text<'a>,
        "sendID" => sender: Text<'a>,
        "sessionType" => session_type: Number<i32>,
        // Of a conversation that was read, its type.
        "contentType" => content_type: Number<i32>,
        "platformID" => platform: Number<i32>,
    }
}

/// Decodes what a callback reports, and passes it to `count`, which is not called if nothing is counted except the
/// callback.
///
/// # Errors
/// When the body is not a JSON object, a field has another type than OpenIM's, or a message has no sender or group.
pub fn decode_report(command: Command, body: &[u8], count: impl FnOnce(Report<'_>)) -> Result<(), Problem> {
    match command.subject() {
        Subject::Nothing => Ok(()),
        Subject::Sent(Chat::Group) => decode_group_message(body, |message| count(Report::Message(message))),
        Subject::Sent(Chat::Single) => decode_single_message(body, |message| count(Report::Message(message))),
        Subject::Attempted(chat) => decode_attempt(body, chat, |attempt| count(Report::Event(Event::Attempt(attempt)))),
        Subject::Stored => decode_stored_message(body, |message| count(Report::Message(message))),
        subject => {
            let details: Details<'_> = parse(body)?;
            if let Some(event) = details.event(subject) {
                count(Report::Event(event));
            }
            Ok(())
        }
    }
}

impl Details<'_> {
    /// What a callback about this subject reports, except messages.
    fn event(&self, subject: Subject) -> Option<Event<'_>> {
        let each = |activity, list: &Length| Some(Event::Activity(activity, list.0));
        match subject {
            Subject::Nothing | Subject::Sent(_) | Subject::Attempted(_) | Subject::Stored => None,
            Subject::Once(activity) => Some(Event::Activity(activity, 1)),
            Subject::Registration => each(Activity::UsersRegistered, &self.users),
            Subject::Join => each(Activity::MembersJoined, &self.members),
            Subject::Removal => each(Activity::MembersRemoved, &self.removed),
            Subject::Invitation => each(Activity::MembersInvited, &self.invited),
            Subject::FriendImport => each(Activity::FriendshipsStarted, &self.friends),
            Subject::Dismissal => Some(Event::Dismissal(&self.group.0)),
            Subject::Revocation => Some(match chat_of_conversation(&self.conversation.0)? {
                Chat::Group => Event::Activity(Activity::GroupRevocations, 1),
                Chat::Single => Event::Activity(Activity::SingleRevocations, 1),
            }),
            // Before 3.7, OpenIM also sends this for other conversations, without the number of messages.
            Subject::GroupRead => {
                let count = u64::from(is_group_session(self.content_type.0, "any"));
                Some(Event::Read(&self.sender.0, Activity::GroupReads, count))
            }
            // OpenIM also sends this for conversations of other types.
            Subject::Read => Some(match chat_of_conversation(&self.conversation.0) {
                Some(Chat::Group) => Event::Read(&self.user.0, Activity::GroupReads, 1),
                Some(Chat::Single) => {
                    let count = self.read.0.max(self.read_as_documented.0);
                    Event::Read(&self.user.0, Activity::SingleReads, count)
                }
                None => Event::Read(&self.user.0, Activity::SingleReads, 0),
            }),
            Subject::OfflinePush if is_group_session(self.session_type.0, &self.group.0) => {
                each(Activity::GroupPushes, &self.receivers)
            }
            Subject::OfflinePush => each(Activity::SinglePushes, &self.receivers),
            Subject::Online => Some(Event::Online(self.presence())),
            Subject::Offline => Some(Event::Offline(self.presence())),
        }
    }

    fn presence(&self) -> Presence<'_> {
        Presence { user_id: &self.user.0, platform_id: self.platform.0 }
    }
}

/// The chat that a conversation belongs to, by the beginning of its ID: `sg_` or, before OpenIM 3, `g_` for a group.
/// `None` for system notifications, whose IDs begin with `sn_` or `n_`.
fn chat_of_conversation(conversation: &str) -> Option<Chat> {
    let (kind, _) = conversation.split_once('_').unwrap_or_default();
    match kind {
        "sg" | "g" => Some(Chat::Group),
        "sn" | "n" => None,
        _ => Some(Chat::Single),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body reports, as text.
    fn reported(command: &str, body: &str) -> Result<String, Problem> {
        let mut found = String::new();
        let command = Command::from_name(command).unwrap();
        decode_report(command, body.as_bytes(), |report| found = format!("{report:?}")).map(|()| found)
    }

    fn expected(event: Event<'_>) -> Result<String, Problem> {
        Ok(format!("{:?}", Report::Event(event)))
    }

    #[test]
    fn a_conversation_is_recognized_by_its_id() {
        for (id, chat) in [
            ("sg_1", Some(Chat::Group)),
            ("g_1", Some(Chat::Group)),
            ("si_1_2", Some(Chat::Single)),
            ("single_1_2", Some(Chat::Single)),
            ("", Some(Chat::Single)),
            ("sn_1_2", None),
            ("n_1_2", None),
        ] {
            assert_eq!(chat_of_conversation(id), chat, "{id}");
        }
    }

    #[test]
    fn lists_may_be_null_or_absent_and_must_be_lists() {
        let read = "callbackAfterSingleMsgReadCommand";
        let reads = |activity, count| expected(Event::Read("2", activity, count));
        for (body, event) in [
            (r#"{"userID":"2","conversationID":"si_1_2","Seqs":null}"#, reads(Activity::SingleReads, 0)),
            (r#"{"userID":"2","conversationID":"si_1_2"}"#, reads(Activity::SingleReads, 0)),
            (r#"{"userID":"2","conversationID":"si_1_2","Seqs":[4,5,6]}"#, reads(Activity::SingleReads, 3)),
            (r#"{"userID":"2","conversationID":"si_1_2","seqs":[4,5]}"#, reads(Activity::SingleReads, 2)),
            (r#"{"userID":"2","conversationID":"sg_1","Seqs":[4,5]}"#, reads(Activity::GroupReads, 1)),
            (r#"{"userID":"2","conversationID":"sn_1","Seqs":[4,5]}"#, reads(Activity::SingleReads, 0)),
        ] {
            assert_eq!(reported(read, body), event, "{body}");
        }
        for wrong in [r#"{"Seqs":3}"#, r#"{"Seqs":"a"}"#, r#"{"Seqs":{}}"#, "[]", "{", ""] {
            assert!(reported(read, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_conversation_that_was_read_is_a_group_unless_its_type_says_otherwise() {
        for (content_type, count) in
            [("", 1), (",\"contentType\":3", 1), (",\"contentType\":1", 0), (",\"contentType\":4", 0)]
        {
            let body = format!(r#"{{"sendID":"2"{content_type}}}"#);
            let found = reported("callbackGroupMsgReadCommand", &body);
            assert_eq!(found, expected(Event::Read("2", Activity::GroupReads, count)), "{body}");
        }
    }

    #[test]
    fn a_stored_message_is_of_a_group_or_single_and_a_notification_is_neither() {
        for (body, group) in [
            (r#"{"sendID":"1","sessionType":3,"groupID":"g","recvID":""}"#, Some(r#"Some("g")"#)),
            (r#"{"sendID":"1","groupID":"g"}"#, Some(r#"Some("g")"#)),
            (r#"{"sendID":"1","sessionType":1,"recvID":"2","groupID":""}"#, Some("None")),
            (r#"{"sendID":"1","recvID":"2"}"#, Some("None")),
            (r#"{"sendID":"1","sessionType":4,"recvID":"2"}"#, None),
        ] {
            let found = reported("callbackAfterMsgSaveDBCommand", body).unwrap();
            assert_eq!(found.is_empty(), group.is_none(), "{body}");
            assert!(group.is_none_or(|group| found.contains(&format!("group_id: {group}, stage: Stored"))), "{found}");
        }
        for wrong in [r#"{"sessionType":4"#, r#"{"recvID":"2"}"#, r#"{"sendID":"1","sessionType":3,"recvID":"g"}"#] {
            assert!(reported("callbackAfterMsgSaveDBCommand", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_single_message_needs_no_receiver() {
        let found = reported("callbackAfterSendSingleMsgCommand", r#"{"sendID":"1","groupID":"g"}"#).unwrap();
        assert!(found.contains("group_id: None, stage: Sent"), "{found}");
    }
}
