//! How the counters of a state started.

use crate::arena::Trust;

/// How the counters started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateStart {
    /// From 0, because there was no usable state.
    Fresh,
    /// From the values in the state.
    Continued,
    /// From the values in a copy. They have a new start time, because Prometheus may have seen higher values.
    Restored,
    /// From 0, because parts of the file may be older than what a scrape has shown: when a counter continues from a lower
    /// value, Prometheus takes that for a reset and adds the whole value again.
    CountersReset,
}

impl StateStart {
    /// Every value, in the order in which they are exposed.
    pub const ALL: [Self; 4] = [Self::Fresh, Self::Continued, Self::Restored, Self::CountersReset];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Continued => "continued",
            Self::Restored => "restored",
            Self::CountersReset => "counters_reset",
        }
    }

    pub(super) const fn from_trust(trust: Trust) -> Self {
        match trust {
            Trust::Exact => Self::Continued,
            Trust::Restored(_) => Self::Restored,
            Trust::Torn(_) => Self::CountersReset,
        }
    }
}
