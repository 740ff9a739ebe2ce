//! Copies of states, above all of one that is counting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;

use openim_exporter::domain::{Activity, Event};
use openim_exporter::stats::{Group, Source, StateCopy};

use super::*;

const DAY_MS: i64 = 86_400_000;

/// So few that they are full most of the time.
const SMALL: Capacities = Capacities { groups: 60, dedup_window: Duration::from_secs(60), ..CAPACITIES };

/// Threads that count, and copies.
const THREADS: u64 = 3;
const COPIES: usize = 100;

fn copy_of(path: &Path) -> StateCopy {
    Stats::copy_of(path, BOOT, NOW).unwrap()
}

fn written(copy: &StateCopy) -> Vec<u8> {
    let mut bytes = Vec::new();
    copy.write(&mut bytes).unwrap();
    bytes
}

/// The total of each way in which messages are counted. Only counting itself can have made them equal: nothing is
/// attributed to `other`.
fn assert_totals_agree(stats: &Stats) {
    let folded = [stats.folded_for_capacity(), stats.folded_retired(), stats.folded_dismissed()];
    let by_group = stats.groups().map(|group| group.messages).chain(folded).sum::<u64>();
    let by_status = stats.by_status().iter().sum::<u64>();
    let total = stats.messages();
    assert_eq!([by_group, by_status, stats.content_bytes(Chat::Group).count], [total; 3]);
    assert_eq!(stats.content_bytes(Chat::Single).count, stats.single_messages());
    assert!(histogram_counts(stats).iter().all(|[classic, native]| classic == native), "{:?}", histogram_counts(stats));
    assert_eq!(stats.by_status()[1], total, "each message has status 2");
    assert!(stats.mix(Chat::Group).all(|cell| cell.content_type != "other" || cell.messages == 0));
}

/// Every counter that never falls.
fn counters(stats: &Stats) -> BTreeMap<String, u64> {
    let (mut counters, _) = numbers(stats);
    counters.retain(|name, _| !name.starts_with("group "));
    for cell in stats.mix(Chat::Single).filter(|cell| cell.messages > 0) {
        counters.insert(format!("single {} {}", cell.content_type, cell.platform), cell.messages);
    }
    counters.insert("dismissed groups".into(), stats.activity(Activity::GroupsDismissed));
    counters.insert("retired groups".into(), stats.groups_retired());
    counters
}

fn assert_not_lower(later: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) {
    for (name, count) in before {
        assert!(later.get(name) >= Some(count), "{name}: {count} and then {:?}", later.get(name));
    }
}

/// The groups by name and creation time: one that was added again is another.
fn groups(stats: &Stats) -> BTreeMap<(String, i64), Group> {
    stats.groups().map(|group| ((group.name.as_str().to_owned(), group.created.0), group)).collect()
}

/// Counts messages in groups that come and go, some of them between two users, until it is done.
fn count(stats: &Stats, thread: u64, clock: &AtomicI64, done: &AtomicBool) {
    let mut random = Pcg64Mcg::seed_from_u64(thread);
    let mut number = 0_u64;
    while !done.load(Ordering::Relaxed) {
        number += 1;
        // Fast enough that messages are in progress at any moment, and slow enough for other tests.
        if number.is_multiple_of(500) {
            thread::sleep(Duration::from_millis(1));
        }
        let now = UnixMillis(clock.load(Ordering::Relaxed));
        // Each day has groups of its own, and some that are always there.
        let day = now.0 / DAY_MS;
        let group = match random.random_range(0..10) {
            0..5 => format!("always-{}", random.random_range(0..20)),
            _ => format!("day-{day}-{}", random.random_range(0..100)),
        };
        let id = format!("{thread}-{number}");
        let sender = format!("s{}", random.random_range(0..500));
        let sent = UnixMillis(now.0 - random.random_range(1..100_000));
        let message = Message {
            content_type: [101, 102, 3001][random.random_range(0..3)],
            platform_id: random.random_range(1..5),
            server_msg_id: &id,
            content_bytes: random.random_range(1..10_000),
            send_time: Some(sent),
            create_time: Some(UnixMillis(sent.0 - 5)),
            ..typical(&group, &sender, now)
        };
        stats.record(&Message { group_id: message.group_id.filter(|_| !number.is_multiple_of(8)), ..message }, now);
        // About half of the groups that are always there (1 and 10 to 19) are never dismissed, so that each copy has groups
        // to compare.
        if number % 5000 == thread && !group.starts_with("always-1") {
            stats.record_event(Event::Dismissal(&group), now);
        }
    }
}

/// Copies a state again and again while threads count in it, and passes each copy with what was there before and after.
/// On a busy machine, the threads may count so rarely that more copies are needed: `check` returns whether it has enough.
fn copy_while_counting(check: impl Fn(StateCopy, [BTreeMap<(String, i64), Group>; 2], [u64; 2]) -> bool + Sync) {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open_with(directory.path(), SMALL, BOOT);
    let (clock, done) = (AtomicI64::new(NOW.0), AtomicBool::new(false));
    let state = directory.path().join("state");
    thread::scope(|scope| {
        let (stats, clock, done, state, check) = (&stats, &clock, &done, &state, &check);
        for thread in 0..THREADS {
            scope.spawn(move || count(stats, thread, clock, done));
        }
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // Hours of the groups' life, so that some are retired all the time.
                stats.tick(UnixMillis(clock.fetch_add(DAY_MS / 6, Ordering::Relaxed)));
                assert!(stats.check_state_file());
                thread::sleep(Duration::from_millis(20));
            }
        });
        // Also if an assertion fails.
        let copied = thread::Builder::new().spawn_scoped(scope, move || {
            for number in 1..=20 * COPIES {
                let before = (groups(stats), stats.messages());
                let copy = copy_of(state);
                let after = (groups(stats), stats.messages());
                if check(copy, [before.0, after.0], [before.1, after.1]) && number >= COPIES {
                    break;
                }
            }
        });
        let copied = copied.unwrap().join();
        done.store(true, Ordering::Relaxed);
        copied.unwrap();
    });
    assert!(stats.groups_retired() > 0 && stats.folded_dismissed() > 0 && stats.folded_for_capacity() > 0);
    let copy = copy_of(&state);
    assert_eq!(numbers(&copy.stats), numbers(&stats), "nothing is counted any more");
}

#[test]
fn a_copy_of_a_state_that_counts_is_consistent_and_between_what_was_before_and_after() {
    let earlier = std::sync::Mutex::new(BTreeMap::new());
    let [compared, changing, copies] = [const { AtomicU64::new(0) }; 3];
    let has_enough = || {
        let [compared, changing] = [&compared, &changing].map(|count| count.load(Ordering::Relaxed));
        compared > 20 * COPIES as u64 / 2 && changing > COPIES as u64 / 2
    };
    copy_while_counting(|copy, [before, after], [least, most]| {
        assert_eq!((copy.source, copy.doubt, copy.completed), (Source::InUse, None, 0));
        assert_totals_agree(&copy.stats);
        let total = copy.stats.messages();
        assert!((least..=most).contains(&total), "{least} {total} {most}");
        changing.fetch_add(u64::from(least < most), Ordering::Relaxed);
        for (key, group) in groups(&copy.stats) {
            if let (Some(before), Some(after)) = (before.get(&key), after.get(&key)) {
                let count = group.messages;
                assert!((before.messages..=after.messages).contains(&count), "{key:?}: {count}");
                compared.fetch_add(1, Ordering::Relaxed);
            }
        }
        let counters = counters(&copy.stats);
        assert_not_lower(&counters, &earlier.lock().unwrap());
        *earlier.lock().unwrap() = counters;
        // Not each of them: this writes 20 MiB.
        if copies.fetch_add(1, Ordering::Relaxed) % 50 == 0 {
            assert_is_backup(&copy);
        }
        has_enough()
    });
    assert!(has_enough());
}

/// A backup in another directory: it can be read and written again, and a start resets its counters.
fn assert_is_backup(copy: &StateCopy) {
    let elsewhere = tempfile::tempdir().unwrap();
    let backup = elsewhere.path().join("state");
    fs::write(&backup, written(copy)).unwrap();
    let again = Stats::copy_of(&backup, NEXT_BOOT, NOW).unwrap();
    assert_eq!((again.source, again.doubt), (Source::Copied, Some(Doubt::Copied)));
    assert_eq!(numbers(&again.stats), numbers(&copy.stats));
    assert_eq!(written(&again), fs::read(&backup).unwrap());
    let (stats, steps) = open_with(elsewhere.path(), SMALL, NEXT_BOOT);
    assert_eq!(steps.last(), Some(&Step::CountersReset(Doubt::Copied)));
    assert_eq!((stats.messages(), stats.groups_tracked()), (0, copy.stats.groups_tracked()));
    assert!(stats.active_senders(Chat::Group, NOW)[4] > 0);
}

/// The pairs of a dismissed group are forgotten before another group gets its slot.
#[test]
fn a_group_in_a_copy_never_has_the_senders_of_a_dismissed_one() {
    // So many pairs that the group often changes while they are read.
    let capacities = Capacities { groups: 1, sender_pairs: 100_000, ..CAPACITIES };
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open_with(directory.path(), capacities, BOOT);
    let done = AtomicBool::new(false);
    let copied = thread::scope(|scope| {
        scope.spawn(|| {
            for minute in 0.. {
                let (now, senders) = (later(minute * 60_000), 1 + 9 * (minute % 2));
                let group = format!("{senders} senders, {minute}");
                (0..senders).for_each(|sender| record(&stats, &group, &format!("s{sender}"), now));
                thread::sleep(Duration::from_millis(4));
                stats.record_event(Event::Dismissal(&group), now);
                stats.tick(later((minute + 1) * 60_000));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let state = directory.path().join("state");
        let copies: Result<Vec<_>, _> = (0..60).map(|_| Stats::copy_of(&state, BOOT, NOW)).collect();
        done.store(true, Ordering::Relaxed);
        copies
    });
    let mut found = BTreeMap::new();
    for copy in copied.unwrap() {
        copy.stats.tick(later(86_000_000));
        for group in copy.stats.groups() {
            let had: u32 = group.name.as_str().split(' ').next().unwrap().parse().unwrap();
            *found.entry((had, group.active_senders[1])).or_insert(0) += 1;
        }
    }
    assert!(found.keys().all(|(had, senders)| senders <= had) && found.len() > 1, "{found:?}");
}

#[test]
fn a_copy_changes_nothing_of_the_original() {
    for closed in [true, false] {
        let directory = filled(1000, closed);
        let state = directory.path().join("state");
        let (bytes, metadata) = (fs::read(&state).unwrap(), fs::metadata(&state).unwrap());
        let copy = copy_of(&state);
        assert_eq!(copy.source, if closed { Source::Closed } else { Source::Killed });
        assert_eq!(fs::read(&state).unwrap(), bytes);
        assert_eq!(fs::metadata(&state).unwrap().modified().unwrap(), metadata.modified().unwrap());
        assert_eq!(files(directory.path()), ["lock", "state"]);
        assert_eq!(copy.bytes, bytes.len() as u64);
        if closed {
            assert_eq!(written(&copy), bytes);
        }
    }
}

/// If the exporter is killed, the state is moved, or the machine goes down. Then a start resets the counters, but a copy
/// has them.
#[test]
fn a_copy_of_a_state_that_was_not_closed_has_its_counters() {
    let directory = filled(1000, false);
    let state = directory.path().join("state");
    let copies = thread::scope(|scope| {
        // Each waits until it is sure that no exporter runs.
        let copies = [BOOT, NEXT_BOOT].map(|boot| {
            let state = &state;
            scope.spawn(move || Stats::copy_of(state, boot, NOW).unwrap())
        });
        copies.map(|copy| copy.join().unwrap())
    });
    let [same_boot, next_boot] = copies;
    assert_eq!((same_boot.source, same_boot.doubt), (Source::Killed, None));
    assert_eq!((next_boot.source, next_boot.doubt), (Source::Killed, Some(Doubt::OtherBoot)));
    assert_eq!((same_boot.stats.messages(), next_boot.stats.messages()), (1000, 1000));
    let (stats, _) = open(directory.path(), BOOT);
    assert_eq!(numbers(&stats), numbers(&same_boot.stats));
}
