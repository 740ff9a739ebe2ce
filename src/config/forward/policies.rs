//! What OpenIM gets when a target's answer is missing or unusable.

use super::globs::Commands;
use super::values::{commands, list};
use crate::config::file::FileError;
use crate::config::yaml::Field;
use crate::named::named;

pub(super) const KEYS: [&str; 2] = ["commands", "policy"];

/// Maximum number of policies.
const MAX_POLICIES: usize = 16;

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
pub struct Policies(Vec<(Commands, Policy)>);

impl Policies {
    /// The first policy whose commands include this one; [`Policy::Continue`] if there is none.
    #[must_use]
    pub fn of(&self, command: &str) -> Policy {
        let found = self.0.iter().find(|(commands, _)| commands.contains(command));
        found.map_or(Policy::Continue, |(_, policy)| *policy)
    }
}

/// The policies of a target, in order.
pub(super) fn parse(field: &Field) -> Result<Policies, FileError> {
    let policy = |item: &Field| {
        let mapping = item.mapping(&KEYS)?;
        let commands = mapping.get("commands").map_or_else(|| Ok(Commands::all()), |field| commands(&field))?;
        let policy = mapping
            .get("policy")
            .ok_or_else(|| item.error("policy is missing; give continue, refuse or transparent"))?;
        Ok((commands, policy.choice(&Policy::ALL.map(|policy| (policy.name(), policy)))?))
    };
    list(field, MAX_POLICIES, "a policy")?.iter().map(policy).collect::<Result<_, _>>().map(Policies)
}
