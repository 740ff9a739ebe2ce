//! OpenIM's callbacks.

/// The command that reports a group message: the statistics count these.
pub const GROUP_MESSAGE: &str = "callbackAfterSendGroupMsgCommand";

/// What OpenIM does with the answer to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerUse {
    /// Nothing: the callback is asynchronous. Also for requests that are not callbacks.
    Ignored,
    /// Decides whether the user's action goes on.
    Obeyed,
    /// Decides whether the user's action goes on, and copies fields from the answer, even those that are absent.
    Copied,
}

/// A callback that some version of OpenIM sends.
#[derive(Clone, Copy, Debug)]
pub struct KnownCommand {
    /// Its name in that version.
    pub name: &'static str,
    /// What OpenIM does with the answer.
    pub answer_use: AnswerUse,
}

const fn ignored(name: &'static str) -> KnownCommand {
    KnownCommand { name, answer_use: AnswerUse::Ignored }
}

const fn obeyed(name: &'static str) -> KnownCommand {
    KnownCommand { name, answer_use: AnswerUse::Obeyed }
}

const fn copied(name: &'static str) -> KnownCommand {
    KnownCommand { name, answer_use: AnswerUse::Copied }
}

/// The commands of all versions of OpenIM, sorted by name; a command that was renamed has a row for each name. Source:
/// OpenIM's `pkg/callbackstruct/constant.go` at its tags, and the callers of these names.
pub const COMMANDS: &[KnownCommand] = &[
    obeyed("callbackAddMessageListReactionExtensionsCommand"),
    ignored("callbackAfterAddFriendAgreeCommand"),
    ignored("callbackAfterAddFriendCommand"),
    ignored("callbackAfterCreateGroupChatConversationsCommand"),
    ignored("callbackAfterCreateGroupCommand"),
    ignored("callbackAfterCreateSingleChatConversationsCommand"),
    ignored("callbackAfterDeleteFriendCommand"),
    ignored("callbackAfterDisMissGroupCommand"),
    ignored("callbackAfterGroupMsgReadCommand"),
    ignored("callbackAfterImportFriendsCommand"),
    ignored("callbackAfterJoinGroupCommand"),
    ignored("callbackAfterKickGroupCommand"),
    ignored("callbackAfterMsgSaveDBCommand"),
    ignored("callbackAfterQuitGroupCommand"),
    ignored("callbackAfterRemoveBlackCommand"),
    ignored(GROUP_MESSAGE),
    ignored("callbackAfterSendSingleMsgCommand"),
    ignored("callbackAfterSetFriendRemark"),
    ignored("callbackAfterSetFriendRemarkCommand"),
    ignored("callbackAfterSetGroupInfoCommand"),
    ignored("callbackAfterSetGroupInfoExCommand"),
    ignored("callbackAfterSetGroupMemberInfoCommand"),
    ignored("callbackAfterSingleMsgReadCommand"),
    ignored("callbackAfterTransferGroupOwner"),
    ignored("callbackAfterTransferGroupOwnerCommand"),
    ignored("callbackAfterUpdateUserInfoCommand"),
    ignored("callbackAfterUpdateUserInfoExCommand"),
    ignored("callbackAfterUserKickOffCommand"),
    ignored("callbackAfterUserOfflineCommand"),
    ignored("callbackAfterUserOnlineCommand"),
    ignored("callbackAfterUserRegisterCommand"),
    obeyed("callbackBeforeAddBlackCommand"),
    obeyed("callbackBeforeAddFriendAgreeCommand"),
    obeyed("callbackBeforeAddFriendCommand"),
    ignored("callbackBeforeAfterMsgCommand"),
    obeyed("callbackBeforeCreateGroupChatConversationsCommand"),
    obeyed("callbackBeforeCreateGroupCommand"),
    obeyed("callbackBeforeCreateSingleChatConversationsCommand"),
    obeyed("callbackBeforeDeleteMessageReactionExtensionsCommand"),
    obeyed("callbackBeforeGroupOnlinePushCommand"),
    obeyed("callbackBeforeImportFriendsCommand"),
    obeyed("callbackBeforeInviteJoinGroupCommand"),
    obeyed("callbackBeforeJoinGroupCommand"),
    obeyed("callbackBeforeMemberJoinGroupCommand"),
    obeyed("callbackBeforeMembersJoinGroupCommand"),
    obeyed("callbackBeforeMsgModifyCommand"),
    obeyed("callbackBeforeOfflinePushCommand"),
    obeyed("callbackBeforeOnlinePushCommand"),
    obeyed("callbackBeforeSendGroupMsgCommand"),
    obeyed("callbackBeforeSendSingleMsgCommand"),
    obeyed("callbackBeforeSetFriendRemark"),
    obeyed("callbackBeforeSetFriendRemarkCommand"),
    copied("callbackBeforeSetGroupInfoCommand"),
    copied("callbackBeforeSetGroupInfoExCommand"),
    obeyed("callbackBeforeSetGroupMemberInfoCommand"),
    obeyed("callbackBeforeSetMessageReactionExtensionCommand"),
    obeyed("callbackBeforeUpdateUserInfoCommand"),
    obeyed("callbackBeforeUpdateUserInfoExCommand"),
    obeyed("callbackBeforeUserRegisterCommand"),
    ignored("callbackDisMissGroupCommand"),
    obeyed("callbackGetMessageListReactionExtensionsCommand"),
    ignored("callbackGroupMsgReadCommand"),
    ignored("callbackKillGroupCommand"),
    obeyed("callbackMsgModifyCommand"),
    obeyed("callbackOfflinePushCommand"),
    obeyed("callbackOnlinePushCommand"),
    ignored("callbackQuitGroupCommand"),
    ignored("callbackSingleMsgRead"),
    obeyed("callbackSuperGroupOnlinePushCommand"),
    ignored("callbackTransferGroupOwnerAfter"),
    ignored("callbackUserKickOffCommand"),
    ignored("callbackUserOfflineCommand"),
    ignored("callbackUserOnlineCommand"),
    obeyed("callbackWordFilterCommand"),
];
