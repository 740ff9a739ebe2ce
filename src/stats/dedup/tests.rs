use std::sync::atomic::AtomicBool;

use super::*;
use crate::domain::Message;
use crate::stats::hyperloglog::hash;
use crate::stats::{Capacities, Recorded, Stats};

const NOW: i64 = 1_732_345_678_901;

fn dedup(entries: usize, window_seconds: u64) -> Dedup {
    let mut contents = Contents::default();
    Dedup::reserve_entries(&mut contents, entries);
    let dedup = Dedup::open(&Block::in_memory(contents).unwrap(), Duration::from_secs(window_seconds)).unwrap();
    dedup.tick(UnixMillis(NOW));
    dedup
}

fn is_new(dedup: &Dedup, id: u64, seconds: i64) -> bool {
    match dedup.register(hash(&id.to_le_bytes()), UnixMillis(NOW + seconds * 1000)) {
        DedupResult::Duplicate => false,
        DedupResult::New(entry) => {
            entry.into_iter().for_each(PendingMessage::confirm);
            true
        }
    }
}

/// A new message that is not counted yet.
fn pending(dedup: &Dedup, id: u64, seconds: i64) -> PendingMessage<'_> {
    match dedup.register(hash(&id.to_le_bytes()), UnixMillis(NOW + seconds * 1000)) {
        DedupResult::New(Some(entry)) => entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_a_duplicate_within_the_window_and_new_after_it() {
    let dedup = dedup(1024, 60);
    assert!(is_new(&dedup, 1, 0));
    assert!(!is_new(&dedup, 1, 0) && !is_new(&dedup, 1, 60));
    assert!(is_new(&dedup, 2, 60));
    assert!(is_new(&dedup, 1, 61), "the window starts with the message that was counted");
    assert!(!is_new(&dedup, 1, 121));
    assert_eq!((dedup.duplicates(), dedup.evicted()), (3, 0));
}

#[test]
fn an_empty_table_finds_no_duplicates() {
    let dedup = dedup(0, 0);
    assert!(is_new(&dedup, 1, 0) && is_new(&dedup, 1, 0));
    dedup.tick(UnixMillis(NOW));
    assert_eq!((dedup.duplicates(), dedup.capacity()), (0, 0));
}

#[test]
fn ten_million_different_messages_are_all_new() {
    let dedup = dedup(1 << 16, 60);
    for id in 0..10_000_000_u64 {
        assert!(is_new(&dedup, id, (id / 1000).cast_signed()), "{id}");
    }
}

#[test]
fn the_oldest_message_of_a_full_bucket_is_evicted_and_counted() {
    let dedup = dedup(BUCKET, 3600);
    for id in 0..9 {
        assert!(is_new(&dedup, id, id.cast_signed()));
    }
    assert_eq!(dedup.evicted(), 1);
    assert!((1..9).all(|id| !is_new(&dedup, id, 9)));
    assert!(is_new(&dedup, 0, 9));
}

#[test]
fn the_tick_clears_expired_messages_and_counts_the_others() {
    let dedup = dedup(1024, 60);
    (0..10).for_each(|id| assert!(is_new(&dedup, id, 0)));
    (10..15).for_each(|id| assert!(is_new(&dedup, id, 50)));
    dedup.tick(UnixMillis(NOW + 61_000));
    assert_eq!(dedup.tracked(), 5);
    assert!((10..15).all(|id| !is_new(&dedup, id, 61)));
    // The seconds wrap after three days; cleared messages do not come back.
    assert!((0..10).all(|id| is_new(&dedup, id, 1 << SECOND_BITS)));
}

#[test]
fn after_days_without_a_tick_all_messages_are_new() {
    let dedup = dedup(1024, 86_400);
    assert!(is_new(&dedup, 1, 0));
    let round = 1 << SECOND_BITS;
    dedup.tick(UnixMillis(NOW + round * 1000));
    assert!(is_new(&dedup, 1, round));
}

#[test]
fn duplicates_are_found_although_the_clock_is_set_back() {
    let dedup = dedup(1024, 60);
    assert!(is_new(&dedup, 1, 1000));
    assert!(!is_new(&dedup, 1, 0) && !is_new(&dedup, 1, 1000));
    for now in [i64::MIN, -1, 0, i64::MAX] {
        dedup.register(7, UnixMillis(now));
        dedup.tick(UnixMillis(now));
    }
}

#[test]
fn a_message_that_was_being_counted_when_the_process_ended_is_new() {
    let dedup = dedup(1024, 60);
    pending(&dedup, 1, 0);
    dedup.restore();
    assert!(is_new(&dedup, 1, 0));
}

#[test]
fn each_message_is_new_for_only_one_of_several_threads() {
    let dedup = dedup(1 << 14, 3600);
    let news: usize = thread::scope(|scope| {
        let record_all = || (0..4000).filter(|id| is_new(&dedup, *id, 0)).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(record_all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(news as u64, 4000 + dedup.evicted());
    assert_eq!(dedup.duplicates() + news as u64, 16_000);
}

/// Long enough for another thread to start waiting, and much shorter than it waits.
const MOMENT: Duration = Duration::from_millis(50);

#[test]
fn a_duplicate_waits_until_its_original_is_counted() {
    let dedup = dedup(1024, 60);
    let original = pending(&dedup, 1, 0);
    let is_counted = AtomicBool::new(false);
    thread::scope(|scope| {
        let duplicate = scope.spawn(|| (is_new(&dedup, 1, 1), is_counted.load(Ordering::Relaxed)));
        thread::sleep(MOMENT);
        is_counted.store(true, Ordering::Relaxed);
        original.confirm();
        assert_eq!(duplicate.join().unwrap(), (false, true));
    });
    assert_eq!((dedup.duplicates(), dedup.evicted()), (1, 0));
}

#[test]
fn a_duplicate_is_counted_if_its_original_never_is() {
    let dedup = dedup(1024, 60);
    let stuck = pending(&dedup, 1, 0);
    let begin = Instant::now();
    assert!(is_new(&dedup, 1, 0) && begin.elapsed() >= MAX_WAIT);
    assert!(!is_new(&dedup, 1, 0), "it has been counted now");
    assert_eq!((dedup.duplicates(), dedup.evicted()), (1, 1));
    stuck.confirm();
    assert!(!is_new(&dedup, 1, 0), "the original was only late");
}

#[test]
fn a_duplicate_is_counted_if_its_original_is_evicted() {
    let dedup = dedup(BUCKET, 3600);
    let original = pending(&dedup, 0, 0);
    thread::scope(|scope| {
        let duplicate = scope.spawn(|| is_new(&dedup, 0, 10));
        thread::sleep(MOMENT);
        (1..9).for_each(|id| assert!(is_new(&dedup, id, id.cast_signed())));
        assert!(duplicate.join().unwrap());
    });
    original.confirm();
    assert!(!is_new(&dedup, 0, 10));
}

#[test]
fn the_original_of_a_duplicate_is_in_the_total() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 5000;
    let dedup_window = Duration::from_secs(60);
    let capacities = Capacities {
        groups: 100,
        exported_groups: 10,
        sender_pairs: 1000,
        dedup_window,
        online: 100,
        history_days: 40,
    };
    let stats = Stats::in_memory(capacities, UnixMillis(NOW)).unwrap();
    let arrived = AtomicU64::new(0);
    // Counts the duplicates, and those that returned before their original was in the total. All threads record a
    // round's message at the same moment, when those of the earlier rounds have been counted.
    let record_all = || {
        (1..=ROUNDS).fold((0, 0), |(duplicates, early), round| {
            let id = round.to_string();
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < round * THREADS {
                thread::yield_now();
            }
            let message = Message { server_msg_id: &id, ..Message::of("g", "u") };
            match stats.record(&message, UnixMillis(NOW)) {
                Recorded::Duplicate => (duplicates + 1, early + u64::from(stats.messages() < round)),
                _ => (duplicates, early),
            }
        })
    };
    let [duplicates, early] = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(record_all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold([0, 0], |[a, b], (c, d)| [a + c, b + d])
    });
    assert_eq!((duplicates, early), (ROUNDS * (THREADS - 1), 0));
    assert_eq!(stats.messages(), ROUNDS);
}
