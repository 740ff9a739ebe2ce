//! The connection to Redis: a single server, the primary that Sentinel names, or a Cluster.

use crate::config::ReplicasSettings;
use crate::domain::UnixMillis;
use crate::telemetry::ReplicasFailure;

/// Why the settings of Redis cannot be used. Names the flag, and how to correct it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) reason: ReplicasFailure,
    pub(crate) message: String,
}

/// The connection. It is made when it is needed, and made again after a failure.
pub(crate) struct Link;

impl Link {
    /// Reads the files that the settings name. Does not connect. `None` if no Redis is set.
    pub(crate) fn new(settings: &ReplicasSettings) -> Result<Option<Self>, LinkError> {
        let _ = settings;
        Ok(None)
    }

    /// The URL without its password, for the log.
    pub(crate) fn describe(&self) -> String {
        String::new()
    }

    /// The clock of the Redis server that has our keys.
    pub(crate) fn time(&mut self) -> Result<UnixMillis, Failure> {
        Ok(UnixMillis(0))
    }

    /// Sends all commands at once and returns their answers. Fails if one of them fails. All keys must have our hash tag.
    pub(crate) fn send(&mut self, commands: &[redis::Cmd]) -> Result<Vec<redis::Value>, Failure> {
        let _ = commands;
        Ok(Vec::new())
    }
}
