//! Where each section of a block to be made will be.

use std::ops::Range;

use super::contents::{Contents, Entry, Layout};

/// Words in the header. One page, so that the first section starts on one.
pub(super) const HEADER_WORDS: usize = 512;

/// Sections start on a multiple of this many words (128 bytes): two cache lines, which processors fetch as a pair.
pub(super) const ALIGNMENT_WORDS: usize = 16;

/// The sections of a block to be made, in order. Their table of contents follows the last one.
#[derive(Clone, Debug)]
pub struct Plan {
    words: usize,
    contents: Contents,
}

/// Where a section is in a block made by the same plan.
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
    pub fn new() -> Self {
        let contents = Contents { program: env!("CARGO_PKG_VERSION").to_owned(), sections: Vec::new() };
        Self { words: HEADER_WORDS, contents }
    }

    /// Adds a section behind those that the plan has.
    pub fn reserve(&mut self, layout: Layout) -> Place {
        let place = Place { start: self.words, words: layout.lanes * layout.lane_words() };
        self.words = (self.words + place.words).next_multiple_of(ALIGNMENT_WORDS);
        let [offset, length] = [place.start, place.words].map(|words| words * size_of::<u64>());
        self.contents.sections.push(Entry { layout, offset, length });
        place
    }

    /// Words of the header and of all sections.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.words
    }

    /// The sections.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.contents
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
    fn sections_and_their_lanes_start_on_a_pair_of_cache_lines() {
        let mut plan = Plan::new();
        plan.reserve(Layout::of("a", 1, 8, 1));
        let lanes = plan.reserve(Layout { lanes: 3, ..Layout::of("b", 1, 8, 17) });
        assert_eq!((lanes.range().start % ALIGNMENT_WORDS, lanes.range().len()), (0, 3 * 32));
        assert_eq!(plan.reserve(Layout::of("c", 1, 8, 1)).range().start, lanes.range().end);
    }
}
