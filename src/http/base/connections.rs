//! The open connections of one worker and their requests. The sweep reads the progress of each.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::progress::{Framing, Phase, Progress};

/// The open connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Slab<Arc<Progress>>>,
    /// The requests of HTTP/2 connections.
    requests: Mutex<Slab<Arc<Progress>>>,
    /// The running time at the last sweep, in milliseconds: a coarse clock that costs nothing to read.
    sweep_ms: AtomicU64,
    /// Notified when the last connection ends.
    emptied: Notify,
}

impl Connections {
    /// Tracks a new connection.
    pub(crate) fn track(self: &Arc<Self>) -> Tracker {
        self.enter(Table::Connections)
    }

    fn enter(self: &Arc<Self>, table: Table) -> Tracker {
        let progress = Arc::new(Progress::default());
        progress.enter(Phase::Idle, self.sweep_ms.load(Ordering::Relaxed));
        let key = self.table(table).lock().insert(Arc::clone(&progress));
        Tracker { key, table, handle: ProgressHandle { connections: Arc::clone(self), progress } }
    }

    const fn table(&self, table: Table) -> &Mutex<Slab<Arc<Progress>>> {
        match table {
            Table::Connections => &self.open,
            Table::Requests => &self.requests,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// HTTP/2 requests in progress.
    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().len()
    }

    pub(crate) fn callbacks_in_flight(&self) -> usize {
        let in_flight = |table: &Mutex<Slab<Arc<Progress>>>| {
            table.lock().iter().filter(|(_, progress)| progress.has_callback()).count()
        };
        in_flight(&self.open) + in_flight(&self.requests)
    }

    /// Checks each connection and request. `now_ms` is the running time in milliseconds.
    pub(crate) fn sweep(&self, now_ms: u64, check: impl Fn(&Progress)) {
        self.sweep_ms.store(now_ms, Ordering::Relaxed);
        self.open.lock().iter().for_each(|(_, progress)| check(progress));
        self.requests.lock().iter().for_each(|(_, progress)| check(progress));
    }

    /// Waits until no connection is open.
    pub(crate) async fn empty(&self) {
        while self.count() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// Records the progress of a connection or a request. May outlive its [`Tracker`].
#[derive(Clone, Debug)]
pub(crate) struct ProgressHandle {
    connections: Arc<Connections>,
    progress: Arc<Progress>,
}

impl ProgressHandle {
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Records whether only a part of a record or head has arrived, and whether everything was complete at some point
    /// just before.
    pub(crate) fn record_partial(&self, framing: Framing, is_partial: bool, was_complete: bool) {
        let [tls, http2] = self.progress.partial_since();
        let since = match framing {
            Framing::Tls => tls,
            Framing::Http2 => http2,
        };
        if !is_partial {
            since.store(0, Ordering::Relaxed);
        } else if was_complete || since.load(Ordering::Relaxed) == 0 {
            since.store(self.connections.sweep_ms.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Enters a phase, at the time of the last sweep.
    pub(crate) fn enter(&self, phase: Phase) {
        self.progress.enter(phase, self.connections.sweep_ms.load(Ordering::Relaxed));
    }
}

#[derive(Clone, Copy, Debug)]
enum Table {
    Connections,
    Requests,
}

/// Tracks a connection, or one of its requests, until dropped.
#[derive(Debug)]
pub(crate) struct Tracker {
    key: usize,
    table: Table,
    handle: ProgressHandle,
}

impl Tracker {
    /// Tracks a request of this HTTP/2 connection.
    pub(crate) fn track_request(&self) -> Self {
        self.handle.connections.enter(Table::Requests)
    }

    pub(crate) fn handle(&self) -> &ProgressHandle {
        &self.handle
    }

    pub(crate) fn progress(&self) -> &Progress {
        self.handle.progress()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.handle.enter(phase);
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let connections = &self.handle.connections;
        let mut open = connections.table(self.table).lock();
        open.try_remove(self.key);
        if open.is_empty() && matches!(self.table, Table::Connections) {
            // `notify_one` stores the notification if the worker does not wait yet.
            connections.emptied.notify_one();
        }
    }
}

/// The sweep found that the connection or request took too long in this phase.
#[derive(Debug)]
pub(crate) struct Overdue(pub(crate) Phase);

/// Waits for the future until the sweep finds that the connection or the request takes too long.
///
/// # Errors
/// When it takes too long.
pub(crate) async fn in_time<T>(progress: &Progress, future: impl Future<Output = T>) -> Result<T, Overdue> {
    in_time_except(None, progress, future).await
}

/// The same, except in a phase whose time limit something else enforces.
///
/// # Errors
/// When it takes too long.
pub(crate) async fn in_time_except<T>(
    exempt: Option<Phase>,
    progress: &Progress,
    future: impl Future<Output = T>,
) -> Result<T, Overdue> {
    let mut future = pin!(future);
    let mut is_last_look = false;
    loop {
        let output = poll_fn(|cx| {
            progress.set_task(cx.waker());
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => match progress.overdue().filter(|phase| Some(*phase) != exempt) {
                    Some(phase) => Poll::Ready(Err(Overdue(phase))),
                    None => {
                        is_last_look = false;
                        Poll::Pending
                    }
                },
            }
        });
        match output.await {
            // The kernel may hold data that the runtime has not seen yet, and ending here would lose it. Let the
            // runtime poll for it.
            Err(_) if !is_last_look => {
                is_last_look = true;
                yield_now().await;
            }
            output => return output,
        }
    }
}
