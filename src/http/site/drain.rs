//! The end of the process: begun by a signal or a request, followed by the workers and by every response.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What the workers do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Accept connections and answer requests.
    Serve,
    /// The same, but not ready, and each response closes its connection: clients are to move to other exporters.
    Leave,
    /// Accept no more, answer the requests on open connections, and end with the last of them.
    Drain {
        /// When the drain began, in milliseconds of running time.
        since_ms: u64,
    },
    /// End, even if connections are still open.
    End,
}

impl Stage {
    /// Whether no connections are accepted any more.
    pub(crate) fn is_draining(self) -> bool {
        !matches!(self, Self::Serve | Self::Leave)
    }
}

/// The current [`Stage`]. It never goes back.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// [`SERVE`], [`LEAVE`], [`END`], and otherwise when the drain began, plus [`FIRST`].
    stage: AtomicU64,
    /// Notified at each change.
    changed: Notify,
    /// Notified when a request asks for the drain.
    requested: Notify,
}

const SERVE: u64 = 0;
const LEAVE: u64 = 1;
const FIRST: u64 = 2;
const END: u64 = u64::MAX;

impl Drain {
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            SERVE => Stage::Serve,
            LEAVE => Stage::Leave,
            END => Stage::End,
            since => Stage::Drain { since_ms: since - FIRST },
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stage().is_draining()
    }

    /// Whether clients are to move to other exporters.
    pub(crate) fn is_leaving(&self) -> bool {
        self.stage() != Stage::Serve
    }

    /// Announces the drain. Does nothing if it has begun.
    pub(super) fn leave(&self) {
        let _ = self.stage.compare_exchange(SERVE, LEAVE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Begins the drain, at this running time in milliseconds. Does nothing if it has begun.
    pub(super) fn begin(&self, now_ms: u64) {
        let stage = now_ms.saturating_add(FIRST).min(END - 1);
        let begin = |now| (now <= LEAVE).then_some(stage);
        if self.stage.fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin).is_ok() {
            self.changed.notify_waiters();
        }
    }

    /// Ends the drain: its time is up.
    pub(super) fn end(&self) {
        self.stage.store(END, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// Waits until the stage fulfils a condition.
    pub(crate) async fn wait_for(&self, condition: impl Fn(Stage) -> bool) {
        loop {
            let changed = self.changed.notified();
            // Registered before the check, so that no change is missed.
            if condition(self.stage()) {
                return;
            }
            changed.await;
        }
    }

    /// Requests the drain from within a request.
    pub(crate) fn request(&self) {
        self.requested.notify_one();
    }

    pub(super) async fn requested(&self) {
        self.requested.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_begins_once_and_its_end_is_final() {
        let drain = Drain::default();
        drain.leave();
        assert_eq!((drain.stage(), drain.is_leaving(), drain.is_draining()), (Stage::Leave, true, false));
        drain.begin(5);
        drain.begin(7);
        drain.leave();
        assert_eq!(drain.stage(), Stage::Drain { since_ms: 5 });
        drain.end();
        drain.begin(9);
        assert_eq!(drain.stage(), Stage::End);
    }
}
