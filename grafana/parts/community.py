"""The dashboard of what people do apart from writing group messages."""

from .panel import lines, row, stat
from .top import first_row

# What is counted: the family, the setting in webhooks.yml that reports it, and its commands in all versions of OpenIM.
REGISTRATIONS = ("openim_users_registered_total", "afterUserRegister", "callbackAfterUserRegisterCommand")
DISCONNECTS = ("openim_user_disconnects_total", "afterUserOffline", "callbackAfterUserOfflineCommand|callbackUserOfflineCommand")
CREATED = ("openim_groups_created_total", "afterCreateGroup", "callbackAfterCreateGroupCommand")
DISMISSED = ("openim_groups_dismissed_total", "afterDismissGroup", "callbackAfterDisMissGroupCommand|callbackDisMissGroupCommand")
JOINED = ("openim_group_members_joined_total", "beforeMemberJoinGroup", "callbackBeforeMembersJoinGroupCommand|callbackBeforeMemberJoinGroupCommand")
LEFT = ("openim_group_members_left_total", "afterQuitGroup", "callbackAfterQuitGroupCommand|callbackQuitGroupCommand")
REMOVED = ("openim_group_members_removed_total", "afterKickGroupMember", "callbackAfterKickGroupCommand|callbackKillGroupCommand")
INVITED = ("openim_group_members_invited_total", "beforeInviteUserToGroup", "callbackBeforeInviteJoinGroupCommand")
REQUESTED = ("openim_group_members_join_requests_total", "beforeApplyJoinGroup", "callbackBeforeJoinGroupCommand")
FRIEND_REQUESTS = ("openim_friend_requests_total", "afterAddFriend", "callbackAfterAddFriendCommand")
FRIENDSHIPS = ("openim_friendships_started_total", "afterAddFriendAgree or afterImportFriends", "callbackAfterAddFriendAgreeCommand|callbackAfterImportFriendsCommand")
FRIENDS_DELETED = ("openim_friendships_ended_total", "afterDeleteFriend", "callbackAfterDeleteFriendCommand")
BLOCKS = ("openim_user_blocks_total", "beforeAddBlack", "callbackBeforeAddBlackCommand")
UNBLOCKS = ("openim_user_unblocks_total", "afterRemoveBlack", "callbackAfterRemoveBlackCommand")
REVOCATIONS = ("openim_message_revocations_total", "afterRevokeMsg", "callbackBeforeAfterMsgCommand")
GROUP_READS = ('openim_messages_read_total{$S, chat="group"}', "afterGroupMsgRead", "callbackAfterGroupMsgReadCommand|callbackGroupMsgReadCommand")
SINGLE_READS = ('openim_messages_read_total{$S, chat="single"}', "afterSingleMsgRead", "callbackAfterSingleMsgReadCommand|callbackSingleMsgRead")
PUSHES = ("openim_offline_pushes_total", "beforeOfflinePush", "callbackBeforeOfflinePushCommand|callbackOfflinePushCommand")
GROUP_ATTEMPTS = ('openim_message_attempts_total{$S, chat="group"}', "beforeSendGroupMsg", "callbackBeforeSendGroupMsgCommand")
SINGLE_ATTEMPTS = ('openim_message_attempts_total{$S, chat="single"}', "beforeSendSingleMsg", "callbackBeforeSendSingleMsgCommand")


def increase(counted, window, by=""):
    """The increase, if a callback that reports it has been received. Also while the exporter is down."""
    family, _, commands = counted
    selected = family if "{" in family else f"{family}{{$S}}"
    seen = f'sum(last_over_time(openim_exporter_callbacks_total{{$S, command=~"{commands}"}}[1d])) > 0'
    return f"sum{by} (increase({selected}[{window}])) and on () ({seen})"


def how(*counted):
    """What to do if a panel is empty."""
    settings = [setting for _, setting, _ in counted]
    if len(settings) == 1:
        return f"Nothing reported yet: enable {settings[0]} in OpenIM's webhooks.yml, unless it is already"
    return f"Nothing reported yet. Each line needs its setting in OpenIM's webhooks.yml: {', '.join(settings)}"


def today(title, description, counted):
    return stat(title, f"{description} in the last 24 hours.", "short", (increase(counted, "1d"), ""), empty=f"enable {counted[1]}", decimals=0)


def by_hour(title, description, *named):
    """A graph with a line for each name."""
    targets = [(increase(counted, "1h"), name) for name, counted in named]
    return lines(title, f"{description} Each value is for the hour before.", "short", *targets, empty=how(*(counted for _, counted in named)))


def by_label(title, description, counted, label):
    target = (increase(counted, "1h", f" by ({label})"), f"{{{{{label}}}}}")
    return lines(title, f"{description} Each value is for the hour before.", "short", target, empty=how(counted))


def panels():
    return [
        *first_row(),
        row("Last 24 hours"),
        today("Registrations", "Users that were registered", REGISTRATIONS),
        today("Groups created", "Groups that were created", CREATED),
        today("Groups dismissed", "Groups that were dismissed", DISMISSED),
        today("Members joined", "Joins, counted before OpenIM adds the members,", JOINED),
        today("Friendships started", "Pairs of users that became friends", FRIENDSHIPS),
        today("Messages revoked", "Messages that were revoked", REVOCATIONS),
        row("People"),
        by_hour("Joins and leaves", "Members that join and leave groups. Joins, invitations and requests are counted before OpenIM accepts them.", ("joined", JOINED), ("left", LEFT), ("removed", REMOVED), ("invited", INVITED), ("asked to join", REQUESTED)),
        by_hour("Friends", "Requests, friendships that started or ended, and users that were blocked or unblocked.", ("requests", FRIEND_REQUESTS), ("started", FRIENDSHIPS), ("ended", FRIENDS_DELETED), ("blocks", BLOCKS), ("unblocks", UNBLOCKS)),
        by_hour("Registrations and groups", "New users, and groups that were created and dismissed.", ("registrations", REGISTRATIONS), ("groups created", CREATED), ("groups dismissed", DISMISSED)),
        by_label("Disconnects", "Connections that ended, by platform. Another connection of the same user may remain.", DISCONNECTS, "platform"),
        row(
            "Messages",
            by_hour("Messages to be sent", "Messages before OpenIM accepts them, in groups and between two users.", ("group", GROUP_ATTEMPTS), ("single", SINGLE_ATTEMPTS)),
            by_hour("Messages read", "Messages between two users that were read, and how often a user marked a group conversation as read.", ("group", GROUP_READS), ("single", SINGLE_READS)),
            by_label("Revocations", "Messages that were revoked, in groups and between two users.", REVOCATIONS, "chat"),
            by_label("Offline pushes", "Offline users to whom OpenIM was about to push a message.", PUSHES, "chat"),
        ),
    ]
