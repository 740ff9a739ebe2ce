//! A block's table of contents: which sections it has, where they are, and what their elements mean.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::layout::{HEADER_WORDS, Layout, align};

/// More sections than any program has.
const MAX_SECTIONS: usize = 1024;

/// A section's line in the table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionEntry {
    /// The section's layout.
    #[serde(flatten)]
    pub layout: Layout,
    /// Offset of its first byte in the block.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
}

impl SectionEntry {
    /// The words of the section in the block.
    pub(crate) const fn words(&self) -> Range<usize> {
        self.offset / size_of::<u64>()..(self.offset.saturating_add(self.length)) / size_of::<u64>()
    }
}

/// A block's sections, ordered by offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Version of the program that made the block.
    pub program: String,
    /// The sections.
    pub sections: Vec<SectionEntry>,
}

impl Contents {
    /// Adds a section after the last one.
    pub fn reserve(&mut self, layout: Layout) {
        let [offset, length] = [self.words(), layout.words()].map(|words| words * size_of::<u64>());
        self.sections.push(SectionEntry { layout, offset, length });
    }

    /// Words of the header and of all sections.
    #[must_use]
    pub fn words(&self) -> usize {
        let end = |last: &SectionEntry| align((last.offset + last.length) / size_of::<u64>());
        self.sections.last().map_or(HEADER_WORDS, end)
    }

    /// Parses the JSON of a table of contents that follows `end` bytes of header and sections in a block. `None` if it
    /// contradicts itself.
    #[must_use]
    pub fn parse(text: &[u8], end: usize) -> Option<Self> {
        let mut contents: Self = serde_json::from_slice(text).ok()?;
        contents.sections.sort_by_key(|entry| entry.offset);
        let names: BTreeSet<_> = contents.sections.iter().map(|entry| &entry.layout.name).collect();
        let mut free_from = HEADER_WORDS * size_of::<u64>();
        let mut fits = |entry: &SectionEntry| {
            let starts_right = entry.offset >= free_from && entry.offset.is_multiple_of(size_of::<u64>());
            let entry_end = entry.offset.checked_add(entry.length);
            free_from = entry_end.unwrap_or(usize::MAX);
            starts_right && free_from <= end && entry.layout.is_consistent(entry.length)
        };
        let is_consistent = names.len() == contents.sections.len()
            && names.len() <= MAX_SECTIONS
            && contents.sections.iter().all(&mut fits);
        is_consistent.then_some(contents)
    }

    /// The section with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&SectionEntry> {
        self.sections.iter().find(|entry| entry.layout.name == name)
    }

    /// Describes how these sections differ from those that a program wants; empty if it can use these.
    pub(crate) fn differences(&self, wanted: &Self) -> Vec<String> {
        let only_in = |these: &Self, others: &Self, what: &str| {
            let missing = these.sections.iter().filter(|entry| others.find(&entry.layout.name).is_none());
            missing.map(|entry| format!("{}: {what}", entry.layout.name)).collect::<Vec<_>>()
        };
        let mut differences = only_in(self, wanted, "not used");
        differences.extend(only_in(wanted, self, "new"));
        differences.extend(self.sections.iter().filter_map(|SectionEntry { layout, .. }| {
            wanted.find(&layout.name).and_then(|other| layout.difference_to(&other.layout))
        }));
        if differences.is_empty() && self.sections != wanted.sections {
            differences.push("sections at different offsets".to_owned());
        }
        differences
    }
}

/// The contents of a block of this program, without any section yet.
impl Default for Contents {
    fn default() -> Self {
        Self { program: env!("CARGO_PKG_VERSION").to_owned(), sections: Vec::new() }
    }
}
