//! What callbacks report other than messages.
//!
//! A new activity needs a value of [`Activity`] and its row in `exposition/catalog.rs`. The command that reports it has
//! a row in `commands.rs`, and an arm in `wire/event.rs` if it is to be read from the body in a new way.

use crate::named::named;

/// What a callback reports. The IDs may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// An activity, and how often it happened.
    Activity(Activity, u64),
    /// A message is to be sent.
    Attempt(Attempt<'a>),
    /// The group with this ID was dismissed.
    Dismissal(&'a str),
    /// The user with this ID read messages: the activity, and how many.
    Read(&'a str, Activity, u64),
    /// A user is online.
    Online(Presence<'a>),
    /// A connection of a user ended.
    Offline(Presence<'a>),
}

/// A message before OpenIM accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Where it is to be sent.
    pub chat: Chat,
    /// The sender's ID.
    pub sender_id: &'a str,
    /// OpenIM's content type.
    pub content_type: i32,
}

/// A user on a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence<'a> {
    /// The user's ID.
    pub user_id: &'a str,
    /// OpenIM's platform ID.
    pub platform_id: i32,
}

/// Whether something happened in a group or between two users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// In a group.
    Group,
    /// Between two users.
    Single,
}

named! {
    /// What is counted without any other label than the chat. The names are keys in a stored state, so they must never
    /// change.
    pub enum Activity {
        /// Users were registered.
        UsersRegistered = "users registered",
        /// A group was created.
        GroupsCreated = "groups created",
        /// A group was dismissed.
        GroupsDismissed = "groups dismissed",
        /// Members were to be added to a group.
        MembersJoined = "members joined",
        /// A member left a group.
        MembersLeft = "members left",
        /// Members were removed from a group.
        MembersRemoved = "members removed",
        /// Users were to be invited into a group.
        MembersInvited = "members invited",
        /// A user asked to join a group.
        JoinRequests = "join requests",
        /// A user asked another to become friends.
        FriendRequests = "friend requests",
        /// Two users became friends.
        FriendshipsStarted = "friendships started",
        /// A user deleted a friend.
        FriendshipsEnded = "friendships ended",
        /// A user was to be blocked.
        UserBlocks = "user blocks",
        /// A user was unblocked.
        UserUnblocks = "user unblocks",
        /// A group message was revoked.
        GroupRevocations = "group revocations",
        /// A single message was revoked.
        SingleRevocations = "single revocations",
        /// A user marked a group conversation as read.
        GroupReads = "group reads",
        /// Single messages were read.
        SingleReads = "single reads",
        /// A group message was to be pushed to users that are offline.
        GroupPushes = "group pushes",
        /// A single message was to be pushed to a user that is offline.
        SinglePushes = "single pushes",
        /// A group message was to be sent.
        GroupAttempts = "group attempts",
        /// A single message was to be sent.
        SingleAttempts = "single attempts",
    }
}
