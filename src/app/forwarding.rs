//! Starts what forwards callbacks.

use std::sync::Arc;

use super::error::Error;
use crate::config::{Config, Storage};
use crate::domain::Clock;
use crate::forward::Forwarding;
use crate::http::Access;
use crate::telemetry::Telemetry;

/// The directory of the spools, in that of the state.
const DIRECTORY: &str = "forward";

/// Forwarding, if a flag asks for it. The targets can be changed by a reload.
///
/// # Errors
/// Name the flag, and say how to correct it.
pub(super) fn start(
    config: &Config,
    access: &Access,
    telemetry: &Arc<Telemetry>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Forwarding>>, Error> {
    let settings = &config.http.forward;
    let Some(flag) = settings.flag() else { return Ok(None) };
    let Storage::Directory(storage) = &config.stats.storage else { return Err(Error::NoSpool(flag)) };
    let spools = (&*storage.join(DIRECTORY), settings.spool_sync);
    let shared = (Arc::clone(telemetry), Arc::clone(clock));
    let started = Forwarding::start(access.forward(), spools, config.http.max_body_bytes, shared);
    Ok(Some(Arc::new(started.map_err(|error| Error::Forward(flag, error))?)))
}
