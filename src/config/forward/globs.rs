//! Patterns in which `*` stands for any run of characters.

use crate::domain::COMMANDS;

/// Patterns, any of which may match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globs(pub(super) Vec<Box<str>>);

impl Globs {
    /// Whether a pattern matches a text. Does not allocate.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| is_match(pattern.as_bytes(), text.as_bytes(), false))
    }
}

/// Words of a bitmap over [`COMMANDS`].
const WORDS: usize = COMMANDS.len().div_ceil(64);

/// A set of commands: names and patterns. The case of a command's first letter does not matter, because OpenIM 3.0 to
/// 3.4.0 write some in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// A bit for each of [`COMMANDS`].
    known: [u64; WORDS],
    /// Their first letters are in lower case; for commands that are not listed.
    patterns: Globs,
}

impl Commands {
    /// All commands.
    #[must_use]
    pub fn all() -> Self {
        Self::new(vec!["*".into()])
    }

    /// The commands whose answers OpenIM waits for and obeys: those before something happens. A command that is not
    /// listed is one of them if its name says so.
    #[must_use]
    pub fn obeyed() -> Self {
        // OpenIM calls it after a message was revoked, and ignores the answer.
        const AFTER: &str = "callbackBeforeAfterMsgCommand";
        const OTHERS: [&str; 5] = [
            "callbackWordFilterCommand",
            "callbackMsgModifyCommand",
            "callbackOnlinePushCommand",
            "callbackOfflinePushCommand",
            "callbackSuperGroupOnlinePushCommand",
        ];
        let before = Self::new(vec!["callbackBefore*".into()]);
        let is_obeyed = |name: &str| OTHERS.contains(&name) || before.contains(name) && name != AFTER;
        Self { known: bitmap(is_obeyed), patterns: before.patterns }
    }

    /// The commands that match one of these patterns.
    pub(in crate::config) fn new(patterns: Vec<Box<str>>) -> Self {
        let lower = |mut pattern: Box<str>| {
            if let Some(first) = pattern.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            pattern
        };
        let patterns = Globs(patterns.into_iter().map(lower).collect());
        Self { known: bitmap(|name| patterns.matches(name)), patterns }
    }

    /// The names of those of [`COMMANDS`] that are in the set.
    pub(super) fn known(&self) -> impl Iterator<Item = &'static str> {
        let known = COMMANDS.iter().enumerate().filter(|(position, _)| self.contains_known(*position));
        known.map(|(_, known)| known.name)
    }

    /// Whether a pattern of the set matches every command.
    pub(super) fn has_all(&self) -> bool {
        self.patterns.0.iter().any(|pattern| pattern.bytes().all(|byte| byte == b'*'))
    }

    /// Whether a command is in the set. Does not allocate.
    #[must_use]
    pub fn contains(&self, command: &str) -> bool {
        match COMMANDS.binary_search_by(|known| known.name.get(1..).cmp(&command.get(1..))) {
            Ok(position) if matches!(command.as_bytes().first(), Some(b'c' | b'C')) => self.contains_known(position),
            _ => self.patterns.0.iter().any(|pattern| is_match(pattern.as_bytes(), command.as_bytes(), true)),
        }
    }

    /// Whether the command at this position of [`COMMANDS`] is in the set.
    #[must_use]
    pub fn contains_known(&self, position: usize) -> bool {
        self.known.get(position / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }
}

fn bitmap(is_in: impl Fn(&str) -> bool) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, known) in words.iter_mut().zip(COMMANDS.chunks(64)) {
        let bits = (0..).zip(known).filter(|(_, known)| is_in(known.name));
        *word = bits.fold(0, |word, (bit, _)| word | 1 << bit);
    }
    words
}

/// Whether a pattern matches a text: the usual search, which backtracks to the last `*`. With `any_first`, the case of the
/// text's first letter does not matter, and the pattern's is lower.
fn is_match(pattern: &[u8], text: &[u8], any_first: bool) -> bool {
    let (mut place, mut at) = (0, 0);
    let mut star = None;
    loop {
        let byte = text.get(at).map(|byte| if any_first && at == 0 { byte.to_ascii_lowercase() } else { *byte });
        match (pattern.get(place), byte) {
            (Some(b'*'), _) => {
                place += 1;
                star = Some((place, at));
            }
            (Some(wanted), Some(found)) if *wanted == found => {
                place += 1;
                at += 1;
            }
            (None, None) => return true,
            _ => match star {
                // The star stands for one more byte.
                Some((after, from)) if from < text.len() => {
                    star = Some((after, from + 1));
                    (place, at) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(patterns: &[&str]) -> Commands {
        Commands::new(patterns.iter().map(|pattern| (*pattern).into()).collect())
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc", "Abc", false),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("*c", "abcd", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("a**e", "ae", true),
            ("*aab*", "aaab", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "aab", false),
            ("gr\u{fc}*", "gr\u{fc}n", true),
            ("a?c", "abc", false),
        ] {
            assert_eq!(Globs(vec![pattern.into()]).matches(text), expected, "{pattern} {text}");
        }
        assert!(!Globs(Vec::new()).matches(""));
    }

    #[test]
    fn the_case_of_a_command_s_first_letter_does_not_matter() {
        for pattern in ["callbackBefore*", "CallbackBefore*", "*callbackBefore*", "*Group*Command"] {
            for command in ["callbackBeforeSendGroupMsgCommand", "CallbackBeforeGroupNewCommand"] {
                assert!(commands(&[pattern]).contains(command), "{pattern} {command}");
            }
        }
        for command in
            ["callbackbeforeSendGroupMsgCommand", "allbackBeforeSendGroupMsgCommand", "xallbackBeforeX", "", "é"]
        {
            assert!(!commands(&["callbackBefore*"]).contains(command), "{command}");
        }
    }

    #[test]
    fn a_set_agrees_with_its_patterns_for_each_known_command() {
        for patterns in [&["*"][..], &["callbackAfter*"], &["callbackSingleMsgRead", "*Online*"], &[]] {
            let (set, globs) = (commands(patterns), Globs(patterns.iter().map(|text| (*text).into()).collect()));
            for (position, known) in COMMANDS.iter().enumerate() {
                assert_eq!(set.contains(known.name), globs.matches(known.name), "{patterns:?} {}", known.name);
                assert_eq!(set.contains_known(position), globs.matches(known.name));
            }
            assert!(!set.contains_known(COMMANDS.len()));
        }
    }

    #[test]
    fn the_obeyed_commands_are_those_before_something_happens() {
        let obeyed = Commands::obeyed();
        for (command, expected) in [
            ("callbackBeforeSendGroupMsgCommand", true),
            ("CallbackBeforeSetGroupMemberInfoCommand", true),
            ("callbackBeforeSomethingNewCommand", true),
            ("callbackBeforeAfterMsgCommand", false),
            ("CallbackBeforeAfterMsgCommand", false),
            ("callbackWordFilterCommand", true),
            ("callbackMsgModifyCommand", true),
            ("callbackOnlinePushCommand", true),
            ("callbackOfflinePushCommand", true),
            ("callbackSuperGroupOnlinePushCommand", true),
            ("callbackAfterSendGroupMsgCommand", false),
            ("callbackUserOnlineCommand", false),
            ("callbackSomethingNewCommand", false),
        ] {
            assert_eq!(obeyed.contains(command), expected, "{command}");
        }
    }

    #[test]
    fn matching_does_not_allocate() {
        let (set, globs) = (commands(&["callbackBefore*Group*Command"]), Globs(vec!["team-*".into()]));
        let counted = allocation_counter::measure(|| {
            for command in ["callbackBeforeSendGroupMsgCommand", "CallbackBeforeGroupNewCommand", "callbackNew"] {
                std::hint::black_box(set.contains(command));
            }
            std::hint::black_box(globs.matches("team-1"));
        });
        assert_eq!(counted.count_total, 0);
    }
}
