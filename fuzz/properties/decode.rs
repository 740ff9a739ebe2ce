//! Decoding a callback's body. An accepted message has the values that another decoder reads, within the limits. The quick
//! decoder agrees with the full one. A refusal has an answer in JSON.

use openim_exporter::domain::{AnswerUse, Message};
use openim_exporter::wire::{self, DecoderComparison, Problem};
use serde_json::{Value, json};

/// Longest ID in bytes.
const LONGEST_ID: usize = 8 * 1024;

pub(crate) fn holds(body: &[u8]) {
    assert_ne!(wire::compare_decoders(body), DecoderComparison::Different);
    let command = wire::decode_command_name(body);
    let ids = |message: &Message<'_>| (message.group_id.unwrap().to_owned(), message.sender_id.to_owned());
    match wire::decode_group_message(body, |message| (agrees(message, body), ids(message))) {
        Ok(((), (group, sender))) => {
            assert!(command.is_ok(), "{command:?}");
            let again = json!({"sendID": sender, "groupID": group}).to_string();
            assert_eq!(wire::decode_group_message(again.as_bytes(), ids), Ok((group, sender)));
        }
        Err(problem) => check_refusal(&problem),
    }
    match command {
        Ok(command) => {
            if let Some(value) = reference(body) {
                assert_eq!(command, value["callbackCommand"].as_str().unwrap_or_default());
            }
        }
        Err(problem) => check_refusal(&problem),
    }
}

/// The body as `serde_json` reads it. `None` also for bodies with errors that do not matter here, for example a number out
/// of the range of `f64` in an unknown field.
fn reference(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

fn agrees(message: &Message<'_>, body: &[u8]) {
    let found = message.group_id.unwrap();
    assert!(!message.sender_id.is_empty() && !found.is_empty());
    for id in [message.sender_id, found, message.server_msg_id, message.operation_id] {
        assert!(id.len() <= LONGEST_ID);
    }
    let Some(value) = reference(body) else { return };
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let number = |field: &str| value[field].as_f64().unwrap_or_default();
    let group = if text("groupID").is_empty() { text("recvID") } else { text("groupID") };
    assert_eq!((found, message.sender_id), (group, text("sendID")));
    assert_eq!(message.server_msg_id, text("serverMsgID"));
    assert_eq!(message.content_bytes, text("content").len() as u64);
    assert!(message.operation_id.is_empty() || message.operation_id == text("operationID"));
    for (read, field) in
        [(message.content_type, "contentType"), (message.platform_id, "senderPlatformID"), (message.status, "status")]
    {
        assert_eq!(f64::from(read).to_bits(), (number(field) + 0.0).to_bits(), "{field}");
    }
    for (read, field) in [(message.send_time, "sendTime"), (message.create_time, "createTime")] {
        #[allow(clippy::cast_possible_truncation, reason = "larger ones are refused")]
        let integer = || value[field].as_f64().map(|float| float as i64);
        assert_eq!(read.map_or(0, |at| at.0), value[field].as_i64().or_else(integer).unwrap_or_default(), "{field}");
    }
    let list = value["atUserList"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_all = list.iter().filter(|entry| *entry == "AtAllTag").count();
    let of_nobody = list.iter().filter(|entry| entry.is_null() || *entry == "").count();
    let of_users = list.len() - of_all - of_nobody;
    assert_eq!((message.mentions.users as usize, message.mentions.all), (of_users, of_all > 0));
}

fn check_refusal(problem: &Problem) {
    assert!(!problem.detail.is_empty());
    let answer: Value =
        serde_json::from_str(&wire::refusal(400, "refused", &problem.detail, AnswerUse::Ignored)).unwrap();
    assert!(problem.detail.starts_with(answer["errDlt"].as_str().unwrap()));
}
