//! What the next start will do with a state.

use std::fmt::{Display, Formatter};

use serde::Serialize;

use crate::arena::{Damage, Examined, Trust};
use crate::stats::StateStart;

/// What the next start will do, unless the machine goes down while the exporter runs.
#[derive(Debug, Serialize)]
pub(super) struct NextStart {
    /// The value of the metric's label; [`FAILS`] if the exporter cannot start.
    outcome: &'static str,
    /// Why the counters do not simply continue.
    reason: Option<String>,
}

const FAILS: &str = "fails";

impl NextStart {
    /// With a state whose numbers contradict each other, or not.
    pub(super) fn new(examined: &Examined, numbers: Option<Damage>) -> Self {
        let found =
            examined.found.as_ref().map(|found| found.as_ref().map(|(_, trust)| *trust).map_err(|damage| *damage));
        let (start, reason) = match (found, numbers) {
            (None, _) => {
                let advice =
                    "there is no state; if there should be one, set --storage.path to the exporter's directory";
                (StateStart::Fresh, Some(advice.to_owned()))
            }
            (Some(Err(damage)), _) | (Some(Ok(_)), Some(damage)) => return Self::damaged(examined, damage),
            (Some(Ok(Trust::Torn(doubt))), None) => (StateStart::CountersReset, Some(doubt.to_string())),
            (Some(Ok(Trust::Exact)), None) => (StateStart::Continued, None),
            (Some(Ok(Trust::Restored)), None) => {
                (StateStart::Restored, Some("the file is a copy of a state that was closed".to_owned()))
            }
        };
        Self { outcome: start.name(), reason }
    }

    fn damaged(examined: &Examined, damage: Damage) -> Self {
        let outcome = if examined.is_link { FAILS } else { StateStart::Fresh.name() };
        Self { outcome, reason: Some(damage.to_string()) }
    }
}

impl Display for NextStart {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let what = match self.outcome {
            "continued" => "the counters continue",
            "restored" => "the counters continue from the copy's numbers",
            "counters_reset" => "the counters start from 0; groups and windows are kept",
            "fresh" => "counting starts from zero; any unusable file is kept under another name",
            _ => "it fails, because an unusable file behind a symbolic link is not renamed",
        };
        write!(f, "{what} ({})", self.outcome)?;
        self.reason.iter().try_for_each(|reason| write!(f, "\n{:13}{reason}", ""))
    }
}
