//! The name under which a group is tracked.

use std::fmt::Write as _;

use compact_str::CompactString;
use ring::digest::{SHA256, digest};

/// The length of the longest name in bytes, which only the names of longer IDs have. OpenIM's own IDs have about ten.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// Bytes of the digest in a name, as twice as many digits: enough that nobody can find two IDs with the same ones.
const DIGEST_BYTES: usize = 16;

/// The most bytes of an ID that begin its name.
const PREFIX_BYTES: usize = MAX_NAME_BYTES - 2 * DIGEST_BYTES - 1;

/// The name under which a group is tracked: its ID if that is shorter than [`MAX_NAME_BYTES`]. Otherwise exactly this
/// many bytes, so that no ID is the name of another: the first bytes of the ID, up to a whole character, `~`, and the
/// first 128 bits of its SHA-256 in hexadecimal.
pub(super) fn with_name<R>(id: &str, use_it: impl FnOnce(&str) -> R) -> R {
    if id.len() < MAX_NAME_BYTES {
        return use_it(id);
    }
    let mut name = CompactString::from(&id[..id.floor_char_boundary(PREFIX_BYTES)]);
    while name.len() <= PREFIX_BYTES {
        name.push('~');
    }
    for byte in digest(&SHA256, id.as_bytes()).as_ref().iter().take(DIGEST_BYTES) {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    use_it(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &str) -> String {
        with_name(id, str::to_owned)
    }

    #[test]
    fn an_id_of_63_bytes_is_its_own_name() {
        let id = "g".repeat(63);
        assert_eq!(name(&id), id);
    }

    #[test]
    fn the_name_for_a_longer_id_is_its_prefix_and_its_digest() {
        // printf 'g%.0s' $(seq 64) | sha256sum
        let expected = format!("{}~4e52b0a8d918b923a15f50e49b43cd4f", "g".repeat(31));
        assert_eq!(name(&"g".repeat(64)), expected);
    }

    #[test]
    fn a_name_of_a_long_id_is_not_the_name_of_another_id() {
        let start = "x".repeat(100);
        let names = [format!("{start}1"), format!("{start}2")].map(|id| name(&id));
        assert_ne!(names[0], names[1]);
        assert_ne!(name(&names[0]), names[0]);
    }

    #[test]
    fn no_character_is_split() {
        for shift in 0..4 {
            let id = format!("{}{}", "a".repeat(shift), "\u{1f44b}".repeat(40));
            let name = name(&id);
            assert_eq!(name.len(), MAX_NAME_BYTES);
            assert!(name.split('~').next().unwrap().ends_with('\u{1f44b}'));
        }
    }
}
