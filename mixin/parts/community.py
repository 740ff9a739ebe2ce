"""The dashboard of people: who is online, what they write to each other, and what they do."""

from .messages import DAY, DISTINCT, NO_NATIVE, RATE, UNITED, by_platform, distinct, quantiles
from .overview import by_window
from .panel import COUNT, lines, row, stat
from .reported import ONLINE, SINGLE, how, if_reported, online
from .top import first_row

# What is counted: see reported.py.
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
    family = counted[0]
    selected = family if "{" in family else f"{family}{{$S}}"
    return if_reported(f"sum{by} (increase({selected}[{window}]))", counted)


def tile(title, description, counted, expression):
    return stat(title, description, COUNT, (expression, ""), empty=f"none yet, or enable {counted[1].split()[0]}", decimals=0)


def today(title, description, counted):
    return tile(title, f"{description} in the last 24 hours.", counted, increase(counted, "1d"))


def by_hour(title, description, *named):
    """A graph with a line for each name."""
    targets = [(increase(counted, "1h"), name) for name, counted in named]
    return lines(title, f"{description} Each value is for the hour before.", "short", *targets, empty=how(*(counted for _, counted in named)))


def by_label(title, description, counted, label):
    target = (increase(counted, "1h", f" by ({label})"), f"{{{{{label}}}}}")
    return lines(title, f"{description} Each value is for the hour before.", "short", target, empty=how(counted))


def messages():
    single = if_reported("sum(rate(openim_single_messages_total{$S}[$__rate_interval]))", SINGLE)
    types = if_reported("sum by (content_type) (rate(openim_single_messages_total{$S}[$__rate_interval])) > 0", SINGLE)
    return [
        lines("Messages per second", "Messages in groups, and between two users.", "mps", (RATE, "group"), (single, "single"), empty=how(SINGLE)),
        lines("Content types of single messages", "Messages between two users per second, by content type.", "mps", (types, "{{content_type}}"), empty=how(SINGLE), stack=True),
        lines("Delivery delay of single messages, quantiles", "Time from sendTime to the callback, for messages between two users.", "s", *quantiles("openim_single_message_delivery_delay_seconds"), empty="No messages between two users"),
        lines("Delivery delay of single messages by platform", "95 % of a platform's messages between two users arrived within this time, from sendTime to the callback. Needs native histograms.", "s", by_platform("single"), empty=NO_NATIVE),
        lines("Submit delay of single messages, quantiles", "Time from createTime to sendTime, for messages between two users.", "s", *quantiles("openim_single_message_submit_delay_seconds"), empty="No messages between two users"),
        lines("Content size of single messages, quantiles", "Length of the content of messages between two users.", "bytes", *quantiles("openim_single_message_content_bytes"), empty="No messages between two users"),
        lines("Senders of single messages", f"Distinct senders of messages between two users by window, {DISTINCT}", "short", *by_window("openim_single_active_senders"), in_order=True),
        by_hour("Messages to be sent", "Messages before OpenIM accepts them, in groups and between two users.", ("group", GROUP_ATTEMPTS), ("single", SINGLE_ATTEMPTS)),
        lines("Attempts without a message", "Share of the messages to be sent after which OpenIM reported no message, in the half hour before. OpenimMessagesRefused fires if it rises.", "percentunit", ("max by (chat) (job:openim_messages_missing:ratio30m{$J})", "{{chat}}"), empty=how(GROUP_ATTEMPTS, SINGLE_ATTEMPTS)),
        by_hour("Messages read", "Messages between two users that were read, and how often a user marked a group conversation as read.", ("group", GROUP_READS), ("single", SINGLE_READS)),
        by_label("Revocations", "Messages that were revoked, in groups and between two users.", REVOCATIONS, "chat"),
        by_label("Offline pushes", "Offline users to whom OpenIM was about to push a message.", PUSHES, "chat"),
        lines("Offline pushes per message", "Offline pushes in the half hour before, for each message of both kinds. OpenimPushesStopped fires if there are none any more.", "short", (if_reported("max(job:openim_offline_pushes_per_message:ratio30m{$J})", PUSHES), "pushes"), empty=how(PUSHES), top=0.01),
    ]


def panels():
    return [
        *first_row(),
        row("Last 24 hours"),
        tile("Users online", f"Users online now. A user on two platforms counts twice. {UNITED}", ONLINE, online()),
        stat("Active users", f"Distinct users that sent or read messages or came online in the last 24 hours, {DISTINCT}", COUNT, (distinct("openim_active_users", "24h"), ""), decimals=0),
        stat("Group messages", "Messages in groups in the last 24 hours.", COUNT, (DAY, ""), decimals=0),
        today("Single messages", "Messages between two users", SINGLE),
        today("Registrations", "Users that were registered", REGISTRATIONS),
        today("Friendships started", "Pairs of users that became friends", FRIENDSHIPS),
        today("Groups created", "Groups that were created", CREATED),
        today("Groups dismissed", "Groups that were dismissed", DISMISSED),
        today("Members joined", "Joins, counted before OpenIM adds the members,", JOINED),
        today("Messages revoked", "Messages that were revoked", REVOCATIONS),
        today("Single messages read", "Messages between two users that were read", SINGLE_READS),
        today("Offline pushes (24 h)", "Offline users to whom OpenIM was about to push a message", PUSHES),
        row("People"),
        lines("Users online by platform", f"Users online by platform. A user on two platforms counts on both. {UNITED}", "short", (online("platform"), "{{platform}}"), empty=how(ONLINE), stack=True),
        lines("Active users by window", f"Distinct users that sent or read messages or came online, by window, {DISTINCT}", "short", *by_window("openim_active_users"), in_order=True),
        by_hour("Joins and leaves", "Members that join and leave groups. Joins, invitations and requests are counted before OpenIM accepts them.", ("joined", JOINED), ("left", LEFT), ("removed", REMOVED), ("invited", INVITED), ("asked to join", REQUESTED)),
        by_hour("Friends", "Requests, friendships that started or ended, and users that were blocked or unblocked.", ("requests", FRIEND_REQUESTS), ("started", FRIENDSHIPS), ("ended", FRIENDS_DELETED), ("blocks", BLOCKS), ("unblocks", UNBLOCKS)),
        row("Messages", *messages()),
        row(
            "More about people",
            by_hour("Registrations and groups", "New users, and groups that were created and dismissed.", ("registrations", REGISTRATIONS), ("groups created", CREATED), ("groups dismissed", DISMISSED)),
            lines("Senders who came back", "Of the people who sent messages 1, 7 or 28 days before yesterday, the share who also sent messages yesterday. Days begin at midnight in the time zone of --stats.time-zone. With several exporters, the largest share of one of them: people whom only another exporter saw are missing.", "percentunit", ("max by (after) (openim_sender_retention_ratio{$S})", "after {{after}}"), empty="Known after two complete days", top=1),
            by_label("Disconnects", "Connections that ended, by platform. Another connection of the same user may remain.", DISCONNECTS, "platform"),
        ),
    ]
