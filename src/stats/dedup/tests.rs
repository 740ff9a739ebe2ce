use std::sync::atomic::AtomicBool;

use super::super::hyperloglog::hash;
use super::super::{Capacities, Recorded, Stats};
use super::*;
use crate::arena::Arena;
use crate::domain::Message;

const NOW: i64 = 1_732_345_678_901;

fn dedup(entries: usize, window_seconds: u64) -> Dedup {
    let mut plan = Plan::new();
    let places = Dedup::reserve(&mut plan, entries);
    let arena = Arena::anonymous(&plan).unwrap();
    let dedup = Dedup::over(places, Duration::from_secs(window_seconds), |place| arena.section(place)).unwrap();
    dedup.tick(UnixMillis(NOW));
    dedup
}

fn is_new(dedup: &Dedup, id: u64, seconds: i64) -> bool {
    match dedup.admit(hash(&id.to_le_bytes()), UnixMillis(NOW + seconds * 1000)) {
        Admission::Repeat => false,
        Admission::New(entry) => {
            entry.into_iter().for_each(Entry::confirm);
            true
        }
    }
}

/// A message that is new and is not counted yet.
fn pending(dedup: &Dedup, id: u64, seconds: i64) -> Entry<'_> {
    match dedup.admit(hash(&id.to_le_bytes()), UnixMillis(NOW + seconds * 1000)) {
        Admission::New(Some(entry)) => entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_a_repeat_within_the_window_and_new_after_it() {
    let dedup = dedup(1024, 60);
    assert!(is_new(&dedup, 1, 0));
    assert!(!is_new(&dedup, 1, 0) && !is_new(&dedup, 1, 60));
    assert!(is_new(&dedup, 2, 60));
    assert!(is_new(&dedup, 1, 61), "the window begins with the message that was counted");
    assert!(!is_new(&dedup, 1, 121));
    assert_eq!((dedup.repeats(), dedup.evicted()), (3, 0));
}

#[test]
fn a_table_that_is_off_takes_everything() {
    let dedup = dedup(0, 0);
    assert!(is_new(&dedup, 1, 0) && is_new(&dedup, 1, 0));
    dedup.tick(UnixMillis(NOW));
    assert_eq!((dedup.repeats(), dedup.capacity()), (0, 0));
}

#[test]
fn no_message_of_ten_million_is_taken_for_another() {
    let dedup = dedup(1 << 16, 60);
    for id in 0..10_000_000_u64 {
        assert!(is_new(&dedup, id, (id / 1000).cast_signed()), "{id}");
    }
}

#[test]
fn the_oldest_of_a_full_bucket_is_forgotten_and_that_is_counted() {
    let dedup = dedup(BUCKET, 3600);
    for id in 0..9 {
        assert!(is_new(&dedup, id, id.cast_signed()));
    }
    assert_eq!(dedup.evicted(), 1);
    assert!((1..9).all(|id| !is_new(&dedup, id, 9)));
    assert!(is_new(&dedup, 0, 9));
}

#[test]
fn the_tick_forgets_what_is_old_and_counts_the_rest() {
    let dedup = dedup(1024, 60);
    (0..10).for_each(|id| assert!(is_new(&dedup, id, 0)));
    (10..15).for_each(|id| assert!(is_new(&dedup, id, 50)));
    dedup.tick(UnixMillis(NOW + 61_000));
    assert_eq!(dedup.known(), 5);
    assert!((10..15).all(|id| !is_new(&dedup, id, 61)));
    // The seconds come round after three days; what was cleared does not come back.
    assert!((0..10).all(|id| is_new(&dedup, id, 1 << SECOND_BITS)));
}

#[test]
fn after_days_without_a_tick_nothing_is_known() {
    let dedup = dedup(1024, 86_400);
    assert!(is_new(&dedup, 1, 0));
    let round = 1 << SECOND_BITS;
    dedup.tick(UnixMillis(NOW + round * 1000));
    assert!(is_new(&dedup, 1, round));
}

#[test]
fn a_clock_that_is_set_back_keeps_repeats_repeats() {
    let dedup = dedup(1024, 60);
    assert!(is_new(&dedup, 1, 1000));
    assert!(!is_new(&dedup, 1, 0) && !is_new(&dedup, 1, 1000));
    for now in [i64::MIN, -1, 0, i64::MAX] {
        dedup.admit(7, UnixMillis(now));
        dedup.tick(UnixMillis(now));
    }
}

#[test]
fn a_message_that_was_not_yet_counted_when_the_process_ended_is_heard_again() {
    let dedup = dedup(1024, 60);
    pending(&dedup, 1, 0);
    dedup.restore();
    assert!(is_new(&dedup, 1, 0));
}

#[test]
fn of_threads_that_bring_the_same_messages_each_message_is_new_to_one() {
    let dedup = dedup(1 << 14, 3600);
    let news: usize = thread::scope(|scope| {
        let bring = || (0..4000).filter(|id| is_new(&dedup, *id, 0)).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(bring)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(news as u64, 4000 + dedup.evicted());
    assert_eq!(dedup.repeats() + news as u64, 16_000);
}

/// Long enough for another thread to have begun to wait, and much less than it waits.
const MOMENT: Duration = Duration::from_millis(50);

#[test]
fn a_duplicate_is_held_until_its_original_is_counted() {
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
    assert_eq!((dedup.repeats(), dedup.evicted()), (1, 0));
}

#[test]
fn a_duplicate_is_counted_if_its_original_never_is() {
    let dedup = dedup(1024, 60);
    let stuck = pending(&dedup, 1, 0);
    let begin = Instant::now();
    assert!(is_new(&dedup, 1, 0) && begin.elapsed() >= LONGEST_WAIT);
    assert!(!is_new(&dedup, 1, 0), "it has been counted now");
    assert_eq!((dedup.repeats(), dedup.evicted()), (1, 1));
    stuck.confirm();
    assert!(!is_new(&dedup, 1, 0), "the original was only late");
}

#[test]
fn a_duplicate_is_counted_if_its_original_loses_its_place() {
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
fn a_thread_that_gets_a_repeat_finds_its_original_in_the_total() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 5000;
    let dedup_window = Duration::from_secs(60);
    let capacities = Capacities { groups: 100, exported_groups: 10, sender_pairs: 1000, dedup_window };
    let stats = Stats::in_memory(capacities, UnixMillis(NOW)).unwrap();
    let arrived = AtomicU64::new(0);
    // Repeats, and those of them that came back too early. All threads bring a round's message at the same moment, when
    // those of the earlier rounds are counted.
    let bring = || {
        (1..=ROUNDS).fold((0, 0), |(repeats, early), round| {
            let id = round.to_string();
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < round * THREADS {
                thread::yield_now();
            }
            let message = Message { server_msg_id: &id, ..Message::of("g", "u") };
            match stats.record(&message, UnixMillis(NOW)) {
                Recorded::Repeat => (repeats + 1, early + u64::from(stats.messages() < round)),
                _ => (repeats, early),
            }
        })
    };
    let [repeats, early] = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(bring)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold([0, 0], |[a, b], (c, d)| [a + c, b + d])
    });
    assert_eq!((repeats, early), (ROUNDS * (THREADS - 1), 0));
    assert_eq!(stats.messages(), ROUNDS);
}
