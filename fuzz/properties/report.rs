//! Decoding what a callback reports: the first byte chooses the command, and the rest is the body. What is counted agrees
//! with what another decoder reads. A refused body reports nothing.

use std::collections::BTreeMap;

use openim_exporter::domain::{Activity, COMMANDS, Event, Stage};
use openim_exporter::wire::{self, Report};
use serde_json::Value;
use serde_json::value::RawValue;

/// Longest ID in bytes.
const LONGEST_ID: usize = 8 * 1024;

pub(crate) fn holds(bytes: &[u8]) {
    let Some((number, body)) = bytes.split_first() else { return };
    let known = &COMMANDS[usize::from(*number) % COMMANDS.len()];
    let command = wire::Command::from_name(known.name).unwrap();
    let reference: Option<Value> = serde_json::from_slice(body).ok();
    let mut is_reported = false;
    let decoded = wire::decode_report(command, body, |report| {
        is_reported = true;
        if let Some(value) = &reference {
            agrees(&report, value);
        }
    });
    match decoded {
        Ok(()) => {}
        Err(problem) => assert!(!is_reported && !problem.detail.is_empty()),
    }
    // Fields are copied as they are, also numbers that fit into no type.
    if let Ok(answer) = wire::echo(command, body) {
        assert!(serde_json::from_str::<BTreeMap<String, &RawValue>>(&answer).is_ok());
    }
}

fn agrees(report: &Report<'_>, value: &Value) {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let length = |field: &str| value[field].as_array().map_or(0, Vec::len) as u64;
    match report {
        Report::Message(message) => {
            assert_eq!(message.sender_id, text("sendID"));
            assert!(!message.sender_id.is_empty() && message.sender_id.len() <= LONGEST_ID);
            if let Some(group) = message.group_id {
                let may_be_receiver = message.stage == Stage::Sent && text("groupID").is_empty();
                assert_eq!(group, text(if may_be_receiver { "recvID" } else { "groupID" }));
            }
        }
        Report::Event(Event::Activity(activity, count)) => {
            let field = match activity {
                Activity::UsersRegistered => "users",
                Activity::MembersJoined if length("memberList") == *count => "memberList",
                Activity::MembersRemoved => "kickedUserIDs",
                Activity::MembersInvited => "invitedUserIDs",
                Activity::FriendshipsStarted if length("friendUserIDs") == *count => "friendUserIDs",
                Activity::GroupPushes | Activity::SinglePushes => "userIDList",
                _ => return assert_eq!(*count, 1),
            };
            assert_eq!(*count, length(field));
        }
        Report::Event(Event::Attempt(attempt)) => {
            assert_eq!(attempt.sender_id, text("sendID"));
            assert_eq!(f64::from(attempt.content_type), value["contentType"].as_f64().unwrap_or_default() + 0.0);
        }
        Report::Event(Event::Dismissal(group)) => assert_eq!(*group, text("groupID")),
        Report::Event(Event::Read(_, Activity::SingleReads, count)) => {
            assert!([0, length("Seqs").max(length("seqs"))].contains(count));
        }
        Report::Event(Event::Read(_, _, count)) => assert!(*count <= 1),
        Report::Event(Event::Online(user) | Event::Offline(user)) => {
            assert_eq!(user.user_id, text("userID"));
            assert_eq!(f64::from(user.platform_id), value["platformID"].as_f64().unwrap_or_default() + 0.0);
        }
    }
}
