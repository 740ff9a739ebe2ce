//! The block itself: memory that is read and written as atomics.

use std::fs::{File, Metadata};
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapRaw};

use super::contents::Contents;
use super::header;
use super::identity::Identity;
use super::plan::{HEADER_WORDS, Place, Plan};
use super::trust::Boot;

/// A block of words, the first page of which is its header.
#[derive(Debug)]
pub struct Arena {
    memory: MmapRaw,
    words: usize,
    /// The file under it, locked: a process that finds the directory's lock removed does not get the file a second time.
    file: Option<File>,
}

impl Arena {
    /// Reserves anonymous memory for a plan's sections, zeroed. The kernel backs a page when it is first written.
    ///
    /// # Errors
    /// When the system refuses to map that much memory.
    pub fn anonymous(plan: &Plan) -> io::Result<Arc<Self>> {
        let memory = MmapMut::map_anon(plan.words() * size_of::<AtomicU64>())?;
        Ok(Arc::new(Self::over(MmapRaw::from(memory), None)))
    }

    pub(super) fn over(memory: MmapRaw, file: Option<File>) -> Self {
        let words = memory.len() / size_of::<AtomicU64>();
        Self { memory, words, file }
    }

    pub(super) const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Whether the block's file is the one at a path: it may have been removed or replaced.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        self.file.as_ref().is_some_and(|file| Self::is_file_at(file, path))
    }

    pub(super) fn is_file_at(file: &File, path: &Path) -> bool {
        let number = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let mine = file.metadata().ok().map(number);
        mine.is_some() && mine == std::fs::metadata(path).ok().map(number)
    }

    /// The length of the block in words.
    #[must_use]
    pub const fn words_len(&self) -> u64 {
        self.words as u64
    }

    /// Notes on disk that the block is written to from here on, in its own file, on this boot of the machine. What
    /// `first` changes comes before the file is noted: a process that is killed in between leaves a block of another
    /// file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(&self, boot: Boot, first: impl FnOnce()) -> io::Result<()> {
        header::begin(self.words(), boot);
        first();
        self.sign()?;
        self.flush_header()
    }

    /// Notes which file the block is in.
    pub(super) fn sign(&self) -> io::Result<()> {
        if let Some(file) = &self.file {
            header::sign(self.words(), Identity::of(file)?);
        }
        Ok(())
    }

    /// A number that rises each time the block is opened, and about once a second while it is in use.
    #[must_use]
    pub fn generation(&self) -> u64 {
        header::generation(self.words())
    }

    /// Sets it, in a block that is not in use yet.
    pub fn set_generation(&self, generation: u64) {
        header::set_generation(self.words(), generation);
    }

    /// Writes everything to disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&self) -> io::Result<()> {
        self.memory.flush()
    }

    /// Writes everything to disk, and notes there that it is whole. Nobody may write to the block any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn close(&self) -> io::Result<()> {
        header::sum_up(self.words());
        self.memory.flush()?;
        header::set_clean(self.words());
        self.flush_header()
    }

    fn flush_header(&self) -> io::Result<()> {
        self.memory.flush_range(0, HEADER_WORDS * size_of::<AtomicU64>())
    }

    /// Becomes a copy of another block of the same size.
    pub(super) fn copy_of(&self, other: &Self) {
        for (to, from) in self.words().iter().zip(other.words()) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// The section at a place that the plan gave out.
    ///
    /// # Errors
    /// When the place is not inside this block: it came from another plan.
    pub fn section(self: &Arc<Self>, place: Place) -> io::Result<Section> {
        self.range(place.range())
    }

    fn range(self: &Arc<Self>, range: Range<usize>) -> io::Result<Section> {
        if range.end > self.words {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the section lies outside the block"));
        }
        Ok(Section { arena: Arc::clone(self), range })
    }

    #[expect(unsafe_code, reason = "the one place where mapped bytes become atomics")]
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is `words * 8` bytes long (it was made with that length), readable and writable, and
        // lives as long as `self`, to which the slice's lifetime is bound. A mapping starts on a page, so it is aligned
        // for 8 bytes. It starts zeroed, and every bit pattern is a valid `AtomicU64`. `MmapRaw` hands out no
        // reference, and this method is the only user of its pointer, so nothing ever sees these bytes as anything but
        // atomics: shared access from many threads is what they are for.
        unsafe { std::slice::from_raw_parts(self.memory.as_mut_ptr().cast::<AtomicU64>(), self.words) }
    }
}

/// A run of words in an [`Arena`], which it keeps alive. Reads as a slice of atomics.
#[derive(Clone, Debug)]
pub struct Section {
    arena: Arc<Arena>,
    range: Range<usize>,
}

impl Deref for Section {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // `Arena::range` checked the range, so the default is never taken; it is there so that nothing can panic.
        self.arena.words().get(self.range.clone()).unwrap_or_default()
    }
}

/// A block that some program wrote, with what it says of its sections: to be read, never to be changed.
#[derive(Clone, Debug)]
pub struct Stored {
    arena: Arc<Arena>,
    contents: Contents,
}

/// A section of a [`Stored`] block.
#[derive(Clone, Debug)]
pub struct StoredSection {
    words: Section,
    lane_words: usize,
    lanes: usize,
    keys: Vec<Vec<String>>,
}

impl Stored {
    /// A block with the sections that it has.
    #[must_use]
    pub const fn new(arena: Arc<Arena>, contents: Contents) -> Self {
        Self { arena, contents }
    }

    /// The block.
    #[must_use]
    pub const fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// What it says of its sections.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The section of a name, if it lies inside the block.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<StoredSection> {
        let entry = self.contents.find(name)?;
        let [start, words] = [entry.offset, entry.length].map(|bytes| bytes / size_of::<u64>());
        Some(StoredSection {
            words: self.arena.range(start..start.checked_add(words)?).ok()?,
            lane_words: words / entry.layout.lanes,
            lanes: entry.layout.lanes,
            keys: entry.layout.keys.clone(),
        })
    }
}

impl StoredSection {
    /// What the elements count: a list of keys for each axis.
    #[must_use]
    pub fn keys(&self) -> &[Vec<String>] {
        &self.keys
    }

    /// The value of the one-word element at a position: the sum over the lanes.
    #[must_use]
    pub fn sum(&self, position: usize) -> u64 {
        let lanes = (0..self.lanes).filter_map(|lane| self.words.get(lane * self.lane_words + position));
        lanes.map(|word| word.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl Deref for StoredSection {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.words
    }
}
