//! Users and the hashes of their passwords.

use std::collections::BTreeMap;
use std::fmt;

use bcrypt::HashParts;

/// The most users of one file: basic authentication is for a few.
pub(super) const MOST_USERS: usize = 1000;

/// The longest name of a user, in bytes.
const LONGEST_NAME: usize = 255;

/// The work of one check doubles with each step: 15 is seconds, and whoever may send a password asks for one.
const COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// Users and the hashes of their passwords, each checked; without users nobody is asked for a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, PasswordHash>);

/// A password's bcrypt hash. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    cost: u32,
}

impl Users {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each with the hash, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PasswordHash)> {
        self.0.iter().map(|(name, hash)| (name.as_str(), hash))
    }

    /// The hash of a user's password.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&PasswordHash> {
        self.0.get(name)
    }

    /// Adds one.
    ///
    /// # Errors
    /// In words, when the name or the hash cannot be used, the user is there already, or there are too many.
    pub(super) fn add(&mut self, name: &str, hash: &str) -> Result<(), String> {
        check_name(name)?;
        let hash = PasswordHash::parse(hash)?;
        if self.0.len() >= MOST_USERS {
            return Err(format!("the most is {MOST_USERS} users; for more, put a proxy in front that checks them"));
        }
        match self.0.insert(name.to_owned(), hash) {
            None => Ok(()),
            Some(_) => Err("the user is there twice; strike one".to_owned()),
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the user's name is empty; give it one".to_owned());
    }
    if name.len() > LONGEST_NAME || name.contains(|character: char| character == ':' || character.is_control()) {
        return Err(format!(
            "a user's name has at most {LONGEST_NAME} bytes, without colons and control characters, which HTTP cannot \
             send"
        ));
    }
    Ok(())
}

impl PasswordHash {
    /// The hash as it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The binary logarithm of its rounds, from 4 to 15.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    fn parse(text: &str) -> Result<Self, String> {
        // 2x marks hashes of an old defective program: they would match wrong passwords.
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
        let parts = text.parse::<HashParts>().ok().filter(|_| known);
        let cost = parts.map(|parts| parts.get_cost()).ok_or(
            "this is no bcrypt hash, which has 60 characters and begins with $2y$, $2b$ or $2a$; make one with \
             htpasswd -nBC 10 USER",
        )?;
        if !COSTS.contains(&cost) {
            return Err(format!(
                "the hash's cost is {cost}, and can be {} to {}; make another with htpasswd -nBC 10 USER",
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

    #[test]
    fn hashes_of_the_three_kinds_are_taken() {
        for kind in ["$2a$", "$2b$", "$2y$"] {
            let mut users = Users::default();
            users.add("alice", &HASH.replace("$2y$", kind)).unwrap();
            assert_eq!(users.iter().map(|(name, hash)| (name, hash.cost())).collect::<Vec<_>>(), [("alice", 10)]);
        }
    }

    #[test]
    fn what_is_no_bcrypt_hash_is_refused_and_not_shown() {
        let short = HASH.get(..59).unwrap();
        let wrong = HASH.replace("X0h1", "X0!1");
        for hash in ["", "hunter2", short, &wrong, &HASH.replace("$2y$", "$2x$"), &HASH.replace("$2y$", "$6$$"), "é"] {
            let words = Users::default().add("alice", hash).unwrap_err();
            assert!(words.starts_with("this is no bcrypt hash"), "{words}");
            assert!(hash.is_empty() || !words.contains(hash), "{words}");
        }
    }

    #[test]
    fn a_cost_that_would_stop_the_server_is_refused() {
        for (cost, taken) in [("03", false), ("04", true), ("15", true), ("16", false), ("31", false), ("99", false)] {
            let found = Users::default().add("alice", &HASH.replace("$10$", &format!("${cost}$")));
            assert_eq!(found.is_ok(), taken, "{cost}: {found:?}");
        }
    }

    #[test]
    fn a_name_that_http_cannot_send_is_refused() {
        for name in ["", "a:b", "a\nb", "a\0", &"n".repeat(256)] {
            assert!(Users::default().add(name, HASH).is_err(), "{name:?}");
        }
        for name in ["a", "bob@example.org", "日本", &"n".repeat(255)] {
            assert!(Users::default().add(name, HASH).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_user_stands_once_and_there_are_not_too_many() {
        let mut users = Users::default();
        users.add("alice", HASH).unwrap();
        assert_eq!(users.add("alice", HASH).unwrap_err(), "the user is there twice; strike one");
        (1..MOST_USERS).for_each(|number| users.add(&number.to_string(), HASH).unwrap());
        assert_eq!(users.len(), MOST_USERS);
        assert!(users.add("one more", HASH).unwrap_err().starts_with("the most is 1000 users"));
    }

    #[test]
    fn a_hash_is_not_in_the_debug_output() {
        let mut users = Users::default();
        users.add("alice", HASH).unwrap();
        assert_eq!(format!("{users:?}"), r#"Users({"alice": PasswordHash(cost 10)})"#);
    }
}
