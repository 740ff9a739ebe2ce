//! Remembers the groups that were dismissed.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::arena::{Block, Contents, Layout, Section};
use crate::stats::carry::{CarryOver, copy_words};
use crate::stats::hyperloglog::hash;

/// The groups that were dismissed last, in the state: OpenIM may report a dismissal twice, and report messages of the
/// group after it.
///
/// Hashes of the groups' names, in buckets in which the newest comes first.
#[derive(Debug)]
pub(super) struct DismissedGroups {
    hashes: Section,
    writing: Mutex<()>,
}

/// How many groups are remembered, and how many of them in a bucket.
const REMEMBERED: usize = 8192;
const BUCKET: usize = 8;

/// Name of the section in a state.
const SECTION: &str = "dismissed groups";

/// Version of its layout.
const LAYOUT: u32 = 1;

impl DismissedGroups {
    pub(super) fn reserve(contents: &mut Contents) {
        contents.reserve(Layout::new(SECTION, LAYOUT, size_of::<u64>(), REMEMBERED));
    }

    pub(super) fn open(block: &Block) -> io::Result<Self> {
        Ok(Self { hashes: block.section(SECTION)?, writing: Mutex::default() })
    }

    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        if let Some(stored) = old.section(SECTION, LAYOUT, size_of::<u64>()) {
            copy_words(&stored, &self.hashes);
        }
    }

    /// Whether this group is remembered. Takes no lock.
    pub(super) fn contains(&self, name: &str) -> bool {
        let hash = hash_of(name);
        self.bucket(hash).iter().any(|word| word.load(Ordering::Relaxed) == hash)
    }

    /// Remembers a group. Calls `if_new` before, unless it was remembered already: a process that is killed in between
    /// has counted the group too early, which is better than never.
    pub(super) fn insert(&self, name: &str, if_new: impl FnOnce()) {
        let _writing = self.writing.lock();
        if !self.contains(name) {
            if_new();
            let hash = hash_of(name);
            // Each one moves to the next place before it is overwritten, so that a reader misses none.
            let bucket = self.bucket(hash);
            for (newer, older) in bucket.iter().zip(bucket.iter().skip(1)).rev() {
                older.store(newer.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            if let Some(newest) = bucket.first() {
                newest.store(hash, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    fn bucket(&self, hash: u64) -> &[AtomicU64] {
        #[expect(clippy::cast_possible_truncation, reason = "a remainder")]
        let number = (hash % (REMEMBERED / BUCKET) as u64) as usize;
        self.hashes.get(number * BUCKET..(number + 1) * BUCKET).unwrap_or_default()
    }
}

/// Never 0, which is a free place.
fn hash_of(name: &str) -> u64 {
    hash(name.as_bytes()).max(1)
}
