//! The union with other exporters, through Redis.

use std::sync::Arc;

use super::error::Error;
use crate::config::ReplicasSettings;
use crate::domain::Clock;
use crate::replicas::{Link, Replicas};
use crate::stats::Stats;
use crate::telemetry::Telemetry;

/// Starts it if a Redis is set. Call it after the state is open, because the state has the exporter's default name.
pub(super) fn start(
    link: Option<Link>,
    settings: &ReplicasSettings,
    stats: &Arc<Stats>,
    (telemetry, clock): (&Telemetry, &Arc<dyn Clock>),
) -> Result<Option<Replicas>, Error> {
    let Some(link) = link else { return Ok(None) };
    let name = settings.name.clone().unwrap_or_else(|| stats.id());
    let started = Replicas::start(link, name, stats, telemetry, clock);
    started.map(Some).map_err(|error| Error::Thread("replicas", error))
}
