//! The name under which a group is tracked.

use std::fmt::Write as _;

use compact_str::CompactString;

use super::hyperloglog::hash;

/// The longest group ID that is its own name. OpenIM's own IDs have about ten bytes.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// Bytes of a longer ID that are part of its name, before `~` and the 16 digits of its hash.
const PREFIX_BYTES: usize = 40;

/// The name under which a group is tracked: its ID or, if that is longer than [`MAX_NAME_BYTES`], the first 40 bytes
/// (fewer rather than a part of a character), `~`, and the hash of the whole ID in hexadecimal.
pub(super) fn with_name<R>(id: &str, use_it: impl FnOnce(&str) -> R) -> R {
    if id.len() <= MAX_NAME_BYTES {
        return use_it(id);
    }
    let mut name = CompactString::from(&id[..id.floor_char_boundary(PREFIX_BYTES)]);
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
    fn an_id_of_64_bytes_is_its_own_name() {
        let id = "g".repeat(64);
        assert_eq!(name(&id), id);
    }

    #[test]
    fn the_name_for_a_longer_id_is_its_prefix_and_its_hash() {
        let id = "g".repeat(65);
        let name = name(&id);
        assert_eq!(name.len(), 57);
        assert!(name.starts_with(&format!("{}~", "g".repeat(40))));
    }

    #[test]
    fn long_ids_with_the_same_prefix_have_different_names() {
        let start = "x".repeat(100);
        assert_ne!(name(&format!("{start}1")), name(&format!("{start}2")));
    }

    #[test]
    fn no_character_is_split() {
        for shift in 0..4 {
            let id = format!("{}{}", "a".repeat(shift), "\u{1f44b}".repeat(40));
            assert!(name(&id).split('~').next().unwrap().ends_with('\u{1f44b}'));
        }
    }
}
