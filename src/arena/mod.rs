//! One block of memory that holds every number of the statistics, as 64-bit atomics.
//!
//! The block is anonymous memory or a mapped file: a header that says what it is, then the sections, each at a fixed
//! place that depends on the capacities alone. Nothing in it is a pointer.
//!
//! This is the only room with `unsafe`: in `Arena::words` and in [`prefetch`].

mod directory;
mod header;
mod plan;
mod prefetch;
#[cfg(test)]
mod tests;

use std::fs::{File, Metadata};
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapMut, MmapRaw};

pub use directory::{Directory, Error, Found};
pub use header::{BootId, CAPACITIES, Damage, MAGIC, Trust, VERSION};
pub use plan::{Place, Plan};
pub use prefetch::prefetch;

/// A block of words, the first page of which is its header.
#[derive(Debug)]
pub struct Arena {
    memory: MmapRaw,
    words: usize,
    /// The file under it, locked: whoever removed the directory's lock does not get at it a second time.
    file: Option<File>,
}

impl Arena {
    /// Reserves anonymous memory for a plan's sections, zeroed. The kernel backs a page when it is first written.
    ///
    /// # Errors
    /// When the system refuses to map that much memory.
    pub fn anonymous(plan: &Plan) -> io::Result<Arc<Self>> {
        let arena = Self::over(MmapRaw::from(MmapMut::map_anon(plan.words() * size_of::<AtomicU64>())?), None);
        header::write(arena.words(), plan, [0; CAPACITIES]);
        Ok(Arc::new(arena))
    }

    fn over(memory: MmapRaw, file: Option<File>) -> Self {
        let words = memory.len() / size_of::<AtomicU64>();
        Self { memory, words, file }
    }

    /// Whether the block's file is the one at a path: it may have been removed or replaced.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let number = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let mine = self.file.as_ref().and_then(|file| file.metadata().ok()).map(number);
        mine.is_some() && mine == std::fs::metadata(path).ok().map(number)
    }

    /// Whether the block was made by this plan.
    #[must_use]
    pub fn fits(&self, plan: &Plan) -> bool {
        header::fits(self.words(), plan)
    }

    /// Notes on disk that the block is written to from here on, on this boot of the machine.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(&self, boot: BootId) -> io::Result<()> {
        header::begin(self.words(), boot);
        self.flush_header()
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
        self.memory.flush_range(0, plan::HEADER_WORDS * size_of::<AtomicU64>())
    }

    /// The section at a place that the plan gave out.
    ///
    /// # Errors
    /// When the place is not inside this block: it came from another plan.
    pub fn section(self: &Arc<Self>, place: Place) -> io::Result<Section> {
        let range = place.range();
        if range.end > self.words {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the section lies outside the block"));
        }
        Ok(Section { arena: Arc::clone(self), range })
    }

    #[expect(unsafe_code, reason = "the one place where mapped bytes become atomics")]
    fn words(&self) -> &[AtomicU64] {
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
        // `Arena::section` checked the range, so the default is never taken; it is there so that nothing can panic.
        self.arena.words().get(self.range.clone()).unwrap_or_default()
    }
}
