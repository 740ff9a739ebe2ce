//! The thread that maintains the spools, because a disk may hang.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::target::TargetHandle;
use crate::domain::{Clock, UnixMillis};
use crate::niceness::lower_priority;
use crate::telemetry::Backlog;
use crate::threads::wait_for_end;

/// Interval between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);

/// The thread.
pub(super) struct Upkeep {
    stops: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    /// Starts to maintain the spools of the current targets each second, and those that are full at once.
    ///
    /// # Errors
    /// When the system provides no thread.
    pub(super) fn start(targets: Arc<ArcSwap<Vec<Arc<TargetHandle>>>>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let stops = Arc::new(AtomicBool::new(false));
        let is_last = Arc::clone(&stops);
        let run = move || {
            lower_priority();
            let mut due = Instant::now();
            loop {
                let is_last = is_last.load(Ordering::Acquire);
                let is_due = is_last || Instant::now() >= due;
                let work = if is_due { maintain } else { make_room };
                targets.load().iter().for_each(|target| work(target, clock.now()));
                if is_last {
                    return;
                }
                if is_due {
                    due = Instant::now() + INTERVAL;
                }
                // A spool that is full unparks the thread.
                thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
        };
        Ok(Self { stops, thread: thread::Builder::new().name("forward-disk".to_owned()).spawn(run)? })
    }

    /// Maintains the spools once more, and ends, by this time at the latest.
    pub(super) fn stop(&self, deadline: Instant) {
        self.stops.store(true, Ordering::Release);
        self.thread.thread().unpark();
        wait_for_end(&self.thread, deadline);
    }
}

fn make_room(target: &TargetHandle, now: UnixMillis) {
    if let Err(error) = target.spool.make_room(now.0) {
        target.telemetry.spool_failed(&error, now.0);
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
