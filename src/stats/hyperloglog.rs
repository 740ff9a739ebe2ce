//! Distinct counts by HyperLogLog, register for register what Redis has.
//!
//! Precision 14 (16,384 registers, standard error 0.81 %), MurmurHash64A with Redis's seed, Redis's choice of index and
//! rank; so registers from here and from a Redis key can be united, and Redis is the test's oracle. The estimate is
//! Otmar Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches", 2017,
//! algorithm 6), which Redis uses too.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of the hash that choose a register. Few under the fuzzer, which makes and reads a state at each run: all that is
/// done is the same, with megabytes less of registers.
const PRECISION: u32 = if cfg!(fuzzing) { 4 } else { 14 };

/// Registers in a set.
pub const REGISTERS: usize = 1 << PRECISION;

/// Bits of the hash that are left for the rank.
const RANK_BITS: u32 = 64 - PRECISION;

/// The highest rank: all of the rank's bits are zero.
const HIGHEST_RANK: usize = RANK_BITS as usize + 1;

/// Words that hold a set: eight registers of a byte each in a word.
pub const WORDS: usize = REGISTERS / LANES;

const LANES: usize = 8;

/// Redis's seed for MurmurHash64A (`hyperloglog.c`).
const SEED: u64 = 0xadc8_3b19;

/// Where an element belongs in every set: computed once, added to as many sets as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    register: usize,
    rank: u8,
}

impl Element {
    /// The element that stands for these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_hash(hash(bytes))
    }

    /// The element whose bytes have this hash: MurmurHash64A with Redis's seed.
    #[must_use]
    pub const fn of_hash(hash: u64) -> Self {
        // A bit set behind the last one bounds the rank at `HIGHEST_RANK`.
        let rest = (hash >> PRECISION) | (1 << RANK_BITS);
        #[expect(clippy::cast_possible_truncation, reason = "14 bits and at most 51")]
        Self { register: hash as usize & (REGISTERS - 1), rank: rest.trailing_zeros() as u8 + 1 }
    }

    /// Whether adding the element to the set whose words these are would change nothing. Then whatever was written before
    /// what made it so, by whichever thread, is there too.
    #[inline]
    pub(super) fn is_in(self, set: &[AtomicU64]) -> bool {
        let (word, shift) = self.place();
        set.get(word).is_none_or(|word| (word.load(Ordering::Acquire) >> shift) & 0xff >= u64::from(self.rank))
    }

    /// The word of its register in a set, and by how many bits the register is shifted there.
    const fn place(self) -> (usize, usize) {
        (self.register / LANES, self.register % LANES * 8)
    }

    /// Adds the element to the set whose words these are. Lock-free; writes only when the register rises, which for a
    /// sender that was seen before it never does.
    pub fn add_to(self, set: &[AtomicU64]) {
        let (word, shift) = self.place();
        let Some(word) = set.get(word) else { return };
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

/// Adds all that is in one set to another. Lock-free; writes nothing where nothing is new.
pub(super) fn add_set(from: &[AtomicU64], to: &[AtomicU64]) {
    for (from, to) in from.iter().zip(to) {
        let from = from.load(Ordering::Relaxed);
        // That it changes nothing is no failure.
        let _ = to.fetch_update(Ordering::Release, Ordering::Relaxed, |seen| {
            let mut both = seen.to_le_bytes();
            raise(&mut both, from);
            let both = u64::from_le_bytes(both);
            (both != seen).then_some(both)
        });
    }
}

/// Whether every register in these words is a rank that an element can have.
pub(super) fn are_ranks(words: &[AtomicU64]) -> bool {
    let highest = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).max();
    highest.is_none_or(|highest| usize::from(highest) <= HIGHEST_RANK)
}

/// Raises a word's registers to those of another word, where these are higher.
fn raise(mine: &mut [u8; LANES], theirs: u64) {
    for (mine, theirs) in mine.iter_mut().zip(theirs.to_le_bytes()) {
        *mine = (*mine).max(theirs);
    }
}

/// The 64-bit hash of some bytes, the same on every machine and in every process.
// Not inlined: it is wanted for each message several times, and in the program once.
#[inline(never)]
pub(super) fn hash(bytes: &[u8]) -> u64 {
    murmur_hash_64a(bytes, SEED)
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

/// The union of sets, to be estimated: not shared, so plain bytes.
#[derive(Clone)]
pub struct Union {
    registers: Box<[[u8; LANES]; WORDS]>,
}

impl Union {
    /// The union of no set.
    #[must_use]
    pub fn new() -> Self {
        Self { registers: Box::new([[0; LANES]; WORDS]) }
    }

    /// Takes a set in.
    pub fn unite(&mut self, set: &[AtomicU64]) {
        for (mine, theirs) in self.registers.iter_mut().zip(set) {
            raise(mine, theirs.load(Ordering::Relaxed));
        }
    }

    /// The registers, in Redis's order.
    pub fn registers(&self) -> impl Iterator<Item = u8> + '_ {
        self.registers.iter().flatten().copied()
    }

    /// How many distinct elements the sets hold, estimated: exactly the number that Redis's `PFCOUNT` gives.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        // How many registers hold each rank; a byte over the highest rank cannot come from `add_to`.
        let mut ranks = [0_u32; HIGHEST_RANK + 1];
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
        Self::new()
    }
}

/// Ertl's improved raw estimator, given how many registers hold each rank.
fn estimate(ranks: &[u32; HIGHEST_RANK + 1]) -> u64 {
    // 1 / (2 ln 2): the limit of HyperLogLog's bias correction for many registers.
    const ALPHA_INFINITY: f64 = 0.5 / std::f64::consts::LN_2;
    const M: f64 = REGISTERS as f64;
    let [zeros, between @ .., full] = ranks;
    let start = M * tau((M - f64::from(*full)) / M);
    let raised = between.iter().rev().fold(start, |sum, count| (sum + f64::from(*count)) * 0.5);
    let sum = raised + M * sigma(f64::from(*zeros) / M);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; `as` stops at the ends"
    )]
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

    fn empty_set() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn count(set: &[AtomicU64]) -> u64 {
        let mut union = Union::new();
        union.unite(set);
        union.estimate()
    }

    #[test]
    fn an_empty_set_counts_nothing() {
        assert_eq!(count(&empty_set()), 0);
    }

    #[test]
    fn the_same_element_counts_once() {
        let set = empty_set();
        for _ in 0..1000 {
            Element::of(b"someone").add_to(&set);
        }
        assert_eq!(count(&set), 1);
    }

    #[test]
    fn the_hash_is_murmurs_for_every_length_of_tail() {
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
        let set = empty_set();
        let mut next_check = 1000;
        for person in 1..=1_000_000_u64 {
            Element::of(person.to_string().as_bytes()).add_to(&set);
            if person == next_check {
                let error = (count(&set) as f64 / person as f64 - 1.0).abs();
                assert!(error <= 0.02, "{person}: {error}");
                next_check *= 10;
            }
        }
    }

    #[test]
    fn a_union_counts_what_is_in_either_set_once() {
        let (left, right) = (empty_set(), empty_set());
        for person in 0..20_000_u64 {
            let set = if person < 12_000 { &left } else { &right };
            Element::of(&person.to_le_bytes()).add_to(set);
            Element::of(b"in both").add_to(set);
        }
        let mut union = Union::new();
        union.unite(&left);
        union.unite(&right);
        let error = (union.estimate() as f64 / 20_001.0 - 1.0).abs();
        assert!(error <= 0.02, "{error}");
    }

    #[test]
    fn registers_that_are_all_full_do_not_break_the_estimate() {
        let set: Vec<_> = (0..WORDS).map(|_| AtomicU64::new(u64::from_le_bytes([51; 8]))).collect();
        assert_eq!(count(&set), u64::MAX);
    }
}
