//! What OpenIM gets when a target's answer is missing or unusable.

use super::globs::Commands;
use crate::named::named;

named! {
    /// What OpenIM gets instead of an answer.
    pub enum Policy {
        /// The answer with which OpenIM carries on.
        Continue = "continue",
        /// A refusal in the form that every version obeys.
        Refuse = "refuse",
        /// What came back, or an empty body.
        Transparent = "transparent",
    }
}

/// A policy for each command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies(pub(super) Vec<(Commands, Policy)>);

impl Policies {
    /// The first policy whose commands include this one; [`Policy::Continue`] if there is none.
    #[must_use]
    pub fn of(&self, command: &str) -> Policy {
        let found = self.0.iter().find(|(commands, _)| commands.contains(command));
        found.map_or(Policy::Continue, |(_, policy)| *policy)
    }
}
