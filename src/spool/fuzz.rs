//! Segments as bytes, for the fuzzer.

use std::fs::File;

use super::record::{Entry, Record, Verdict, encode};
use super::window::{Source, Step, Window};

/// The bytes of a record in a segment with this salt. Empty if a field is too long.
#[must_use]
pub fn bytes_of(record: &Record<'_>, salt: u32) -> Vec<u8> {
    let joined = |slices: &mut [std::io::IoSlice<'_>], _| slices.iter().flat_map(|slice| slice.to_vec()).collect();
    encode(record, Verdict::default(), salt, joined).unwrap_or_default()
}

/// The pending records of a file, with their offsets. It is read as if it had these lengths one after the other.
#[must_use]
pub fn pending(file: &File, salt: u32, lengths: &[u64]) -> Vec<(u64, Entry)> {
    let (mut window, mut at, mut found) = (Window::new(), 0, Vec::new());
    for (number, length) in lengths.iter().enumerate() {
        let source = Source { file, salt, limit: *length, is_final: number + 1 == lengths.len() };
        loop {
            at = match window.step(&source, at) {
                Step::Pending(entry) => {
                    let until = at + entry.bytes();
                    found.push((at, entry));
                    until
                }
                Step::Other(header) => at + header.bytes(),
                Step::Damage { until, .. } => until,
                Step::End => break,
            };
        }
    }
    found
}
