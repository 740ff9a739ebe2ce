//! The names of keys in Redis. All have the same hash tag, so a Cluster stores them on one node.

use std::fmt::{self, Display};

use super::place::Place;

/// The sorted set of the exporters' names, with Redis' time of the last write of each.
pub(super) const REPLICAS: &str = "{openim-exporter}:replicas";

/// The name of an exporter: 1 to 64 letters, digits, dots, underscores and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(String);

impl Name {
    const MAX_BYTES: usize = 64;

    /// `None` if it is not a name.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.iter().all(is_allowed);
        fits.then(|| Self(text.iter().copied().map(char::from).collect()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The registers of a stretch.
    pub(super) fn registers(&self, Place { of, stretch, number }: Place) -> String {
        self.key(format_args!("{}:{}-{number}", of.name(), stretch.name()))
    }

    /// The registers of the users who are online on a platform now.
    pub(super) fn online(&self, platform: &str) -> String {
        self.key(format_args!("online:{platform}"))
    }

    /// What the exporter wrote, and when.
    pub(super) fn manifest(&self) -> String {
        self.key(format_args!("replica"))
    }

    /// The processes that write under this name: a sorted set with Redis' time of the last write of each.
    pub(super) fn processes(&self) -> String {
        self.key(format_args!("processes"))
    }

    /// The exporter's candidates for the exported groups.
    pub(super) fn groups(&self) -> String {
        self.key(format_args!("groups"))
    }

    /// Who went offline.
    pub(super) fn disconnects(&self) -> String {
        self.key(format_args!("disconnects"))
    }

    fn key(&self, what: fmt::Arguments<'_>) -> String {
        format!("{{openim-exporter}}:{what}:{}", self.0)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Distinct, Stretch};

    #[test]
    fn only_short_names_of_plain_characters_are_names() {
        for good in ["a", "exporter-0.openim_1", &"x".repeat(64)] {
            assert_eq!(Name::parse(good.as_bytes()).unwrap().as_str(), good);
        }
        for bad in [&b""[..], b"a b", b"a:b", b"a\n", b"{a}", b"\xc3\xa4", b"\xff", &[b'x'; 65]] {
            assert_eq!(Name::parse(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn keys_say_what_they_contain() {
        let name = Name::parse(b"exporter-0").unwrap();
        let place = Place { of: Distinct::SingleSenders, stretch: Stretch::Minute, number: 7 };
        assert_eq!(name.registers(place), "{openim-exporter}:single_senders:minute-7:exporter-0");
        assert_eq!(name.online("ios"), "{openim-exporter}:online:ios:exporter-0");
        assert_eq!(name.manifest(), "{openim-exporter}:replica:exporter-0");
    }
}
