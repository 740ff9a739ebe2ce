//! The numbers of all exporters together.

use serde::Serialize;

use super::counts::LabelCounts;
use crate::stats::{Distinct, Stats};

/// Distinct numbers in each window, and users online.
#[derive(Debug, Serialize)]
pub(super) struct United {
    /// Of group messages.
    active_senders: LabelCounts,
    single_active_senders: LabelCounts,
    /// Of messages of either kind.
    senders: LabelCounts,
    active_users: LabelCounts,
    active_groups: LabelCounts,
    users_online: Online,
}

/// Users online. A user on two platforms counts on both.
#[derive(Debug, Serialize)]
pub(super) struct Online {
    total: u64,
    by_platform: LabelCounts,
}

impl Online {
    pub(super) fn of(by_platform: LabelCounts) -> Self {
        Self { total: by_platform.sum(), by_platform }
    }
}

/// `None` while the numbers are not known.
pub(super) fn united(stats: &Stats) -> Option<United> {
    let counts = stats.united()?;
    let of = |what| LabelCounts::by_window(counts.of(what));
    Some(United {
        active_senders: of(Distinct::Senders),
        single_active_senders: of(Distinct::SingleSenders),
        senders: LabelCounts::by_window(counts.senders),
        active_users: of(Distinct::Users),
        active_groups: of(Distinct::Groups),
        users_online: Online::of(LabelCounts::of(counts.users_online())),
    })
}
