//! `openim-exporter state reset-counters`.

use std::path::Path;

use super::error::Error;
use crate::app::state::boot::boot_id;
use crate::arena::{Boot, Directory, Found, has_state, owner_of};

/// Marks the state in a directory, so that the next start resets its counters.
pub(super) fn request(path: &Path) -> Result<(), Error> {
    // Opening a state would create what is missing.
    if !has_state(path).map_err(|error| Error::Mark(path.to_owned(), error))? {
        return Err(Error::NoState(path.to_owned()));
    }
    let owner = owner_of(path);
    let directory = Directory::lock(path, &|_| ())?;
    directory.give_lock(owner)?;
    let state = directory.state();
    match directory.find(boot_id().unwrap_or(Boot::Unknown), &|_| ())? {
        Found::State { arena, .. } => {
            arena.mark_in_use(Boot::ResetRequested).map_err(|error| Error::Mark(state.to_owned(), error))
        }
        Found::Nothing => Err(Error::NoState(path.to_owned())),
        Found::Damaged(damage) => Err(Error::UnusableState(state.to_owned(), damage)),
    }
}
