//! Loading memory into the cache before it is needed.

use std::sync::atomic::AtomicU64;

/// Starts to load a word's cache line, without waiting for it. If the block is larger than the caches, a load takes
/// longer than most steps of counting a message, and an atomic addition to a word that is not cached stalls all later
/// steps.
#[inline]
#[expect(unsafe_code, reason = "the standard library has no safe function for it yet")]
pub(crate) fn prefetch(word: &AtomicU64) {
    // SAFETY: a prefetch is a hint. It reads and writes nothing that the program can see and never faults, whatever the
    // address; and a reference has a valid address. The instruction is part of SSE, which every x86-64 has.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = word;
}
