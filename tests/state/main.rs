//! States across restarts, and states that cannot be trusted. The tests open, damage and copy them in this process,
//! with simulated boots of the machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod backups;
mod copies;
mod damage;
mod first_version;
mod history;
mod identity;
mod layouts;
mod power_loss;
#[path = "../support/typical.rs"]
mod typical;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use openim_exporter::arena::{Boot, Damage, Doubt, Error, Step};
use openim_exporter::domain::{Chat, Message, UnixMillis};
use openim_exporter::stats::{Capacities, Recorded, StateStart, Stats};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::time::Duration;
use typical::typical;

const NOW: UnixMillis = UnixMillis(1_732_345_678_901);
const BOOT: Boot = Boot::Id([1, 2]);
const NEXT_BOOT: Boot = Boot::Id([3, 4]);
const CAPACITIES: Capacities = Capacities {
    groups: 100,
    exported_groups: 10,
    sender_pairs: 1000,
    dedup_window: Duration::ZERO,
    online: 100,
    history_days: 40,
};
const PAGE: usize = 4096;

fn later(ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

/// Opens a state, and returns the reported steps too.
fn try_open(path: &Path, capacities: Capacities, boot: Boot, now: UnixMillis) -> Result<(Stats, Vec<Step>), Error> {
    let steps = RefCell::new(Vec::new());
    let stats = Stats::open(path, capacities, boot, now, &|step| steps.borrow_mut().push(step))?;
    Ok((stats, steps.into_inner()))
}

fn open_with(path: &Path, capacities: Capacities, boot: Boot) -> (Stats, Vec<Step>) {
    try_open(path, capacities, boot, NOW).unwrap()
}

fn open(path: &Path, boot: Boot) -> (Stats, Vec<Step>) {
    open_with(path, CAPACITIES, boot)
}

fn close(stats: &Stats) {
    stats.close(NOW, &|step| assert!(matches!(step, Step::Removed(_)), "{step:?}")).unwrap();
}

/// What a state was renamed to, and why.
fn renamed(steps: &[Step]) -> Option<(&Path, &str)> {
    steps.iter().find_map(|step| match step {
        Step::Renamed { path, reason } => Some((path.as_path(), reason.as_str())),
        _ => None,
    })
}

fn is_converted(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::OtherLayout { .. }))
}

fn record(stats: &Stats, group: &str, sender: &str, now: UnixMillis) {
    stats.record(&typical(group, sender, now), now);
}

/// Messages to some groups from many users.
fn fill(stats: &Stats, messages: u64) {
    for number in 0..messages {
        record(stats, &format!("group-{}", number % 7), &format!("sender-{}", number % 50), NOW);
    }
}

/// Counts messages in the state of a directory, and closes the state if `closed`.
fn count_in(directory: &Path, messages: u64, closed: bool) {
    let (stats, _) = open(directory, BOOT);
    fill(&stats, messages);
    assert!(stats.check_state_file());
    if closed {
        close(&stats);
    }
}

/// The directory of a new state with some messages, closed or not.
fn filled(messages: u64, closed: bool) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    count_in(directory.path(), messages, closed);
    directory
}

/// The classic and the native counts of each histogram.
fn histogram_counts(stats: &Stats) -> Vec<[u64; 2]> {
    let of = |chat| {
        [
            [stats.content_bytes(chat).count, stats.native_content_bytes(chat).count()],
            [stats.delivery_delays(chat).count, stats.native_delivery_delays(chat).count()],
            [stats.submit_delays(chat).count, stats.native_submit_delays(chat).count()],
        ]
    };
    [Chat::Group, Chat::Single].into_iter().flat_map(of).collect()
}

/// The number and the sum of the delivery delays of each platform that has any.
fn delays_by_platform(stats: &Stats) -> Vec<(&'static str, u64, u64)> {
    let all = stats.delivery_delays_by_platform(Chat::Group);
    all.map(|(platform, sum, native)| (platform, native.count(), sum)).filter(|(_, count, _)| *count > 0).collect()
}

/// Every counter, and the windows.
fn numbers(stats: &Stats) -> (BTreeMap<String, u64>, [Vec<u64>; 2]) {
    let mut counters: BTreeMap<_, _> = stats
        .mix(Chat::Group)
        .filter(|cell| cell.messages > 0)
        .map(|cell| (format!("{} {} {}", cell.content_type, cell.platform, cell.source), cell.messages))
        .collect();
    counters.extend(stats.groups().map(|group| (format!("group {}", group.name.as_str()), group.messages)));
    counters.extend(stats.by_status().iter().enumerate().map(|(status, count)| (format!("status {status}"), *count)));
    for (name, reading) in [
        ("content", stats.content_bytes(Chat::Group)),
        ("delivery", stats.delivery_delays(Chat::Group)),
        ("submit", stats.submit_delays(Chat::Group)),
    ] {
        counters.insert(format!("{name} count"), reading.count);
        counters.insert(format!("{name} sum"), reading.sum);
    }
    counters.extend(
        histogram_counts(stats).iter().enumerate().map(|(which, [_, native])| (format!("native {which}"), *native)),
    );
    for (platform, count, sum) in delays_by_platform(stats) {
        counters.extend([(format!("delays of {platform}"), count), (format!("delays of {platform}, sum"), sum)]);
    }
    counters.insert("mentions".into(), stats.mentioned_users());
    let folded = [stats.folded_for_capacity(), stats.folded_retired(), stats.folded_dismissed(), stats.folded_erased()];
    counters.extend(["capacity", "retired", "dismissed", "erased"].map(str::to_owned).into_iter().zip(folded));
    counters.insert("pairs evicted".into(), stats.sender_pairs_evicted());
    (counters, [stats.active_senders(Chat::Group, NOW).to_vec(), stats.active_groups(NOW).to_vec()])
}

fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn all_counts_survive_every_kind_of_end() {
    for (closed, boot) in [(true, BOOT), (false, BOOT), (true, NEXT_BOOT)] {
        let directory = tempfile::tempdir().unwrap();
        let (stats, steps) = open(directory.path(), BOOT);
        assert_eq!((stats.state_start(), renamed(&steps)), (StateStart::Fresh, None));
        fill(&stats, 1000);
        let before = numbers(&stats);
        assert_eq!(before.1[0], [50; 5]);
        let exemplars = stats.delivery_exemplars(Chat::Group);
        assert!(exemplars.iter().any(Option::is_some));
        if closed {
            close(&stats);
        }
        drop(stats);
        let (stats, steps) = open(directory.path(), boot);
        assert_eq!((stats.state_start(), steps), (StateStart::Continued, vec![]), "{closed} {boot:?}");
        assert_eq!(numbers(&stats), before, "{closed} {boot:?}");
        assert_eq!(stats.delivery_exemplars(Chat::Group), exemplars);
        fill(&stats, 7);
        assert_eq!(stats.messages(), 1007);
        assert_eq!(stats.groups_tracked(), 7);
        assert_eq!(stats.exported_groups().len(), 7);
        // Fifty users in each of seven groups, in turn: each pair occurs.
        assert_eq!(stats.sender_pairs_tracked(), 350);
        assert!(stats.groups().all(|group| group.active_senders == [50, 50]), "{:?}", stats.groups().next());
    }
}

#[test]
fn after_a_power_loss_counters_start_from_0_but_windows_and_groups_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open(directory.path(), BOOT);
    fill(&stats, 1000);
    let windows = numbers(&stats).1;
    drop(stats);
    let (stats, steps) = open(directory.path(), NEXT_BOOT);
    assert_eq!(stats.state_start(), StateStart::CountersReset);
    assert_eq!(steps, [Step::CountersReset(Doubt::OtherBoot)]);
    let (counters, windows_after) = numbers(&stats);
    assert!(counters.values().all(|count| *count == 0), "{counters:?}");
    assert_eq!((windows_after, stats.groups_tracked()), (windows, 7));
    assert_eq!(stats.started(), NOW);
    fill(&stats, 14);
    assert_eq!(stats.messages(), 14);
    drop(stats);
    // After the reset, the same boot continues.
    assert_eq!(open(directory.path(), NEXT_BOOT).0.state_start(), StateStart::Continued);
}

#[test]
fn without_a_boot_id_a_boot_is_identified_by_its_time() {
    let at = |ms: i64| Boot::At(1_700_000_000_000 + ms);
    for (closed, boot, outcome) in [
        (false, at(4000), StateStart::Continued),
        (false, at(6000), StateStart::CountersReset),
        (false, Boot::Unknown, StateStart::CountersReset),
        (true, Boot::Unknown, StateStart::Continued),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (stats, _) = open(directory.path(), at(0));
        fill(&stats, 10);
        if closed {
            close(&stats);
        }
        drop(stats);
        assert_eq!(open(directory.path(), boot).0.state_start(), outcome, "{closed} {boot:?}");
    }
}

#[test]
fn the_activity_of_groups_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open(directory.path(), BOOT);
    (0..600).for_each(|_| record(&stats, "busy", "u", later(5000)));
    stats.tick(later(10_000));
    let rate = |stats: &Stats| stats.group(0).unwrap().rate;
    let before = rate(&stats);
    assert!(before > 0.5, "{before}");
    drop(stats);
    let (stats, _) = try_open(directory.path(), CAPACITIES, BOOT, later(12_000)).unwrap();
    let after = rate(&stats);
    assert!(after < before && after > before * 0.98, "{before} {after}");
}

#[test]
fn two_processes_cannot_use_the_same_state() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _) = open(directory.path(), BOOT);
    let refused = try_open(directory.path(), CAPACITIES, BOOT, NOW).unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }));
    let words = refused.to_string();
    assert!(words.contains("lock") && words.contains("--storage.path"), "{words}");
    drop(first);
    open(directory.path(), BOOT);
}

#[test]
fn an_unwritable_path_is_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a-file");
    fs::write(&file, "").unwrap();
    for path in [PathBuf::from("/proc/openim"), file.join("below"), file] {
        let words = try_open(&path, CAPACITIES, BOOT, NOW).unwrap_err().to_string();
        assert!(words.contains(path.to_str().unwrap()), "{words}");
        assert!(words.contains("--storage.path"), "{words}");
    }
}

#[test]
fn different_capacities_keep_all_numbers() {
    for (groups, pairs) in [(100, 2000), (1000, 1000), (7, 1000), (10_000, 50_000)] {
        let directory = tempfile::tempdir().unwrap();
        let (stats, _) = open(directory.path(), BOOT);
        fill(&stats, 1000);
        let before = numbers(&stats);
        drop(stats);
        let capacities = Capacities { groups, sender_pairs: pairs, ..CAPACITIES };
        let (stats, steps) = open_with(directory.path(), capacities, BOOT);
        assert!(is_converted(&steps), "{steps:?}");
        assert_eq!(stats.state_start(), StateStart::Continued);
        assert_eq!(numbers(&stats), before, "{groups} {pairs}");
        assert_eq!(stats.sender_pairs_tracked(), 350);
        assert!(stats.groups().all(|group| group.active_senders == [50, 50]));
        fill(&stats, 7);
        drop(stats);
        let (stats, steps) = open_with(directory.path(), capacities, BOOT);
        assert_eq!((stats.messages(), steps), (1007, vec![]));
        assert_eq!(files(directory.path()), ["lock", "state", "state.previous"]);
        close(&stats);
        assert_eq!(files(directory.path()), ["lock", "state"]);
    }
}

#[test]
fn a_smaller_table_keeps_the_latest_groups_and_folds_the_messages_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open(directory.path(), BOOT);
    for group in 0..10 {
        (0..=group).for_each(|_| record(&stats, &format!("g{group}"), "s", later(group * 1000)));
    }
    drop(stats);
    let (stats, _) = open_with(directory.path(), Capacities { groups: 3, ..CAPACITIES }, BOOT);
    let mut groups: Vec<_> = stats.groups().map(|group| (group.name.as_str().to_owned(), group.messages)).collect();
    groups.sort();
    assert_eq!(groups, [("g7".to_owned(), 8), ("g8".to_owned(), 9), ("g9".to_owned(), 10)]);
    assert_eq!((stats.messages(), stats.folded_retired(), stats.groups_retired()), (55, 28, 7));
}

#[test]
fn a_second_conversion_reports_that_the_previous_state_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let previous = directory.path().join("state.previous");
    let convert = |groups| {
        let steps = open_with(directory.path(), Capacities { groups, ..CAPACITIES }, BOOT).1;
        let is_about = |step: &Step, wanted: fn(PathBuf) -> Step| *step == wanted(previous.clone());
        let replaced = steps.iter().position(|step| is_about(step, Step::PreviousReplaced));
        let kept = steps.iter().position(|step| is_about(step, Step::PreviousKept));
        (replaced.is_some(), kept.is_some() && replaced < kept)
    };
    assert_eq!(convert(100), (false, false));
    assert_eq!(convert(200), (false, true));
    // It was not closed, as after a kill.
    assert_eq!(convert(300), (true, true));
    // A start that was killed after it kept the state: both names are the same file.
    fs::remove_file(&previous).unwrap();
    fs::hard_link(directory.path().join("state"), &previous).unwrap();
    assert_eq!(convert(400), (false, true));
}

#[test]
fn an_incomplete_new_state_is_removed_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("state.new");
    for start in ["the first", "a second"] {
        fs::write(&new, "incomplete").unwrap();
        let (_, steps) = open(directory.path(), BOOT);
        assert!(!new.exists() && steps.contains(&Step::Removed(new.clone())), "{start}: {steps:?}");
    }
}

#[test]
fn a_duplicate_is_found_after_a_restart_unless_the_window_is_zero() {
    let directory = tempfile::tempdir().unwrap();
    let on = Capacities { dedup_window: Duration::from_secs(600), ..CAPACITIES };
    let say = |stats: &Stats, id: &str| {
        let message = Message { server_msg_id: id, ..typical("g", "u", NOW) };
        stats.record(&message, NOW) != Recorded::Duplicate
    };
    let (stats, _) = open_with(directory.path(), on, BOOT);
    assert!(say(&stats, "a") && !say(&stats, "a") && say(&stats, "") && say(&stats, ""));
    drop(stats);
    let (stats, steps) = open_with(directory.path(), on, BOOT);
    assert!(!say(&stats, "a") && say(&stats, "b"));
    assert_eq!((stats.duplicates(), stats.messages(), steps), (2, 4, vec![]));
    drop(stats);
    let (stats, _) = open_with(directory.path(), CAPACITIES, BOOT);
    assert!(say(&stats, "a") && say(&stats, "a"));
    assert_eq!((stats.duplicates(), stats.messages()), (2, 6));
}

#[test]
fn after_a_week_only_windows_that_are_long_enough_still_count() {
    const DAY_MS: i64 = 86_400_000;
    let directory = filled(100, true);
    let week_later = later(8 * DAY_MS);
    let (stats, _) = try_open(directory.path(), CAPACITIES, NEXT_BOOT, week_later).unwrap();
    assert_eq!(stats.active_senders(Chat::Group, week_later), [0, 0, 0, 0, 50]);
    record(&stats, "group-1", "somebody new", week_later);
    assert_eq!(stats.active_senders(Chat::Group, week_later), [1, 1, 1, 1, 51]);
    assert_eq!(stats.messages(), 101);
}

/// A machine without a battery boots in 1970, and its clock is set a little later.
#[test]
fn messages_before_the_clock_is_set_count_in_each_window() {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = try_open(directory.path(), CAPACITIES, BOOT, later(-20 * 86_400_000)).unwrap();
    for (day, sender) in [(-20, "a"), (-3, "b"), (0, "c")] {
        stats.tick(later(day * 86_400_000));
        record(&stats, "group", sender, later(day * 86_400_000));
    }
    assert_eq!(stats.active_senders(Chat::Group, NOW), [1, 1, 1, 2, 3]);
    close(&stats);
    drop(stats);
    let boot = |second: i64| UnixMillis(second * 1000);
    let (stats, _) = try_open(directory.path(), CAPACITIES, NEXT_BOOT, boot(5)).unwrap();
    record(&stats, "group", "d", boot(6));
    stats.tick(boot(6));
    assert_eq!(stats.active_senders(Chat::Group, boot(7)), [2, 2, 2, 3, 4]);
    let set = later(30_000);
    stats.tick(set);
    assert_eq!(stats.active_senders(Chat::Group, set), [2, 2, 2, 3, 4]);
    record(&stats, "group", "e", set);
    assert_eq!(stats.active_senders(Chat::Group, later(7 * 60_000)), [0, 3, 3, 4, 5]);
}
