//! Reloads the settings' files when they change or on request, on its own thread, because a disk may hang.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::Site;

/// Time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Time after which invalid settings are tried again, even if no watched file changed: they may name files that are not
/// watched yet.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Requests a reload of the settings.
pub(super) struct Reloader(Sender<()>);

impl Reloader {
    /// Starts to watch the settings of a site, until it is dropped.
    pub(super) fn start(site: &Arc<Site>) -> io::Result<Self> {
        let (sender, requests) = channel();
        let site = Arc::clone(site);
        thread::Builder::new().name("settings".to_owned()).spawn(move || watch(&site, &requests))?;
        Ok(Self(sender))
    }

    pub(super) fn reload(&self) {
        // The thread lives as long as this sender.
        let _ = self.0.send(());
    }
}

fn watch(site: &Site, requests: &Receiver<()>) {
    let (mut seen, mut tried) = site.settings_now_and_read();
    let mut failed_at: Option<Instant> = None;
    loop {
        let is_requested = match requests.recv_timeout(CHECK_INTERVAL) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (now, _) = site.settings_now_and_read();
        // A certificate and its key are written one after the other: the files are read once they no longer change.
        let is_stable = now == seen;
        let retry = failed_at.is_some_and(|at| at.elapsed() >= RETRY_INTERVAL);
        if is_requested || is_stable && (now != tried || retry) {
            failed_at = site.reload().err().map(|_| Instant::now());
            (seen, tried) = site.settings_now_and_read();
            if failed_at.is_some() {
                tried = now;
            }
        } else {
            seen = now;
        }
    }
}
