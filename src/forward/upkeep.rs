//! The thread that maintains the spools, because a disk may hang.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::target::TargetHandle;
use crate::domain::{Clock, UnixMillis};
use crate::niceness::lower_priority;
use crate::telemetry::Backlog;

/// Interval between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);

/// The thread. It ends when this is dropped.
pub(super) struct Upkeep {
    /// `None` once it was told to end.
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Upkeep {
    /// Starts to maintain the spools of the current targets each second.
    ///
    /// # Errors
    /// When the system provides no thread.
    pub(super) fn start(targets: Arc<ArcSwap<Vec<Arc<TargetHandle>>>>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (sender, ended) = channel::<()>();
        let run = move || {
            lower_priority();
            loop {
                let is_last = !matches!(ended.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout));
                targets.load().iter().for_each(|target| maintain(target, clock.now()));
                if is_last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("forward-disk".to_owned()).spawn(run)?;
        Ok(Self { running: Mutex::new(Some((sender, thread))) })
    }

    /// Maintains the spools once more, and ends, by this time at the latest.
    pub(super) fn stop(&self, deadline: Instant) {
        let Some((sender, thread)) = self.running.lock().take() else { return };
        drop(sender);
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn maintain(target: &TargetHandle, now: UnixMillis) {
    if let Err(error) = target.spool.maintain(now.0) {
        target.telemetry.spool_failed(&error, now.0);
    }
    let figures = target.spool.figures();
    let oldest_age = figures.oldest_pending_ms.map_or(0, |oldest| now.since(UnixMillis(oldest)).max(0).unsigned_abs());
    target.telemetry.set_backlog(&Backlog {
        callbacks: figures.pending,
        bytes: figures.pending_bytes,
        oldest_age: Duration::from_millis(oldest_age),
        dead_letters: figures.dead_letters,
        dropped: figures.dropped,
    });
}
