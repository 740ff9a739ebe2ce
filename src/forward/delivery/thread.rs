//! The thread that delivers the callbacks of a target.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep_until, timeout_at};

use super::attempt::{Attempt, attempt, caught};
use super::order::Order;
use crate::domain::Clock;
use crate::forward::breaker::Permit;
use crate::forward::client::Client;
use crate::forward::request::request;
use crate::forward::target::TargetHandle;
use crate::niceness::lower_priority;
use crate::spool::{Entry, Position, Reader, Record};
use crate::threads::wait_for_end;
use crate::wire;

/// How often an empty spool is polled. The serving threads do not wake this thread, because that would cost them a system
/// call for each callback.
const POLL: Duration = Duration::from_millis(20);

/// Delay before the spool is read again after a failure.
const RETRY_READING: Duration = Duration::from_secs(1);

/// Maximum number of callbacks that are read in a row without finding one that can be sent.
const READ_AT_ONCE: usize = 1000;

/// Shortest interval between two rewinds of the reader.
const REWIND_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest and the longest delay before a retry. The delay doubles with each failed attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long the shutdown waits for deliveries in progress, so that they need not be repeated.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A delivery thread.
pub(crate) struct Worker {
    target: Arc<ArcSwap<TargetHandle>>,
    stop: watch::Sender<Option<Instant>>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts to deliver the callbacks of a target.
    ///
    /// # Errors
    /// When the system provides no thread, or no file descriptor for its runtime.
    pub(crate) fn start(target: Arc<TargetHandle>, reader: Reader, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, mut stopped) = watch::channel(None);
        let name = format!("forward-{}", target.target.name);
        let target = Arc::new(ArcSwap::new(target));
        let current = Arc::clone(&target);
        let run = move || {
            lower_priority();
            runtime.block_on(async { Delivery::new(current, reader, clock).run(&mut stopped).await });
            // A DNS lookup must not delay the shutdown.
            runtime.shutdown_background();
        };
        Ok(Self { target, stop, thread: thread::Builder::new().name(name).spawn(run)? })
    }

    /// The target as the thread sees it.
    pub(crate) fn target(&self) -> Arc<TargetHandle> {
        self.target.load_full()
    }

    /// Uses other settings from now on.
    pub(crate) fn set(&self, target: Arc<TargetHandle>) {
        self.target.store(target);
    }

    /// Starts the shutdown: nothing more is sent, and deliveries in progress are given up at the deadline.
    pub(crate) fn stop(&self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
    }

    /// Waits for the thread to end, until the deadline at most.
    pub(crate) fn join(self, deadline: Instant) {
        wait_for_end(&self.thread, deadline);
    }
}

/// A callback in progress.
struct Flight {
    key: u64,
    position: Position,
    permit: Permit,
    command: Box<str>,
    attempt: Attempt,
    took: Duration,
}

/// The state of the thread.
struct Delivery {
    current: Arc<ArcSwap<TargetHandle>>,
    target: Arc<TargetHandle>,
    client: Arc<Client>,
    reader: Reader,
    clock: Arc<dyn Clock>,
    order: Order<Position>,
    hasher: RandomState,
    flights: JoinSet<Flight>,
    /// When the reader looks for further callbacks.
    read_at: Instant,
    rewind_at: Instant,
    /// How often the breaker had closed.
    closed: u64,
    is_stalled: bool,
}

impl Delivery {
    fn new(current: Arc<ArcSwap<TargetHandle>>, reader: Reader, clock: Arc<dyn Clock>) -> Self {
        let target = current.load_full();
        let now = Instant::now();
        Self {
            client: Arc::new(Client::new(&target.target, &target.tls)),
            closed: target.breaker.closed(),
            current,
            target,
            reader,
            clock,
            order: Order::new(),
            hasher: RandomState::default(),
            flights: JoinSet::new(),
            read_at: now,
            rewind_at: now,
            is_stalled: false,
        }
    }

    async fn run(&mut self, stopped: &mut watch::Receiver<Option<Instant>>) {
        // The sender is gone if the start of another target failed.
        while stopped.borrow().is_none() && stopped.has_changed().is_ok() {
            self.refresh();
            let next = self.dispatch(Instant::now());
            tokio::select! {
                Some(ended) = self.flights.join_next() => self.settle(ended),
                () = sleep_until(next.into()) => {}
                _ = stopped.changed() => {}
            }
            while let Some(ended) = self.flights.try_join_next() {
                self.settle(ended);
            }
        }
        let end = (*stopped.borrow()).map_or_else(Instant::now, |deadline| deadline.min(Instant::now() + LAST_ANSWERS));
        while let Ok(Some(ended)) = timeout_at(end.into(), self.flights.join_next()).await {
            self.settle(ended);
        }
    }

    /// Applies new settings, and restarts the pauses if the target works again.
    fn refresh(&mut self) {
        let current = self.current.load();
        if !Arc::ptr_eq(&current, &self.target) {
            self.target = Arc::clone(&current);
            self.client = Arc::new(Client::new(&self.target.target, &self.target.tls));
        }
        let closed = self.target.breaker.closed();
        if closed != self.closed {
            self.closed = closed;
            let now = Instant::now();
            self.order.restart(|| now + jittered(FIRST_PAUSE));
        }
    }

    /// Sends what can be sent. Returns when to look again, unless a delivery ends before.
    fn dispatch(&mut self, now: Instant) -> Instant {
        self.order.wake(now);
        if self.rewind_at <= now
            && let Some(position) = self.order.take_rewind()
        {
            self.reader.rewind(position);
            self.rewind_at = now + REWIND_INTERVAL;
            self.read_at = now;
        }
        while self.flights.len() < self.target.target.concurrency {
            let is_probe = match self.target.breaker.allows(now) {
                Some(is_probe) => is_probe,
                None => return now + POLL,
            };
            let Some((key, position, entry)) = self.candidate(now, is_probe) else {
                let next_pause = self.order.next_pause().unwrap_or(now + POLL);
                return self.read_at.max(now).min(next_pause).min(now + POLL);
            };
            match self.target.breaker.permit(now) {
                Some(permit) => self.send(key, position, &entry, permit),
                // The other thread took the probe.
                None => self.order.put_back(key),
            }
        }
        now + LONGEST_PAUSE
    }

    /// The next callback to send: of a key that is ready, or else from the spool.
    fn candidate(&mut self, now: Instant, is_probe: bool) -> Option<(u64, Position, Entry)> {
        if let Some(ready) = self.next_ready(now) {
            return Some(ready);
        }
        let found = self.next_in_spool(now);
        if found.is_none() && is_probe && self.flights.is_empty() {
            self.order.wake_one();
            return self.next_ready(now);
        }
        found
    }

    fn next_ready(&mut self, now: Instant) -> Option<(u64, Position, Entry)> {
        while let Some((key, position)) = self.order.next_ready() {
            match self.reader.read(position) {
                Ok(Some(entry)) => return Some((key, position, entry)),
                // It was dropped meanwhile.
                Ok(None) => self.order.done(key),
                Err(error) => {
                    self.order.failed(key, now + RETRY_READING, false);
                    self.reading_failed(&error, now);
                    return None;
                }
            }
        }
        None
    }

    fn next_in_spool(&mut self, now: Instant) -> Option<(u64, Position, Entry)> {
        if now < self.read_at {
            return None;
        }
        if self.stalls() {
            // Otherwise the thread would look again at once, until a key is free.
            self.read_at = now + POLL;
            return None;
        }
        for _ in 0..READ_AT_ONCE {
            match self.reader.next() {
                Ok(Some((position, entry))) => {
                    let key = self.key(&entry.record());
                    if self.order.take(key, position) {
                        return Some((key, position, entry));
                    }
                }
                Ok(None) => {
                    self.read_at = now + POLL;
                    return None;
                }
                Err(error) => {
                    self.reading_failed(&error, now);
                    return None;
                }
            }
        }
        None
    }

    fn stalls(&mut self) -> bool {
        let is_full = self.order.is_full();
        if is_full && !self.is_stalled {
            self.target.telemetry.stalled(self.clock.now().0);
        }
        self.is_stalled = is_full;
        is_full
    }

    fn reading_failed(&mut self, error: &io::Error, now: Instant) {
        self.target.telemetry.spool_failed(error, self.clock.now().0);
        self.read_at = now + RETRY_READING;
    }

    /// The key whose callbacks keep their order: a group, or a sender, or else a command.
    fn key(&self, callback: &Record<'_>) -> u64 {
        let subject = wire::subject(callback.body);
        match (&subject.group, &subject.sender) {
            (Some(group), _) => self.hasher.hash_one((0, &**group)),
            (None, Some(sender)) => self.hasher.hash_one((1, &**sender)),
            (None, None) => self.hasher.hash_one((2, callback.command)),
        }
    }

    fn send(&mut self, key: u64, position: Position, entry: &Entry, permit: Permit) {
        let (record, now) = (entry.record(), self.clock.now());
        let command: Box<str> = record.command.into();
        match request(&self.target.target, &record, entry.body(), now) {
            Ok(request) => {
                let attempt = attempt(Arc::clone(&self.client), request, self.target.target.delivery_timeout, now);
                self.flights.spawn(async move {
                    let (attempt, took) = caught(attempt).await;
                    Flight { key, position, permit, command, attempt, took }
                });
            }
            Err(error) => {
                self.target.telemetry.unusable(&command, &error);
                self.bury(key, position, &command, (0, &error.to_string()));
            }
        }
    }

    /// Takes note of how a delivery ended.
    fn settle(&mut self, ended: Result<Flight, JoinError>) {
        // A task ends with an error only if it panics, which `caught` prevents.
        let Ok(Flight { key, position, permit, command, attempt, took }) = ended else { return };
        let now = Instant::now();
        self.target.telemetry.attempted(attempt.outcome(), took, &attempt, self.clock.now().0);
        match attempt {
            Attempt::Delivered => {
                permit.succeeded(now);
                if let Err(error) = self.reader.delivered(position) {
                    self.target.telemetry.spool_failed(&error, self.clock.now().0);
                }
                self.order.done(key);
            }
            Attempt::Rejected { status, reason } => {
                permit.succeeded(now);
                self.bury(key, position, &command, (status, &reason));
            }
            Attempt::Failed { retry_after, .. } => {
                permit.failed(now);
                let pause = FIRST_PAUSE.saturating_mul(1 << self.order.tries(key).min(10)).min(LONGEST_PAUSE);
                let pause = retry_after.map_or_else(|| jittered(pause), |asked| asked + jittered(FIRST_PAUSE));
                self.order.failed(key, now + pause, retry_after.is_some());
            }
        }
    }

    /// Makes a callback a dead letter.
    fn bury(&mut self, key: u64, position: Position, command: &str, (status, reason): (u16, &str)) {
        let at_ms = self.clock.now().0;
        match self.reader.bury(position, status, reason) {
            Ok(()) => {
                self.target.telemetry.buried(command, status, at_ms);
                self.order.done(key);
            }
            // It is still pending.
            Err(error) => {
                self.target.telemetry.spool_failed(&error, at_ms);
                self.order.failed(key, Instant::now() + LONGEST_PAUSE, false);
            }
        }
    }
}

/// A random delay up to this one ("full jitter"), so that the retries of many callbacks are spread out.
fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(rand::random_range(0.0..1.0))
}
