//! Converting a block of a different layout into a new one: each part of the statistics takes what it knows, by the
//! names of sections and keys.

use std::cell::RefCell;
use std::iter::zip;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, Contents, KeyedSection, SingleWord};

/// An old block that is being converted into a new one.
pub(super) struct CarryOver<'a> {
    old: &'a Block,
    dropped: RefCell<Vec<String>>,
}

impl<'a> CarryOver<'a> {
    pub(super) const fn new(old: &'a Block) -> Self {
        Self { old, dropped: RefCell::new(Vec::new()) }
    }

    /// The old section with this name. Dropped if its elements have a different layout.
    pub(super) fn section(&self, name: &str, version: u32, element_bytes: usize) -> Option<KeyedSection> {
        self.section_with_version(name, version..=version, element_bytes)
    }

    /// The same, with any of these versions of the layout.
    pub(super) fn section_with_version(
        &self,
        name: &str,
        versions: RangeInclusive<u32>,
        element_bytes: usize,
    ) -> Option<KeyedSection> {
        let layout = &self.old.contents().find(name)?.layout;
        if versions.contains(&layout.version) && layout.element_bytes == element_bytes {
            return self.old.keyed_section(name);
        }
        self.drop_part(format!(
            "{name}: version {} with elements of {} bytes, but this program reads version {} with {element_bytes}",
            layout.version,
            layout.element_bytes,
            versions.end()
        ));
        None
    }

    /// The version of the old section with this name.
    pub(super) fn version(&self, name: &str) -> Option<u32> {
        Some(self.old.contents().find(name)?.layout.version)
    }

    /// Copies an old section of one word.
    pub(super) fn copy(&self, name: &str, version: u32, to: &SingleWord) {
        if let Some(word) = self.section(name, version, size_of::<u64>()).as_ref().and_then(|from| from.first()) {
            to.set(word.load(Ordering::Relaxed));
        }
    }

    /// The value of an old counter with one key; 0 if there is none.
    pub(super) fn counter(&self, name: &str, key: &str) -> u64 {
        let value = || {
            let section = self.old.keyed_section(name)?;
            let position = section.keys().first()?.iter().position(|name| name == key)?;
            Some(section.sum(position))
        };
        value().unwrap_or_default()
    }

    /// Records that a part of the old block is dropped.
    pub(super) fn drop_part(&self, what: String) {
        self.dropped.borrow_mut().push(what);
    }

    /// Everything that was dropped, including the sections that the new block does not have.
    pub(super) fn dropped(self, wanted: &Contents) -> Vec<String> {
        let sections = self.old.contents().sections.iter().map(|entry| &entry.layout.name);
        let unknown = sections.filter(|name| wanted.find(name).is_none());
        let unknown: Vec<_> = unknown.map(|name| format!("{name}: this program does not know this section")).collect();
        [self.dropped.into_inner(), unknown].concat()
    }
}

/// Copies as many words as the shorter of the two has.
pub(super) fn copy_words(from: &[AtomicU64], to: &[AtomicU64]) {
    zip(from, to).for_each(|(from, to)| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed));
}

/// The keys of an axis.
pub(super) fn keys(names: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}
