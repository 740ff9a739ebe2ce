use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

mod agreed;

use super::table::{GroupCounter, REMOVALS, shards};
use super::{Group, GroupTable, Paused, Recorded};
use crate::arena::{Block, Contents};
use crate::domain::UnixMillis;
use crate::stats::packed;

fn groups(capacity: usize, exported: usize) -> GroupTable {
    let mut contents = Contents::default();
    GroupTable::reserve(&mut contents, capacity);
    GroupTable::open(&Block::in_memory(contents).unwrap(), exported).unwrap()
}

const NOW: UnixMillis = UnixMillis(1_732_345_678_901);
const HOUR_MS: i64 = 3_600_000;

fn later(ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

fn all(groups: &GroupTable) -> Vec<Group> {
    (0..).take(groups.slots_used()).filter_map(|slot| groups.read(slot)).collect()
}

fn counts(groups: &GroupTable) -> BTreeMap<String, u64> {
    all(groups).into_iter().map(|group| (group.name.as_str().to_owned(), group.messages)).collect()
}

fn exported(groups: &GroupTable) -> Vec<String> {
    let read = |slot| groups.read(slot).map(|group| group.name.as_str().to_owned());
    groups.exported().into_iter().filter_map(read).collect()
}

fn record(groups: &GroupTable, id: &str, times: usize, now: UnixMillis) {
    for _ in 0..times {
        groups.record(id, now, || {});
    }
}

#[test]
fn each_group_has_its_own_count_under_its_own_name() {
    let groups = groups(10, 10);
    let long = "\u{7fa4}".repeat(100);
    for id in ["", "a", "a", "g\"quoted\\back\nline", "\u{7fa4}\u{804a}-1", &long, &long] {
        groups.record(id, NOW, || {});
    }
    let all = all(&groups);
    let found: Vec<_> = all.iter().map(|group| (group.name.as_str(), group.messages)).collect();
    assert_eq!(found[..4], [("", 1), ("a", 2), ("g\"quoted\\back\nline", 1), ("\u{7fa4}\u{804a}-1", 1)]);
    assert_eq!((found[4].1, found[4].0.len()), (2, 64));
}

#[test]
fn a_full_table_folds_new_groups_and_counts_known_ones() {
    let groups = groups(2, 2);
    assert_eq!(
        ["a", "b", "c", "a", "c"].map(|id| groups.record(id, NOW, || {})),
        [Recorded::Added(0), Recorded::Added(1), Recorded::Folded, Recorded::Known(0), Recorded::Folded]
    );
    assert_eq!((groups.tracked(), groups.folded_for_capacity()), (2, 2));
}

#[test]
fn threads_that_add_the_same_groups_lose_no_message() {
    const CAPACITY: usize = 300;
    let groups = groups(CAPACITY, 10);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..4000 {
                    groups.record(&(round % 400).to_string(), NOW, || {});
                }
            });
        }
    });
    assert_eq!(counts(&groups).values().sum::<u64>() + groups.folded_for_capacity(), 16_000);
    assert_eq!((all(&groups).len(), groups.tracked()), (CAPACITY, CAPACITY));
}

#[test]
fn a_new_group_gets_the_slot_of_the_group_that_was_idle_longest() {
    let groups = groups(3, 3);
    record(&groups, "old", 5, NOW);
    record(&groups, "older", 7, later(-HOUR_MS));
    record(&groups, "awake", 1, later(HOUR_MS));
    let day_after = later(25 * HOUR_MS);
    groups.tick(day_after);
    assert_eq!(groups.record("new", day_after, || {}), Recorded::Added(1));
    assert_eq!(counts(&groups), [("old".into(), 5), ("new".into(), 1), ("awake".into(), 1)].into());
    assert_eq!((groups.folded_retired(), groups.retired(), groups.tracked()), (7, 1, 3));
    assert_eq!(groups.record("newer", day_after, || {}), Recorded::Added(0));
    assert_eq!(groups.record("one too many", day_after, || {}), Recorded::Folded);
    assert_eq!((groups.folded_retired(), groups.folded_for_capacity()), (12, 1));
    assert_eq!(exported(&groups).len(), 3);
}

#[test]
fn a_group_that_became_active_after_the_tick_is_not_retired() {
    let groups = groups(2, 2);
    record(&groups, "a", 1, NOW);
    record(&groups, "b", 1, NOW);
    groups.tick(later(25 * HOUR_MS));
    record(&groups, "a", 1, later(25 * HOUR_MS));
    assert_eq!(groups.record("c", later(25 * HOUR_MS), || {}), Recorded::Added(1));
    assert_eq!(groups.record("d", later(25 * HOUR_MS), || {}), Recorded::Folded);
    assert_eq!(counts(&groups), [("a".into(), 2), ("c".into(), 1)].into());
}

#[test]
fn a_pause_prevents_retirement_for_ten_seconds() {
    let groups = groups(1, 1);
    record(&groups, "a", 3, NOW);
    let day_after = later(25 * HOUR_MS);
    groups.tick(day_after);
    let pause = groups.pause_retirement(day_after);
    // Another thread may have read the clock a little before the reader.
    for now in [day_after, UnixMillis(day_after.0 - 5)] {
        assert_eq!(groups.record("b", now, || {}), Recorded::Folded);
    }
    drop(pause);
    assert_eq!(groups.record("b", day_after, || {}), Recorded::Added(0));
    let two_days_after = later(50 * HOUR_MS);
    groups.tick(two_days_after);
    let _slow_reader = groups.pause_retirement(two_days_after);
    assert_eq!(groups.record("c", UnixMillis(two_days_after.0 + 9_999), || {}), Recorded::Folded);
    // The pause of another reader has its own ten seconds.
    let other_reader = groups.pause_retirement(UnixMillis(two_days_after.0 + 9_999));
    assert_eq!(groups.record("c", UnixMillis(two_days_after.0 + 19_998), || {}), Recorded::Folded);
    drop(other_reader);
    assert_eq!(groups.record("c", UnixMillis(two_days_after.0 + 9_999), || {}), Recorded::Folded);
    assert_eq!(groups.record("c", UnixMillis(two_days_after.0 + 10_000), || {}), Recorded::Added(0));
}

/// Dismisses a group. Returns whether it was dismissed for the first time.
fn is_new(groups: &GroupTable, id: &str) -> bool {
    let mut is_new = false;
    groups.dismiss(id, NOW, || is_new = true);
    is_new
}

#[test]
fn a_dismissed_group_is_folded_at_once_and_its_slot_is_used_after_its_pairs_are_forgotten() {
    let groups = groups(2, 2);
    record(&groups, "a", 3, NOW);
    record(&groups, "b", 4, NOW);
    assert_eq!(["unknown", "a", "a", "unknown"].map(|id| is_new(&groups, id)), [true, true, false, false]);
    assert_eq!((counts(&groups), groups.tracked(), exported(&groups)), ([("b".into(), 4)].into(), 1, vec!["b".into()]));
    assert_eq!((groups.folded_dismissed(), groups.folded_retired(), groups.retired()), (3, 0, 0));
    assert_eq!(groups.record("c", NOW, || {}), Recorded::Folded);
    // OpenIM may report messages of the group after its dismissal.
    assert_eq!((groups.record("a", NOW, || {}), groups.folded_dismissed()), (Recorded::Dismissed, 4));
    let mut forgotten = Vec::<u32>::new();
    groups.finish_removals(NOW, |slots| forgotten.extend(slots));
    groups.finish_removals(NOW, |slots| forgotten.extend(slots));
    assert_eq!(forgotten, [0]);
    assert_eq!(groups.record("c", NOW, || {}), Recorded::Added(0));
    assert_eq!((groups.tracked(), groups.folded_for_capacity()), (2, 1));
}

/// Whether the bytes of the slots contain this name.
fn has_name(groups: &GroupTable, name: &str) -> bool {
    let bytes: Vec<u8> = groups.slots.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    memchr::memmem::find(&bytes, name.as_bytes()).is_some()
}

#[test]
fn an_erased_group_is_folded_and_tracked_anew_and_its_name_is_gone() {
    let groups = groups(2, 2);
    record(&groups, "the group", 3, NOW);
    record(&groups, "b", 4, NOW);
    let erase = |name| groups.remove(name, NOW, GroupCounter::FoldedErased);
    let pause = groups.pause_retirement(NOW);
    assert_eq!((erase("the group"), erase("unknown")), (Err(Paused), Ok(None)));
    assert!(has_name(&groups, "the group"));
    drop(pause);
    let (slot, group) = erase("the group").unwrap().unwrap();
    assert_eq!((slot, group.name.as_str(), group.messages), (0, "the group", 3));
    assert_eq!((erase("the group"), has_name(&groups, "the group")), (Ok(None), false));
    assert_eq!((groups.tracked(), exported(&groups), groups.folded_erased()), (1, vec!["b".into()], 3));
    // The slot is used after the tick.
    assert_eq!(groups.record("the group", NOW, || {}), Recorded::Folded);
    groups.finish_removals(NOW, |slots| assert_eq!(slots, [0]));
    assert_eq!(groups.record("the group", NOW, || {}), Recorded::Added(0));
    assert_eq!((counts(&groups)["the group"], groups.folded_erased(), groups.retired()), (1, 3, 0));
}

#[test]
fn thousands_of_dismissals_are_remembered() {
    let groups = groups(1, 1);
    let dismissed = |from: u32| (from..from + 2000).filter(|number| is_new(&groups, &number.to_string())).count();
    assert_eq!((dismissed(0), dismissed(0)), (2000, 0));
    (0..5).for_each(|round| assert_eq!(dismissed(10_000 * (round + 1)), 2000));
    assert!(dismissed(0) > 1000, "the oldest ones are forgotten");
}

#[test]
fn a_group_that_is_dismissed_during_a_pause_is_folded_afterwards() {
    let mut contents = Contents::default();
    GroupTable::reserve(&mut contents, 2);
    let block = Block::in_memory(contents).unwrap();
    for is_killed in [false, true] {
        folds_after_a_pause(&block, is_killed);
    }
}

/// The groups of a process that is killed during the pause are folded by the next one.
fn folds_after_a_pause(block: &Block, is_killed: bool) {
    let groups = GroupTable::open(block, 2).unwrap();
    groups.restore(false).unwrap();
    let (id, before) = (if is_killed { "b" } else { "a" }, groups.folded_dismissed());
    record(&groups, id, 3, NOW);
    let pause = groups.pause_retirement(NOW);
    assert!(is_new(&groups, id));
    groups.finish_removals(NOW, |_| panic!("nothing is dismissed"));
    assert_eq!((groups.tracked(), groups.folded_dismissed()), (1, before));
    drop(pause);
    let groups = if is_killed { GroupTable::open(block, 2).unwrap() } else { groups };
    if is_killed {
        groups.restore(false).unwrap();
    }
    groups.finish_removals(NOW, |slots| assert_eq!(slots, [0]));
    assert_eq!((groups.tracked(), groups.folded_dismissed()), (0, before + 3));
}

#[test]
fn a_removal_that_a_kill_interrupted_is_completed_once() {
    for (reason, added) in REMOVALS {
        for is_vacated in [false, true] {
            let mut contents = Contents::default();
            GroupTable::reserve(&mut contents, 2);
            let block = Block::in_memory(contents).unwrap();
            let killed = GroupTable::open(&block, 2).unwrap();
            record(&killed, "a", 7, NOW);
            if is_vacated {
                killed.slot(0).unwrap().vacate();
                // It was killed before it had removed the name.
                packed::write("a", &killed.slot(0).unwrap().0[8..]);
            }
            let groups = GroupTable::open(&block, 2).unwrap();
            let [slot, folded, ..] = &*groups.journal else { panic!("no journal") };
            folded.store(7, Ordering::Relaxed);
            slot.store(1 + added, Ordering::Relaxed);
            // Meanwhile, another thread counted a message of a group that was dismissed before.
            groups.counters.add(GroupCounter::FoldedLate, 1);
            groups.restore(false).unwrap();
            for (counter, _) in REMOVALS {
                assert_eq!(groups.counters.sum(counter), if counter == reason { 7 } else { 0 });
            }
            assert_eq!(groups.counters.sum(GroupCounter::FoldedLate), 1);
            assert!(!has_name(&groups, "a"), "{reason:?}, {is_vacated}");
            assert_eq!((groups.tracked(), slot.load(Ordering::Relaxed)), (0, 0));
        }
    }
}

#[test]
fn the_most_active_groups_are_exported_for_at_least_ten_minutes() {
    let groups = groups(10, 2);
    groups.tick(NOW);
    for (id, times) in [("first", 1), ("second", 2), ("third", 30), ("fourth", 40)] {
        record(&groups, id, times, NOW);
    }
    assert_eq!(exported(&groups), ["first", "second"]);
    groups.tick(later(599_999));
    assert_eq!(exported(&groups), ["first", "second"]);
    groups.tick(later(610_000));
    assert_eq!(exported(&groups), ["third", "fourth"]);
    // Another group becomes more active immediately, but has to wait.
    record(&groups, "second", 10_000, later(610_000));
    groups.tick(later(630_000));
    assert_eq!(exported(&groups), ["third", "fourth"]);
    record(&groups, "fourth", 50, later(1_210_000));
    groups.tick(later(1_210_000));
    assert_eq!(exported(&groups), ["second", "fourth"]);
    assert_eq!(counts(&groups)["third"], 30, "a group keeps its count while it is not exported");
    // Silent groups stay exported.
    groups.tick(later(9 * HOUR_MS));
    groups.tick(later(19 * HOUR_MS));
    assert_eq!(exported(&groups), ["second", "fourth"]);
}

#[test]
fn a_rate_rises_with_messages_and_halves_in_five_minutes_of_silence() {
    let groups = groups(1, 1);
    let rate = || groups.read(0).unwrap().rate;
    groups.tick(NOW);
    for second in 0..3600 {
        record(&groups, "g", 2, later(second * 1000));
        groups.tick(later(second * 1000));
    }
    assert!((rate() - 2.0).abs() < 0.01, "{}", rate());
    let last = rate();
    for second in (3610..=3890).step_by(10) {
        groups.tick(later(second * 1000));
    }
    assert!((rate() / last - 0.5).abs() < 0.03, "{} {last}", rate());
}

#[test]
fn ticks_continue_when_the_clock_is_set_back_or_far_ahead() {
    let groups = groups(2, 1);
    for now in [NOW, UnixMillis(i64::MAX), UnixMillis(i64::MIN), UnixMillis(0), NOW] {
        record(&groups, "a", 10, now);
        groups.tick(now);
        assert!(groups.read(0).unwrap().rate.is_finite());
    }
    assert_eq!(counts(&groups)["a"], 50);
}

/// Threads record messages of changing groups in a table that is too small, while ticks retire groups and another
/// thread reads.
#[test]
fn the_groups_and_the_folded_messages_are_always_all_messages() {
    const WRITERS: u64 = 3;
    let groups = groups(50, 5);
    let (sent, clock) = (AtomicU64::new(0), AtomicI64::new(NOW.0));
    let reading = Mutex::new(());
    let now = || UnixMillis(clock.load(Ordering::SeqCst));
    let writer = |seed: u64| {
        let mut state = seed;
        for round in 0..60_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // A set of groups that changes with time.
            let id = (state >> 33) % 70 + now().0.unsigned_abs() / (20 * HOUR_MS.unsigned_abs()) * 40;
            // Not during a read, because a pause lasts for ten seconds at most.
            if seed == 1 && round % 300 == 0 {
                let _no_reader = reading.lock();
                clock.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
                groups.tick(now());
            }
            groups.record(&id.to_string(), now(), || {});
            sent.fetch_add(1, Ordering::SeqCst);
        }
    };
    let check = || {
        let _reading = reading.lock();
        let _pause = groups.pause_retirement(now());
        let before = sent.load(Ordering::SeqCst);
        let rows: u64 = all(&groups).iter().map(|group| group.messages).sum();
        let folded = groups.folded_for_capacity() + groups.folded_retired();
        // Each writer may have counted its group, but not its total.
        let after = sent.load(Ordering::SeqCst) + WRITERS;
        assert!((before..=after).contains(&(rows + folded)), "{before} <= {rows} + {folded} <= {after}");
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|seed| scope.spawn(move || writer(seed + 1))).collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            check();
            thread::sleep(std::time::Duration::from_micros(300));
        }
    });
    check();
    let rows: u64 = counts(&groups).values().sum();
    assert_eq!(rows + groups.folded_for_capacity() + groups.folded_retired(), WRITERS * 60_000);
    let (retired, folded) = (groups.retired(), groups.folded_for_capacity());
    assert!(retired > 200 && folded > 500, "{retired} {folded} {:?}", now());
    assert_eq!(groups.tracked(), all(&groups).len());
    assert!(groups.exported().len() <= 5);
}

#[test]
fn the_number_of_shards_follows_the_capacity() {
    let expected = [(1, 64), (65_536, 64), (65_537, 128), (100_000, 128), (1_000_000, 1024), (100_000_000, 131_072)];
    assert_eq!(expected.map(|(capacity, _)| (capacity, shards(capacity))), expected);
}
