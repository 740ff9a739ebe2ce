//! Decoding the callbacks that report something other than a group message.

use super::command::Command;
use super::decode::{Problem, parse};
use super::field::{Length, Number, Text};
use super::object::fields;
use crate::domain::{Activity, Chat, Event, Subject};

fields! {
    /// Every field that some of these callbacks need. All of them are optional; unknown fields are ignored.
    rare struct Details {
        "users" => users: Length,
        "kickedUserIDs" => removed: Length,
        "friendUserIDs" => friends: Length,
        "invitedUserIDs" => invited: Length,
        "memberList" => members: Length,
        "membersID" => dismissed: Length,
        "userIDList" => receivers: Length,
        // OpenIM itself writes it with a capital letter.
        "Seqs" => read: Length,
        "conversationID" => conversation: Text<'a>,
        "groupID" => group: Text<'a>,
        "sessionType" => session_type: Number<i32>,
        "platformID" => platform: Number<i32>,
    }
}

/// What a callback reports; `None` if nothing is counted except the callback.
///
/// # Errors
/// When the body is not a JSON object, or a field has another type than OpenIM's.
pub fn decode_event(command: Command, body: &[u8]) -> Result<Option<Event>, Problem> {
    let subject = command.subject();
    if matches!(subject, Subject::Nothing | Subject::GroupMessage) {
        return Ok(None);
    }
    let details: Details<'_> = parse(body)?;
    let each = |activity, list: &Length| Some(Event::Activity(activity, list.0));
    let in_chat =
        |chat, group, single, count| Some(Event::Activity(if chat == Chat::Group { group } else { single }, count));
    Ok(match subject {
        Subject::Nothing | Subject::GroupMessage => None,
        Subject::Once(activity) => Some(Event::Activity(activity, 1)),
        Subject::Registration => each(Activity::UsersRegistered, &details.users),
        Subject::Join => each(Activity::MembersJoined, &details.members),
        Subject::Removal => each(Activity::MembersRemoved, &details.removed),
        Subject::Invitation => each(Activity::MembersInvited, &details.invited),
        Subject::FriendImport => each(Activity::FriendshipsStarted, &details.friends),
        // OpenIM may report a dismissal a second time, then without members.
        Subject::Dismissal => Some(Event::Activity(Activity::GroupsDismissed, u64::from(details.dismissed.0 > 0))),
        Subject::Revocation => {
            let chat = chat_of_conversation(&details.conversation.0);
            in_chat(chat, Activity::GroupRevocations, Activity::SingleRevocations, 1)
        }
        // OpenIM also sends this for group conversations.
        Subject::Read => {
            let chat = chat_of_conversation(&details.conversation.0);
            let count = if chat == Chat::Group { 1 } else { details.read.0 };
            in_chat(chat, Activity::GroupReads, Activity::SingleReads, count)
        }
        Subject::OfflinePush => {
            let chat = chat_of_session(details.session_type.0, &details.group.0);
            in_chat(chat, Activity::GroupPushes, Activity::SinglePushes, details.receivers.0)
        }
        Subject::Offline => Some(Event::Disconnect(details.platform.0)),
    })
}

/// The chat that a conversation belongs to: its ID begins with `sg_` or, before OpenIM 3, `g_` for a group.
fn chat_of_conversation(conversation: &str) -> Chat {
    if conversation.starts_with("sg_") || conversation.starts_with("g_") { Chat::Group } else { Chat::Single }
}

/// The chat of a message with this `sessionType`: 2 or 3 for a group. Some versions do not report it for pushes.
fn chat_of_session(session_type: i32, group: &str) -> Chat {
    if matches!(session_type, 2 | 3) || !group.is_empty() { Chat::Group } else { Chat::Single }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(command: &str, body: &str) -> Option<Event> {
        decode_event(Command::from_name(command).unwrap(), body.as_bytes()).unwrap()
    }

    #[test]
    fn a_group_conversation_is_recognized_by_its_id() {
        for (id, chat) in [("sg_1", Chat::Group), ("g_1", Chat::Group), ("si_1_2", Chat::Single), ("", Chat::Single)] {
            assert_eq!(chat_of_conversation(id), chat, "{id}");
        }
    }

    #[test]
    fn lists_may_be_null_or_absent_and_must_be_lists() {
        let read = "callbackAfterSingleMsgReadCommand";
        let reads = |count| Some(Event::Activity(Activity::SingleReads, count));
        assert_eq!(decoded(read, r#"{"conversationID":"si_1_2","Seqs":null}"#), reads(0));
        assert_eq!(decoded(read, r#"{"conversationID":"si_1_2"}"#), reads(0));
        assert_eq!(decoded(read, r#"{"conversationID":"si_1_2","Seqs":[4,5,6]}"#), reads(3));
        assert_eq!(
            decoded(read, r#"{"conversationID":"sg_1","Seqs":[4,5]}"#),
            Some(Event::Activity(Activity::GroupReads, 1))
        );
        for wrong in [r#"{"Seqs":3}"#, r#"{"Seqs":"a"}"#, r#"{"Seqs":{}}"#, "[]", "{", ""] {
            assert!(decode_event(Command::from_name(read).unwrap(), wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_second_report_of_a_dismissal_counts_nothing() {
        let dismissed = |members| {
            decoded("callbackAfterDisMissGroupCommand", &format!(r#"{{"groupID":"g","membersID":{members}}}"#))
        };
        assert_eq!(dismissed(r#"["1"]"#), Some(Event::Activity(Activity::GroupsDismissed, 1)));
        for second in ["[]", "null"] {
            assert_eq!(dismissed(second), Some(Event::Activity(Activity::GroupsDismissed, 0)));
        }
    }
}
