//! The groups that all exporters agreed to export.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use compact_str::CompactString;
use foldhash::fast::RandomState;

use crate::domain::UnixMillis;

/// How long the agreement is in force.
const IN_FORCE: Duration = Duration::from_mins(1);

/// The agreed groups, each with the time since which it has been exported.
#[derive(Debug)]
pub(super) struct Agreement {
    at: Instant,
    groups: HashMap<CompactString, UnixMillis, RandomState>,
}

impl Agreement {
    pub(super) fn since(&self, name: &str) -> Option<UnixMillis> {
        self.groups.get(name).copied()
    }

    fn is_in_force(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < IN_FORCE
    }
}

/// The last agreement. Reading it takes no lock.
#[derive(Debug, Default)]
pub(super) struct LastAgreement(ArcSwapOption<Agreement>);

impl LastAgreement {
    pub(super) fn set(&self, groups: &[(String, UnixMillis)], now: Instant) -> Arc<Agreement> {
        let groups = groups.iter().map(|(name, since)| (CompactString::from(name), *since)).collect();
        let agreement = Arc::new(Agreement { at: now, groups });
        self.0.store(Some(Arc::clone(&agreement)));
        agreement
    }

    /// `None` if it is no longer in force, or there was none.
    pub(super) fn in_force(&self, now: Instant) -> Option<Arc<Agreement>> {
        self.0.load().as_ref().filter(|agreement| agreement.is_in_force(now)).cloned()
    }
}
