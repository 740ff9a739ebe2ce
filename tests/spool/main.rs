//! The spool: what is appended is delivered, in order, whatever happens to its files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod commands;
mod faults;
mod full;
mod kill;
mod store;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use openim_exporter::domain::FileSync;
use openim_exporter::spool::{AppendError, Dropped, Limits, Record, Spool};
use store::{LIMITS, NOW, append, body, deliver, maintain_until_empty, number, open, record, segments};

#[test]
fn what_is_appended_is_delivered_in_order_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    append(&spool, 0..300);
    assert_eq!(spool.figures().pending, 300);
    assert_eq!(deliver(&mut reader), Vec::from_iter(0..300));
    append(&spool, 300..400);
    assert_eq!(deliver(&mut reader), Vec::from_iter(300..400));
    maintain_until_empty(&spool, directory.path());
    assert_eq!(spool.figures().dropped, [0; 5]);
}

#[test]
fn what_is_delivered_is_off_the_disk_after_a_minute() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    append(&spool, 0..3);
    spool.maintain(NOW).unwrap();
    let bytes = || segments(directory.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert_eq!(deliver(&mut reader), [0, 1, 2]);
    spool.maintain(NOW + 59_000).unwrap();
    assert!(bytes() > 0);
    spool.maintain(NOW + 60_000).unwrap();
    assert_eq!(bytes(), 0);
}

#[test]
fn what_is_not_delivered_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    append(&spool, 0..10);
    let (first, _) = reader.next().unwrap().unwrap();
    let (second, _) = reader.next().unwrap().unwrap();
    reader.delivered(second).unwrap();
    // Again: it is counted once.
    reader.delivered(second).unwrap();
    assert!(reader.read(second).unwrap().is_none());
    assert_eq!(number(&reader.read(first).unwrap().unwrap().record()), 0);
    drop((spool, reader));

    let (spool, mut reader) = open(directory.path());
    assert!(!spool.figures().is_counted);
    spool.maintain(NOW).unwrap();
    let figures = spool.figures();
    assert_eq!((figures.pending, figures.oldest_pending_ms, figures.is_counted), (9, Some(NOW), true));
    append(&spool, 10..20);
    assert_eq!(deliver(&mut reader), [vec![0], Vec::from_iter(2..20)].concat());
    maintain_until_empty(&spool, directory.path());
}

#[test]
fn a_reader_goes_back_and_passes_over_what_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    append(&spool, 0..5);
    let positions: Vec<_> = std::iter::from_fn(|| reader.next().unwrap()).map(|(position, _)| position).collect();
    reader.delivered(positions[2]).unwrap();
    reader.rewind(positions[1]);
    assert_eq!(deliver(&mut reader), [1, 3, 4]);
    reader.rewind(positions[0]);
    assert_eq!(deliver(&mut reader), [0]);
}

#[test]
fn a_callback_that_is_delivered_after_it_was_read_again_does_not_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    append(&spool, 0..5);
    let positions: Vec<_> = std::iter::from_fn(|| reader.next().unwrap()).map(|(position, _)| position).collect();
    reader.rewind(positions[0]);
    assert_eq!(reader.next().unwrap().map(|(position, _)| position), Some(positions[0]));
    // The others are in the bytes that were just read.
    [1, 3].into_iter().for_each(|number| reader.delivered(positions[number]).unwrap());
    assert_eq!(deliver(&mut reader), [2, 4]);
}

#[test]
fn only_the_owner_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("forward/default");
    let (spool, _) = open(&path);
    spool.maintain(NOW).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("dead"))), (0o700, 0o700));
    assert_eq!((mode(&segments(&path)[0]), mode(&path.join("segments"))), (0o600, 0o600));
}

#[test]
fn the_oldest_callbacks_are_dropped_by_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    let long = "y".repeat(2000);
    // Four times as much as it may have.
    for number in 0..2000 {
        spool.append(&record(&format!("{number} {long}"))).unwrap();
        if number % 20 == 0 {
            spool.maintain(NOW).unwrap();
            let bytes: u64 = segments(directory.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
            assert!(bytes <= LIMITS.max_bytes, "{bytes}");
        }
    }
    spool.maintain(NOW).unwrap();
    let figures = spool.figures();
    let first = 2000 - figures.pending;
    assert_eq!(figures.dropped(Dropped::Bytes), first);
    // It does not drop more than it must.
    assert!(figures.pending_bytes > LIMITS.max_bytes / 10 * 8, "{figures:?}");
    let mut expected = first;
    while let Some((position, entry)) = reader.next().unwrap() {
        assert!(entry.body().starts_with(format!("{expected} ").as_bytes()));
        reader.delivered(position).unwrap();
        expected += 1;
    }
    assert_eq!(expected, 2000);
    maintain_until_empty(&spool, directory.path());
}

#[test]
fn a_burst_drops_the_oldest_callbacks_too() {
    let directory = store::in_memory();
    let (spool, mut reader) = open(directory.path());
    let (sender, calls) = mpsc::channel();
    let maintained = Arc::clone(&spool);
    let maintainer = thread::spawn(move || {
        maintained.maintain(NOW).unwrap();
        while sender.send(()).is_ok() {
            thread::park();
            maintained.make_room(NOW).unwrap();
        }
    });
    let wait_for_a_call = || calls.recv_timeout(Duration::from_secs(60)).expect("the thread should be woken");
    wait_for_a_call();
    let long = "y".repeat(700);
    // Four times as much as the spool may hold. Each part is larger than a segment, and much smaller than the room that
    // is kept free, so no append is refused, however late the thread runs.
    for part in 0..125 {
        calls.try_iter().for_each(drop);
        for number in part * 40..(part + 1) * 40 {
            spool.append(&record(&format!("{number} {long}"))).unwrap();
        }
        wait_for_a_call();
    }
    drop(calls);
    maintainer.thread().unpark();
    maintainer.join().unwrap();
    let mut newest = 0;
    while let Some((position, entry)) = reader.next().unwrap() {
        newest += u32::from(entry.body().starts_with(b"49"));
        reader.delivered(position).unwrap();
    }
    assert_eq!(newest, 100);
    assert!(spool.figures().dropped(Dropped::Bytes) > 3000);
}

#[test]
fn a_spool_that_nobody_maintains_is_bounded_too() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let refused = (0..20_000).filter(|number| spool.append(&record(&body(*number))).is_err()).count();
    assert!(refused > 0);
    assert_eq!(spool.figures().dropped(Dropped::Bytes), refused as u64);
    let bytes = fs::metadata(&segments(directory.path())[0]).unwrap().len();
    assert!(bytes < LIMITS.max_bytes + 500, "{bytes}");
}

#[test]
fn old_callbacks_are_dropped_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    let max_age = i64::try_from(LIMITS.max_age.as_millis()).unwrap();
    for number in 0..10 {
        let body = body(number);
        spool.append(&Record { received_ms: NOW + i64::from(number), ..record(&body) }).unwrap();
    }
    spool.maintain(NOW + max_age + 4).unwrap();
    let figures = spool.figures();
    assert_eq!((figures.dropped(Dropped::Age), figures.pending), (4, 6));
    assert_eq!(figures.oldest_pending_ms, Some(NOW + 4));
    let (_, entry) = reader.next().unwrap().unwrap();
    assert!(entry.body().starts_with(b"4 "));
    for _ in 0..3 {
        spool.maintain(NOW + 2 * max_age).unwrap();
    }
    assert_eq!(spool.figures().dropped(Dropped::Age), 10);
    assert!(reader.next().unwrap().is_none());
    maintain_until_empty(&spool, directory.path());
}

#[test]
fn a_dead_letter_is_kept_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    append(&spool, 0..3);
    let (position, _) = reader.next().unwrap().unwrap();
    reader.bury(position, 400, &"no such group ".repeat(100)).unwrap();
    assert_eq!(deliver(&mut reader), [1, 2]);
    let figures = maintain_until_empty(&spool, directory.path());
    assert_eq!(figures.dead_letters, 1);
    assert!(figures.dead_letter_bytes > 1024);
    drop((spool, reader));
    let (spool, _) = open(directory.path());
    spool.maintain(NOW).unwrap();
    assert_eq!(spool.figures().dead_letters, 1);
    spool.maintain(NOW + 2 * i64::try_from(LIMITS.max_age.as_millis()).unwrap()).unwrap();
    assert_eq!((spool.figures().dead_letters, spool.figures().dead_letters_dropped), (0, 1));
}

#[test]
fn a_body_that_looks_like_a_record_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, reader) = open(directory.path());
    append(&spool, 0..3);
    drop((spool, reader));
    // Everything that this segment has, as the body of a callback.
    let first = fs::read(&segments(directory.path())[0]).unwrap();
    let (spool, mut reader) = open(directory.path());
    spool.append(&Record { body: &first, ..record("") }).unwrap();
    append(&spool, 3..5);
    // Without the header before it.
    let path = segments(directory.path())[1].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(deliver(&mut reader), Vec::from_iter(0..5));
    assert_eq!(spool.figures().dropped(Dropped::Damaged), 1);
}

#[test]
fn a_field_that_is_too_long_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    let query = "q".repeat(65_536);
    let refused = spool.append(&Record { query: &query, ..record("") });
    assert!(matches!(refused, Err(AppendError::TooLong)));
    assert_eq!(spool.figures().dropped(Dropped::Disk), 1);
    append(&spool, 0..1);
    assert_eq!(deliver(&mut reader), [0]);
}

#[test]
fn an_append_allocates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut reader) = open(directory.path());
    let body = body(1);
    let append = || spool.append(&record(&body)).unwrap();
    // The first in a thread may.
    append();
    assert_eq!(allocation_counter::measure(append).count_total, 0);
    assert_eq!(deliver(&mut reader), [1, 1]);
}

#[test]
fn large_bodies_and_synchronous_appends() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { max_bytes: 64 << 20, sync: FileSync::Append, ..LIMITS };
    let (spool, mut reader) = Spool::open(directory.path(), limits).unwrap();
    for megabytes in 1..4 {
        spool.append(&record(&"z".repeat(megabytes << 20))).unwrap();
    }
    spool.set_limits(Limits { sync: FileSync::Second, ..limits });
    spool.maintain(NOW).unwrap();
    spool.append(&record("end")).unwrap();
    for length in [1 << 20, 2 << 20, 3 << 20, 3] {
        let (position, entry) = reader.next().unwrap().unwrap();
        assert_eq!(entry.body().len(), length);
        reader.delivered(position).unwrap();
    }
    maintain_until_empty(&spool, directory.path());
}

/// Four threads append while one reads and segments begin: each thread's callbacks are delivered in their order.
#[test]
fn threads_append_while_another_delivers_and_segments_end() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { max_bytes: 64 << 20, ..LIMITS };
    let (spool, mut reader) = Spool::open(directory.path(), limits).unwrap();
    let (each, ended) = (20_000, AtomicBool::new(false));
    thread::scope(|scope| {
        let appending: Vec<_> = (0..4)
            .map(|thread| {
                let spool = &spool;
                scope.spawn(move || append(spool, (0..each).map(|number| thread * each + number)))
            })
            .collect();
        let maintaining = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                // A segment ends with each call.
                spool.set_limits(Limits { max_age: Duration::from_millis(64), ..limits });
                spool.maintain(NOW + most).unwrap();
                most += 2;
                most %= 60;
                thread::sleep(Duration::from_millis(2));
            }
        });
        let mut next: [u32; 4] = std::array::from_fn(|thread| u32::try_from(thread).unwrap() * each);
        let (first, mut delivered) = (next, 0);
        while delivered < 4 * each {
            for number in deliver(&mut reader) {
                let thread = usize::try_from(number / each).unwrap();
                assert_eq!(next[thread], number);
                next[thread] += 1;
                delivered += 1;
            }
        }
        assert_eq!(next, first.map(|first| first + each));
        appending.into_iter().for_each(|thread| thread.join().unwrap());
        ended.store(true, Ordering::Relaxed);
        maintaining.join().unwrap();
    });
    let figures = maintain_until_empty(&spool, directory.path());
    assert_eq!((figures.dropped, figures.damaged_files), ([0; 5], 0));
}
