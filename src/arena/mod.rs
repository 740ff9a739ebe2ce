//! One block of memory that holds every number of the statistics, as 64-bit atomics.
//!
//! The block is anonymous memory today and is laid out to be a mapped file: a header that says what it is, then the
//! sections, each at a fixed place that depends on the capacities alone. Nothing in it is a pointer.
//!
//! This is the only room with `unsafe`. All of it is in `Arena::words`.

mod plan;

use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;

pub use plan::{Place, Plan};

/// The first word of every block: `OIMSTATS` in ASCII, big-endian.
pub const MAGIC: u64 = 0x4f49_4d53_5441_5453;

/// The layout's version: the second word. It changes whenever the meaning of any word does.
pub const VERSION: u64 = 1;

/// A block of zeroed words with its header filled in.
#[derive(Debug)]
pub struct Arena {
    memory: MmapRaw,
    words: usize,
}

impl Arena {
    /// Reserves anonymous memory for a plan's sections. The kernel backs a page when it is first written.
    ///
    /// # Errors
    /// When the system refuses to map that much memory.
    pub fn anonymous(plan: &Plan) -> io::Result<Arc<Self>> {
        let words = plan.words();
        let memory = MmapRaw::from(memmap2::MmapMut::map_anon(words * size_of::<AtomicU64>())?);
        let arena = Self { memory, words };
        for (word, value) in arena.words().iter().zip([MAGIC, VERSION, plan.fingerprint()]) {
            word.store(value, Ordering::Relaxed);
        }
        Ok(Arc::new(arena))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_new_block_is_zero_but_for_its_header() {
        let mut plan = Plan::new();
        let place = plan.reserve("numbers", 1000);
        let arena = Arena::anonymous(&plan).unwrap();
        assert_eq!(arena.words()[0].load(Ordering::Relaxed), MAGIC);
        assert_eq!(arena.words()[1].load(Ordering::Relaxed), VERSION);
        let section = arena.section(place).unwrap();
        assert_eq!(section.len(), 1000);
        assert!(section.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn sections_do_not_overlap() {
        let mut plan = Plan::new();
        let places = [plan.reserve("a", 3), plan.reserve("b", 17), plan.reserve("c", 1)];
        let arena = Arena::anonymous(&plan).unwrap();
        let sections = places.map(|place| arena.section(place).unwrap());
        for (mark, section) in (1..).zip(&sections) {
            section.iter().for_each(|word| word.store(mark, Ordering::Relaxed));
        }
        for (mark, section) in (1..).zip(&sections) {
            assert!(section.iter().all(|word| word.load(Ordering::Relaxed) == mark));
        }
        assert_eq!(arena.words()[0].load(Ordering::Relaxed), MAGIC);
    }

    #[test]
    fn a_section_outlives_the_handle_of_its_arena() {
        let mut plan = Plan::new();
        let place = plan.reserve("numbers", 1);
        let section = Arena::anonymous(&plan).unwrap().section(place).unwrap();
        section[0].store(7, Ordering::Relaxed);
        assert_eq!(section[0].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_place_of_a_larger_plan_is_refused() {
        let mut larger = Plan::new();
        let place = larger.reserve("numbers", 100_000);
        let arena = Arena::anonymous(&Plan::new()).unwrap();
        assert!(arena.section(place).is_err());
    }

    #[test]
    fn threads_that_add_at_once_lose_nothing() {
        let mut plan = Plan::new();
        let place = plan.reserve("numbers", 8);
        let section = Arena::anonymous(&plan).unwrap().section(place).unwrap();
        let rounds = if cfg!(miri) { 50 } else { 50_000 };
        thread::scope(|scope| {
            for _ in 0..4 {
                let section = section.clone();
                scope.spawn(move || {
                    for round in 0..rounds {
                        section[round % 8].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let total: u64 = section.iter().map(|word| word.load(Ordering::Relaxed)).sum();
        assert_eq!(total, 4 * rounds as u64);
    }
}
