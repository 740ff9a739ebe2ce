//! What several commands on a state use.

use std::path::Path;

use jiff::Timestamp;

use super::error::Error;
use crate::app::state::boot::current_boot;
use crate::domain::{Clock as _, SystemClock, UnixMillis};
use crate::stats::{StateCopy, Stats};

/// A consistent copy of a state or a backup.
pub(super) fn copy_of(state: &Path) -> Result<StateCopy, Error> {
    let now = SystemClock.now();
    Ok(Stats::copy_of(state, current_boot(now), now)?)
}

/// A time for people.
pub(super) fn time(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| format!("{time:.0}"))
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB { format!("{bytes} bytes") } else { format!("{:.1} MiB", bytes as f64 / MIB as f64) }
}
