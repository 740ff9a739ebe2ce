mod threads;

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Pairs;
use super::entry::{Entry, Key, Minute, State};
use crate::arena::{Block, Contents};
use crate::domain::UnixMillis;
use crate::stats::hyperloglog::hash;

fn pairs(capacity: usize) -> Pairs {
    opened_twice(capacity, |_| ())
}

/// A table that was opened, used and opened again.
fn opened_twice(capacity: usize, in_between: impl Fn(&Pairs)) -> Pairs {
    let mut contents = Contents::default();
    Pairs::reserve(&mut contents, capacity);
    let block = Block::in_memory(contents).unwrap();
    let open = || Pairs::open(&block, capacity).unwrap();
    in_between(&open());
    let pairs = open();
    pairs.restore(|_| true);
    pairs
}

fn key(slot: u32, sender: u32) -> u64 {
    hash(&[slot.to_le_bytes(), sender.to_le_bytes()].concat())
}

/// The key that is the `which`th of those with their home in this entry.
fn key_at_home(pairs: &Pairs, home: usize, which: u32) -> u64 {
    (pairs.entries().len() * (which as usize + 1) + home) as u64
}

/// The first moment of a minute, counted from one in November 2024.
const fn minute(minutes: i64) -> UnixMillis {
    UnixMillis((28_872_427 + minutes) * 60_000)
}

const NOW: UnixMillis = minute(0);

/// What a scan publishes, by slot.
fn counts(pairs: &Pairs, now: UnixMillis, groups: usize) -> Vec<(u32, u32)> {
    let mut published = Vec::new();
    pairs.scan(now, groups, |slot, hour, day| {
        assert_eq!(slot as usize, published.len());
        published.push((hour, day));
    });
    assert_eq!(published.len(), groups);
    published
}

/// The expected counts, from the minutes in which each pair was last seen.
fn expected(last_seen: &HashMap<(u32, u32), i64>, now: i64, groups: usize) -> Vec<(u32, u32)> {
    let mut by_slot = vec![(0, 0); groups];
    for ((slot, _), seen) in last_seen {
        let (hour, day) = &mut by_slot[*slot as usize];
        *hour += u32::from(now - seen <= 60);
        *day += u32::from(now - seen <= 24 * 60);
    }
    by_slot
}

fn total(counts: &[(u32, u32)]) -> u32 {
    counts.iter().map(|(_, day)| day).sum()
}

#[test]
fn days_of_random_traffic_count_as_a_map_would() {
    const GROUPS: u32 = 3000;
    for seed in 0..12 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let (pairs, mut last_seen, mut now) = (pairs(10_000), HashMap::new(), 0);
        for _ in 0..60 {
            for _ in 0..500 {
                now += i64::from(random.random_range(0..5) == 0);
                // Some groups and senders are far busier than others.
                let most = random.random_range(1..=GROUPS);
                let slot = random.random_range(0..most);
                let sender = random.random_range(0..20);
                pairs.record(key(slot, sender), slot, UnixMillis(minute(now).0 + random.random_range(0..60_000)));
                last_seen.insert((slot, sender), now);
            }
            let expected = expected(&last_seen, now, GROUPS as usize);
            assert_eq!(counts(&pairs, minute(now), GROUPS as usize), expected, "seed {seed}, minute {now}");
            assert_eq!(pairs.tracked(), u64::from(total(&expected)));
        }
        assert!(last_seen.len() > 12_000, "more pairs than fit at once: {}", last_seen.len());
        assert_eq!(pairs.evicted(), 0);
    }
}

#[test]
fn a_pair_counts_for_an_hour_and_for_a_day_and_the_rest_of_the_minute() {
    let pairs = pairs(10);
    pairs.record(key(0, 1), 0, UnixMillis(NOW.0 + 59_999));
    for (minutes, count) in [(0, (1, 1)), (60, (1, 1)), (61, (0, 1)), (1440, (0, 1)), (1441, (0, 0)), (1440, (0, 1))] {
        assert_eq!(counts(&pairs, minute(minutes), 1), [count], "{minutes}");
    }
    assert_eq!((pairs.tracked(), pairs.evicted()), (1, 0));
    // Expired, and seen again in the entry that it still has.
    counts(&pairs, minute(1441), 1);
    assert_eq!(pairs.tracked(), 0);
    pairs.record(key(0, 1), 0, minute(1441));
    assert_eq!((pairs.tracked(), counts(&pairs, minute(1441), 1)), (1, vec![(1, 1)]));
}

/// The keys in the table's memory, whatever the entries' states are.
fn stored_keys(pairs: &Pairs) -> usize {
    pairs.entries().iter().filter(|[key, _]| key.load(Ordering::Relaxed) != 0).count()
}

#[test]
fn nothing_stays_of_a_pair_that_was_forgotten() {
    let pairs = pairs(100);
    for (slot, sender) in [(0, 1), (0, 2), (1, 1), (1, 2), (2, 3)] {
        pairs.record(key(slot, sender), slot, NOW);
    }
    assert_eq!(pairs.forget_hashes([key(0, 1), key(1, 1), key(7, 7)].into_iter()), 2);
    assert_eq!((counts(&pairs, NOW, 3), stored_keys(&pairs)), (vec![(1, 1); 3], 3));
    assert_eq!((pairs.forget(&[2]), pairs.forget(&[2]), stored_keys(&pairs)), (1, 0, 2));
    pairs.record(key(0, 1), 0, NOW);
    assert_eq!((counts(&pairs, NOW, 3), stored_keys(&pairs)), (vec![(2, 2), (1, 1), (0, 0)], 3));
}

#[test]
fn the_oldest_pairs_over_the_capacity_are_evicted_and_counted() {
    const CAPACITY: usize = 1000;
    const PAIRS: u32 = 1301;
    let pairs = pairs(CAPACITY);
    let mut order: Vec<u32> = (0..PAIRS).collect();
    order.sort_by_key(|slot| hash(&slot.to_le_bytes()));
    for slot in order {
        pairs.record(key(slot, 0), slot, minute(i64::from(slot / 2)));
    }
    assert_eq!((pairs.tracked(), pairs.evicted()), (u64::from(PAIRS), 0));

    let left = counts(&pairs, minute(700), PAIRS as usize);
    let is_left = |slot: usize| left[slot].1 == 1;
    assert!((0..300).all(|slot| !is_left(slot)) && (302..PAIRS as usize).all(is_left));
    assert_ne!(is_left(300), is_left(301), "one of the two of that minute");
    assert_eq!((pairs.tracked(), pairs.evicted()), (1000, 301));
    assert_eq!(total(&counts(&pairs, minute(700), PAIRS as usize)), 1000);

    pairs.record(key(0, 0), 0, minute(700));
    assert_eq!(pairs.tracked(), 1001);
    let left = counts(&pairs, minute(700), PAIRS as usize);
    assert_eq!((left[0], total(&left)), ((1, 1), 1000));
    assert_eq!((pairs.tracked(), pairs.evicted()), (1000, 302));
}

#[test]
fn a_table_for_one_pair_keeps_the_latest() {
    let pairs = pairs(1);
    for (slot, came) in [(0, 1), (1, 2), (2, 2), (3, 2)] {
        pairs.record(key(slot, 0), slot, minute(i64::from(slot)));
        assert_eq!(pairs.tracked(), came);
    }
    assert_eq!(pairs.evicted(), 2);
    assert_eq!(counts(&pairs, minute(3), 4), [(0, 0), (0, 0), (0, 0), (1, 1)]);
    assert_eq!((pairs.tracked(), pairs.evicted(), pairs.capacity()), (1, 3, 1));
}

#[test]
fn a_table_for_no_pairs_counts_all_of_them_as_evicted() {
    let pairs = pairs(0);
    (0..5).for_each(|sender| pairs.record(key(0, sender), 0, NOW));
    assert_eq!(counts(&pairs, NOW, 1), [(0, 0)]);
    assert_eq!((pairs.tracked(), pairs.evicted()), (0, 5));
}

#[test]
fn a_million_pairs_fit() {
    const PAIRS: u32 = 1_000_000;
    let pairs = pairs(PAIRS as usize);
    for round in 0..2 {
        for number in 0..PAIRS {
            pairs.record(key(number % 1000, number), number % 1000, minute(round));
        }
    }
    assert_eq!((pairs.tracked(), pairs.evicted()), (u64::from(PAIRS), 0));
    assert_eq!(counts(&pairs, minute(1), 1000), [(1000, 1000); 1000]);
    assert_eq!((pairs.tracked(), pairs.evicted()), (u64::from(PAIRS), 0));
}

#[test]
fn a_slot_s_next_group_inherits_no_senders() {
    let pairs = pairs(100);
    (0..5).for_each(|sender| pairs.record(key(0, sender), 0, NOW));
    // The slot's next group, and a pair of the old group, which has another slot now.
    pairs.record(key(9, 1), 0, minute(1441));
    pairs.record(key(0, 1), 3, minute(1441));
    assert_eq!(counts(&pairs, minute(1441), 4), [(1, 1), (0, 0), (0, 0), (1, 1)]);
    // Also within the same minute.
    pairs.record(key(0, 1), 2, minute(1441));
    assert_eq!(counts(&pairs, minute(1441), 3), [(1, 1), (0, 0), (1, 1)]);
    assert_eq!((pairs.tracked(), pairs.evicted()), (2, 0));
}

#[test]
fn a_slot_beyond_the_groups_is_not_counted() {
    let pairs = pairs(100);
    pairs.record(key(5, 0), 5, NOW);
    pairs.record(key(u32::MAX, 0), u32::MAX, NOW);
    assert_eq!(counts(&pairs, NOW, 5), [(0, 0); 5]);
    assert_eq!(counts(&pairs, NOW, 0), []);
    assert_eq!(counts(&pairs, NOW, 6)[5], (1, 1));
    assert_eq!(pairs.tracked(), 2);
}

#[test]
fn pairs_expire_even_if_the_clock_is_wrong() {
    let pairs = pairs(100);
    let ends = [UnixMillis(i64::MIN), UnixMillis(-1), UnixMillis(0), UnixMillis(i64::MAX)];
    for now in ends {
        pairs.record(key(0, 1), 0, now);
        assert_eq!(counts(&pairs, now, 1), [(1, 1)], "{now:?}");
        ends.iter().for_each(|other| drop(counts(&pairs, *other, 1)));
    }
    assert_eq!(counts(&pairs, NOW, 1), [(0, 0)], "seen at the end of time");
    pairs.record(key(0, 1), 0, NOW);
    assert_eq!(counts(&pairs, NOW, 1), [(1, 1)]);
    // Set back by 61 minutes, then by over a day.
    assert_eq!(counts(&pairs, minute(-61), 1), [(0, 1)]);
    assert_eq!(counts(&pairs, minute(-1441), 1), [(0, 0)]);
    pairs.record(key(0, 2), 0, minute(-1441));
    assert_eq!(counts(&pairs, minute(-1441), 1), [(1, 1)]);
    assert_eq!(pairs.evicted(), 0);
}

#[test]
fn each_key_is_one_pair() {
    let pairs = pairs(100);
    for (already, key) in [0, 2, u64::MAX, 1 << 62].into_iter().enumerate() {
        for _ in 0..3 {
            pairs.record(key, 0, NOW);
            assert_eq!(pairs.tracked(), already as u64 + 1, "{key:x}");
        }
    }
    assert_eq!(counts(&pairs, NOW, 1), [(4, 4)]);
}

/// The entries that are not empty.
fn used(pairs: &Pairs) -> Vec<usize> {
    let entries = pairs.entries().iter().map(Entry::read).enumerate();
    entries.filter(|(_, entry)| entry.state() != State::EMPTY).map(|(index, _)| index).collect()
}

#[test]
fn a_search_continues_at_the_table_s_beginning() {
    let pairs = pairs(32);
    let last = pairs.entries().len() - 1;
    let record = |which, now| pairs.record(key_at_home(&pairs, last, which), which, minute(now));
    for now in [0, 1] {
        (0..5).for_each(|which| record(which, now));
        assert_eq!(counts(&pairs, minute(now), 5), [(1, 1); 5]);
        assert_eq!((pairs.tracked(), used(&pairs)), (5, vec![0, 1, 2, 3, last]));
    }
    // Only the last entry of the chain has a current pair: all of it stays.
    record(4, 1000);
    for now in [2000, 2100] {
        assert_eq!(counts(&pairs, minute(now), 5)[4], (0, 1));
        assert_eq!((pairs.tracked(), used(&pairs)), (1, vec![0, 1, 2, 3, last]));
    }
    counts(&pairs, minute(3000), 5);
    counts(&pairs, minute(3000), 5);
    assert_eq!(used(&pairs), [0_usize; 0]);
}

#[test]
fn expired_entries_are_emptied_unless_a_search_passes_them() {
    let pairs = pairs(32);
    let of_chain = [0, 1, 2].map(|which| key_at_home(&pairs, 9, which));
    let at_home_behind = key_at_home(&pairs, 12, 0);
    let keys = || of_chain.into_iter().chain([at_home_behind]);
    keys().for_each(|key| pairs.record(key, 0, minute(0)));
    // Not while an entry may still be current by another thread's clock.
    assert_eq!((counts(&pairs, minute(1442), 1), used(&pairs)), (vec![(0, 0)], vec![9, 10, 11, 12]));
    pairs.record(of_chain[1], 0, minute(1442));
    pairs.record(at_home_behind, 0, minute(1442));
    // A search passes the first one on its way to the second. None passes the third, although a later entry is current.
    assert_eq!((counts(&pairs, minute(1443), 1), used(&pairs)), (vec![(2, 2)], vec![9, 10, 12]));
    keys().for_each(|key| pairs.record(key, 0, minute(1443)));
    assert_eq!((counts(&pairs, minute(1443), 1), used(&pairs)), (vec![(4, 4)], vec![9, 10, 11, 12]));
    counts(&pairs, minute(1443 + 1443), 1);
    assert_eq!((used(&pairs).len(), pairs.evicted()), (0, 0));
}

#[test]
fn an_entry_stays_while_a_pair_after_it_may_be_seen_again() {
    let pairs = pairs(32);
    let [first, second] = [0, 1].map(|which| key_at_home(&pairs, 9, which));
    pairs.record(first, 0, minute(0));
    pairs.record(second, 0, minute(2));
    for _ in 0..2 {
        assert_eq!((counts(&pairs, minute(1443), 1), used(&pairs)), (vec![(0, 0)], vec![9, 10]));
    }
    pairs.record(second, 0, minute(1443));
    assert!(Entry::read(&pairs.entries()[10]).is_for(Key::from_hash(second)));
    assert_eq!((counts(&pairs, minute(1443), 1), pairs.tracked()), (vec![(1, 1)], 1));
}

/// Writes a pair into an entry without following the protocol.
fn plant(pairs: &Pairs, index: usize, key: u64, state: State) {
    let [words, states] = &pairs.entries()[index];
    words.store(key, Ordering::Relaxed);
    assert!(Entry::read(&pairs.entries()[index]).change(state) || states.load(Ordering::Relaxed) == 0);
}

#[test]
fn a_scan_frees_entries_that_a_race_left_behind_before_it_counts() {
    let pairs = pairs(32);
    let seen = State::seen(0, Minute::from_time(NOW));
    let [twice, behind_a_gap] = [5, 20].map(|home| key_at_home(&pairs, home, 0));
    plant(&pairs, 5, twice, seen);
    plant(&pairs, 6, twice, seen);
    plant(&pairs, 22, behind_a_gap, seen);
    assert_eq!(counts(&pairs, NOW, 1), [(1, 1)]);
    assert_eq!(pairs.evicted(), 1, "the pair behind the gap is lost until it is seen again");
    assert_eq!(pairs.tracked(), 1);
    [twice, behind_a_gap].into_iter().for_each(|key| pairs.record(key, 0, NOW));
    assert_eq!((counts(&pairs, NOW, 1), pairs.tracked()), (vec![(2, 2)], 2));
}

#[test]
fn a_claim_that_a_crash_left_behind_blocks_no_search() {
    let leave_claim = |pairs: &Pairs| {
        let claimed = Key::from_hash(key_at_home(pairs, 5, 0));
        plant(pairs, 5, 0, State::claim(claimed));
    };
    let opened_anew = opened_twice(32, leave_claim);
    assert_eq!(Entry::read(&opened_anew.entries()[5]).state(), State::FREE);
    let in_use = pairs(32);
    leave_claim(&in_use);
    for pairs in [opened_anew, in_use] {
        assert_eq!(counts(&pairs, NOW, 1), [(0, 0)]);
        [1, 0, 1].into_iter().for_each(|which| pairs.record(key_at_home(&pairs, 5, which), 0, NOW));
        assert_eq!((counts(&pairs, NOW, 1), pairs.tracked(), pairs.evicted()), (vec![(2, 2)], 2, 0));
    }
}

#[test]
fn a_table_that_is_opened_again_continues() {
    let pairs = opened_twice(4, |pairs| {
        (0..6).for_each(|sender| pairs.record(key(0, sender), 0, minute(i64::from(sender))));
        assert_eq!(counts(pairs, minute(6), 1), [(4, 4)]);
    });
    assert_eq!((pairs.tracked(), pairs.evicted()), (4, 2));
    pairs.record(key(0, 5), 0, minute(6));
    assert_eq!((counts(&pairs, minute(6), 1), pairs.tracked()), (vec![(4, 4)], 4));
}
