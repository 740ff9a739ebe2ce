//! Waiting for threads to end.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Interval between two checks of whether the thread has ended.
const INTERVAL: Duration = Duration::from_millis(5);

/// Waits for a thread to end, until the deadline at most: a disk or a server that it waits for may hang.
pub(crate) fn wait_for_end(thread: &JoinHandle<()>, deadline: Instant) {
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(INTERVAL);
    }
}
