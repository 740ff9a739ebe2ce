//! OpenIM's callback commands.

/// The command of a group message that was sent: the one that the statistics are made of.
pub const GROUP_MESSAGE: &str = "callbackAfterSendGroupMsgCommand";

/// The commands that OpenIM's versions send, sorted. Source: the sender's `pkg/callbackstruct/constant.go` and, for the
/// older names, its documentation.
pub const COMMANDS: &[&str] = &[
    "callbackAfterAddFriendAgreeCommand",
    "callbackAfterAddFriendCommand",
    "callbackAfterCreateGroupChatConversationsCommand",
    "callbackAfterCreateGroupCommand",
    "callbackAfterCreateSingleChatConversationsCommand",
    "callbackAfterDeleteFriendCommand",
    "callbackAfterDisMissGroupCommand",
    "callbackAfterGroupMsgReadCommand",
    "callbackAfterImportFriendsCommand",
    "callbackAfterJoinGroupCommand",
    "callbackAfterKickGroupCommand",
    "callbackAfterMsgSaveDBCommand",
    "callbackAfterQuitGroupCommand",
    "callbackAfterRemoveBlackCommand",
    GROUP_MESSAGE,
    "callbackAfterSendSingleMsgCommand",
    "callbackAfterSetFriendRemarkCommand",
    "callbackAfterSetGroupInfoCommand",
    "callbackAfterSetGroupInfoExCommand",
    "callbackAfterSetGroupMemberInfoCommand",
    "callbackAfterSingleMsgReadCommand",
    "callbackAfterTransferGroupOwnerCommand",
    "callbackAfterUpdateUserInfoCommand",
    "callbackAfterUpdateUserInfoExCommand",
    "callbackAfterUserKickOffCommand",
    "callbackAfterUserOfflineCommand",
    "callbackAfterUserOnlineCommand",
    "callbackAfterUserRegisterCommand",
    "callbackBeforeAddBlackCommand",
    "callbackBeforeAddFriendAgreeCommand",
    "callbackBeforeAddFriendCommand",
    "callbackBeforeAfterMsgCommand",
    "callbackBeforeCreateGroupChatConversationsCommand",
    "callbackBeforeCreateGroupCommand",
    "callbackBeforeCreateSingleChatConversationsCommand",
    "callbackBeforeGroupOnlinePushCommand",
    "callbackBeforeImportFriendsCommand",
    "callbackBeforeInviteJoinGroupCommand",
    "callbackBeforeJoinGroupCommand",
    "callbackBeforeMembersJoinGroupCommand",
    "callbackBeforeMsgModifyCommand",
    "callbackBeforeOfflinePushCommand",
    "callbackBeforeOnlinePushCommand",
    "callbackBeforeSendGroupMsgCommand",
    "callbackBeforeSendSingleMsgCommand",
    "callbackBeforeSetFriendRemarkCommand",
    "callbackBeforeSetGroupInfoCommand",
    "callbackBeforeSetGroupInfoExCommand",
    "callbackBeforeSetGroupMemberInfoCommand",
    "callbackBeforeUpdateUserInfoCommand",
    "callbackBeforeUpdateUserInfoExCommand",
    "callbackBeforeUserRegisterCommand",
    "callbackOfflinePushCommand",
    "callbackUserOfflineCommand",
    "callbackUserOnlineCommand",
    "callbackWordFilterCommand",
];

/// Where [`GROUP_MESSAGE`] stands in [`COMMANDS`].
const GROUP_MESSAGE_POSITION: usize = 14;

/// What a callback reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A group message was sent.
    GroupMessage,
    /// Something else: its position in [`COMMANDS`], or `None` for one that is not listed there.
    Other(Option<usize>),
}

impl Command {
    /// The command of this name, where a command is said in so many words: in a query or in a body. `None` where it does
    /// not start with `callback`, as all of OpenIM's do.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name == GROUP_MESSAGE {
            return Some(Self::GroupMessage);
        }
        name.starts_with("callback").then(|| Self::Other(COMMANDS.binary_search(&name).ok()))
    }

    /// The command that a path ends in. There it must end in `Command` too: OpenIM's own default URL,
    /// `/callbackExample`, is none.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        // Nearly always so: no search for where the last part begins.
        if path.strip_suffix(GROUP_MESSAGE).is_some_and(|before| before.ends_with('/')) {
            return Some(Self::GroupMessage);
        }
        let last = path.rsplit('/').next()?;
        if last.ends_with("Command") { Self::from_name(last) } else { None }
    }

    /// Position in [`COMMANDS`], or `None` for a command that is not listed there.
    #[must_use]
    pub const fn position(self) -> Option<usize> {
        match self {
            Self::GroupMessage => Some(GROUP_MESSAGE_POSITION),
            Self::Other(position) => position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_each_name_is_a_command() {
        assert!(COMMANDS.is_sorted());
        for (position, name) in COMMANDS.iter().enumerate().filter(|(_, name)| **name != GROUP_MESSAGE) {
            assert_eq!(Command::from_name(name), Some(Command::Other(Some(position))));
        }
    }

    #[test]
    fn the_group_message_s_position_is_right() {
        assert_eq!(Command::GroupMessage.position().map(|position| COMMANDS[position]), Some(GROUP_MESSAGE));
    }

    #[test]
    fn a_command_from_the_future_is_one_and_a_word_is_not() {
        assert_eq!(Command::from_name("callbackAfterSomethingNewCommand"), Some(Command::Other(None)));
        assert_eq!(Command::from_name("callbackOfAnotherKind"), Some(Command::Other(None)));
        for name in ["", "Command", "afterSendGroupMsg", "Callback"] {
            assert_eq!(Command::from_name(name), None, "{name}");
        }
        for path in ["", "/", "/callbackExample", "/callbackAfterSendGroupMsgCommand/", "/xcallbackCommand"] {
            assert_eq!(Command::from_path(path), None, "{path}");
        }
        assert_eq!(Command::from_path("/a/callbackAfterSomethingNewCommand"), Some(Command::Other(None)));
    }
}
