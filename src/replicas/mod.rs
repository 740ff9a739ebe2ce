//! The union with other exporters, through Redis: each writes its registers, and reads those of all.
//!
//! A round takes ten seconds by Redis' clock. At its beginning, every exporter writes the registers that changed under
//! its own name; five seconds later, every exporter reads what is new to it and takes the maximum of all registers.
//! Taking a maximum again changes nothing, so it does not matter which exporter wrote what, how often, or before which
//! restart. What is in Redis is not trusted: each value has a limit, and is checked before use.

mod commands;
mod disconnects;
mod exchange;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod groups;
mod keys;
mod link;
mod manifest;
mod moment;
mod place;
mod read;
mod registers;
mod schedule;
mod union;
mod write;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::domain::Clock;
use crate::stats::Stats;
use crate::telemetry::Telemetry;
use crate::threads::wait_for_end;
use exchange::Exchange;
use keys::Name;
use schedule::Rounds;

pub use link::{Failure, Link, LinkError};

/// The thread that exchanges registers with Redis.
pub(crate) struct Replicas {
    is_stopping: Arc<AtomicBool>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Replicas {
    /// Starts the thread. It tries to reach Redis at once, and nothing waits for it.
    pub(crate) fn start(
        link: Link,
        name: String,
        stats: &Arc<Stats>,
        telemetry: &Telemetry,
        clock: &Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let name = Name::parse(name.as_bytes()).ok_or(io::ErrorKind::InvalidInput)?;
        let telemetry = telemetry.add_replicas();
        telemetry.started(name.as_str(), &link.describe());
        let is_stopping = Arc::new(AtomicBool::new(false));
        let exchange = Exchange::new(&name, stats, &telemetry, &is_stopping);
        let rounds = Rounds { exchange, link, telemetry, clock: Arc::clone(clock) };
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().name("replicas".to_owned()).spawn(move || rounds.run(&stopped))?;
        Ok(Self { is_stopping, stop, thread })
    }

    /// Writes once more what is new, if Redis answers in time, and ends the thread. Returns at the deadline at the
    /// latest.
    pub(crate) fn stop(self, deadline: Instant) {
        self.is_stopping.store(true, Ordering::Relaxed);
        drop(self.stop);
        wait_for_end(&self.thread, deadline);
    }
}
