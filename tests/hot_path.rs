//! The hot path does not allocate: decoding and counting a callback for a tracked group.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use openim_exporter::config::{RecordContent, RecordSettings};
use openim_exporter::domain::{Clock, FileSync, SystemClock, UnixMillis};
use openim_exporter::record::{Record, Recorder};
use openim_exporter::stats::{Capacities, Recorded, Stats};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire::{self, Command, Report};
use std::sync::Arc;
use std::time::Duration;
use support::{callbacks, message};

const NOW: UnixMillis = UnixMillis(1_732_345_679_000);

fn stats(groups: usize) -> Stats {
    Stats::in_memory(
        Capacities {
            groups,
            exported_groups: 10,
            sender_pairs: 1000,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        },
        NOW,
    )
    .unwrap()
}

fn count(stats: &Stats, body: &[u8]) -> Recorded {
    wire::decode_group_message(body, |message| stats.record(message, NOW)).unwrap()
}

/// Allocations and reallocations of decoding and counting a body.
fn allocations(stats: &Stats, body: &[u8]) -> u64 {
    allocation_counter::measure(|| assert!(matches!(count(stats, body), Recorded::Known(_)))).count_total
}

#[test]
fn a_callback_for_a_known_group_allocates_nothing() {
    let stats = stats(100);
    for (name, body) in callbacks(".good.json") {
        // Its group's name has escapes, which must be unescaped.
        if name == "hostile-group-name.good.json" {
            continue;
        }
        count(&stats, &body);
        assert_eq!(allocations(&stats, &body), 0, "{name}");
    }
}

#[test]
fn recording_a_callback_allocates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for content in RecordContent::ALL {
        let settings = RecordSettings {
            path: None,
            content,
            max_file_bytes: 1 << 20,
            max_bytes: 1 << 30,
            max_age: Duration::from_secs(3600),
            sync: FileSync::Second,
        };
        let path = directory.path().join(content.name());
        let recorder = Recorder::start(&path, &settings, &Arc::new(Telemetry::default()), &clock).unwrap();
        let body = message("g", "u");
        let record = Record {
            received: NOW,
            path: "/callbackX",
            query: "key=1",
            command: "callbackX",
            body: body.as_bytes(),
            is_json: true,
        };
        // The first one creates this thread's buffer.
        recorder.append(&record);
        let allocations = allocation_counter::measure(|| recorder.append(&record)).count_total;
        assert_eq!(allocations, 0, "{}", content.name());
    }
}

#[test]
fn other_callbacks_allocate_nothing() {
    let stats = stats(100);
    let count = |name: &str, body: &str| {
        let command = Command::from_name(name).unwrap();
        let record = |report: Report<'_>| match report {
            Report::Message(message) => drop(stats.record(message, NOW)),
            Report::Event(event) => stats.record_event(event, NOW),
        };
        allocation_counter::measure(|| wire::decode_report(command, body.as_bytes(), record).unwrap()).count_total
    };
    for (name, body) in [
        ("callbackAfterSendSingleMsgCommand", r#"{"sendID":"a","contentType":101,"content":"{\"a\":1}","recvID":"b"}"#),
        ("callbackAfterMsgSaveDBCommand", r#"{"sendID":"a","sessionType":1,"recvID":"b","groupID":""}"#),
        ("callbackBeforeSendGroupMsgCommand", r#"{"sendID":"a","contentType":101,"groupID":"g"}"#),
        ("callbackAfterUserOnlineCommand", r#"{"platformID":1,"userID":"a","seq":1795897041177,"connID":""}"#),
        ("callbackAfterUserOfflineCommand", r#"{"platformID":1,"userID":"a"}"#),
        ("callbackAfterSingleMsgReadCommand", r#"{"conversationID":"si_a_b","userID":"b","Seqs":[41,42]}"#),
        ("callbackBeforeMembersJoinGroupCommand", r#"{"groupID":"g","memberList":[{"userID":"3","ex":""}]}"#),
    ] {
        assert_eq!((count(name, body), count(name, body)), (0, 0), "{name}");
    }
}

#[test]
fn content_full_of_escapes_and_a_long_list_of_mentions_allocate_nothing() {
    let stats = stats(100);
    let content = r#"{\"text\":\"\u003c\u7fa4\ud83d\udc4b\\n\u003e\"}"#.repeat(1000);
    let mentions = vec![r#""5318432619""#; 500].join(",");
    let body = format!(
        r#"{{"sendID":"5318432619","senderNickname":"\u674e \"x\"","contentType":106,"senderPlatformID":2,"msgFrom":100,
        "status":1,"sendTime":1732345678901,"createTime":1732345678700,"content":"{content}","seq":0,
        "atUserList":[{mentions},"AtAllTag"],"groupID":"2478291056","ex":"{{\"a\":1}}","new":"\n"}}"#
    );
    count(&stats, body.as_bytes());
    assert_eq!(allocations(&stats, body.as_bytes()), 0);
    assert_eq!((stats.messages(), stats.mentioned_users(), stats.mentioned_all()), (2, 1000, 2));
}

#[test]
fn a_message_that_is_folded_because_the_table_is_full_allocates_nothing() {
    let stats = stats(1);
    count(&stats, message("first", "u").as_bytes());
    let body = message("one-too-many", "u");
    let folding = allocation_counter::measure(|| assert_eq!(count(&stats, body.as_bytes()), Recorded::Folded));
    assert_eq!(folding.count_total, 0);
}

#[test]
fn allocations_are_counted() {
    let stats = stats(100);
    let body = message("not-known-yet-and-longer-than-a-map-s-entry-holds", "u");
    let adding = allocation_counter::measure(|| assert!(matches!(count(&stats, body.as_bytes()), Recorded::Added(_))));
    assert!(adding.count_total > 0);
}
