//! What each callback counts that reports neither a message nor that a user is online.

use crate::support::{Exporter, SUCCESS};

/// The names of a command, a body, and the series that rise.
type Case = (&'static [&'static str], &'static str, &'static [(&'static str, f64)]);

/// Commands with OpenIM's own bodies, without parts that are not read.
const COUNTED: &[Case] = &[
    (
        &["callbackAfterUserRegisterCommand"],
        // OpenIM 3.4.2 to 3.8.0 also send their own secret.
        r#"{"secret":"openIM123","users":[{"userID":"1","nickname":"Zoe","createTime":0},{"userID":"2"}]}"#,
        &[("openim_users_registered_total", 2.0)],
    ),
    (
        &["callbackAfterUserOfflineCommand", "callbackUserOfflineCommand"],
        r#"{"operationID":"p_4711_17","platformID":1,"platform":"IOS","userID":"1","seq":1795897041177,"connID":""}"#,
        &[("openim_user_disconnects_total{platform=\"ios\"}", 1.0)],
    ),
    (
        &["callbackAfterUserOfflineCommand"],
        r#"{"platformID":77,"userID":"1"}"#,
        &[("openim_user_disconnects_total{platform=\"unknown\"}", 1.0)],
    ),
    (
        &["callbackAfterCreateGroupCommand"],
        r#"{"groupID":"g","memberCount":3,"initMemberList":[{"userID":"1","roleLevel":100},{"userID":"1","roleLevel":20}]}"#,
        &[("openim_groups_created_total", 1.0)],
    ),
    (
        &["callbackAfterDisMissGroupCommand"],
        r#"{"groupID":"g","ownerID":"1","groupType":"\u0002","membersID":["1","2"]}"#,
        &[("openim_groups_dismissed_total", 1.0)],
    ),
    // The same dismissal, reported again as a notification.
    (&["callbackAfterDisMissGroupCommand"], r#"{"groupID":"g","groupType":"\u0002","membersID":null}"#, &[]),
    (
        &["callbackDisMissGroupCommand"],
        r#"{"groupID":"another","membersID":[]}"#,
        &[("openim_groups_dismissed_total", 1.0)],
    ),
    (
        &["callbackBeforeMembersJoinGroupCommand"],
        r#"{"groupID":"g","memberList":[{"userID":"3","ex":""},{"userID":"4","ex":""}],"groupEx":""}"#,
        &[("openim_group_members_joined_total", 2.0)],
    ),
    (
        &["callbackBeforeMemberJoinGroupCommand"],
        r#"{"groupID":"g","userID":"3","ex":"","groupEx":""}"#,
        &[("openim_group_members_joined_total", 1.0)],
    ),
    (
        &["callbackAfterQuitGroupCommand", "callbackQuitGroupCommand"],
        r#"{"groupID":"g","userID":"2"}"#,
        &[("openim_group_members_left_total", 1.0)],
    ),
    (
        &["callbackAfterKickGroupCommand", "callbackKillGroupCommand"],
        r#"{"groupID":"g","kickedUserIDs":["3","4"],"reason":"spam"}"#,
        &[("openim_group_members_removed_total", 2.0)],
    ),
    (
        &["callbackBeforeInviteJoinGroupCommand"],
        r#"{"groupID":"g","reason":"welcome","invitedUserIDs":["6","7","8"]}"#,
        &[("openim_group_members_invited_total", 3.0)],
    ),
    (
        &["callbackBeforeJoinGroupCommand"],
        r#"{"groupID":"g","groupType":"\u0002","applyID":"5","reqMessage":"let me in","ex":""}"#,
        &[("openim_group_members_join_requests_total", 1.0)],
    ),
    // It misses most joins.
    (&["callbackAfterJoinGroupCommand"], r#"{"groupID":"g","joinSource":3,"inviterUserID":"5"}"#, &[]),
    (
        &["callbackAfterAddFriendCommand"],
        r#"{"fromUserID":"1","toUserID":"2","reqMsg":"hello"}"#,
        &[("openim_friend_requests_total", 1.0)],
    ),
    (
        &["callbackAfterAddFriendAgreeCommand"],
        r#"{"fromUserID":"1","blackUserID":"2","HandleResult":1,"HandleMsg":"welcome"}"#,
        &[("openim_friendships_started_total", 1.0)],
    ),
    (
        &["callbackAfterImportFriendsCommand"],
        r#"{"ownerUserID":"1","friendUserIDs":["2","3"]}"#,
        &[("openim_friendships_started_total", 2.0)],
    ),
    (
        &["callbackAfterDeleteFriendCommand"],
        r#"{"ownerUserID":"1","friendUserID":"2"}"#,
        &[("openim_friendships_ended_total", 1.0)],
    ),
    (
        &["callbackBeforeAddBlackCommand"],
        r#"{"ownerUserID":"1","blackUserID":"9"}"#,
        &[("openim_user_blocks_total", 1.0)],
    ),
    (
        &["callbackAfterRemoveBlackCommand"],
        r#"{"ownerUserID":"1","blackUserID":"9"}"#,
        &[("openim_user_unblocks_total", 1.0)],
    ),
    (
        &["callbackBeforeAfterMsgCommand"],
        r#"{"conversationID":"sg_2478290001","seq":117,"userID":"1"}"#,
        &[("openim_message_revocations_total{chat=\"group\"}", 1.0)],
    ),
    (
        &["callbackBeforeAfterMsgCommand"],
        r#"{"conversationID":"si_1_2","seq":117,"userID":"1"}"#,
        &[("openim_message_revocations_total{chat=\"single\"}", 1.0)],
    ),
    (
        &["callbackAfterGroupMsgReadCommand", "callbackGroupMsgReadCommand"],
        r#"{"sendID":"2","receiveID":"2","unreadMsgNum":118,"contentType":3}"#,
        &[("openim_messages_read_total{chat=\"group\"}", 1.0)],
    ),
    // Before OpenIM 3.7 also for other conversations, without the number of messages.
    (&["callbackGroupMsgReadCommand"], r#"{"sendID":"2","unreadMsgNum":118,"contentType":1}"#, &[]),
    (
        &["callbackAfterSingleMsgReadCommand", "callbackSingleMsgRead"],
        r#"{"conversationID":"si_1_2","userID":"2","Seqs":[41,42],"contentType":1}"#,
        &[("openim_messages_read_total{chat=\"single\"}", 2.0)],
    ),
    (&["callbackAfterSingleMsgReadCommand"], r#"{"conversationID":"si_1_2","userID":"2","Seqs":null}"#, &[]),
    (&["callbackAfterSingleMsgReadCommand"], r#"{"conversationID":"sn_1_2","userID":"2","Seqs":[1,2]}"#, &[]),
    (&["callbackBeforeAfterMsgCommand"], r#"{"conversationID":"sn_1_2","seq":117,"userID":"1"}"#, &[]),
    (
        &["callbackBeforeOfflinePushCommand", "callbackOfflinePushCommand"],
        r#"{"platformID":2,"userIDList":["2","3"],"iOSBadgeCount":true,"groupID":"","sessionType":1,"atUserIDList":null}"#,
        &[("openim_offline_pushes_total{chat=\"single\"}", 2.0)],
    ),
    (
        &["callbackBeforeOfflinePushCommand"],
        r#"{"platformID":2,"userIDList":["2"],"groupID":"g","sessionType":3}"#,
        &[("openim_offline_pushes_total{chat=\"group\"}", 1.0)],
    ),
    (
        &["callbackBeforeSendSingleMsgCommand"],
        r#"{"sendID":"1","serverMsgID":"m","sessionType":1,"contentType":101,"recvID":"2"}"#,
        &[("openim_message_attempts_total{chat=\"single\"}", 1.0)],
    ),
    (
        &["callbackBeforeSendGroupMsgCommand"],
        r#"{"sendID":"1","serverMsgID":"m","sessionType":3,"contentType":101,"groupID":"g"}"#,
        &[("openim_message_attempts_total{chat=\"group\"}", 1.0)],
    ),
];

#[test]
fn each_callback_counts_what_it_reports_and_nothing_else() {
    let exporter = Exporter::start(&[]);
    for (commands, body, counted) in COUNTED {
        for command in *commands {
            let before = exporter.scrape();
            let answer = exporter.post(&format!("/{command}"), body);
            assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS), "{command} {body}");
            let after = exporter.scrape();
            let rises =
                after.rose_since(&before).into_iter().filter(|(series, _)| !series.starts_with("openim_exporter_"));
            // Readers and users online are active: see `people.rs`.
            let of_users = |series: &str| series.starts_with("openim_active_users");
            let rises: Vec<_> =
                rises.filter(|(series, _)| series.starts_with("openim_") && !of_users(series)).collect();
            let expected: Vec<_> = counted.iter().map(|(series, value)| ((*series).to_owned(), *value)).collect();
            assert_eq!(rises, expected, "{command} {body}");
            let taken = format!("openim_exporter_callbacks_total{{command=\"{command}\"}}");
            assert_eq!(after.value(&taken) - before.value(&taken), 1.0, "{command}");
        }
    }
}

#[test]
fn a_body_of_another_type_is_refused_and_counts_nothing() {
    let exporter = Exporter::start(&[]);
    let before = exporter.scrape();
    for body in [r#"{"users":7}"#, r#"{"users":{"a":1}}"#, "[]", "{", r#"{"platformID":"ios"}"#] {
        let (_, detail) = exporter.post("/callbackAfterUserRegisterCommand", body).refusal(400);
        assert!(!body.contains("users") || detail.starts_with("users: "), "{detail}");
    }
    let after = exporter.scrape();
    assert_eq!(after.statistics(), before.statistics());
    assert_eq!(after.sum("openim_exporter_callbacks_total"), 0.0);
}
