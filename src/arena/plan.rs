//! Where each section of a block lies.

use std::ops::Range;

/// Words in the header. One page, so that the first section starts on one.
pub(super) const HEADER_WORDS: usize = 512;

/// Sections start on a multiple of this many words (128 bytes): two cache lines, which processors fetch as a pair.
const ALIGNMENT_WORDS: usize = 16;

/// The sections of a block to be made, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    words: usize,
    fingerprint: u64,
}

/// Where a section lies in a block made by the same plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    start: usize,
    words: usize,
}

impl Place {
    pub(super) const fn range(self) -> Range<usize> {
        self.start..self.start + self.words
    }
}

impl Plan {
    /// A plan with a header and no section.
    #[must_use]
    pub const fn new() -> Self {
        // FNV-1a's offset basis: http://www.isthe.com/chongo/tech/comp/fnv/
        Self { words: HEADER_WORDS, fingerprint: 0xcbf2_9ce4_8422_2325 }
    }

    /// Adds a section of `words` words behind those that the plan has.
    pub fn reserve(&mut self, name: &str, words: usize) -> Place {
        let place = Place { start: self.words, words };
        self.words = (self.words + words).next_multiple_of(ALIGNMENT_WORDS);
        for byte in name.bytes().chain(words.to_le_bytes()) {
            // FNV-1a's 64-bit prime.
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        place
    }

    /// Words in the whole block.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.words
    }

    /// A number that differs between plans with other sections: FNV-1a over their names and lengths.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_with_other_sections_have_other_fingerprints() {
        let fingerprint = |sections: &[(&str, usize)]| {
            let mut plan = Plan::new();
            sections.iter().for_each(|(name, words)| {
                plan.reserve(name, *words);
            });
            plan.fingerprint()
        };
        let base = fingerprint(&[("a", 1), ("b", 2)]);
        assert_eq!(base, fingerprint(&[("a", 1), ("b", 2)]));
        for other in [&[("a", 1), ("b", 3)], &[("a", 1), ("c", 2)], &[("b", 2), ("a", 1)]] {
            assert_ne!(base, fingerprint(other));
        }
    }

    #[test]
    fn sections_start_on_a_pair_of_cache_lines() {
        let mut plan = Plan::new();
        plan.reserve("a", 1);
        assert_eq!(plan.reserve("b", 1).range().start % ALIGNMENT_WORDS, 0);
    }
}
