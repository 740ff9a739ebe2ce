//! The connections of all workers.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::http::base::connections::Connections;

/// The connections of all workers.
pub(crate) struct Workers {
    all: Vec<Arc<Connections>>,
    /// Notified at each sweep.
    pub(super) swept: Notify,
}

impl Workers {
    pub(super) fn new(count: usize) -> Self {
        Self { all: (0..count).map(|_| Arc::default()).collect(), swept: Notify::new() }
    }

    /// The connections of each worker, in the workers' order.
    pub(crate) fn all(&self) -> &[Arc<Connections>] {
        &self.all
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.all.iter().map(|worker| worker.count()).sum()
    }

    /// Waits for this many sweeps.
    pub(crate) async fn sweeps(&self, number: u32) {
        for _ in 0..number {
            self.swept.notified().await;
        }
    }

    /// HTTP/2 requests in progress.
    pub(crate) fn requests(&self) -> usize {
        self.all.iter().map(|worker| worker.requests()).sum()
    }

    pub(crate) fn callbacks_in_flight(&self) -> usize {
        self.all.iter().map(|worker| worker.callbacks_in_flight()).sum()
    }
}
