use std::collections::HashMap;

use super::*;
use crate::stats::hyperloglog::hash;

const NOW: UnixMillis = UnixMillis(1_732_345_678_901);

fn later(minutes: i64) -> UnixMillis {
    UnixMillis(NOW.0 + minutes * 60_000)
}

fn block(capacity: usize) -> Block {
    let mut contents = Contents::default();
    Online::reserve(&mut contents, capacity);
    Block::in_memory(contents).unwrap()
}

fn new(capacity: usize) -> Online {
    Online::open(&block(capacity), capacity).unwrap()
}

fn user(number: u32) -> u64 {
    hash(number.to_string().as_bytes())
}

/// The numbers of users on iOS, on Android and on an unknown platform.
fn online(users: &Online) -> [usize; 3] {
    let [ios, android, .., unknown] = users.by_platform();
    [ios, android, unknown]
}

#[test]
fn a_user_is_online_from_the_first_report_to_the_last() {
    let users = new(10);
    users.add(user(1), 1, NOW);
    users.add(user(1), 1, NOW);
    users.add(user(1), 2, NOW);
    users.add(user(2), 1, NOW);
    users.add(user(3), 77, NOW);
    assert_eq!(online(&users), [2, 1, 1]);
    users.remove(user(1), 1);
    users.remove(user(1), 1);
    users.remove(user(4), 1);
    assert_eq!(online(&users), [1, 1, 1]);
    assert_eq!(users.overflow(), 0);
}

#[test]
fn an_erased_user_is_online_on_no_platform() {
    let users = new(100);
    for platform_id in [1, 2, 11, 77] {
        users.add(user(1), platform_id, NOW);
    }
    users.add(user(2), 2, NOW);
    assert_eq!([1, 1, 3].map(|number| users.erase(user(number))), [4, 0, 0]);
    assert_eq!(users.by_platform().iter().sum::<usize>(), 1);
    assert_eq!(online(&users), [0, 1, 0]);
}

#[test]
fn a_user_expires_half_an_hour_after_the_last_report() {
    let users = new(10);
    users.add(user(1), 1, NOW);
    users.add(user(2), 1, NOW);
    users.add(user(2), 1, later(15));
    for (minutes, expected) in [(30, 2), (31, 1), (45, 1), (46, 0)] {
        users.sweep(later(minutes));
        assert_eq!(online(&users), [expected, 0, 0], "{minutes}");
    }
    // After the clock was set back by an hour.
    users.add(user(3), 1, later(60));
    users.sweep(NOW);
    assert_eq!(online(&users), [0; 3]);
}

#[test]
fn users_over_the_capacity_are_counted() {
    for capacity in [0, 1, 3, 2000] {
        let users = new(capacity);
        for round in 0..2 {
            (0..2500).for_each(|number| users.add(user(number), 1, NOW));
            let over = 2500 - capacity;
            assert_eq!((online(&users), users.overflow()), ([capacity, 0, 0], over as u64 * (round + 1)));
        }
        (0..2500).for_each(|number| assert_ne!(users.remove(user(number), 1), 0));
        assert_eq!(online(&users), [0; 3]);
    }
}

#[test]
fn every_user_is_found_after_many_random_changes() {
    // Nearly full shards have long searches that wrap.
    let users = new(4096);
    let mut expected = HashMap::new();
    let mut random = 1_u64;
    for _ in 0..200_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = u32::try_from((random >> 33) % 5000).unwrap();
        let platform = 1 + i32::from(random >> 63 == 1);
        if (random >> 32) & 1 == 0 && expected.len() < 4096 {
            users.add(user(number), platform, NOW);
            expected.insert((number, platform), ());
        } else {
            users.remove(user(number), platform);
            expected.remove(&(number, platform));
        }
    }
    let by = |platform| expected.keys().filter(|(_, on)| *on == platform).count();
    assert_eq!(online(&users), [by(1), by(2), 0]);
    users.restore();
    assert_eq!(online(&users), [by(1), by(2), 0]);
    expected.keys().for_each(|(number, platform)| assert_ne!(users.remove(user(*number), *platform), 0));
    assert_eq!((online(&users), users.used.load(Ordering::Relaxed)), ([0; 3], 0));
    assert!(users.entries().iter().all(|[key, _]| key.load(Ordering::Relaxed) == 0));
}

#[test]
fn a_table_of_another_size_takes_the_users() {
    for capacity in [50, 5000] {
        let old = block(100);
        let before = Online::open(&old, 100).unwrap();
        (0..100).for_each(|number| before.add(user(number), 2, NOW));
        let users = new(capacity);
        users.carry_from(&CarryOver::new(&old));
        users.restore();
        assert_eq!((online(&users), users.overflow()), ([0, capacity.min(100), 0], 0));
    }
}

#[test]
fn users_of_the_first_layout_expire_when_they_did() {
    let mut contents = Contents::default();
    contents.reserve(Layout::new(TABLE, 1, size_of::<Words>(), 32));
    let old = Block::in_memory(contents).unwrap();
    let table = old.section(TABLE).unwrap();
    for (place, number) in [(3, 1), (7, 2)] {
        table[place * 2].store(key(user(number), 2), Ordering::Relaxed);
        table[place * 2 + 1].store(((NOW.0 / 60_000).cast_unsigned() + u64::from(number)) << 8 | 2, Ordering::Relaxed);
    }
    let users = new(10);
    users.carry_from(&CarryOver::new(&old));
    users.restore();
    // The old layout expired a user as soon as its minute was more than 30 minutes ago.
    let minute = |number: i64| NOW.0 / 60_000 * 60_000 + number * 60_000;
    for (time, expected) in [(minute(32) - 1, 2), (minute(32), 1), (minute(33) - 1, 1), (minute(33), 0)] {
        users.sweep(UnixMillis(time));
        assert_eq!(online(&users), [0, expected, 0], "{time}");
    }
}

#[test]
fn a_disconnect_elsewhere_removes_who_was_not_seen_later() {
    let users = new(10);
    let at = |ms: i64| UnixMillis(NOW.0 + ms);
    users.add(user(1), 1, at(0));
    users.add(user(1), 2, at(0));
    users.add(user(2), 1, at(1));
    let [first, second] = [1, 2].map(|number| key(user(number), 1));
    for (key, ms, expected) in [
        (first, -1, [2, 1, 0]),
        (second, 0, [2, 1, 0]),
        (key(user(3), 1), 5, [2, 1, 0]),
        (first, 0, [1, 1, 0]),
        (first, 0, [1, 1, 0]),
        (second, 1, [0, 1, 0]),
    ] {
        users.remove_elsewhere(Disconnect { key, at: at(ms) });
        assert_eq!(online(&users), expected, "{ms}");
    }
    assert_eq!(users.remove(user(1), 2), key(user(1), 2));
    assert_eq!(online(&users), [0; 3]);
    for extreme in [i64::MIN, -1, i64::MAX] {
        users.add(user(1), 1, UnixMillis(extreme));
        users.remove_elsewhere(Disconnect { key: first, at: UnixMillis(extreme) });
        assert_eq!(online(&users), [0; 3], "{extreme}");
    }
}

#[test]
fn sketches_of_two_tables_unite_to_the_users_online_at_either() {
    let [left, right] = [new(50_000), new(50_000)];
    (0..20_000).for_each(|number| left.add(user(number), 1, NOW));
    (12_000..30_000).for_each(|number| right.add(user(number), 1, NOW));
    (0..500).for_each(|number| right.add(user(number), 77, NOW));
    let mut united = left.sketches();
    united.iter_mut().zip(right.sketches()).for_each(|(united, other)| united.merge_union(&other));
    let [ios, others @ .., unknown] = &united[..] else { panic!("{}", united.len()) };
    for (sketch, expected) in [(ios, 30_000.0), (unknown, 500.0)] {
        let error = (sketch.estimate() as f64 / expected - 1.0).abs();
        assert!(error <= 0.02, "{expected}: {error}");
    }
    assert_eq!((others.len(), others.iter().map(Union::estimate).sum()), (PLATFORMS.len() - 1, 0));
}

#[test]
fn an_entry_that_was_being_moved_counts_once() {
    let users = new(10);
    users.add(user(1), 1, NOW);
    let used = users.entries().iter().position(|[key, _]| key.load(Ordering::Relaxed) != 0).unwrap();
    let entry = |position| Entry::from(users.entries(), position).next().unwrap();
    let (other, entry) = (entry(users.entries().len() - 1 - used), entry(used));
    other.write(entry.key.load(Ordering::Relaxed), entry.seen.load(Ordering::Relaxed));
    users.restore();
    assert_eq!(online(&users), [1, 0, 0]);
    users.remove(user(1), 1);
    assert_eq!(online(&users), [0; 3]);
}

#[test]
fn threads_agree_on_the_number() {
    let users = new(100_000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let users = &users;
            scope.spawn(move || {
                for number in 0..20_000 {
                    users.add(user(number), 1 + thread % 2, NOW);
                }
                for number in 10_000..20_000 {
                    users.remove(user(number), 1 + thread % 2);
                }
                users.sweep(NOW);
            });
        }
    });
    // A thread may have added users again after another one removed them.
    let [ios, android, _] = online(&users);
    assert!((10_000..=20_000).contains(&ios) && (10_000..=20_000).contains(&android), "{ios} {android}");
    let used = users.entries().iter().filter(|[key, _]| key.load(Ordering::Relaxed) != 0).count();
    assert_eq!(used, ios + android);
}

#[test]
fn a_removal_that_a_kill_interrupted_leaves_no_key_with_another_s_sighting() {
    let users = new(10);
    let entry = Entry::from(users.entries(), 3).next().unwrap();
    entry.write(7, Sighting::new(2, NOW).0);
    // The first step of the next write.
    entry.key.store(0, Ordering::Relaxed);
    users.restore();
    assert_eq!(online(&users), [0; 3]);
}

#[test]
fn a_sweep_holds_a_lock_for_few_entries_whatever_the_capacity() {
    for (capacity, shards) in [(10, 1), (4096, 1), (200_000, 64), (1_000_000, 256)] {
        assert_eq!(new(capacity).shards.len(), shards, "{capacity}");
    }
}
