//! OpenIM's callbacks.

use super::event::Activity;
use Subject::{
    Dismissal, FriendImport, GroupMessage, Invitation, Join, Nothing, Offline, OfflinePush, Once, Read, Registration,
    Removal, Revocation,
};

/// The command that reports a group message: the statistics count these.
pub const GROUP_MESSAGE: &str = "callbackAfterSendGroupMsgCommand";

/// What OpenIM does with the answer to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerUse {
    /// Nothing: the callback is asynchronous. Also for requests that are not callbacks.
    Ignored,
    /// Decides whether the user's action goes on.
    Obeyed,
    /// Decides whether the user's action goes on, and copies fields from the answer. A field that is absent there
    /// becomes empty.
    Copied,
}

/// What a callback reports. `wire` reads it from the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing that is counted. The body is not read.
    Nothing,
    /// A group message.
    GroupMessage,
    /// One occurrence of an activity.
    Once(Activity),
    /// Users were registered.
    Registration,
    /// Members join a group.
    Join,
    /// Members were removed from a group.
    Removal,
    /// Users are invited into a group.
    Invitation,
    /// A group was dismissed.
    Dismissal,
    /// An administrator made users friends.
    FriendImport,
    /// A message was revoked.
    Revocation,
    /// Messages were read.
    Read,
    /// A message is pushed to users that are offline.
    OfflinePush,
    /// A connection ended.
    Offline,
}

/// A callback that some version of OpenIM sends.
#[derive(Clone, Copy, Debug)]
pub struct KnownCommand {
    /// Its name in that version.
    pub name: &'static str,
    /// What OpenIM does with the answer.
    pub answer_use: AnswerUse,
    /// What it reports.
    pub subject: Subject,
}

const fn ignored(name: &'static str, subject: Subject) -> KnownCommand {
    KnownCommand { name, answer_use: AnswerUse::Ignored, subject }
}

const fn obeyed(name: &'static str, subject: Subject) -> KnownCommand {
    KnownCommand { name, answer_use: AnswerUse::Obeyed, subject }
}

const fn copied(name: &'static str) -> KnownCommand {
    KnownCommand { name, answer_use: AnswerUse::Copied, subject: Nothing }
}

/// The commands of all versions of OpenIM, sorted by name; a command that was renamed has a row for each name. Source:
/// OpenIM's `pkg/callbackstruct/constant.go` at its tags, and the callers of these names.
pub const COMMANDS: &[KnownCommand] = &[
    obeyed("callbackAddMessageListReactionExtensionsCommand", Nothing),
    ignored("callbackAfterAddFriendAgreeCommand", Once(Activity::FriendshipsStarted)),
    ignored("callbackAfterAddFriendCommand", Once(Activity::FriendRequests)),
    ignored("callbackAfterCreateGroupChatConversationsCommand", Nothing),
    ignored("callbackAfterCreateGroupCommand", Once(Activity::GroupsCreated)),
    ignored("callbackAfterCreateSingleChatConversationsCommand", Nothing),
    ignored("callbackAfterDeleteFriendCommand", Once(Activity::FriendshipsEnded)),
    ignored("callbackAfterDisMissGroupCommand", Dismissal),
    ignored("callbackAfterGroupMsgReadCommand", Once(Activity::GroupReads)),
    ignored("callbackAfterImportFriendsCommand", FriendImport),
    ignored("callbackAfterJoinGroupCommand", Nothing),
    ignored("callbackAfterKickGroupCommand", Removal),
    ignored("callbackAfterMsgSaveDBCommand", Nothing),
    ignored("callbackAfterQuitGroupCommand", Once(Activity::MembersLeft)),
    ignored("callbackAfterRemoveBlackCommand", Once(Activity::UserUnblocks)),
    ignored(GROUP_MESSAGE, GroupMessage),
    ignored("callbackAfterSendSingleMsgCommand", Nothing),
    ignored("callbackAfterSetFriendRemark", Nothing),
    ignored("callbackAfterSetFriendRemarkCommand", Nothing),
    ignored("callbackAfterSetGroupInfoCommand", Nothing),
    ignored("callbackAfterSetGroupInfoExCommand", Nothing),
    ignored("callbackAfterSetGroupMemberInfoCommand", Nothing),
    ignored("callbackAfterSingleMsgReadCommand", Read),
    ignored("callbackAfterTransferGroupOwner", Nothing),
    ignored("callbackAfterTransferGroupOwnerCommand", Nothing),
    ignored("callbackAfterUpdateUserInfoCommand", Nothing),
    ignored("callbackAfterUpdateUserInfoExCommand", Nothing),
    ignored("callbackAfterUserKickOffCommand", Nothing),
    ignored("callbackAfterUserOfflineCommand", Offline),
    ignored("callbackAfterUserOnlineCommand", Nothing),
    ignored("callbackAfterUserRegisterCommand", Registration),
    obeyed("callbackBeforeAddBlackCommand", Once(Activity::UserBlocks)),
    obeyed("callbackBeforeAddFriendAgreeCommand", Nothing),
    obeyed("callbackBeforeAddFriendCommand", Nothing),
    ignored("callbackBeforeAfterMsgCommand", Revocation),
    obeyed("callbackBeforeCreateGroupChatConversationsCommand", Nothing),
    obeyed("callbackBeforeCreateGroupCommand", Nothing),
    obeyed("callbackBeforeCreateSingleChatConversationsCommand", Nothing),
    obeyed("callbackBeforeDeleteMessageReactionExtensionsCommand", Nothing),
    obeyed("callbackBeforeGroupOnlinePushCommand", Nothing),
    obeyed("callbackBeforeImportFriendsCommand", Nothing),
    obeyed("callbackBeforeInviteJoinGroupCommand", Invitation),
    obeyed("callbackBeforeJoinGroupCommand", Once(Activity::JoinRequests)),
    obeyed("callbackBeforeMemberJoinGroupCommand", Once(Activity::MembersJoined)),
    obeyed("callbackBeforeMembersJoinGroupCommand", Join),
    obeyed("callbackBeforeMsgModifyCommand", Nothing),
    obeyed("callbackBeforeOfflinePushCommand", OfflinePush),
    obeyed("callbackBeforeOnlinePushCommand", Nothing),
    obeyed("callbackBeforeSendGroupMsgCommand", Once(Activity::GroupAttempts)),
    obeyed("callbackBeforeSendSingleMsgCommand", Once(Activity::SingleAttempts)),
    obeyed("callbackBeforeSetFriendRemark", Nothing),
    obeyed("callbackBeforeSetFriendRemarkCommand", Nothing),
    copied("callbackBeforeSetGroupInfoCommand"),
    copied("callbackBeforeSetGroupInfoExCommand"),
    obeyed("callbackBeforeSetGroupMemberInfoCommand", Nothing),
    obeyed("callbackBeforeSetMessageReactionExtensionCommand", Nothing),
    obeyed("callbackBeforeUpdateUserInfoCommand", Nothing),
    obeyed("callbackBeforeUpdateUserInfoExCommand", Nothing),
    obeyed("callbackBeforeUserRegisterCommand", Nothing),
    ignored("callbackDisMissGroupCommand", Dismissal),
    obeyed("callbackGetMessageListReactionExtensionsCommand", Nothing),
    ignored("callbackGroupMsgReadCommand", Once(Activity::GroupReads)),
    ignored("callbackKillGroupCommand", Removal),
    obeyed("callbackMsgModifyCommand", Nothing),
    obeyed("callbackOfflinePushCommand", OfflinePush),
    obeyed("callbackOnlinePushCommand", Nothing),
    ignored("callbackQuitGroupCommand", Once(Activity::MembersLeft)),
    ignored("callbackSingleMsgRead", Read),
    obeyed("callbackSuperGroupOnlinePushCommand", Nothing),
    ignored("callbackTransferGroupOwnerAfter", Nothing),
    ignored("callbackUserKickOffCommand", Nothing),
    ignored("callbackUserOfflineCommand", Offline),
    ignored("callbackUserOnlineCommand", Nothing),
    obeyed("callbackWordFilterCommand", Nothing),
];
