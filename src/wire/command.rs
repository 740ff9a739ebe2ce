//! OpenIM's callback commands.

use percent_encoding::percent_decode_str;

use crate::domain::{AnswerUse, COMMANDS, Chat, GROUP_MESSAGE, KnownCommand, Subject};

/// Position of [`GROUP_MESSAGE`] in [`COMMANDS`].
const GROUP_MESSAGE_POSITION: usize = group_message_position(COMMANDS);

const fn group_message_position(commands: &[KnownCommand]) -> usize {
    match commands {
        [] | [KnownCommand { subject: Subject::Sent(Chat::Group), .. }, ..] => 0,
        [_, others @ ..] => 1 + group_message_position(others),
    }
}

/// What a callback reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A group message was sent.
    GroupMessage,
    /// Another command: its position in [`COMMANDS`], or `None` if it is not listed.
    Other(Option<usize>),
}

impl Command {
    /// The command with this name, from a query or a body. The case of its first letter does not matter, because OpenIM
    /// 3.0 to 3.4.0 write some in upper case, nor does whitespace around it. `None` if the name does not start with
    /// `callback`, as all of OpenIM's do.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name == GROUP_MESSAGE {
            return Some(Self::GroupMessage);
        }
        let rest = name.trim().strip_prefix(['c', 'C'])?;
        rest.starts_with("allback").then(|| {
            match COMMANDS.binary_search_by(|known| known.name.get(1..).cmp(&Some(rest))) {
                Ok(GROUP_MESSAGE_POSITION) => Self::GroupMessage,
                position => Self::Other(position.ok()),
            }
        })
    }

    /// The command in a path's last segment, percent-decoded, without slashes and whitespace at its end. An unknown one
    /// must end with `Command`: OpenIM's default URL, `/callbackExample`, does not name one.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        // The usual case, without a search for the last segment.
        if path.strip_suffix(GROUP_MESSAGE).is_some_and(|before| before.ends_with('/')) {
            return Some(Self::GroupMessage);
        }
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let last = path.trim_end_matches(|char: char| char == '/' || char.is_whitespace()).rsplit('/').next()?;
        Self::from_name(last).filter(|command| command.position().is_some() || last.ends_with("Command"))
    }

    /// What OpenIM does with the answer. A command that is not listed may be one that a newer version obeys.
    #[must_use]
    pub fn answer_use(self) -> AnswerUse {
        match self {
            Self::GroupMessage => AnswerUse::Ignored,
            Self::Other(_) => self.known().map_or(AnswerUse::Obeyed, |known| known.answer_use),
        }
    }

    /// Whether some version of OpenIM may obey the answer.
    #[must_use]
    pub fn may_be_obeyed(self) -> bool {
        self.answer_use() != AnswerUse::Ignored
    }

    /// Whether [`decode_report`](super::decode_report) reads its body, so that a body that it accepts is JSON.
    #[must_use]
    pub fn has_report(self) -> bool {
        self.subject() != Subject::Nothing
    }

    /// What it reports.
    #[inline]
    pub(super) fn subject(self) -> Subject {
        self.known().map_or(Subject::Nothing, |known| known.subject)
    }

    /// Its name, if it is listed.
    pub(crate) fn name(self) -> Option<&'static str> {
        self.known().map(|known| known.name)
    }

    fn known(self) -> Option<&'static KnownCommand> {
        COMMANDS.get(self.position()?)
    }

    /// Position in [`COMMANDS`]; `None` if it is not listed.
    #[must_use]
    pub const fn position(self) -> Option<usize> {
        match self {
            Self::GroupMessage => Some(GROUP_MESSAGE_POSITION),
            Self::Other(position) => position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_each_name_is_a_command() {
        assert!(COMMANDS.is_sorted_by_key(|known| known.name));
        for (position, known) in COMMANDS.iter().enumerate().filter(|(_, known)| known.name != GROUP_MESSAGE) {
            assert_eq!(Command::from_name(known.name), Some(Command::Other(Some(position))));
        }
    }

    #[test]
    fn the_position_of_the_group_message_is_correct() {
        assert_eq!(Command::GroupMessage.position().map(|position| COMMANDS[position].name), Some(GROUP_MESSAGE));
    }

    #[test]
    fn an_unknown_command_is_a_command_and_another_word_is_not() {
        assert_eq!(Command::from_name("callbackAfterSomethingNewCommand"), Some(Command::Other(None)));
        assert_eq!(Command::from_name("callbackOfAnotherKind"), Some(Command::Other(None)));
        for name in ["", "Command", "afterSendGroupMsg", "call", "CALLBACK"] {
            assert_eq!(Command::from_name(name), None, "{name}");
        }
        for path in ["", "/", "/callbackExample", "/callbackAfterSendGroupMsgCommand/x", "/xcallbackCommand"] {
            assert_eq!(Command::from_path(path), None, "{path}");
        }
        assert_eq!(Command::from_path("/a/callbackAfterSomethingNewCommand"), Some(Command::Other(None)));
        assert_eq!(Command::from_path("/callback%ffCommand"), None);
    }

    #[test]
    fn other_spellings_are_the_same_command() {
        for name in [GROUP_MESSAGE, "CallbackAfterSendGroupMsgCommand", " callbackAfterSendGroupMsgCommand\n"] {
            assert_eq!(Command::from_name(name), Some(Command::GroupMessage), "{name}");
        }
        let before = Command::from_name("callbackBeforeSendSingleMsgCommand");
        assert!(matches!(before, Some(Command::Other(Some(_)))));
        assert_eq!(Command::from_name("CallbackBeforeSendSingleMsgCommand"), before);
        for path in [
            "/callback%41fterSendGroupMsgCommand",
            "/a/CallbackAfterSendGroupMsgCommand//",
            "/callbackAfterSendGroupMsgCommand%20/",
        ] {
            assert_eq!(Command::from_path(path), Some(Command::GroupMessage), "{path}");
        }
    }
}
