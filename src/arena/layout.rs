//! The layout of a block and of its sections.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Words in the header. One page, so that the first section starts on one.
pub(super) const HEADER_WORDS: usize = 512;

/// Sections start on a multiple of this many words (128 bytes): two cache lines, which processors fetch as a pair.
const ALIGNMENT_WORDS: usize = 16;

/// The first word after `words` at which a section can start.
pub(super) const fn align(words: usize) -> usize {
    words.next_multiple_of(ALIGNMENT_WORDS)
}

/// The layout of one section. Programs that agree on a section's layout agree on the meaning of its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The section's name, unique in the block.
    pub name: String,
    /// Version of an element's layout. It rises whenever a word of an element changes its meaning.
    pub version: u32,
    /// Bytes per element, a multiple of 8.
    pub element_bytes: usize,
    /// Number of elements.
    pub count: usize,
    /// Copies of all elements, so that threads can count separately; an element's value is the sum over the lanes. A
    /// ring has a lane for each period.
    #[serde(default = "default_lanes", skip_serializing_if = "is_default_lanes")]
    pub lanes: usize,
    /// What each element counts, if its position decides that: a list of keys per axis, the last axis varying fastest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Vec<String>>,
}

const fn default_lanes() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_default_lanes(lanes: &usize) -> bool {
    *lanes == default_lanes()
}

impl Layout {
    /// A section of `count` elements without keys.
    #[must_use]
    pub fn new(name: &str, version: u32, element_bytes: usize, count: usize) -> Self {
        Self { name: name.to_owned(), version, element_bytes, count, lanes: default_lanes(), keys: Vec::new() }
    }

    /// Words of all lanes. If there are several, each is aligned like a section, so that no two share a cache line.
    pub(super) const fn words(&self) -> usize {
        let lane = self.count * self.element_bytes / size_of::<u64>();
        if self.lanes > 1 { self.lanes * align(lane) } else { lane }
    }

    /// Whether the elements fit into a section of `length` bytes, and the number of keys is right.
    pub(super) fn is_consistent(&self, length: usize) -> bool {
        let bytes = self.count.checked_mul(self.element_bytes).and_then(|bytes| bytes.checked_mul(self.lanes));
        let has_sizes = self.element_bytes > 0
            && self.element_bytes.is_multiple_of(size_of::<u64>())
            && self.lanes > 0
            && length.is_multiple_of(size_of::<u64>())
            && (length / size_of::<u64>()).is_multiple_of(self.lanes)
            && bytes.is_some_and(|bytes| bytes <= length);
        let combinations = self.keys.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.len()));
        let has_keys = self.keys.is_empty() || combinations == Some(self.count);
        let are_distinct = |axis: &Vec<String>| axis.iter().collect::<BTreeSet<_>>().len() == axis.len();
        has_sizes && has_keys && self.keys.iter().all(are_distinct)
    }

    /// Describes how another layout of the same section differs; `None` if it does not.
    pub(super) fn difference_to(&self, other: &Self) -> Option<String> {
        let mut parts = Vec::new();
        let mut compare = |what: &str, before: usize, after: usize| {
            if before != after {
                parts.push(format!("{what} {before} -> {after}"));
            }
        };
        compare("version", self.version as usize, other.version as usize);
        compare("bytes per element", self.element_bytes, other.element_bytes);
        compare("elements", self.count, other.count);
        compare("lanes", self.lanes, other.lanes);
        let keys = |layout: &Self| layout.keys.iter().flatten().cloned().collect::<BTreeSet<_>>();
        let (before, after) = (keys(self), keys(other));
        for (what, keys) in [("without", before.difference(&after)), ("with", after.difference(&before))] {
            let keys: Vec<_> = keys.map(String::as_str).collect();
            if !keys.is_empty() {
                parts.push(format!("{what} {}", keys.join(", ")));
            }
        }
        if parts.is_empty() && self != other {
            parts.push("keys in a different order".to_owned());
        }
        (!parts.is_empty()).then(|| format!("{}: {}", self.name, parts.join("; ")))
    }
}
