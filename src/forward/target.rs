//! A target in use.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_rustls::rustls::ClientConfig;

use super::breaker::Breaker;
use super::client::Client;
use crate::config::forward::Target;
use crate::spool::{Record, Spool};
use crate::telemetry::TargetTelemetry;
use crate::wire;

/// A target with its settings, and what its threads share. New settings make a new handle, with the same shared parts.
pub(crate) struct TargetHandle {
    pub(crate) target: Arc<Target>,
    /// For [`Client::new`](super::client::Client::new).
    pub(crate) tls: Arc<ClientConfig>,
    /// For the thread that passes callbacks through.
    pub(crate) answer_client: Client,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) telemetry: Arc<TargetTelemetry>,
    pub(crate) spool: Arc<Spool>,
    /// Passed-through requests in progress.
    pub(crate) in_flight: Arc<AtomicUsize>,
}

impl TargetHandle {
    /// The same target with other settings.
    pub(super) fn with(&self, target: &Arc<Target>, tls: Arc<ClientConfig>) -> Self {
        Self {
            answer_client: Client::new(target, &tls),
            target: Arc::clone(target),
            tls,
            breaker: Arc::clone(&self.breaker),
            telemetry: Arc::clone(&self.telemetry),
            spool: Arc::clone(&self.spool),
            in_flight: Arc::clone(&self.in_flight),
        }
    }

    /// Whether it gets a copy of a callback.
    pub(super) fn gets_copy(&self, callback: &Record<'_>) -> bool {
        self.gets(callback) && !self.target.answers(callback.command)
    }

    /// Whether it answers a callback.
    pub(super) fn answers(&self, callback: &Record<'_>) -> bool {
        self.target.answers(callback.command) && self.gets(callback)
    }

    fn gets(&self, callback: &Record<'_>) -> bool {
        self.target.commands.contains(callback.command)
            && (!self.target.filters_by_body() || self.admits(callback.body))
    }

    fn admits(&self, body: &[u8]) -> bool {
        let subject = wire::subject(body);
        self.target.admits(subject.content_type, subject.group.as_deref())
    }
}
