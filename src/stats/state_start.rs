//! How the counters of a state started.

use crate::arena::Trust;
use crate::named::named;

named! {
    /// How the counters started.
    pub enum StateStart {
        /// From 0, because there was no usable state.
        Fresh = "fresh",
        /// From the values in the state.
        Continued = "continued",
        /// From the values in a copy, and with its start time: a later one would tell Prometheus that everything was
        /// counted since then. If Prometheus has seen higher values, it notices by itself that they are lower now.
        Restored = "restored",
        /// From 0, because the file, or parts of it, may be older than what a scrape has shown: when a counter continues
        /// from a lower value, Prometheus takes that for a reset and adds the whole value again.
        CountersReset = "counters_reset",
    }
}

impl StateStart {
    pub(super) const fn from_trust(trust: Trust) -> Self {
        match trust {
            Trust::Exact => Self::Continued,
            Trust::Restored => Self::Restored,
            Trust::Torn(_) => Self::CountersReset,
        }
    }
}
