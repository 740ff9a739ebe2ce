//! What people do, how often, and which callbacks OpenIM then sends.

use crate::domain::{Activity, Chat, GROUP_MESSAGE};
use crate::wire::body::{self, Body};
use Effect::{Arrival, Attempt, Dismissal, Each, GroupRead, Message, Nothing, Offline, Once, Online, SingleRead};

/// Something that people do, or that happens to them.
pub(super) struct Action {
    /// What it is.
    pub(super) name: &'static str,
    /// How many of [`ACTIONS_IN_ALL`] are of this kind.
    pub(super) share: u32,
    /// Where it happens.
    pub(super) chat: Chat,
    /// Whether it is about a group that is new.
    pub(super) creates_group: bool,
    /// The callbacks in order.
    pub(super) steps: &'static [Step],
}

impl Action {
    /// What its first callback does.
    pub(super) fn effect(&self) -> Effect {
        self.steps.first().map_or(Nothing, |step| step.effect)
    }
}

/// A callback of an action.
pub(super) struct Step {
    pub(super) callback: Callback,
    /// How often the step follows the one before, in percent. If it does not, the action ends.
    pub(super) chance: u32,
    pub(super) effect: Effect,
}

/// How the body is made.
pub(super) enum Callback {
    /// From the message.
    OfMessage(&'static str),
    /// From a template.
    Other(&'static Body),
}

impl Callback {
    pub(super) const fn command(&self) -> &'static str {
        match self {
            Self::OfMessage(command) => command,
            Self::Other(body) => body.command,
        }
    }
}

/// What the exporter must count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Only the callback.
    Nothing,
    /// The message.
    Message,
    /// An attempt to send the message. Only users' messages have one.
    Attempt(Activity),
    /// One occurrence.
    Once(Activity),
    /// One for each user of the action's list.
    Each(Activity),
    /// A group conversation was read.
    GroupRead,
    /// Some single messages were read.
    SingleRead,
    /// A group was dismissed; true for the second report of the same.
    Dismissal(bool),
    /// A user came online.
    Arrival,
    /// A user is still online.
    Online,
    /// A user went offline.
    Offline,
}

const fn step(body: &'static Body, effect: Effect) -> Step {
    perhaps(100, body, effect)
}

const fn perhaps(chance: u32, body: &'static Body, effect: Effect) -> Step {
    Step { callback: Callback::Other(body), chance, effect }
}

const fn message(chance: u32, command: &'static str, effect: Effect) -> Step {
    Step { callback: Callback::OfMessage(command), chance, effect }
}

const fn in_group(share: u32, name: &'static str, steps: &'static [Step]) -> Action {
    Action { name, share, chat: Chat::Group, creates_group: false, steps }
}

const fn single(share: u32, name: &'static str, steps: &'static [Step]) -> Action {
    Action { chat: Chat::Single, ..in_group(share, name, steps) }
}

const fn creating(share: u32, name: &'static str, steps: &'static [Step]) -> Action {
    Action { creates_group: true, ..in_group(share, name, steps) }
}

/// The sum of all shares.
pub(super) const ACTIONS_IN_ALL: u32 = 10_000;

/// Someone comes online.
pub(super) const ARRIVAL: Action = single(250, "Comes online", &[step(&body::USER_ONLINE, Arrival)]);

/// The community of a messenger in which most is said in groups. OpenIM has all callbacks enabled, except these:
/// `callbackAfterMsgSaveDBCommand`, because an exporter counts messages either from it or from the after-send callbacks;
/// those that only repeat each message; and rare ones that count nothing.
pub(super) const ACTIONS: &[Action] = &[
    in_group(
        6800,
        "A message to a group",
        &[
            message(100, "callbackBeforeSendGroupMsgCommand", Attempt(Activity::GroupAttempts)),
            message(99, GROUP_MESSAGE, Message),
            perhaps(3, &body::OFFLINE_PUSH, Each(Activity::GroupPushes)),
        ],
    ),
    single(
        1000,
        "A message to a user",
        &[
            message(100, "callbackBeforeSendSingleMsgCommand", Attempt(Activity::SingleAttempts)),
            message(99, "callbackAfterSendSingleMsgCommand", Message),
            perhaps(20, &body::OFFLINE_PUSH, Each(Activity::SinglePushes)),
        ],
    ),
    in_group(700, "Reads a group's messages", &[step(&body::GROUP_READ, GroupRead)]),
    single(500, "Reads a user's messages", &[step(&body::SINGLE_READ, SingleRead)]),
    ARRIVAL,
    single(200, "Stays online", &[step(&body::USER_ONLINE, Online)]),
    single(200, "Goes offline", &[step(&body::USER_OFFLINE, Offline)]),
    in_group(
        60,
        "Asks to join a group",
        &[
            step(&body::JOIN_REQUEST, Once(Activity::JoinRequests)),
            perhaps(80, &body::BEFORE_ONE_JOINS, Once(Activity::MembersJoined)),
            perhaps(60, &body::JOINED, Nothing),
        ],
    ),
    in_group(
        40,
        "Invites users into a group",
        &[
            step(&body::INVITATION, Each(Activity::MembersInvited)),
            perhaps(90, &body::BEFORE_JOIN, Each(Activity::MembersJoined)),
        ],
    ),
    in_group(35, "Leaves a group", &[step(&body::MEMBER_LEFT, Once(Activity::MembersLeft))]),
    in_group(30, "Revokes a message in a group", &[step(&body::REVOKED, Once(Activity::GroupRevocations))]),
    single(10, "Revokes a message to a user", &[step(&body::REVOKED, Once(Activity::SingleRevocations))]),
    single(
        30,
        "Writes to a user for the first time",
        &[step(&body::BEFORE_CONVERSATION, Nothing), step(&body::CONVERSATION_CREATED, Nothing)],
    ),
    single(30, "Changes the profile", &[step(&body::BEFORE_PROFILE, Nothing), step(&body::PROFILE_CHANGED, Nothing)]),
    in_group(
        20,
        "Changes a group's name",
        &[step(&body::BEFORE_GROUP_INFO, Nothing), step(&body::GROUP_INFO_CHANGED, Nothing)],
    ),
    single(
        20,
        "Users are registered",
        &[step(&body::BEFORE_REGISTER, Nothing), step(&body::REGISTERED, Each(Activity::UsersRegistered))],
    ),
    single(
        20,
        "Asks to become friends",
        &[step(&body::BEFORE_FRIEND_REQUEST, Nothing), step(&body::FRIEND_REQUESTED, Once(Activity::FriendRequests))],
    ),
    single(
        15,
        "Accepts a friend",
        &[step(&body::BEFORE_FRIENDSHIP, Nothing), step(&body::FRIENDSHIP_STARTED, Once(Activity::FriendshipsStarted))],
    ),
    single(5, "Deletes a friend", &[step(&body::FRIEND_DELETED, Once(Activity::FriendshipsEnded))]),
    single(
        2,
        "An administrator imports friends",
        &[step(&body::BEFORE_IMPORT, Nothing), step(&body::FRIENDS_IMPORTED, Each(Activity::FriendshipsStarted))],
    ),
    single(6, "Blocks a user", &[step(&body::BEFORE_BLOCK, Once(Activity::UserBlocks))]),
    single(3, "Unblocks a user", &[step(&body::UNBLOCKED, Once(Activity::UserUnblocks))]),
    creating(
        8,
        "Creates a group",
        &[
            step(&body::BEFORE_GROUP, Nothing),
            step(&body::BEFORE_JOIN, Each(Activity::MembersJoined)),
            step(&body::GROUP_CREATED, Once(Activity::GroupsCreated)),
        ],
    ),
    in_group(
        4,
        "Dismisses a group",
        &[step(&body::GROUP_DISMISSED, Dismissal(false)), perhaps(50, &body::GROUP_DISMISSED_AGAIN, Dismissal(true))],
    ),
    in_group(8, "Removes members from a group", &[step(&body::MEMBERS_REMOVED, Each(Activity::MembersRemoved))]),
    in_group(4, "Transfers a group", &[step(&body::OWNER_CHANGED, Nothing)]),
];

/// What people do, how often out of 10,000, and the callbacks that follow, each with its chance in percent.
pub fn actions() -> impl Iterator<Item = (&'static str, u32, Vec<(&'static str, u32)>)> {
    ACTIONS.iter().map(|action| {
        let callbacks = action.steps.iter().map(|step| (step.callback.command(), step.chance));
        (action.name, action.share, callbacks.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_sum_up_to_the_whole() {
        assert_eq!(ACTIONS.iter().map(|action| action.share).sum::<u32>(), ACTIONS_IN_ALL);
    }
}
