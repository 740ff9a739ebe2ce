//! The block of memory, which is read and written as atomics, and its sections.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::ops::{Deref, Range};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapRaw};

use super::contents::{Contents, SectionEntry};
use super::header;
use super::identity::Identity;
use super::layout::HEADER_WORDS;
use super::trust::Boot;

/// The memory of a block, in words. The first page is the header.
#[derive(Debug)]
pub struct Arena {
    memory: MmapRaw,
    words: usize,
    /// The mapped file, locked: even if the directory's lock file is removed, no second process can open this file.
    file: Option<File>,
}

impl Arena {
    pub(super) fn new(memory: MmapRaw, file: Option<File>) -> Self {
        let words = memory.len() / size_of::<AtomicU64>();
        Self { memory, words, file }
    }

    /// A block of this many words in anonymous memory, zeroed. The kernel allocates a page when it is first written.
    ///
    /// # Errors
    /// When the system refuses to map that much memory.
    pub(super) fn anonymous(words: usize) -> io::Result<Self> {
        let memory = MmapMut::map_anon(words.saturating_mul(size_of::<AtomicU64>()))?;
        Ok(Self::new(MmapRaw::from(memory), None))
    }

    pub(super) const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Whether the mapped file is still the one at this path: it may have been removed or replaced.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        self.file.as_ref().is_some_and(|file| Self::is_file_at(file, path))
    }

    pub(super) fn is_file_at(file: &File, path: &Path) -> bool {
        let inode = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let mine = file.metadata().ok().map(inode);
        mine.is_some() && mine == std::fs::metadata(path).ok().map(inode)
    }

    /// The length of the block in words.
    pub(crate) const fn words_len(&self) -> u64 {
        self.words as u64
    }

    /// Marks the block on disk as in use, in its own file, on this boot of the machine. If the process is killed
    /// before it is marked, the block is still closed, and its contents have not changed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn mark_in_use(&self, boot: Boot) -> io::Result<()> {
        // First: otherwise a kill in between leaves what looks like a copy of a block in use, whose counters start from 0.
        self.store_identity()?;
        header::mark_in_use(self.words(), boot);
        self.flush_header()
    }

    /// Stores in the header which file the block is in.
    pub(super) fn store_identity(&self) -> io::Result<()> {
        if let Some(file) = &self.file {
            header::set_identity(self.words(), Identity::of(file)?);
        }
        Ok(())
    }

    /// A number that rises each time the block is opened, and about once a second while it is in use.
    pub(crate) fn generation(&self) -> u64 {
        header::generation(self.words())
    }

    pub(crate) fn set_generation(&self, generation: u64) {
        header::set_generation(self.words(), generation);
    }

    /// Writes everything to disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.memory.flush()
    }

    /// Writes everything to disk and marks the block as clean. No thread may write to the block any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn close(&self) -> io::Result<()> {
        header::store_body_sum(self.words());
        self.memory.flush()?;
        header::mark_clean(self.words());
        self.flush_header()
    }

    fn flush_header(&self) -> io::Result<()> {
        self.memory.flush_range(0, HEADER_WORDS * size_of::<AtomicU64>())
    }

    /// Copies all words of another block of the same size.
    pub(super) fn copy_from(&self, other: &Self) {
        for (to, from) in self.words().iter().zip(other.words()) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    #[expect(unsafe_code, reason = "the one place where mapped bytes become atomics")]
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is `words * 8` bytes long (it was made with that length), readable and writable, and
        // lives as long as `self`, to which the slice's lifetime is bound. A mapping starts on a page, so it is aligned
        // for 8 bytes. It starts zeroed, and every bit pattern is a valid `AtomicU64`. `MmapRaw` hands out no
        // reference, and this method is the only user of its pointer, so these bytes are only
        // ever accessed as atomics, which many threads may share.
        unsafe { std::slice::from_raw_parts(self.memory.as_mut_ptr().cast::<AtomicU64>(), self.words) }
    }
}

/// A run of words in an [`Arena`], which it keeps alive. Dereferences to a slice of atomics.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    arena: Arc<Arena>,
    range: Range<usize>,
}

impl Deref for Section {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // `Block::section_of` has checked the range, so the default is never used. It only avoids a panic.
        self.arena.words().get(self.range.clone()).unwrap_or_default()
    }
}

/// A section of one word.
#[derive(Debug)]
pub(crate) struct SingleWord(Section);

impl SingleWord {
    pub(crate) fn get(&self) -> u64 {
        self.0.first().map_or(0, |word| word.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, value: u64) {
        if let Some(word) = self.0.first() {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// A block of memory with its table of contents.
#[derive(Clone, Debug)]
pub struct Block {
    arena: Arc<Arena>,
    contents: Contents,
}

/// A section, and what its elements count.
#[derive(Clone, Debug)]
pub struct KeyedSection {
    words: Section,
    lanes: usize,
    keys: Vec<Vec<String>>,
}

impl Block {
    /// A block with this table of contents, which lists the sections of `arena`.
    #[must_use]
    pub const fn new(arena: Arc<Arena>, contents: Contents) -> Self {
        Self { arena, contents }
    }

    /// A new block in anonymous memory, zeroed.
    ///
    /// # Errors
    /// When the system refuses to map that much memory.
    pub(crate) fn in_memory(contents: Contents) -> io::Result<Self> {
        Ok(Self::new(Arc::new(Arena::anonymous(contents.words())?), contents))
    }

    /// The block's memory.
    #[must_use]
    pub const fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// The block's table of contents.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The words of the section with this name.
    ///
    /// # Errors
    /// When there is no such section, or it is outside the block.
    pub(crate) fn section(&self, name: &str) -> io::Result<Section> {
        self.contents
            .find(name)
            .and_then(|entry| self.section_of(entry))
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, format!("the block has no section {name:?}")))
    }

    /// The section with this name, which has one word.
    ///
    /// # Errors
    /// When there is no such section, or it is outside the block.
    pub(crate) fn single_word(&self, name: &str) -> io::Result<SingleWord> {
        self.section(name).map(SingleWord)
    }

    /// The section with this name and its keys; `None` if there is no such section, or it is outside the block.
    #[must_use]
    pub fn keyed_section(&self, name: &str) -> Option<KeyedSection> {
        let entry = self.contents.find(name)?;
        Some(KeyedSection {
            words: self.section_of(entry)?,
            lanes: entry.layout.lanes,
            keys: entry.layout.keys.clone(),
        })
    }

    fn section_of(&self, entry: &SectionEntry) -> Option<Section> {
        let range = Some(entry.words()).filter(|words| words.end <= self.arena.words)?;
        Some(Section { arena: Arc::clone(&self.arena), range })
    }
}

impl KeyedSection {
    /// What the elements count: a list of keys per axis.
    pub(crate) fn keys(&self) -> &[Vec<String>] {
        &self.keys
    }

    /// The words of each lane.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &[AtomicU64]> {
        self.words.chunks_exact((self.words.len() / self.lanes).max(1))
    }

    /// The value of the one-word element at a position: the sum over the lanes.
    pub(crate) fn sum(&self, position: usize) -> u64 {
        let words = self.lanes().filter_map(|lane| lane.get(position));
        words.map(|word| word.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl Deref for KeyedSection {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.words
    }
}
