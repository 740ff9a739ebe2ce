//! The stream of events to one viewer of the live page.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::watch;

use super::live::{Latest, Live};
use crate::http::base::connections::{ProgressHandle, Tracker};
use crate::http::base::progress::Phase;
use crate::http::base::quota::Share;

/// The events to one viewer. A viewer that reads slowly misses some: the next one is handed over only when the previous
/// one has been sent.
pub(crate) struct Viewer {
    next: Pin<Box<dyn Future<Output = Option<watch::Receiver<Latest>>> + Send>>,
    /// Where the progress is recorded.
    handle: ProgressHandle,
    /// The stream ends with the next of [`Latest::renewals`].
    renewals: u64,
    /// Its share of the quota of viewers.
    _share: Share,
}

impl Viewer {
    /// A viewer that begins with the latest event.
    pub(crate) fn new(live: &Live, share: Share, tracker: &Tracker) -> Self {
        let events = live.subscribe();
        let renewals = events.borrow().renewals;
        Self { next: Box::pin(next(events)), handle: tracker.handle().clone(), renewals, _share: share }
    }

    /// The next event; `None` after the last one. An error ends the connection.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let Some(receiver) = ready!(self.next.as_mut().poll(cx)) else { return Poll::Ready(None) };
            let Latest { event, is_over, renewals, .. } = receiver.borrow().clone();
            let is_over = is_over || renewals != self.renewals;
            self.next = Box::pin(next(receiver));
            let is_sending = self.handle.progress().phase() == Phase::Event;
            // A viewer that does not read must not delay the end.
            if is_over && is_sending || self.handle.progress().overdue().is_some() {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            if is_over {
                return Poll::Ready(None);
            }
            if !is_sending && !event.is_empty() {
                self.handle.enter(Phase::Event);
                return Poll::Ready(Some(Ok(event)));
            }
        }
    }
}

/// Waits for the next event. `None` if the site is gone.
async fn next(mut events: watch::Receiver<Latest>) -> Option<watch::Receiver<Latest>> {
    events.changed().await.ok()?;
    Some(events)
}

/// hyper drops it after the last event, for a `HEAD`, or when the viewer has hung up.
impl Drop for Viewer {
    fn drop(&mut self) {
        let progress = self.handle.progress();
        // A response that took too long ends here.
        if matches!(progress.phase(), Phase::Event | Phase::Live) && progress.overdue().is_none() {
            self.handle.enter(Phase::Answer);
        }
    }
}
