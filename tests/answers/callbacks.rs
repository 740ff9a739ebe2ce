//! The URLs and bodies with which OpenIM's versions send callbacks.

use openim_exporter::domain::Reason;

use crate::link::Answer;
use crate::versions::refusing;

/// What OpenIM does with the answer, as far as the exporter can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Obeyed. The URL says so, and the body is not read.
    Obeyed,
    /// Obeyed, and fields of the answer are copied from the body.
    Copied,
    /// Obeyed, and the body is read.
    ObeyedAndRead,
    /// Obeyed. Only the body has the command.
    ObeyedByBody,
    /// Ignored: the URL names an asynchronous callback, whose body is not read.
    Ignored,
    /// Ignored, and the body is read.
    Read,
}

/// A callback as a version of OpenIM sends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callback {
    /// With the query. Empty for a URL without a path.
    pub(crate) path: &'static str,
    /// The command in the body.
    pub(crate) command: &'static str,
    pub(crate) kind: Kind,
}

const fn callback(path: &'static str, command: &'static str, kind: Kind) -> Callback {
    Callback { path, command, kind }
}

const BEFORE: &str = "callbackBeforeSendGroupMsgCommand";

/// Every form in which a callback can arrive.
pub(crate) const CALLBACKS: [Callback; 31] = [
    callback("/callbackBeforeSendGroupMsgCommand", BEFORE, Kind::Obeyed),
    callback("/callbackExample/callbackBeforeSendGroupMsgCommand", BEFORE, Kind::Obeyed),
    callback("//callbackBeforeSendGroupMsgCommand", BEFORE, Kind::Obeyed),
    callback("/x/callback%42eforeSendGroupMsgCommand", BEFORE, Kind::Obeyed),
    callback("/callbackBeforeSetFriendRemark", "callbackBeforeSetFriendRemark", Kind::Obeyed),
    callback("/callbackBeforeTheFutureCommand", "callbackBeforeTheFutureCommand", Kind::Obeyed),
    callback("/x/callbackOfTheFutureCommand", "callbackOfTheFutureCommand", Kind::Obeyed),
    callback("/CallbackBeforeSetGroupMemberInfoCommand", "CallbackBeforeSetGroupMemberInfoCommand", Kind::Obeyed),
    // The names without "Before".
    callback("/x/callbackWordFilterCommand", "callbackWordFilterCommand", Kind::Obeyed),
    callback("/x/callbackMsgModifyCommand", "callbackMsgModifyCommand", Kind::Obeyed),
    callback("/x/callbackOnlinePushCommand", "callbackOnlinePushCommand", Kind::Obeyed),
    callback("/x/callbackOfflinePushCommand", "callbackOfflinePushCommand", Kind::Obeyed),
    callback("/x/callbackSuperGroupOnlinePushCommand", "callbackSuperGroupOnlinePushCommand", Kind::Obeyed),
    // Version 3.0 to 3.4.0.
    callback("/callback?command=callbackBeforeSendGroupMsgCommand", BEFORE, Kind::Obeyed),
    callback("/?command=callbackBeforeTheFutureCommand", "callbackBeforeTheFutureCommand", Kind::Obeyed),
    callback(
        "/x?command=CallbackBeforeSetGroupMemberInfoCommand",
        "CallbackBeforeSetGroupMemberInfoCommand",
        Kind::Obeyed,
    ),
    callback("/callbackBeforeSetGroupInfoCommand", "callbackBeforeSetGroupInfoCommand", Kind::Copied),
    callback("/x/callbackBeforeSetGroupInfoExCommand", "callbackBeforeSetGroupInfoExCommand", Kind::Copied),
    // Version 2.3.
    callback("", BEFORE, Kind::ObeyedByBody),
    callback("/", "callbackWordFilterCommand", Kind::ObeyedByBody),
    callback("/callback", "callbackOfflinePushCommand", Kind::ObeyedByBody),
    callback("/callback/", "callbackBeforeTheFuture", Kind::ObeyedByBody),
    // A query in the configured URL, to which the command is appended.
    callback("/callback?a=b?command=callbackBeforeSendGroupMsgCommand", BEFORE, Kind::ObeyedByBody),
    callback("/callback?a=b/callbackBeforeSendGroupMsgCommand", BEFORE, Kind::ObeyedByBody),
    // Before 3.7, their answers are obeyed after the action.
    callback("/callbackBeforeAfterMsgCommand", "callbackBeforeAfterMsgCommand", Kind::ObeyedAndRead),
    callback("/x/callbackAfterCreateGroupCommand", "callbackAfterCreateGroupCommand", Kind::ObeyedAndRead),
    // Version 3.0 to 3.4.0 with a URL that ends with a command.
    callback("/callbackAfterUserOnlineCommand?command=callbackBeforeSendGroupMsgCommand", BEFORE, Kind::ObeyedAndRead),
    callback("/x/CallbackUserKickOffCommand", "CallbackUserKickOffCommand", Kind::Ignored),
    callback("/x?command=callbackAfterSetFriendRemarkCommand", "callbackAfterSetFriendRemarkCommand", Kind::Ignored),
    callback("/callbackAfterSendGroupMsgCommand?key=e30%3D", "callbackAfterSendGroupMsgCommand", Kind::Read),
    callback("/?command=callbackAfterSendGroupMsgCommand", "callbackAfterSendGroupMsgCommand", Kind::Read),
];

impl Callback {
    pub(crate) fn body(self) -> Vec<u8> {
        let command = self.command;
        format!(r#"{{"callbackCommand":"{command}","operationID":"o","sendID":"u","groupID":"g"}}"#).into_bytes()
    }

    /// Whether an error in the body is found.
    pub(crate) fn reads_body(self) -> bool {
        matches!(self.kind, Kind::Copied | Kind::ObeyedAndRead | Kind::ObeyedByBody | Kind::Read)
    }

    pub(crate) fn is_obeyed(self) -> bool {
        !matches!(self.kind, Kind::Ignored | Kind::Read)
    }

    /// Checks a refusal of this callback that was sent after the command in its URL, if any, was known.
    pub(crate) fn check(self, what: &str, answer: &Answer, reason: Reason) {
        let what = format!("{what}: {self:?}");
        if self.is_obeyed() {
            check_obeyed(&what, answer, reason);
        } else {
            check_codes(&what, answer, reason, (1, reason.status()));
        }
    }
}

/// Checks a refusal that no version may take for one, but that says what is wrong.
pub(crate) fn check_obeyed(what: &str, answer: &Answer, reason: Reason) {
    check_codes(what, answer, reason, (0, 0));
    assert_eq!(refusing(&answer.body), <[&str; 0]>::default(), "{what}");
}

fn check_codes(what: &str, answer: &Answer, reason: Reason, (action_code, err_code): (i32, u16)) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, reason.status(), "{what}: {text}");
    let found: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{what}: {text}"));
    let (message, detail) = (reason.message(), found["errDlt"].as_str().unwrap_or_default());
    assert!(!detail.is_empty(), "{what}: {text}");
    let expected = serde_json::json!({
        "actionCode": action_code, "errCode": err_code, "errMsg": message, "errDlt": detail, "nextCode": 0
    });
    assert_eq!(found, expected, "{what}");
}
