//! The settings' files, read again when they change or when somebody asks for it: on a thread of its own, for a file may
//! stand on a disk that does not answer.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::Site;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// Time after which settings that could not be used are tried again, even if nothing shows that they changed: they may
/// name files that were not looked at before.
const RETRY: Duration = Duration::from_secs(60);

/// Asks for the settings to be read again.
pub(super) struct Reloader(Sender<()>);

impl Reloader {
    /// Watches the settings of a site from now on, until it is dropped.
    pub(super) fn watch(site: &Arc<Site>) -> io::Result<Self> {
        let (sender, asked) = channel();
        let site = Arc::clone(site);
        thread::Builder::new().name("settings".to_owned()).spawn(move || watch(&site, &asked))?;
        Ok(Self(sender))
    }

    pub(super) fn ask(&self) {
        // The thread is there as long as this is.
        let _ = self.0.send(());
    }
}

fn watch(site: &Site, asked: &Receiver<()>) {
    let (mut seen, mut tried) = site.settings_now_and_read();
    let mut failed_at: Option<Instant> = None;
    loop {
        let is_asked = match asked.recv_timeout(LOOK) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (now, _) = site.settings_now_and_read();
        // Who writes a certificate and its key writes one after the other: both are read once they have come to rest.
        let at_rest = now == seen;
        let again = failed_at.is_some_and(|at| at.elapsed() >= RETRY);
        if is_asked || at_rest && (now != tried || again) {
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
