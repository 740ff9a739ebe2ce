//! The open connections of one worker and their requests: an entry for each, which the sweep reads.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;

use super::progress::{Framing, Phase, Progress};

/// The open connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Slab<Arc<Progress>>>,
    /// The requests of connections that carry several at a time.
    requests: Mutex<Slab<Arc<Progress>>>,
    /// Milliseconds that the site has been up, as of its last sweep: coarse, but free to read.
    sweep_ms: AtomicU64,
    /// Told when the last one ends.
    emptied: Notify,
}

impl Connections {
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

    /// Requests under way on connections that carry several at a time.
    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().len()
    }

    pub(crate) fn callbacks_in_flight(&self) -> usize {
        let in_flight = |table: &Mutex<Slab<Arc<Progress>>>| {
            table.lock().iter().filter(|(_, progress)| progress.has_callback()).count()
        };
        in_flight(&self.open) + in_flight(&self.requests)
    }

    /// Judges each connection and request, at a time in milliseconds since the site came up.
    pub(crate) fn sweep(&self, now_ms: u64, check: impl Fn(&Progress)) {
        self.sweep_ms.store(now_ms, Ordering::Relaxed);
        self.open.lock().iter().for_each(|(_, progress)| check(progress));
        self.requests.lock().iter().for_each(|(_, progress)| check(progress));
    }

    /// Waits until there is none.
    pub(crate) async fn empty(&self) {
        while self.count() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A connection's notes, to be moved on.
#[derive(Clone, Debug)]
pub(crate) struct ProgressHandle {
    connections: Arc<Connections>,
    progress: Arc<Progress>,
}

impl ProgressHandle {
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Records whether a layer holds a part of something, and whether it held nothing at some point just before.
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

    /// Enters a phase, at the worker's coarse time.
    pub(crate) fn enter(&self, phase: Phase) {
        self.progress.enter(phase, self.connections.sweep_ms.load(Ordering::Relaxed));
    }
}

#[derive(Clone, Copy, Debug)]
enum Table {
    Connections,
    Requests,
}

/// An entry of a connection, or of one of its requests, among the open ones; gone when dropped.
#[derive(Debug)]
pub(crate) struct Tracker {
    key: usize,
    table: Table,
    handle: ProgressHandle,
}

impl Tracker {
    /// An entry for one request of a connection that carries several at a time.
    pub(crate) fn track_request(&self) -> Self {
        self.handle.connections.enter(Table::Requests)
    }

    /// For what may outlive the connection by a little.
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
            // Kept for the one worker that may wait, also if it does not yet.
            connections.emptied.notify_one();
        }
    }
}

/// The sweep has overdue it.
#[derive(Debug)]
pub(crate) struct Overdue;

/// The future's outcome, if it comes before the sweep condemns the connection or the request.
pub(crate) async fn in_time<T>(tracker: &Tracker, future: impl Future<Output = T>) -> Result<T, Overdue> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        tracker.progress().set_task(cx.waker());
        match future.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            Poll::Pending if tracker.progress().overdue().is_some() => Poll::Ready(Err(Overdue)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
