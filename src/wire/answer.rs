//! The answers to OpenIM.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::command::Command;
use super::decode::{Problem, decode_command_name, problem_of};
use super::verdict::UrlForm;
use crate::domain::AnswerUse;

/// The answer to an accepted callback. In all answers `nextCode` is 0: another value would stop the action of a
/// `callbackBefore...` command.
pub const SUCCESS: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// The longest `errDlt` in bytes, which may quote the request.
const MAX_DETAIL_BYTES: usize = 400;

/// The `errCode` of a refusal that OpenIM obeys: the first one that its documentation leaves to the servers behind it.
const REFUSED: u16 = 20_001;

/// The callback before a change of a group that can include more fields.
const SET_GROUP_INFO_EX: &str = "callbackBeforeSetGroupInfoExCommand";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    action_code: i32,
    err_code: u16,
    err_msg: &'a str,
    err_dlt: &'a str,
    next_code: i32,
}

/// The body of a refusal: `errMsg` is a short constant text, and `errDlt` the details. `actionCode` is 1 and `errCode`
/// the HTTP status, unless OpenIM may obey the answer: some versions take any code but 0 for a refusal of the user's
/// action.
#[must_use]
pub fn refusal(status: u16, message: &'static str, detail: &str, answer_use: AnswerUse) -> String {
    let detail = &detail[..detail.floor_char_boundary(MAX_DETAIL_BYTES)];
    let (action_code, err_code) = if answer_use == AnswerUse::Ignored { (1, status) } else { (0, 0) };
    let answer = Answer { action_code, err_code, err_msg: message, err_dlt: detail, next_code: 0 };
    // Serializing numbers and strings into memory does not fail.
    serde_json::to_string(&answer).unwrap_or_default()
}

/// The body of an answer with which all versions that have this form of URL refuse the user's action. `message` may be
/// shown to the user.
#[must_use]
pub fn obeyed_refusal(form: UrlForm, message: &str) -> String {
    // OpenIM 3.7 and newer refuse only if it is 0, and 2.3 only if it is not.
    let action_code = i32::from(form == UrlForm::Body);
    let answer = Answer { action_code, err_code: REFUSED, err_msg: message, err_dlt: "", next_code: 1 };
    // Serializing numbers and strings into memory does not fail.
    serde_json::to_string(&answer).unwrap_or_default()
}

/// The fields that OpenIM copies from the answer to `callbackBeforeSetGroupInfo(Ex)Command`, as they are in the
/// request.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupInfo<'a> {
    #[serde(borrow, rename = "groupID", skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    group_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "faceURL", skip_serializing_if = "Option::is_none")]
    face_url: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    introduction: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ex: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    need_verification: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    look_member_info: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    apply_member_friend: Option<&'a RawValue>,
}

/// The answer to an accepted callback whose answer is [`AnswerUse::Copied`]: a success, with the request's own fields.
///
/// # Errors
/// When the body is not a JSON object, or has a field twice.
pub fn echo(command: Command, body: &[u8]) -> Result<String, Problem> {
    // Checks everything that serde's derived code does not.
    decode_command_name(body)?;
    let mut info: GroupInfo<'_> = serde_json::from_slice(body).map_err(|error| problem_of(&error))?;
    if command.name() != Some(SET_GROUP_INFO_EX) {
        // In `callbackBeforeSetGroupInfoCommand`, these have values even if the user does not change them, and OpenIM
        // would apply them.
        (info.ex, info.need_verification) = (None, None);
        (info.look_member_info, info.apply_member_friend) = (None, None);
    }
    // Serializing raw values into memory does not fail.
    let fields = serde_json::to_string(&info).unwrap_or_default();
    Ok(match fields.strip_prefix('{') {
        Some(fields) if fields != "}" => format!("{},{fields}", SUCCESS.trim_end_matches('}')),
        _ => SUCCESS.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::verdict::{Judged, judge};

    #[test]
    fn a_refusal_is_valid_json_with_any_quoted_text() {
        let detail = "\"quoted\" \\ \n \u{0} \u{2028} \u{1f44b}".repeat(40);
        let body: serde_json::Value =
            serde_json::from_str(&refusal(400, "invalid field", &detail, AnswerUse::Ignored)).unwrap();
        assert_eq!(body["actionCode"], 1);
        assert_eq!(body["errCode"], 400);
        assert_eq!(body["errMsg"], "invalid field");
        assert!(detail.starts_with(body["errDlt"].as_str().unwrap()));
        assert_eq!(body["nextCode"], 0);
        assert_eq!(body.as_object().unwrap().len(), 5);
    }

    #[test]
    fn a_refusal_that_may_be_obeyed_has_no_code_but_0() {
        for answer_use in [AnswerUse::Obeyed, AnswerUse::Copied] {
            let expected = r#"{"actionCode":0,"errCode":0,"errMsg":"overloaded","errDlt":"try again","nextCode":0}"#;
            assert_eq!(refusal(503, "overloaded", "try again", answer_use), expected);
        }
    }

    #[test]
    fn a_refusal_to_be_obeyed_is_one_for_each_form_of_url() {
        for form in [UrlForm::Path, UrlForm::Query, UrlForm::Body] {
            assert_eq!(judge(obeyed_refusal(form, "\"no\"").as_bytes(), form), Judged::Refuses, "{form:?}");
        }
    }

    #[test]
    fn the_fields_that_openim_copies_are_echoed_as_they_are() {
        let body = br#"{"callbackCommand":"x","operationID":"","groupID":"g\u003c1","groupName":"Hikers 2","notification":"",
            "introduction":"","faceURL":null,"ex":"e","needVerification":0,"lookMemberInfo":2,"applyMemberFriend":null}"#;
        let echoed = |name: &str| echo(Command::from_name(name).unwrap(), body).unwrap();
        let begin = SUCCESS.trim_end_matches('}');
        let common = r#","groupID":"g\u003c1","groupName":"Hikers 2","introduction":"""#;
        assert_eq!(echoed("callbackBeforeSetGroupInfoCommand"), format!("{begin}{common}}}"));
        let with_ex = r#","ex":"e","needVerification":0,"lookMemberInfo":2"#;
        assert_eq!(echoed(SET_GROUP_INFO_EX), format!("{begin}{common}{with_ex}}}"));
        let absent = echo(Command::from_name(SET_GROUP_INFO_EX).unwrap(), br#"{"ex":null}"#);
        assert_eq!(absent.as_deref(), Ok(SUCCESS));
        for wrong in ["[]", "{", r#"{"groupID":"a","groupID":"b"}"#, ""] {
            assert!(echo(Command::from_name(SET_GROUP_INFO_EX).unwrap(), wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_success_has_the_same_five_fields_and_all_codes_are_0() {
        let body: serde_json::Value = serde_json::from_str(SUCCESS).unwrap();
        assert_eq!(body, serde_json::json!({"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}));
    }
}
