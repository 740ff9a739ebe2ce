//! Users and the hashes of their passwords, as `htpasswd` and the web configuration have them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use bcrypt::HashParts;

use super::file::{self, FileError, redact_name};

/// Maximum number of users in a file: basic authentication is meant for a few.
const MAX_USERS: usize = 1000;

/// Maximum size of an `htpasswd` file in bytes: a thousand users need a third of it.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum length of a user's name, in bytes.
const MAX_NAME: usize = 255;

/// Allowed costs of a hash. Each step doubles the work of a check: 15 takes seconds, and any client can ask for a
/// check.
const COSTS: RangeInclusive<u32> = 4..=15;

/// Users and the checked hashes of their passwords. Without users, no password is required.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, PasswordHash>);

/// A password's bcrypt hash. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    cost: u32,
}

impl Users {
    /// Reads a file of `htpasswd`; it has at least one user.
    ///
    /// # Errors
    /// When it cannot be read or is not valid; names the file, the line and the user, and says how to correct it.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        file::read(path, MAX_BYTES).and_then(|text| Self::parse(&text)).map_err(|error| error.in_file(path))
    }

    /// Parses the text of such a file: `name:hash`, one on each line. Empty lines and lines that begin with `#` are
    /// ignored.
    ///
    /// # Errors
    /// As [`Users::read`].
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let mut users = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, entry) in (1..).zip(text.lines().map(str::trim)) {
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let (name, hash) = entry.split_once(':').ok_or_else(|| {
                FileError::at_line(line, "", "this is not NAME:HASH; make the line with htpasswd -nBC 10 NAME")
            })?;
            users.add(name, hash).map_err(|problem| FileError::at_line(line, redact_name(name), problem))?;
        }
        if users.is_empty() {
            // A file without users would turn the passwords off, although the flag asks for them.
            return Err(FileError::about_file("the file has no user; add one with htpasswd -BC 10 FILE NAME"));
        }
        Ok(users)
    }

    /// Whether it has no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The users with their hashes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PasswordHash)> {
        self.0.iter().map(|(name, hash)| (name.as_str(), hash))
    }

    /// The hash of a user's password.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&PasswordHash> {
        self.0.get(name)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// When the name or the hash is not valid, the user exists already, or there are too many.
    pub(super) fn add(&mut self, name: &str, hash: &str) -> Result<(), String> {
        check_name(name)?;
        let hash = PasswordHash::parse(hash)?;
        if self.0.len() >= MAX_USERS {
            return Err(format!("at most {MAX_USERS} users are possible; for more, use a proxy that checks passwords"));
        }
        match self.0.insert(name.to_owned(), hash) {
            None => Ok(()),
            Some(_) => Err("duplicate user; remove one".to_owned()),
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the user's name is empty; add it".to_owned());
    }
    if name.len() > MAX_NAME || name.contains(|character: char| character == ':' || character.is_control()) {
        return Err(format!(
            "a user's name has at most {MAX_NAME} bytes and no colon or control character, which HTTP cannot send"
        ));
    }
    Ok(())
}

impl PasswordHash {
    /// The hash as written in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The binary logarithm of its number of rounds, from 4 to 15.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    fn parse(text: &str) -> Result<Self, String> {
        // $2x$ marks hashes made by a defective program: they would match wrong passwords.
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
        let parts = text.parse::<HashParts>().ok().filter(|_| known);
        let cost = parts.map(|parts| parts.get_cost()).ok_or(
            "this is not a bcrypt hash, which has 60 characters and begins with $2y$, $2b$ or $2a$; make one with \
             htpasswd -nBC 10 USER",
        )?;
        if !COSTS.contains(&cost) {
            return Err(format!(
                "the hash's cost is {cost}, but must be from {} to {}; make another with htpasswd -nBC 10 USER",
                COSTS.start(),
                COSTS.end()
            ));
        }
        Ok(Self { text: text.to_owned(), cost })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash(cost {})", self.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    fn parse_error(text: &str) -> String {
        Users::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn users_are_parsed_and_comments_ignored() {
        let text = format!("\u{feff}# OpenIM\r\n\r\nopenim:{HASH}\r\n  # more\nbob:{HASH}");
        let users = Users::parse(&text).unwrap();
        assert_eq!(
            users.iter().map(|(name, hash)| (name, hash.as_str())).collect::<Vec<_>>(),
            [("bob", HASH), ("openim", HASH)]
        );
    }

    #[test]
    fn errors_name_the_line_and_do_not_show_the_secret() {
        for (text, expected) in [
            ("hunter2\n".to_owned(), "line 1: this is not NAME:HASH; "),
            (format!("\nalice:{HASH}\nbob:hunter2\n"), "line 3: bob: this is not a bcrypt hash, "),
            (format!("alice:{HASH}:hunter2\n"), "line 1: alice: this is not a bcrypt hash, "),
            ("alice:$apr1$hunter2\n".to_owned(), "line 1: alice: this is not a bcrypt hash, "),
            (format!(":{HASH}\n"), "line 1: (not shown): the user's name is empty"),
            (format!("alice:{HASH}\n#\nalice:{HASH}\n"), "line 3: alice: duplicate user; remove one"),
            (format!("alice:{}\n", HASH.replace("$10$", "$31$")), "line 1: alice: the hash's cost is 31, but must be"),
        ] {
            let words = parse_error(&text);
            assert!(words.starts_with(expected), "{words}");
            assert!(!words.contains("hunter2") && !words.contains("X0h1"), "{words}");
        }
    }

    #[test]
    fn a_file_without_users_is_an_error() {
        for text in ["", "\n\n", "# alice\n", "\u{feff}"] {
            assert_eq!(parse_error(text), "the file has no user; add one with htpasswd -BC 10 FILE NAME");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, "alice\n").unwrap();
        let words = Users::read(&path).unwrap_err().to_string();
        assert!(words.starts_with(&format!("{}:1: this is not NAME:HASH", path.display())), "{words}");
    }

    #[test]
    fn the_three_kinds_of_bcrypt_hashes_are_valid() {
        for kind in ["$2a$", "$2b$", "$2y$"] {
            let mut users = Users::default();
            users.add("alice", &HASH.replace("$2y$", kind)).unwrap();
            assert_eq!(users.iter().map(|(name, hash)| (name, hash.cost())).collect::<Vec<_>>(), [("alice", 10)]);
        }
    }

    #[test]
    fn other_hashes_are_errors_and_not_shown() {
        let short = HASH.get(..59).unwrap();
        let wrong = HASH.replace("X0h1", "X0!1");
        for hash in ["", "hunter2", short, &wrong, &HASH.replace("$2y$", "$2x$"), &HASH.replace("$2y$", "$6$$"), "é"] {
            let words = Users::default().add("alice", hash).unwrap_err();
            assert!(words.starts_with("this is not a bcrypt hash"), "{words}");
            assert!(hash.is_empty() || !words.contains(hash), "{words}");
        }
    }

    #[test]
    fn a_cost_that_would_block_the_server_is_an_error() {
        for (cost, taken) in [("03", false), ("04", true), ("15", true), ("16", false), ("31", false), ("99", false)] {
            let found = Users::default().add("alice", &HASH.replace("$10$", &format!("${cost}$")));
            assert_eq!(found.is_ok(), taken, "{cost}: {found:?}");
        }
    }

    #[test]
    fn a_name_that_http_cannot_send_is_an_error() {
        for name in ["", "a:b", "a\nb", "a\0", &"n".repeat(256)] {
            assert!(Users::default().add(name, HASH).is_err(), "{name:?}");
        }
        for name in ["a", "bob@example.org", "日本", &"n".repeat(255)] {
            assert!(Users::default().add(name, HASH).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn duplicate_users_and_too_many_users_are_errors() {
        let mut users = Users::default();
        users.add("alice", HASH).unwrap();
        assert_eq!(users.add("alice", HASH).unwrap_err(), "duplicate user; remove one");
        (1..MAX_USERS).for_each(|number| users.add(&number.to_string(), HASH).unwrap());
        assert_eq!(users.len(), MAX_USERS);
        assert!(users.add("one more", HASH).unwrap_err().starts_with("at most 1000 users are possible"));
    }

    #[test]
    fn a_hash_is_not_in_the_debug_output() {
        let mut users = Users::default();
        users.add("alice", HASH).unwrap();
        assert_eq!(format!("{users:?}"), r#"Users({"alice": PasswordHash(cost 10)})"#);
    }
}
