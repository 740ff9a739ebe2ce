//! The bodies of callbacks that report no message, as OpenIM 3.8.3 and its main branch write them.

use std::io::{self, Write};

use crate::domain::{Chat, UnixMillis};

/// The body of a callback. In the template, a `$` and a name stand for one of the [`Values`].
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) command: &'static str,
    template: &'static str,
}

/// What the names in the templates stand for. No text needs to be escaped in JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    /// Who does something.
    pub(crate) user: &'a str,
    /// The other user, if there is one.
    pub(crate) other: &'a str,
    /// Several users.
    pub(crate) users: &'a [String],
    pub(crate) group: &'a str,
    pub(crate) chat: Chat,
    pub(crate) platform_id: i32,
    pub(crate) operation_id: &'a str,
    pub(crate) client_message_id: &'a str,
    pub(crate) content_type: i32,
    /// A position in a conversation.
    pub(crate) sequence: u64,
    /// How many messages were read. OpenIM writes an empty list as `null`.
    pub(crate) read: u64,
    pub(crate) now: UnixMillis,
}

impl Body {
    /// Replaces `into` with the body.
    ///
    /// # Errors
    /// When the template has an unknown name.
    pub(crate) fn write(&self, values: &Values<'_>, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        let mut parts = self.template.split('$');
        into.extend(parts.next().unwrap_or_default().bytes());
        for part in parts {
            let end = part.find(|char: char| !char.is_ascii_lowercase()).unwrap_or(part.len());
            let (name, rest) = part.split_at_checked(end).unwrap_or_default();
            match name {
                "command" => into.extend(self.command.bytes()),
                name => values.write(name, into)?,
            }
            into.extend(rest.bytes());
        }
        into.push(b'\n');
        Ok(())
    }
}

impl Values<'_> {
    fn write(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
        let (user, other, group) = (self.user, self.other, self.group);
        let is_group = self.chat == Chat::Group;
        match name {
            "user" => write!(into, "{user}"),
            "other" => write!(into, "{other}"),
            "group" => write!(into, "{group}"),
            "ifgroup" => write!(into, "{}", if is_group { group } else { "" }),
            "session" => write!(into, "{}", if is_group { 3 } else { 1 }),
            "conversation" if is_group => write!(into, "sg_{group}"),
            "conversation" => write!(into, "si_{}_{}", user.min(other), user.max(other)),
            "operation" => write!(into, "{}", self.operation_id),
            "message" => write!(into, "{}", self.client_message_id),
            "type" => write!(into, "{}", self.content_type),
            "platform" => write!(into, "{}", self.platform_id),
            "platformname" => write!(into, "{}", platform_name(self.platform_id)),
            "sequence" => write!(into, "{}", self.sequence),
            "now" => write!(into, "{}", self.now.0),
            "count" => write!(into, "{}", self.users.len() + 1),
            "read" if self.read == 0 => write!(into, "null"),
            "read" => list(self.sequence..self.sequence + self.read, into, |at, into| write!(into, "{at}")),
            "users" => list(self.users, into, |user, into| write!(into, r#""{user}""#)),
            "members" => list(self.users, into, |user, into| write!(into, r#"{{"userID":"{user}","ex":""}}"#)),
            "registered" => list(self.users, into, |user, into| {
                write!(into, r#"{{"userID":"{user}","nickname":"Zoe","faceURL":"","ex":"","createTime":0,"#)?;
                write!(into, r#""appMangerLevel":1,"globalRecvMsgOpt":0}}"#)
            }),
            // The owner, and the other members. After the creation, OpenIM names the owner a second time.
            "before" => list(roles(user, self.users), into, role),
            "after" => list(roles(user, self.users).chain([(user, 20)]), into, role),
            unknown => Err(io::Error::other(format!("a template has the unknown name ${unknown}"))),
        }
    }
}

fn list<T>(
    values: impl IntoIterator<Item = T>,
    into: &mut Vec<u8>,
    write_one: impl Fn(T, &mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let mut separator = b'[';
    for value in values {
        into.push(separator);
        write_one(value, into)?;
        separator = b',';
    }
    into.push(b']');
    Ok(())
}

fn roles<'a>(owner: &'a str, users: &'a [String]) -> impl Iterator<Item = (&'a str, u32)> {
    [(owner, 100)].into_iter().chain(users.iter().map(|user| (user.as_str(), 20)))
}

fn role((user, level): (&str, u32), into: &mut Vec<u8>) -> io::Result<()> {
    write!(into, r#"{{"userID":"{user}","roleLevel":{level}}}"#)
}

/// OpenIM's own name of a platform.
fn platform_name(id: i32) -> &'static str {
    let names = ["IOS", "Android", "Windows", "OSX", "Web", "MiniWeb", "Linux", "APad", "IPad", "Admin", "HarmonyOS"];
    let position = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
    position.and_then(|position| names.get(position)).copied().unwrap_or_default()
}

/// Declares bodies: the constant, the command, and the template.
macro_rules! bodies {
    ($($name:ident = $command:literal $template:literal;)+) => {
        $(pub(crate) const $name: Body = Body { command: $command, template: $template };)+
    };
}

bodies! {
    USER_ONLINE = "callbackAfterUserOnlineCommand" r#"{"callbackCommand":"$command","operationID":"$operation","platformID":$platform,"platform":"$platformname","userID":"$user","seq":$now,"isAppBackground":false,"connID":""}"#;
    USER_OFFLINE = "callbackAfterUserOfflineCommand" r#"{"callbackCommand":"$command","operationID":"$operation","platformID":$platform,"platform":"$platformname","userID":"$user","seq":$now,"connID":""}"#;
    GROUP_READ = "callbackAfterGroupMsgReadCommand" r#"{"callbackCommand":"$command","sendID":"$user","receiveID":"$user","unreadMsgNum":$sequence,"contentType":3}"#;
    SINGLE_READ = "callbackAfterSingleMsgReadCommand" r#"{"callbackCommand":"$command","conversationID":"$conversation","userID":"$user","Seqs":$read,"contentType":1}"#;
    REVOKED = "callbackBeforeAfterMsgCommand" r#"{"callbackCommand":"$command","conversationID":"$conversation","seq":$sequence,"userID":"$user"}"#;
    OFFLINE_PUSH = "callbackBeforeOfflinePushCommand" r#"{"callbackCommand":"$command","operationID":"$operation","platformID":$platform,"platform":"$platformname","userIDList":$users,"title":"Ann","desc":"hi","ex":"","iOSPushSound":"default","iOSBadgeCount":true,"signalInfo":"","clientMsgID":"$message","sendID":"$user","groupID":"$ifgroup","contentType":$type,"sessionType":$session,"atUserIDList":null,"content":"{\"content\":\"a \u003c b \u0026\u0026 c\"}"}"#;
    BEFORE_REGISTER = "callbackBeforeUserRegisterCommand" r#"{"callbackCommand":"$command","users":$registered}"#;
    REGISTERED = "callbackAfterUserRegisterCommand" r#"{"callbackCommand":"$command","users":$registered}"#;
    BEFORE_PROFILE = "callbackBeforeUpdateUserInfoExCommand" r#"{"callbackCommand":"$command","userID":"$user","nickName":"Ann","faceURL":null,"ex":null}"#;
    PROFILE_CHANGED = "callbackAfterUpdateUserInfoExCommand" r#"{"callbackCommand":"$command","userID":"$user","nickName":"Ann","faceURL":null,"ex":null}"#;
    BEFORE_FRIEND_REQUEST = "callbackBeforeAddFriendCommand" r#"{"callbackCommand":"$command","fromUserID":"$user","toUserID":"$other","reqMsg":"hello, it is me","ex":""}"#;
    FRIEND_REQUESTED = "callbackAfterAddFriendCommand" r#"{"callbackCommand":"$command","fromUserID":"$user","toUserID":"$other","reqMsg":"hello, it is me"}"#;
    BEFORE_FRIENDSHIP = "callbackBeforeAddFriendAgreeCommand" r#"{"callbackCommand":"$command","fromUserID":"$user","blackUserID":"$other","HandleResult":1,"HandleMsg":"welcome"}"#;
    FRIENDSHIP_STARTED = "callbackAfterAddFriendAgreeCommand" r#"{"callbackCommand":"$command","fromUserID":"$user","blackUserID":"$other","HandleResult":1,"HandleMsg":"welcome"}"#;
    FRIEND_DELETED = "callbackAfterDeleteFriendCommand" r#"{"callbackCommand":"$command","ownerUserID":"$user","friendUserID":"$other"}"#;
    BEFORE_IMPORT = "callbackBeforeImportFriendsCommand" r#"{"callbackCommand":"$command","ownerUserID":"$user","friendUserIDs":$users}"#;
    FRIENDS_IMPORTED = "callbackAfterImportFriendsCommand" r#"{"callbackCommand":"$command","ownerUserID":"$user","friendUserIDs":$users}"#;
    BEFORE_BLOCK = "callbackBeforeAddBlackCommand" r#"{"callbackCommand":"$command","ownerUserID":"$user","blackUserID":"$other"}"#;
    UNBLOCKED = "callbackAfterRemoveBlackCommand" r#"{"callbackCommand":"$command","ownerUserID":"$user","blackUserID":"$other"}"#;
    BEFORE_GROUP = "callbackBeforeCreateGroupCommand" r#"{"operationID":"$operation","callbackCommand":"$command","groupID":"","groupName":"Hikers","notification":"","introduction":"We walk","faceURL":"https://img.example.com/g.png","ownerUserID":"","createTime":0,"memberCount":0,"ex":"","status":0,"creatorUserID":"$user","groupType":2,"needVerification":0,"lookMemberInfo":0,"applyMemberFriend":0,"notificationUpdateTime":0,"notificationUserID":"","initMemberList":$before}"#;
    GROUP_CREATED = "callbackAfterCreateGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","groupName":"Hikers","notification":"","introduction":"We walk","faceURL":"https://img.example.com/g.png","ownerUserID":"$user","createTime":$now,"memberCount":$count,"ex":"","status":0,"creatorUserID":"$user","groupType":2,"needVerification":0,"lookMemberInfo":0,"applyMemberFriend":0,"notificationUpdateTime":0,"notificationUserID":"","initMemberList":$after}"#;
    GROUP_DISMISSED = "callbackAfterDisMissGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","ownerID":"$user","groupType":"\u0002","membersID":$users}"#;
    GROUP_DISMISSED_AGAIN = "callbackAfterDisMissGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","ownerID":"$user","groupType":"\u0002","membersID":null}"#;
    BEFORE_JOIN = "callbackBeforeMembersJoinGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","memberList":$members,"groupEx":""}"#;
    BEFORE_ONE_JOINS = "callbackBeforeMembersJoinGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","memberList":[{"userID":"$user","ex":""}],"groupEx":""}"#;
    JOIN_REQUEST = "callbackBeforeJoinGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","groupType":"\u0002","applyID":"$user","reqMessage":"let me in","ex":""}"#;
    JOINED = "callbackAfterJoinGroupCommand" r#"{"callbackCommand":"$command","operationID":"$operation","groupID":"$group","reqMessage":"let me in","joinSource":3,"inviterUserID":"$user"}"#;
    INVITATION = "callbackBeforeInviteJoinGroupCommand" r#"{"callbackCommand":"$command","operationID":"$operation","groupID":"$group","reason":"welcome","invitedUserIDs":$users}"#;
    MEMBER_LEFT = "callbackAfterQuitGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","userID":"$user"}"#;
    MEMBERS_REMOVED = "callbackAfterKickGroupCommand" r#"{"callbackCommand":"$command","groupID":"$group","kickedUserIDs":$users,"reason":"spam"}"#;
    OWNER_CHANGED = "callbackAfterTransferGroupOwnerCommand" r#"{"callbackCommand":"$command","groupID":"$group","oldOwnerUserID":"$user","newOwnerUserID":"$other"}"#;
    BEFORE_GROUP_INFO = "callbackBeforeSetGroupInfoExCommand" r#"{"callbackCommand":"$command","operationID":"","groupID":"$group","groupName":"Hikers 2","notification":null,"introduction":null,"faceURL":null,"ex":null,"needVerification":null,"lookMemberInfo":null,"applyMemberFriend":null}"#;
    GROUP_INFO_CHANGED = "callbackAfterSetGroupInfoExCommand" r#"{"callbackCommand":"$command","operationID":"","groupID":"$group","groupName":"Hikers 2","notification":null,"introduction":null,"faceURL":null,"ex":null,"needVerification":null,"lookMemberInfo":null,"applyMemberFriend":null}"#;
    BEFORE_CONVERSATION = "callbackBeforeCreateSingleChatConversationsCommand" r#"{"callbackCommand":"$command","ownerUserId":"$user","conversationId":"$conversation","conversationType":1,"userId":"$other","recvMsgOpt":0,"isPinned":false,"isPrivateChat":false,"burnDuration":0,"groupAtType":0,"attachedInfo":"","ex":""}"#;
    CONVERSATION_CREATED = "callbackAfterCreateSingleChatConversationsCommand" r#"{"callbackCommand":"$command","ownerUserId":"$user","conversationId":"$conversation","conversationType":1,"userId":"$other","recvMsgOpt":0,"isPinned":false,"isPrivateChat":false,"burnDuration":0,"groupAtType":0,"attachedInfo":"","ex":""}"#;
}
