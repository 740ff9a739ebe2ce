//! Asking for memory before it is needed.

use std::sync::atomic::AtomicU64;

/// Has the processor bring the cache line of a word, and goes on at once. Where the block is larger than
/// the caches, that takes longer than most of what is done with a message, and an atomic addition to a word that is not
/// there has everything behind it wait.
#[inline]
#[expect(unsafe_code, reason = "there is no safe word for it in the standard library yet")]
pub fn prefetch(word: &AtomicU64) {
    // SAFETY: a prefetch is a hint. It reads and writes nothing that the program can see and never faults, whatever the
    // address; this one is moreover that of a reference. The instruction is part of SSE, which every x86-64 has.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = word;
}
