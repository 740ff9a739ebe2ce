//! The name that a group is kept under.

use std::fmt::Write as _;

use compact_str::CompactString;

use super::hyperloglog::hash;

/// Bytes of a group ID that are kept as they are. OpenIM's own IDs have about ten.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// Bytes that are kept of a longer ID, before `~` and the 16 digits of its hash.
const KEPT_BYTES: usize = 40;

/// The name that a group is kept under: its ID, or for one over [`MAX_NAME_BYTES`] the first 40 bytes, `~` and the hash
/// of the whole ID in hexadecimal. The cut is moved back to the start of a character.
pub(super) fn with_name<R>(id: &str, use_it: impl FnOnce(&str) -> R) -> R {
    if id.len() <= MAX_NAME_BYTES {
        return use_it(id);
    }
    let mut name = CompactString::from(&id[..id.floor_char_boundary(KEPT_BYTES)]);
    // Writing to a string does not fail.
    let _ = write!(name, "~{:016x}", hash(id.as_bytes()));
    use_it(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &str) -> String {
        with_name(id, str::to_owned)
    }

    #[test]
    fn an_id_of_64_bytes_is_kept_whole() {
        let id = "g".repeat(64);
        assert_eq!(name(&id), id);
    }

    #[test]
    fn a_longer_id_is_its_start_and_its_hash() {
        let id = "g".repeat(65);
        let name = name(&id);
        assert_eq!(name.len(), 57);
        assert!(name.starts_with(&format!("{}~", "g".repeat(40))));
    }

    #[test]
    fn long_ids_that_start_alike_are_told_apart() {
        let start = "x".repeat(100);
        assert_ne!(name(&format!("{start}1")), name(&format!("{start}2")));
    }

    #[test]
    fn the_cut_never_splits_a_character() {
        for shift in 0..4 {
            let id = format!("{}{}", "a".repeat(shift), "\u{1f44b}".repeat(40));
            assert!(name(&id).split('~').next().unwrap().ends_with('\u{1f44b}'));
        }
    }
}
