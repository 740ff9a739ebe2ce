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

/// The policies of a target, in order. `is_answered` says whether it answers a command.
pub(super) fn parse(field: &Field, is_answered: &dyn Fn(&str) -> bool) -> Result<Policies, FileError> {
    let mut policies: Vec<(Commands, Policy)> = Vec::new();
    for item in list(field, MAX_POLICIES, "a policy")? {
        let mapping = item.mapping(&KEYS)?;
        if policies.iter().any(|(commands, _)| commands.has_all()) {
            return Err(item.error(
                "an entry before this one applies to all commands, so this one has no effect; move it up, or remove it",
            ));
        }
        let listed = mapping.get("commands");
        let commands = listed.as_ref().map_or_else(|| Ok(Commands::all()), commands)?;
        listed.map_or(Ok(()), |listed| check_effect(&listed, &policies, is_answered))?;
        let policy = mapping
            .get("policy")
            .ok_or_else(|| item.error("policy is missing; give continue, refuse or transparent"))?;
        policies.push((commands, policy.choice(&Policy::ALL.map(|policy| (policy.name(), policy)))?));
    }
    Ok(Policies(policies))
}

/// Checks that each item of a list of commands has a command whose policy it decides. What matches no known command may
/// be for a newer OpenIM.
fn check_effect(
    listed: &Field,
    earlier: &[(Commands, Policy)],
    is_answered: &dyn Fn(&str) -> bool,
) -> Result<(), FileError> {
    for item in listed.items()? {
        let text = item.text()?;
        let set = Commands::new(vec![text.into()]);
        let mut answered = set.known().filter(|name| is_answered(name)).peekable();
        if set.known().next().is_some() && answered.peek().is_none() {
            return Err(item.error(format!(
                "{text}: the target does not answer this, so the policy has no effect; remove it here, or add it to the \
                 target's answers and commands"
            )));
        }
        let is_decided = |name: &str| earlier.iter().any(|(commands, _)| commands.contains(name));
        if answered.peek().is_some() && answered.all(is_decided) {
            return Err(item.error(format!(
                "{text}: an entry before this one applies, so this one has no effect; move it up, or remove it"
            )));
        }
    }
    Ok(())
}
