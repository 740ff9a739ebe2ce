//! Distinct counts by HyperLogLog, with the same registers as in Redis.
//!
//! Precision 14 (16,384 registers, standard error 0.81 %), MurmurHash64A with Redis's seed, and Redis's choice of index
//! and rank. So these registers can be merged with those of a Redis key, and the tests compare with Redis. The estimate
//! is Otmar Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches", 2017,
//! algorithm 6), which Redis uses too.

use std::sync::atomic::{AtomicU64, Ordering};

use wide::u8x16;

/// Bits of the hash that choose a register.
const PRECISION: u32 = 14;

/// Registers of a sketch.
pub const REGISTERS: usize = 1 << PRECISION;

/// Bits of the hash that determine the rank.
const RANK_BITS: u32 = 64 - PRECISION;

/// The highest rank: all of these bits are zero.
const MAX_RANK: usize = RANK_BITS as usize + 1;

/// Words of a sketch. A register is a byte.
pub const WORDS: usize = REGISTERS / REGISTERS_PER_WORD;

const REGISTERS_PER_WORD: usize = 8;

/// Redis's seed for MurmurHash64A (`hyperloglog.c`).
const SEED: u64 = 0xadc8_3b19;

/// An element's register and rank, which are the same in every sketch: computed once, added to several sketches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    register: usize,
    rank: u8,
}

impl Element {
    /// The element for these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self::from_hash(hash(bytes))
    }

    /// The element for bytes with this hash (MurmurHash64A with Redis's seed).
    pub(super) const fn from_hash(hash: u64) -> Self {
        // The additional bit limits the rank to `MAX_RANK`.
        let rest = (hash >> PRECISION) | (1 << RANK_BITS);
        #[expect(clippy::cast_possible_truncation, reason = "14 bits and at most 51")]
        Self { register: hash as usize & (REGISTERS - 1), rank: rest.trailing_zeros() as u8 + 1 }
    }

    /// The number of its register.
    #[cfg(test)]
    pub(super) const fn register(self) -> usize {
        self.register
    }

    /// Whether adding the element to a sketch would not change it. Then this thread also sees everything that another
    /// thread wrote before it raised the register.
    #[inline]
    pub(super) fn is_in(self, sketch: &[AtomicU64]) -> bool {
        let (word, shift) = self.position();
        sketch.get(word).is_none_or(|word| (word.load(Ordering::Acquire) >> shift) & 0xff >= u64::from(self.rank))
    }

    /// The word of its register in a sketch, and the register's shift in that word.
    const fn position(self) -> (usize, usize) {
        (self.register / REGISTERS_PER_WORD, self.register % REGISTERS_PER_WORD * 8)
    }

    /// Adds the element to a sketch. Lock-free. Writes only if the register rises, which it never does for an element
    /// that was added before.
    pub fn add_to(self, sketch: &[AtomicU64]) {
        let (word, shift) = self.position();
        let Some(word) = sketch.get(word) else { return };
        let rank = u64::from(self.rank);
        let mut seen = word.load(Ordering::Relaxed);
        while (seen >> shift) & 0xff < rank {
            let raised = (seen & !(0xff << shift)) | (rank << shift);
            match word.compare_exchange_weak(seen, raised, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

/// Merges one sketch into another. Lock-free. Does not write words that do not change.
pub(super) fn merge_into(from: &[AtomicU64], to: &[AtomicU64]) {
    for (from, to) in from.iter().zip(to) {
        let from = from.load(Ordering::Relaxed);
        // An error only means that nothing changed.
        let _ = to.fetch_update(Ordering::Release, Ordering::Relaxed, |seen| {
            let merged = merged(seen, from);
            (merged != seen).then_some(merged)
        });
    }
}

/// Whether a sketch has no element.
pub(super) fn is_empty(sketch: &[AtomicU64]) -> bool {
    sketch.iter().all(|word| word.load(Ordering::Relaxed) == 0)
}

/// Whether every register in these words is a possible rank.
pub(super) fn has_valid_ranks(words: &[AtomicU64]) -> bool {
    let highest = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).max();
    highest.is_none_or(|highest| usize::from(highest) <= MAX_RANK)
}

/// The maximum of each register in two words. A loop over the bytes takes fifteen times as long where the compiler
/// optimizes for size.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is 0")]
fn merged(one: u64, other: u64) -> u64 {
    let registers = |word: u64| u8x16::new(u128::from(word).to_le_bytes());
    u128::from_le_bytes(registers(one).max(registers(other)).to_array()) as u64
}

/// The 64-bit hash of some bytes, the same on every machine and in every process.
// Not inlined: it is called several times for each message, and several copies would fill the instruction cache.
#[inline(never)]
pub(super) fn hash(bytes: &[u8]) -> u64 {
    murmur_hash_64a(bytes, SEED)
}

/// A hash of a pair, for example of a group and a sender, from the hashes of both: the finalizer of SplitMix64 (Steele,
/// Lea, Flood, "Fast splittable pseudorandom number generators", 2014), so that every bit of both affects every bit of
/// the result.
pub(super) const fn hash_pair(group: u64, sender: u64) -> u64 {
    let mixed = group.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ sender;
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// MurmurHash64A, by Austin Appleby (public domain), little-endian as Redis uses it on every machine.
fn murmur_hash_64a(bytes: &[u8], seed: u64) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut mixed = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> SHIFT;
        hash = (hash ^ mixed.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| (rest << 8) | u64::from(*byte));
        hash = (hash ^ rest).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> SHIFT)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> SHIFT)
}

/// The union of several sketches. Only one thread uses it, so its registers are plain bytes.
#[derive(Clone)]
pub struct Union {
    registers: Box<[[u8; REGISTERS_PER_WORD]; WORDS]>,
}

impl Union {
    /// Merges a sketch into the union.
    pub fn merge(&mut self, sketch: &[AtomicU64]) {
        for (registers, other) in self.registers.iter_mut().zip(sketch) {
            *registers = merged(u64::from_le_bytes(*registers), other.load(Ordering::Relaxed)).to_le_bytes();
        }
    }

    /// The union with these registers, in Redis's order, a byte each. `None` if their number is not [`REGISTERS`], or one
    /// of them is not a possible rank.
    #[must_use]
    pub fn from_registers(registers: &[u8]) -> Option<Self> {
        let words: Box<[_]> = registers.as_chunks().0.into();
        let is_possible = registers.len() == REGISTERS && registers.iter().all(|rank| usize::from(*rank) <= MAX_RANK);
        is_possible.then_some(Self { registers: words.try_into().ok()? })
    }

    /// Adds an element.
    pub(super) fn add(&mut self, element: Element) {
        if let Some(register) = self.registers.as_flattened_mut().get_mut(element.register) {
            *register = (*register).max(element.rank);
        }
    }

    /// Merges another union into this one.
    pub fn merge_union(&mut self, other: &Self) {
        for (registers, other) in self.registers.iter_mut().zip(&*other.registers) {
            *registers = merged(u64::from_le_bytes(*registers), u64::from_le_bytes(*other)).to_le_bytes();
        }
    }

    /// The registers, in Redis's order.
    pub fn registers(&self) -> impl Iterator<Item = u8> + '_ {
        self.registers.iter().flatten().copied()
    }

    /// The estimated number of distinct elements: exactly the number that Redis's `PFCOUNT` returns.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        // The number of registers with each rank. `add_to` never writes a higher one.
        let mut ranks = [0_u32; MAX_RANK + 1];
        for rank in self.registers() {
            if let Some(count) = ranks.get_mut(usize::from(rank)) {
                *count += 1;
            }
        }
        estimate(&ranks)
    }
}

impl Default for Union {
    fn default() -> Self {
        Self { registers: Box::new([[0; REGISTERS_PER_WORD]; WORDS]) }
    }
}

/// Ertl's improved raw estimator, from the number of registers with each rank.
fn estimate(ranks: &[u32; MAX_RANK + 1]) -> u64 {
    // 1 / (2 ln 2): the limit of HyperLogLog's bias correction for many registers.
    const ALPHA_INFINITY: f64 = 0.5 / std::f64::consts::LN_2;
    const M: f64 = REGISTERS as f64;
    let [zeros, between @ .., full] = ranks;
    let start = M * tau((M - f64::from(*full)) / M);
    let raised = between.iter().rev().fold(start, |sum, count| (sum + f64::from(*count)) * 0.5);
    let sum = raised + M * sigma(f64::from(*zeros) / M);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; `as` saturates")]
    return (ALPHA_INFINITY * M * M / sum).round() as u64;
}

/// Ertl's sigma: the share of registers that are still zero. Infinite at 1, which makes the estimate 0.
fn sigma(share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (share, 1.0, share);
    loop {
        power *= power;
        let next = sum + power * weight;
        weight += weight;
        if next <= sum {
            return sum;
        }
        sum = next;
    }
}

/// Ertl's tau: the share of registers that are not yet full.
fn tau(share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (share, 1.0, 1.0 - share);
    loop {
        root = root.sqrt();
        weight *= 0.5;
        let next = sum - (1.0 - root).powi(2) * weight;
        if next >= sum {
            return sum / 3.0;
        }
        sum = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_sketch() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn count(sketch: &[AtomicU64]) -> u64 {
        let mut union = Union::default();
        union.merge(sketch);
        union.estimate()
    }

    #[test]
    fn an_empty_sketch_counts_nothing() {
        assert_eq!(count(&empty_sketch()), 0);
    }

    #[test]
    fn the_same_element_counts_once() {
        let sketch = empty_sketch();
        for _ in 0..1000 {
            Element::new(b"someone").add_to(&sketch);
        }
        assert_eq!(count(&sketch), 1);
    }

    #[test]
    fn the_hash_is_murmurhash64a_for_every_length_of_tail() {
        // Computed by a transcription of Appleby's C reference in Python.
        let expected = [
            ("", 0xd8df_ea65_85bc_9732_u64),
            ("a", 0x53d2_470a_9b43_b1a7),
            ("sender-1", 0x2bae_3857_a604_ec8d),
            ("sender-12345", 0x6123_4607_d9f4_9ca6),
        ];
        for (text, hash) in expected {
            assert_eq!(murmur_hash_64a(text.as_bytes(), SEED), hash, "{text}");
        }
    }

    #[test]
    fn the_error_stays_within_two_percent_up_to_a_million() {
        let sketch = empty_sketch();
        let mut next_check = 1000;
        for person in 1..=1_000_000_u64 {
            Element::new(person.to_string().as_bytes()).add_to(&sketch);
            if person == next_check {
                let error = (count(&sketch) as f64 / person as f64 - 1.0).abs();
                assert!(error <= 0.02, "{person}: {error}");
                next_check *= 10;
            }
        }
    }

    #[test]
    fn a_union_counts_elements_of_both_sketches_once() {
        let (left, right) = (empty_sketch(), empty_sketch());
        for person in 0..20_000_u64 {
            let sketch = if person < 12_000 { &left } else { &right };
            Element::new(&person.to_le_bytes()).add_to(sketch);
            Element::new(b"in both").add_to(sketch);
        }
        let mut union = Union::default();
        union.merge(&left);
        union.merge(&right);
        let error = (union.estimate() as f64 / 20_001.0 - 1.0).abs();
        assert!(error <= 0.02, "{error}");
    }

    #[test]
    fn a_union_has_the_registers_that_it_is_made_from() {
        let sketch = empty_sketch();
        let mut added = Union::default();
        for person in 0..5000_u64 {
            let element = Element::new(&person.to_le_bytes());
            element.add_to(&sketch);
            added.add(element);
        }
        let mut merged = Union::default();
        merged.merge(&sketch);
        let registers: Vec<_> = merged.registers().collect();
        let same = Union::from_registers(&registers).unwrap();
        assert!(same.registers().eq(merged.registers()) && added.registers().eq(merged.registers()));
    }

    #[test]
    fn registers_of_another_length_or_with_an_impossible_rank_are_refused() {
        let registers = |rank, length| Union::from_registers(&vec![rank; length]).map(|union| union.estimate());
        assert_eq!(registers(51, REGISTERS), Some(u64::MAX));
        for (rank, length) in [(52, REGISTERS), (255, REGISTERS), (0, 0), (0, REGISTERS - 1), (0, REGISTERS + 8)] {
            assert_eq!(registers(rank, length), None, "{rank} {length}");
        }
    }

    #[test]
    fn the_estimate_of_full_registers_is_the_highest() {
        let sketch: Vec<_> = (0..WORDS).map(|_| AtomicU64::new(u64::from_le_bytes([51; 8]))).collect();
        assert_eq!(count(&sketch), u64::MAX);
    }
}
