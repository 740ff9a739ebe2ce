//! Exemplars: for each bucket of a histogram, one observed message, whose operation ID can be found in OpenIM's logs.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#exemplars>

use std::io;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::carry::CarryOver;
use super::packed;
use crate::arena::{Block, Contents, Layout, Section};
use crate::domain::UnixMillis;

/// The longest operation ID of an exemplar; a message with a longer one is not used. OpenMetrics allows 128 characters
/// for all names and values of an exemplar's labels together.
const MAX_ID_BYTES: usize = 64;

/// The age at which a bucket's exemplar is replaced, so that most messages only have to read its time.
const REPLACE_AFTER_MS: u64 = 1000;

/// Version of an exemplar's layout.
const LAYOUT: u32 = 1;

/// Words of an exemplar: two cache lines.
const SLOT_WORDS: usize = 16;

/// Odd while the exemplar is being written; changes with each write.
const SEQUENCE: usize = 0;
const AT: usize = 1;
const VALUE: usize = 2;
const LENGTH: usize = 3;
const ID: usize = 8;
const _: () = assert!(ID + MAX_ID_BYTES / size_of::<u64>() == SLOT_WORDS);

/// A message that was observed in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its operation ID.
    pub operation_id: String,
    /// The observed value in milliseconds.
    pub value_ms: u64,
    /// When it was observed.
    pub at: UnixMillis,
}

/// One exemplar for each bucket.
#[derive(Debug)]
pub(super) struct Exemplars(Section);

impl Exemplars {
    pub(super) fn reserve(contents: &mut Contents, name: &str, buckets: usize) {
        contents.reserve(Layout::new(name, LAYOUT, SLOT_WORDS * size_of::<u64>(), buckets));
    }

    pub(super) fn open(block: &Block, name: &str) -> io::Result<Self> {
        block.section(name).map(Self)
    }

    /// Takes old exemplars, each into the bucket of its value. If two are for the same bucket, the newer one stays.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, name: &str, bucket: impl Fn(u64) -> usize) {
        let Some(stored) = old.section(name, LAYOUT, SLOT_WORDS * size_of::<u64>()) else { return };
        let exemplars = stored.as_chunks::<SLOT_WORDS>().0.iter().filter_map(read);
        for Exemplar { operation_id, value_ms, at } in exemplars {
            if let Some(slot) = self.0.as_chunks::<SLOT_WORDS>().0.get(bucket(value_ms))
                && read(slot).is_none_or(|other| other.at < at)
            {
                write(slot, value_ms, at, &operation_id);
            }
        }
    }

    /// Makes a message its bucket's exemplar, if the current one is old enough and no other thread is replacing it.
    #[inline]
    pub(super) fn offer(&self, bucket: usize, value_ms: u64, at: UnixMillis, operation_id: &str) {
        if let Some(slot) = self.0.as_chunks::<SLOT_WORDS>().0.get(bucket)
            && at.0.cast_unsigned().abs_diff(slot[AT].load(Ordering::Relaxed)) >= REPLACE_AFTER_MS
            && (1..=MAX_ID_BYTES).contains(&operation_id.len())
        {
            write(slot, value_ms, at, operation_id);
        }
    }

    /// Drops all exemplars.
    pub(super) fn reset(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Drops exemplars that were being written when the process ended, and those in the wrong bucket.
    pub(super) fn restore(&self, bucket: impl Fn(u64) -> usize) {
        for (number, slot) in self.0.as_chunks::<SLOT_WORDS>().0.iter().enumerate() {
            if read(slot).is_none_or(|exemplar| bucket(exemplar.value_ms) != number) {
                slot.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            }
        }
    }

    /// Each bucket's exemplar.
    pub(super) fn read(&self) -> Vec<Option<Exemplar>> {
        self.0.as_chunks().0.iter().map(read).collect()
    }
}

#[cold]
fn write(slot: &[AtomicU64; SLOT_WORDS], value_ms: u64, at: UnixMillis, operation_id: &str) {
    let sequence = slot[SEQUENCE].load(Ordering::Relaxed);
    let is_mine = sequence.is_multiple_of(2)
        && slot[SEQUENCE].compare_exchange(sequence, sequence + 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
    if !is_mine {
        return;
    }
    fence(Ordering::Release);
    packed::write(operation_id, &slot[ID..]);
    for (word, value) in [(AT, at.0.cast_unsigned()), (VALUE, value_ms), (LENGTH, operation_id.len() as u64)] {
        if let Some(word) = slot.get(word) {
            word.store(value, Ordering::Relaxed);
        }
    }
    slot[SEQUENCE].store(sequence.wrapping_add(2), Ordering::Release);
}

fn read(slot: &[AtomicU64; SLOT_WORDS]) -> Option<Exemplar> {
    let sequence = slot[SEQUENCE].load(Ordering::Acquire);
    if sequence == 0 || !sequence.is_multiple_of(2) {
        return None;
    }
    let len = usize::try_from(slot[LENGTH].load(Ordering::Relaxed)).ok().filter(|len| *len > 0)?;
    let bytes = packed::read::<MAX_ID_BYTES>(&slot[ID..]);
    let operation_id = bytes.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned);
    let value_ms = slot[VALUE].load(Ordering::Relaxed);
    let at = UnixMillis(slot[AT].load(Ordering::Relaxed).cast_signed());
    fence(Ordering::Acquire);
    let is_consistent = slot[SEQUENCE].load(Ordering::Relaxed) == sequence;
    operation_id.filter(|_| is_consistent).map(|operation_id| Exemplar { operation_id, value_ms, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn exemplars(buckets: usize) -> Exemplars {
        let mut contents = Contents::default();
        Exemplars::reserve(&mut contents, "exemplars", buckets);
        Exemplars::open(&Block::in_memory(contents).unwrap(), "exemplars").unwrap()
    }

    fn at(ms: i64) -> UnixMillis {
        UnixMillis(1_732_345_678_000 + ms)
    }

    #[test]
    fn a_bucket_s_exemplar_is_replaced_after_a_second() {
        let exemplars = exemplars(2);
        assert_eq!(exemplars.read(), [None, None]);
        exemplars.offer(1, 7, at(0), "first");
        exemplars.offer(1, 8, at(999), "too soon");
        let exemplar = |operation_id: &str, value_ms, at| Exemplar { operation_id: operation_id.into(), value_ms, at };
        assert_eq!(exemplars.read(), [None, Some(exemplar("first", 7, at(0)))]);
        exemplars.offer(1, 9, at(1000), "next");
        exemplars.offer(9, 9, at(1000), "no such bucket");
        assert_eq!(exemplars.read(), [None, Some(exemplar("next", 9, at(1000)))]);
    }

    #[test]
    fn an_empty_or_too_long_id_makes_no_exemplar_and_the_longest_is_complete() {
        let exemplars = exemplars(1);
        exemplars.offer(0, 1, at(0), "");
        exemplars.offer(0, 1, at(0), &"x".repeat(65));
        assert_eq!(exemplars.read(), [None]);
        let longest = "\u{7fa4}".repeat(21) + "x";
        exemplars.offer(0, 1, at(0), &longest);
        assert_eq!(exemplars.read()[0].as_ref().unwrap().operation_id, longest);
    }

    #[test]
    fn an_exemplar_that_is_read_during_writes_is_consistent() {
        let exemplars = exemplars(1);
        thread::scope(|scope| {
            for writer in 0..3_u64 {
                let exemplars = &exemplars;
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let value = round * 3 + writer;
                        exemplars.offer(0, value, at(value.cast_signed() * 1000), &format!("{value:064}"));
                    }
                });
            }
            for _ in 0..20_000 {
                if let Some(found) = exemplars.read().remove(0) {
                    assert_eq!(found.operation_id, format!("{:064}", found.value_ms));
                    assert_eq!(found.at, at(found.value_ms.cast_signed() * 1000));
                }
            }
        });
    }
}
