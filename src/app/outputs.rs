//! Where callbacks go, in addition to the statistics: targets and records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::Error;
use crate::config::{Config, Storage};
use crate::domain::Clock;
use crate::forward::Forwarding;
use crate::http::{Access, Site};
use crate::record::Recorder;
use crate::telemetry::Telemetry;

/// The directory of the spools, in that of the state.
pub(super) const SPOOLS: &str = "forward";

/// How long the shutdown waits for the records to reach the disk, if the drain has used up its time.
const MIN_RECORD_FLUSH: Duration = Duration::from_millis(100);

/// Forwarding and recording, each if a flag asks for it.
pub(super) struct Outputs {
    forwarding: Option<Arc<Forwarding>>,
    recorder: Option<Arc<Recorder>>,
}

impl Outputs {
    /// Starts them. Call it after the state is open, because the state's lock also protects the spools.
    ///
    /// # Errors
    /// Name the flag, and say how to correct it.
    pub(super) fn start(
        config: &Config,
        access: &Access,
        (telemetry, clock): (&Arc<Telemetry>, &Arc<dyn Clock>),
    ) -> Result<Self, Error> {
        let recorder = recorder(config, telemetry, clock)?;
        Ok(Self { forwarding: forwarding(config, access, telemetry, clock)?, recorder })
    }

    /// Lets a site use them.
    pub(super) fn give_to(&self, site: &mut Site) {
        site.set_forwarding(self.forwarding.clone());
        site.set_recorder(self.recorder.clone());
    }

    /// Stops them. Call it when nothing is forwarded or recorded any more. Ends by the deadline, or soon after it.
    pub(super) fn stop(self, deadline: Instant) {
        if let Some(forwarding) = self.forwarding {
            forwarding.stop(deadline);
        }
        if let Some(recorder) = self.recorder {
            recorder.stop(deadline.max(Instant::now() + MIN_RECORD_FLUSH));
        }
    }
}

/// The targets can be changed by a reload.
fn forwarding(
    config: &Config,
    access: &Access,
    telemetry: &Arc<Telemetry>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Forwarding>>, Error> {
    let settings = &config.http.forward;
    let Some(flag) = settings.flag() else { return Ok(None) };
    let Storage::Directory(storage) = &config.stats.storage else { return Err(Error::NoSpool(flag)) };
    let spools = (&*storage.join(SPOOLS), settings.spool_sync);
    let shared = (Arc::clone(telemetry), Arc::clone(clock));
    let started = Forwarding::start(access.forward(), spools, config.http.max_body_bytes, shared);
    Ok(Some(Arc::new(started.map_err(|error| Error::Forward(flag, error))?)))
}

fn recorder(
    config: &Config,
    telemetry: &Arc<Telemetry>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Recorder>>, Error> {
    let Some(directory) = &config.record.path else { return Ok(None) };
    let recorder = Recorder::start(directory, &config.record, telemetry, clock);
    recorder.map(|recorder| Some(Arc::new(recorder))).map_err(|error| Error::Record(directory.clone(), error))
}
