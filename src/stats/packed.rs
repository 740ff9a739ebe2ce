//! Text in words of the block, eight bytes per word, little-endian.

use std::sync::atomic::{AtomicU64, Ordering};

/// Writes as much of a text as fits into the words.
pub(super) fn write(text: &str, words: &[AtomicU64]) {
    for (word, bytes) in words.iter().zip(text.as_bytes().chunks(size_of::<u64>())) {
        word.store(bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)), Ordering::Relaxed);
    }
}

/// Reads the bytes of the words: the text, and any bytes after it.
pub(super) fn read<const BYTES: usize>(words: &[AtomicU64]) -> [u8; BYTES] {
    let mut text = [0; BYTES];
    for (bytes, word) in text.chunks_exact_mut(size_of::<u64>()).zip(words) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    text
}
