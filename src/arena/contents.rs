//! A block's table of contents: which sections it has, where they are, and what their elements mean.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::plan::{ALIGNMENT_WORDS, HEADER_WORDS};

/// More sections than any program has.
const MOST_SECTIONS: usize = 1024;

/// How one section is laid out. Programs that give a section the same layout read the same numbers in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The section's name; no other section of the block has it.
    pub name: String,
    /// Version of an element's layout: a new one whenever a word of it changes its meaning.
    pub version: u32,
    /// Bytes of an element, a multiple of 8.
    pub element_bytes: usize,
    /// Number of elements.
    pub count: usize,
    /// How often the section holds every element, for threads that count apart; an element's value is the sum.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub lanes: usize,
    /// What each element counts, where its position decides that: a list for each axis, the last axis varying fastest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Vec<String>>,
}

const fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_one(lanes: &usize) -> bool {
    *lanes == 1
}

impl Layout {
    /// A section of `count` elements without keys.
    #[must_use]
    pub fn of(name: &str, version: u32, element_bytes: usize, count: usize) -> Self {
        Self { name: name.to_owned(), version, element_bytes, count, lanes: 1, keys: Vec::new() }
    }

    /// Words of a lane. Several lanes start on a multiple of two cache lines each, so that no two of them share one.
    pub(super) const fn lane_words(&self) -> usize {
        let words = self.count * self.element_bytes / size_of::<u64>();
        if self.lanes > 1 { words.next_multiple_of(ALIGNMENT_WORDS) } else { words }
    }

    /// Whether the elements fit into so many bytes, and have as many keys as they should.
    fn is_consistent(&self, length: usize) -> bool {
        let bytes = self.count.checked_mul(self.element_bytes).and_then(|bytes| bytes.checked_mul(self.lanes));
        let has_sizes = self.element_bytes > 0
            && self.element_bytes.is_multiple_of(size_of::<u64>())
            && self.lanes > 0
            && length.is_multiple_of(size_of::<u64>())
            && (length / size_of::<u64>()).is_multiple_of(self.lanes)
            && bytes.is_some_and(|bytes| bytes <= length);
        let cells = self.keys.iter().try_fold(1_usize, |cells, axis| cells.checked_mul(axis.len()));
        let has_keys = self.keys.is_empty() || cells == Some(self.count);
        let are_distinct = |axis: &Vec<String>| axis.iter().collect::<BTreeSet<_>>().len() == axis.len();
        has_sizes && has_keys && self.keys.iter().all(are_distinct)
    }

    /// How another layout of the same section differs, in words.
    fn difference_to(&self, other: &Self) -> Option<String> {
        let mut parts = Vec::new();
        let mut compare = |what: &str, before: usize, after: usize| {
            if before != after {
                parts.push(format!("{what} {before} -> {after}"));
            }
        };
        compare("version", self.version as usize, other.version as usize);
        compare("bytes of an element", self.element_bytes, other.element_bytes);
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
            parts.push("keys in another order".to_owned());
        }
        (!parts.is_empty()).then(|| format!("{}: {}", self.name, parts.join("; ")))
    }
}

/// A section of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it holds.
    #[serde(flatten)]
    pub layout: Layout,
    /// Its first byte in the block.
    pub offset: usize,
    /// Its bytes.
    pub length: usize,
}

/// Every section of a block, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The program that made the block.
    pub program: String,
    /// The sections.
    pub sections: Vec<Entry>,
}

impl Contents {
    /// Reads a table of contents that was written as JSON, of a block in which it follows `end` bytes of header and
    /// sections. `None` if it contradicts itself.
    #[must_use]
    pub fn parse(text: &[u8], end: usize) -> Option<Self> {
        let mut contents: Self = serde_json::from_slice(text).ok()?;
        contents.sections.sort_by_key(|entry| entry.offset);
        let names: BTreeSet<_> = contents.sections.iter().map(|entry| &entry.layout.name).collect();
        let mut free_from = HEADER_WORDS * size_of::<u64>();
        let mut fits = |entry: &Entry| {
            let begins_right = entry.offset >= free_from && entry.offset.is_multiple_of(size_of::<u64>());
            let entry_end = entry.offset.checked_add(entry.length);
            free_from = entry_end.unwrap_or(usize::MAX);
            begins_right && free_from <= end && entry.layout.is_consistent(entry.length)
        };
        let is_whole = names.len() == contents.sections.len()
            && names.len() <= MOST_SECTIONS
            && contents.sections.iter().all(&mut fits);
        is_whole.then_some(contents)
    }

    /// The section of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.sections.iter().find(|entry| entry.layout.name == name)
    }

    /// How these sections differ from others, in words: nothing if a program that wants the others can use these.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        let only_in = |one: &Self, other: &Self, what: &str| {
            let missing = one.sections.iter().filter(|entry| other.find(&entry.layout.name).is_none());
            missing.map(|entry| format!("{}: {what}", entry.layout.name)).collect::<Vec<_>>()
        };
        let mut differences = only_in(self, wanted, "not used");
        differences.extend(only_in(wanted, self, "new"));
        let both = |entry: &'_ Entry| wanted.find(&entry.layout.name).map(|other| other.layout.clone());
        differences.extend(
            self.sections.iter().filter_map(|entry| both(entry).and_then(|other| entry.layout.difference_to(&other))),
        );
        if differences.is_empty() && self.sections != wanted.sections {
            differences.push("sections in other places".to_owned());
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Plan;

    fn plan(layouts: &[Layout]) -> Contents {
        let mut plan = Plan::new();
        layouts.iter().cloned().for_each(|layout| {
            plan.reserve(layout);
        });
        plan.contents().clone()
    }

    fn keyed(name: &str, keys: &[&str]) -> Layout {
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        Layout { keys: vec![keys.clone()], lanes: 2, ..Layout::of(name, 1, 8, keys.len()) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let contents = plan(&[Layout::of("a", 1, 8, 1), keyed("b", &["x", "y"]), Layout::of("c", 2, 128, 10)]);
        let text = serde_json::to_vec(&contents).unwrap();
        let end = contents.sections[2].offset + contents.sections[2].length;
        assert_eq!(Contents::parse(&text, end), Some(contents.clone()));
        assert_eq!(Contents::parse(&text, end - 1), None);
        assert_eq!(contents.differences(&contents), [""; 0]);
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        let contents = plan(&[keyed("a", &["x", "y"]), Layout::of("b", 1, 8, 10)]);
        let refused = |change: fn(&mut Contents)| {
            let mut changed = contents.clone();
            change(&mut changed);
            Contents::parse(&serde_json::to_vec(&changed).unwrap(), 1 << 20).is_none()
        };
        assert!(!refused(|_| ()));
        assert!(refused(|contents| contents.sections[1].layout.name = "a".to_owned()));
        assert!(refused(|contents| contents.sections[1].offset -= 8));
        assert!(refused(|contents| contents.sections[0].offset -= 8));
        assert!(refused(|contents| contents.sections[1].offset += 4));
        assert!(refused(|contents| contents.sections[1].length = usize::MAX));
        assert!(refused(|contents| contents.sections[1].layout.count = 11));
        assert!(refused(|contents| contents.sections[1].layout.count = usize::MAX));
        assert!(refused(|contents| contents.sections[1].layout.element_bytes = 0));
        assert!(refused(|contents| contents.sections[1].layout.lanes = 0));
        assert!(refused(|contents| contents.sections[1].layout.lanes = usize::MAX));
        assert!(refused(|contents| contents.sections[0].layout.keys[0][1] = "x".to_owned()));
        assert!(refused(|contents| contents.sections[0].layout.keys.push(Vec::new())));
        assert_eq!(Contents::parse(b"{", 1 << 20), None);
        assert_eq!(Contents::parse(b"\xff", 1 << 20), None);
    }

    #[test]
    fn a_difference_names_the_section_and_what_changed() {
        let before = plan(&[keyed("a", &["x", "y"]), Layout::of("b", 1, 8, 10), Layout::of("c", 1, 8, 1)]);
        let after = plan(&[keyed("a", &["y", "z"]), Layout::of("b", 2, 8, 20), Layout::of("d", 1, 8, 1)]);
        assert_eq!(
            before.differences(&after),
            ["c: not used", "d: new", "a: without x; with z", "b: version 1 -> 2; elements 10 -> 20"]
        );
        assert_eq!(
            plan(&[keyed("a", &["x", "y"])]).differences(&plan(&[keyed("a", &["y", "x"])])),
            ["a: keys in another order"]
        );
        let [one, other] = [Layout::of("a", 1, 8, 1), Layout::of("b", 1, 8, 1)];
        assert_eq!(plan(&[one.clone(), other.clone()]).differences(&plan(&[other, one])), ["sections in other places"]);
    }
}
