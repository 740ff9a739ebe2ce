//! Watches the state's file while the exporter runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::stats::Stats;
use crate::telemetry::Telemetry;

/// Time between two checks of the state's file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Watches the state's file on its own thread, because a disk may hang.
pub(in crate::app) struct Watcher {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watcher {
    pub(in crate::app) fn start(stats: &Arc<Stats>, telemetry: &Arc<Telemetry>) -> io::Result<Self> {
        let (stats, telemetry) = (Arc::clone(stats), Arc::clone(telemetry));
        let state = stats.state_path().map(PathBuf::from).unwrap_or_default();
        let (stop, stopped) = channel();
        let mut is_there = true;
        let watch = move || {
            while stopped.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let was_there = std::mem::replace(&mut is_there, stats.check_state_file());
                match (was_there, is_there) {
                    (true, false) => telemetry.state_file_missing(&state),
                    (false, true) => telemetry.state_file_back(&state),
                    _ => {}
                }
            }
        };
        Ok(Self { stop, thread: thread::Builder::new().name("state".to_owned()).spawn(watch)? })
    }

    /// Waits for the thread to end.
    pub(in crate::app) fn stop(self) {
        drop(self.stop);
        // The thread does not panic; if it did, nothing could be done about it here.
        let _ = self.thread.join();
    }
}
