//! OpenIM's callbacks.

use super::event::{Activity, Chat};
use Subject::{
    Attempted, Dismissal, FriendImport, GroupRead, Invitation, Join, Nothing, Offline, OfflinePush, Once, Online, Read,
    Registration, Removal, Revocation, Sent, Stored,
};

/// The command that reports a group message.
pub const GROUP_MESSAGE: &str = "callbackAfterSendGroupMsgCommand";

/// What OpenIM does with the answer to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerUse {
    /// Nothing, in all versions. Also for requests that are not callbacks.
    Ignored,
    /// Decides whether the user's action goes on or, after the action, whether the user gets an error. Perhaps only in
    /// some versions: before 3.7, OpenIM waits for the answer to every callback.
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
    /// A message that was sent. [`Chat::Group`] only for [`GROUP_MESSAGE`].
    Sent(Chat),
    /// A message that is to be sent.
    Attempted(Chat),
    /// A message that was stored. It may have been reported as sent too.
    Stored,
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
    /// A conversation was marked as read.
    GroupRead,
    /// Messages were read.
    Read,
    /// A message is pushed to users that are offline.
    OfflinePush,
    /// A user is online.
    Online,
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

/// The commands of all versions of OpenIM, sorted by name; a command that was renamed has a row for each name. Those
/// that no version obeys are ignored: the names that are new in 3.7, and those whose errors older versions only log.
/// Source: OpenIM's `pkg/callbackstruct/constant.go` at its tags, and the callers of these names.
pub const COMMANDS: &[KnownCommand] = &[
    obeyed("callbackAddMessageListReactionExtensionsCommand", Nothing),
    ignored("callbackAfterAddFriendAgreeCommand", Once(Activity::FriendshipsStarted)),
    obeyed("callbackAfterAddFriendCommand", Once(Activity::FriendRequests)),
    ignored("callbackAfterCreateGroupChatConversationsCommand", Nothing),
    obeyed("callbackAfterCreateGroupCommand", Once(Activity::GroupsCreated)),
    ignored("callbackAfterCreateSingleChatConversationsCommand", Nothing),
    obeyed("callbackAfterDeleteFriendCommand", Once(Activity::FriendshipsEnded)),
    ignored("callbackAfterDisMissGroupCommand", Dismissal),
    ignored("callbackAfterGroupMsgReadCommand", GroupRead),
    obeyed("callbackAfterImportFriendsCommand", FriendImport),
    obeyed("callbackAfterJoinGroupCommand", Nothing),
    ignored("callbackAfterKickGroupCommand", Removal),
    ignored("callbackAfterMsgSaveDBCommand", Stored),
    ignored("callbackAfterQuitGroupCommand", Once(Activity::MembersLeft)),
    ignored("callbackAfterRemoveBlackCommand", Once(Activity::UserUnblocks)),
    ignored(GROUP_MESSAGE, Sent(Chat::Group)),
    ignored("callbackAfterSendSingleMsgCommand", Sent(Chat::Single)),
    obeyed("callbackAfterSetFriendRemark", Nothing),
    ignored("callbackAfterSetFriendRemarkCommand", Nothing),
    obeyed("callbackAfterSetGroupInfoCommand", Nothing),
    ignored("callbackAfterSetGroupInfoExCommand", Nothing),
    obeyed("callbackAfterSetGroupMemberInfoCommand", Nothing),
    ignored("callbackAfterSingleMsgReadCommand", Read),
    obeyed("callbackAfterTransferGroupOwner", Nothing),
    ignored("callbackAfterTransferGroupOwnerCommand", Nothing),
    obeyed("callbackAfterUpdateUserInfoCommand", Nothing),
    obeyed("callbackAfterUpdateUserInfoExCommand", Nothing),
    ignored("callbackAfterUserKickOffCommand", Nothing),
    ignored("callbackAfterUserOfflineCommand", Offline),
    ignored("callbackAfterUserOnlineCommand", Online),
    obeyed("callbackAfterUserRegisterCommand", Registration),
    obeyed("callbackBeforeAddBlackCommand", Once(Activity::UserBlocks)),
    obeyed("callbackBeforeAddFriendAgreeCommand", Nothing),
    obeyed("callbackBeforeAddFriendCommand", Nothing),
    obeyed("callbackBeforeAfterMsgCommand", Revocation),
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
    obeyed("callbackBeforeSendGroupMsgCommand", Attempted(Chat::Group)),
    obeyed("callbackBeforeSendSingleMsgCommand", Attempted(Chat::Single)),
    obeyed("callbackBeforeSetFriendRemark", Nothing),
    obeyed("callbackBeforeSetFriendRemarkCommand", Nothing),
    copied("callbackBeforeSetGroupInfoCommand"),
    copied("callbackBeforeSetGroupInfoExCommand"),
    obeyed("callbackBeforeSetGroupMemberInfoCommand", Nothing),
    obeyed("callbackBeforeSetMessageReactionExtensionCommand", Nothing),
    obeyed("callbackBeforeUpdateUserInfoCommand", Nothing),
    obeyed("callbackBeforeUpdateUserInfoExCommand", Nothing),
    obeyed("callbackBeforeUserRegisterCommand", Nothing),
    obeyed("callbackDisMissGroupCommand", Dismissal),
    obeyed("callbackGetMessageListReactionExtensionsCommand", Nothing),
    obeyed("callbackGroupMsgReadCommand", GroupRead),
    obeyed("callbackKillGroupCommand", Removal),
    obeyed("callbackMsgModifyCommand", Nothing),
    obeyed("callbackOfflinePushCommand", OfflinePush),
    obeyed("callbackOnlinePushCommand", Nothing),
    obeyed("callbackQuitGroupCommand", Once(Activity::MembersLeft)),
    obeyed("callbackSingleMsgRead", Read),
    obeyed("callbackSuperGroupOnlinePushCommand", Nothing),
    obeyed("callbackTransferGroupOwnerAfter", Nothing),
    ignored("callbackUserKickOffCommand", Nothing),
    ignored("callbackUserOfflineCommand", Offline),
    ignored("callbackUserOnlineCommand", Online),
    obeyed("callbackWordFilterCommand", Nothing),
];
