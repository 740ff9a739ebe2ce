//! Carrying a state over to a build with additional metrics, and back. Everything that both builds know must stay
//! equal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod changes;
mod contributing;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use openim_exporter::domain::codes::CONTENT_TYPES;
use support::{Exporter, GROUP_MESSAGE_PATH, Samples, command_of};

/// The other build's program.
static OTHER: LazyLock<PathBuf> = LazyLock::new(changes::build);

/// Few groups, so that some of them get no slot.
const FLAGS: [&str; 8] = [
    "--web.listen-address",
    "127.0.0.1:0",
    "--groups.max-tracked",
    "8",
    "--senders.max-tracked",
    "1000",
    "--callback.dedup-window",
    "10m",
];

/// Prefixes of the metrics that must continue after a conversion.
const CARRIED: [&str; 7] = [
    "openim_group_",
    "openim_tracked_group_",
    "openim_active_",
    "openim_exporter_groups_",
    "openim_exporter_sender_pairs_",
    "openim_exporter_callback_repeats_",
    "openim_exporter_message_ids_",
];

/// Labels that only the other build has, and the ones that this build uses instead.
const RENAMED: [[&str; 2]; 3] = [
    [r#"content_type="poll""#, r#"content_type="116""#],
    [r#"platform="wear""#, r#"platform="unknown""#],
    [r#"reason="blocked""#, r#"reason="retired""#],
];

/// Series that only the other build has. The values of its buckets are in the neighbouring buckets here.
const DROPPED: [&str; 2] = [r#"clock_errors_total{kind="ancient"}"#, r#"mentions_total{kind="poll"}"#];
const NEW_BUCKETS: [[&str; 2]; 2] = [[r#"le="2048""#, r#"le="1024""#], [r#"le="0.75""#, r#"le="0.5""#]];

/// One of this many messages has the ID of the previous one.
const REPEAT_EVERY: usize = 50;

fn start(program: &Path, directory: &Path) -> Exporter {
    Exporter::run(command_of(program, &FLAGS).arg("--storage.path").arg(directory))
}

fn this() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_openim-exporter"))
}

fn end(exporter: Exporter, signal: &str) {
    exporter.signal(signal);
    let (status, log) = exporter.wait();
    assert_eq!(status.success(), signal == "TERM", "{status} {log:#?}");
}

/// Sends every content type from every platform, with varying other fields. Returns how many messages must be counted.
fn send(exporter: &Exporter, round: &str) -> usize {
    let unlisted = [116, 112, 777, 0, -5];
    let types: Vec<i32> = CONTENT_TYPES.iter().map(|(code, _)| *code).chain(unlisted).collect();
    let kinds: Vec<_> = types.iter().flat_map(|code| (0..=13).map(move |platform| (*code, platform))).collect();
    let mut client = exporter.connect();
    for (number, (code, platform)) in kinds.iter().enumerate() {
        let answer = client.post(GROUP_MESSAGE_PATH, message(round, number, *code, *platform));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    kinds.len() - kinds.len() / REPEAT_EVERY
}

fn message(round: &str, number: usize, code: i32, platform: i32) -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let pick = |choices: &[i64]| choices[number % choices.len()];
    let sent = now - pick(&[3, 30, 600, 700, 800, 2000, 40_000, 4_000_000, 40_000_000, -60_000, 900]);
    let created = sent - pick(&[0, 600, 900, -5, 5_000_000, 50_000_000, 2500]);
    let content = "x".repeat(usize::try_from(pick(&[0, 10, 300, 1500, 3000, 5000, 20_000, 900, 60])).unwrap());
    let (from, status) = (pick(&[100, 200, 300, 0]), pick(&[0, 1, 2, 3, 4, 5, 9]));
    let mentions = [r"[]", r#"["a","b"]"#, r#"["AtAllTag"]"#, r#"["AtAllTag","c"]"#, "null"][number % 5];
    let group = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "too many", "blocked"][number % 10];
    let id = if number % REPEAT_EVERY == REPEAT_EVERY - 1 { number - 1 } else { number };
    format!(
        r#"{{"sendID":"u{}","groupID":"{group}","contentType":{code},"senderPlatformID":{platform},"msgFrom":{from},
        "status":{status},"sendTime":{sent},"createTime":{created},"content":"{content}","atUserList":{mentions},
        "serverMsgID":"{round} {id}","operationID":"{round} {number}"}}"#,
        number % 23
    )
}

/// The metrics that must continue after a conversion, from both pages.
fn read(exporter: &Exporter) -> [Samples; 2] {
    ["/metrics", "/metrics/groups"].map(|path| {
        let mut samples = Samples::parse(&exporter.get(path).text());
        samples.0.retain(|series, _| CARRIED.iter().any(|start| series.starts_with(start)));
        samples
    })
}

/// The same after a restart, because a start ranks the groups and counts their senders.
fn read_again(exporter: Exporter, program: &Path, directory: &Path, signal: &str) -> [Samples; 2] {
    end(exporter, signal);
    let exporter = start(program, directory);
    let samples = read(&exporter);
    end(exporter, signal);
    samples
}

/// The other build's samples with the labels of this build.
fn as_known_here(samples: &Samples) -> Samples {
    let is_dropped = |series: &str| {
        DROPPED.iter().any(|dropped| series.contains(dropped))
            || NEW_BUCKETS.iter().any(|[new, _]| series.contains(new))
    };
    let mut known = BTreeMap::<String, f64>::new();
    for (series, value) in samples.0.iter().filter(|(series, _)| !is_dropped(series)) {
        let name = RENAMED.iter().fold(series.clone(), |name, [there, here]| name.replace(there, here));
        *known.entry(name).or_default() += value;
    }
    // The sum of two sums of seconds, as if their milliseconds had been added.
    known.values_mut().for_each(|value| *value = (*value * 1000.0).round() / 1000.0);
    Samples(known)
}

/// The other build's values of series that this build does not have. Not polls, because this build counts them as 116.
fn of_new_kinds(samples: &Samples) -> Vec<f64> {
    let labels = RENAMED[1..].iter().map(|[there, _]| *there).chain(DROPPED);
    let sum = |label: &str| {
        let matching: Vec<_> = samples.0.iter().filter(|(series, _)| series.contains(label)).collect();
        assert!(!matching.is_empty(), "no series with {label}");
        matching.into_iter().map(|(_, value)| value).sum()
    };
    labels.map(sum).collect()
}

/// After a conversion, each new bucket has the same value as the bucket below it.
fn assert_new_buckets_are_empty(samples: &Samples) {
    for [new, below] in NEW_BUCKETS {
        let buckets: Vec<_> = samples.0.iter().filter(|(series, _)| series.contains(new)).collect();
        assert!(!buckets.is_empty(), "no bucket {new}");
        for (series, value) in buckets {
            assert_eq!(*value, samples.value(&series.replace(new, below)), "{series}");
        }
    }
}

fn assert_equal(left: &[Samples; 2], right: &[Samples; 2]) {
    // Which combinations of labels have a series before their first message depends on the build.
    let value = |samples: &Samples, series: &str| {
        samples.get(series).or_else(|| series.contains("content_type=").then_some(0.0))
    };
    for (left, right) in left.iter().zip(right) {
        let series = left.0.keys().chain(right.0.keys());
        let different = series.filter(|series| value(left, series) != value(right, series));
        let different: BTreeMap<_, _> =
            different.map(|series| (series, [left.get(series), right.get(series)])).collect();
        assert!(different.is_empty(), "{different:#?}");
    }
}

/// The lines of the log with this text.
fn lines(exporter: &Exporter, text: &str) -> Vec<String> {
    exporter.log().into_iter().filter(|line| line.contains(text)).collect()
}

/// The other build opens this build's state, and counts more messages. Returns its samples before its end.
fn open_there(directory: &Path, before: &[Samples; 2], signal: &str) -> ([Samples; 2], usize) {
    let other = start(&OTHER, directory);
    let after = read(&other);
    assert_equal(&after.each_ref().map(as_known_here), before);
    assert_eq!(of_new_kinds(&after[0]), [0.0; 4]);
    assert_new_buckets_are_empty(&after[0]);
    assert_eq!(lines(&other, "is converted into a new file").len(), 1, "{:#?}", other.log());
    assert_eq!(lines(&other, "so it is dropped"), [""; 0]);
    let sent = send(&other, "there");
    let there = read_again(other, &OTHER, directory, signal);
    assert!(of_new_kinds(&there[0]).iter().all(|count| *count > 0.0), "{:?}", of_new_kinds(&there[0]));
    (there, sent)
}

/// This build opens the other build's state.
fn open_back(directory: &Path, there: &[Samples; 2], sent: usize) {
    let kept = fs::read(directory.join("state")).unwrap();
    let exporter = start(this(), directory);
    let back = read(&exporter);
    assert_equal(&back, &there.each_ref().map(as_known_here));
    assert_eq!(back[0].sum("openim_group_messages_total"), sent as f64);
    let dropped = lines(&exporter, "so it is dropped");
    let history = ["minutes", "hours", "days"].map(|step| format!("history of {step}: messages pinned"));
    let parts =
        history.iter().map(String::as_str).chain(["of ancient", "polls: this program does not know this section"]);
    for part in parts {
        assert_eq!(dropped.iter().filter(|line| line.contains(part)).count(), 1, "{part}: {dropped:#?}");
    }
    assert_eq!(dropped.len(), 5, "{dropped:#?}");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let aside: Vec<_> = entries.filter(|path| path.to_str().unwrap().contains("/state.other-layout-")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(fs::read(&aside[0]).unwrap() == kept, "the renamed state was changed");
    end(exporter, "TERM");
    let exporter = start(this(), directory);
    assert_equal(&read(&exporter), &back);
    assert_eq!(lines(&exporter, "is converted"), [""; 0]);
}

fn there_and_back(signal: &str) {
    // First, because it may take longer than the shortest window.
    LazyLock::force(&OTHER);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let exporter = start(this(), directory);
    let sent_here = send(&exporter, "here");
    let before = read_again(exporter, this(), directory, signal);
    assert_eq!(before[0].sum("openim_group_messages_total"), sent_here as f64);
    let (there, sent_there) = open_there(directory, &before, signal);
    open_back(directory, &there, sent_here + sent_there);
}

#[test]
#[ignore = "builds another exporter"]
fn a_state_is_converted_to_a_build_with_more_metrics_and_back() {
    there_and_back("TERM");
}

#[test]
#[ignore = "builds another exporter"]
fn a_state_is_converted_after_kills_too() {
    there_and_back("KILL");
}
