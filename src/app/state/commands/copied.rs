//! Copies of states, for the commands that read them.

use std::path::Path;

use super::error::Error;
use crate::app::state::boot::current_boot;
use crate::domain::{Clock as _, SystemClock};
use crate::stats::{StateCopy, Stats};

/// A consistent copy of a state or a backup.
pub(super) fn copy_of(state: &Path) -> Result<StateCopy, Error> {
    let now = SystemClock.now();
    Ok(Stats::copy_of(state, current_boot(now), now)?)
}
