//! A block of another layout, from which each part of the statistics takes what it knows, by names and keys.

use std::cell::RefCell;
use std::iter::zip;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arena::{Contents, Stored, StoredSection};

/// A stored block that is being carried over into a new one.
pub(super) struct Carry<'a> {
    stored: &'a Stored,
    left_out: RefCell<Vec<String>>,
}

impl<'a> Carry<'a> {
    pub(super) const fn of(stored: &'a Stored) -> Self {
        Self { stored, left_out: RefCell::new(Vec::new()) }
    }

    /// The section of a name, if its elements have this layout. One that has another is left out.
    pub(super) fn section(&self, name: &str, version: u32, element_bytes: usize) -> Option<StoredSection> {
        let layout = &self.stored.contents().find(name)?.layout;
        if (layout.version, layout.element_bytes) == (version, element_bytes) {
            return self.stored.section(name);
        }
        self.leave_out(format!(
            "{name}: version {} with elements of {} bytes, and this program reads version {version} with {element_bytes}",
            layout.version, layout.element_bytes
        ));
        None
    }

    /// Copies the words of a section, as many as there are.
    pub(super) fn copy(&self, name: &str, version: u32, to: &[AtomicU64]) {
        if let Some(from) = self.section(name, version, size_of::<u64>()) {
            copy_words(&from, to);
        }
    }

    /// The value of a stored counter with one key; 0 if there is none.
    pub(super) fn counter(&self, name: &str, key: &str) -> u64 {
        let value = || {
            let stored = self.stored.section(name)?;
            let position = stored.keys().first()?.iter().position(|name| name == key)?;
            Some(stored.sum(position))
        };
        value().unwrap_or_default()
    }

    /// Notes what has no place in the new block.
    pub(super) fn leave_out(&self, what: String) {
        self.left_out.borrow_mut().push(what);
    }

    /// Everything that was left out, with the sections that the new block does not have.
    pub(super) fn left_out(self, wanted: &Contents) -> Vec<String> {
        let sections = self.stored.contents().sections.iter().map(|entry| &entry.layout.name);
        let unknown = sections.filter(|name| wanted.find(name).is_none());
        let unknown: Vec<_> = unknown.map(|name| format!("{name}: this program does not know this section")).collect();
        [self.left_out.into_inner(), unknown].concat()
    }
}

/// Copies words, as many as both have.
pub(super) fn copy_words(from: &[AtomicU64], to: &[AtomicU64]) {
    zip(from, to).for_each(|(from, to)| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed));
}

/// Keys of an axis.
pub(super) fn keys(names: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}
