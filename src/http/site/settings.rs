//! The current settings from files, and their reload.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config;
use crate::domain::UnixMillis;
use crate::http::access::{Access, AccessError, Stamps};
use crate::telemetry::Telemetry;

/// The right to reload the settings. Only one reload runs at a time.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// The current settings from files.
pub(crate) struct Settings {
    access: ArcSwap<Access>,
    turn: Arc<Mutex<()>>,
}

impl Settings {
    pub(super) fn new(access: Access) -> Self {
        Self { access: ArcSwap::from_pointee(access), turn: Arc::default() }
    }

    /// The settings in force.
    pub(crate) fn access(&self) -> Guard<Arc<Access>> {
        self.access.load()
    }

    /// The right to reload; `None` while a reload is in progress.
    pub(crate) fn try_turn(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// The right to reload, once no other reload is in progress. Blocks the thread.
    pub(super) fn wait_for_turn(&self) -> Turn {
        Arc::clone(&self.turn).blocking_lock_owned()
    }

    /// Reads the files again. They take effect as a whole or not at all.
    pub(super) fn reload(
        &self,
        _turn: &Turn,
        config: &config::Http,
        now: UnixMillis,
        telemetry: &Telemetry,
    ) -> Result<(), AccessError> {
        let current = self.access();
        let reloaded = current
            .reload(config)
            .and_then(|access| access.check_successor_of(&current, now).map(|()| access))
            .inspect_err(|error| telemetry.reload_failed(error))?;
        telemetry.set_certificate_expiry(reloaded.expires());
        self.access.store(Arc::new(reloaded));
        Ok(())
    }

    /// Stamps of the files as they are now, and as they were when they were read.
    pub(super) fn stamps_now_and_read(&self) -> (Stamps, Stamps) {
        let access = self.access();
        (access.stamps(), access.stamps_when_read())
    }
}
