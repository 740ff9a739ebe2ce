//! A realistic OpenIM: sends callbacks for made-up group messages, and counts what became of them.
//!
//! [`run`] does the work and prints nothing; [`command`] runs it for a person at a terminal.

mod compose;
mod console;
mod generator;
mod link;
mod population;
mod report;
mod schedule;
mod tally;
#[cfg(test)]
mod tests;
mod tls;
mod worker;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::http;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio::time::{Instant, interval_at, timeout};

use crate::config::simulate::{Simulate, Target};
use link::{Link, Route, Unopened};
use schedule::Schedule;
use tally::Counts;
use worker::{Envelope, Feed, Worker};

pub use compose::Letter;
pub use console::command;
pub use generator::{Drawn, Generator};
pub use link::Protocol;
pub use population::{group_id, sender_id};
pub use report::{AnswerTimes, Report};
pub use schedule::Pace;
pub use tally::{Failures, Mentioned, Tally};

/// How long OpenIM waits for an answer, opening a connection included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Why a simulation could not run; callbacks that fail are not among it, they are in the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing listens at the target.
    #[error("cannot connect to {0}: {1}; is the exporter running, and is this its callback listener?")]
    Unreachable(String, io::Error),
    /// Nobody's certificate could be good; names the flag and the way out.
    #[error("{0}")]
    Trust(String),
    /// The target does not speak TLS, or is not trusted.
    #[error("no TLS with {0}: {1}")]
    Handshake(String, String),
    /// Numbers that no distribution can be made of.
    #[error("cannot draw messages: {0}")]
    Numbers(String),
    /// A callback could not be written.
    #[error("cannot write a callback: {0}")]
    Callback(#[from] serde_json::Error),
    /// A request could not be made of a callback.
    #[error("cannot make a request: {0}")]
    Request(#[from] http::Error),
    /// A connection's task ended before its time.
    #[error("a connection's task failed: {0}")]
    Task(#[from] JoinError),
    /// The report could not be written to its file.
    #[error("cannot write the report to {path}: {error}", path = .0.display(), error = .1)]
    Report(PathBuf, io::Error),
    /// The summary could not be printed.
    #[error("cannot print: {0}")]
    Print(io::Error),
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since the first callback.
    pub elapsed: Duration,
    /// Callbacks answered or failed.
    pub sent: u64,
    /// Callbacks that the server took.
    pub answered: u64,
    /// How far the next callback is behind its time; zero without a wanted rate.
    pub behind: Duration,
}

/// Sends callbacks until the count or the time is reached, or `stop` is; what is on its way then is still waited for.
/// `progress` is called each second. Everything runs on the thread that awaits this.
///
/// # Errors
/// When the target cannot be reached at the very start. Once sending has begun, failures are counted instead.
pub async fn run(
    options: &Simulate,
    stop: impl Future<Output = ()>,
    progress: impl FnMut(&Progress),
) -> Result<Report, Error> {
    let envelope = Rc::new(Envelope::new(&options.target)?);
    let generator = Generator::new(options.groups, options.senders, options.seed)?;
    let counts = Counts::new(options.senders)?;
    let first = connect(&envelope.route, &options.target).await?;
    let protocol = first.protocol();
    let mut first = Some(first);
    let start = Instant::now();
    let feed = Rc::new(RefCell::new(Feed { generator, schedule: Schedule::new(options, start), counts }));
    let (halt, halted) = watch::channel(false);
    let (local, mut workers) = (LocalSet::new(), JoinSet::new());
    for _ in 0..options.connections {
        let worker = Worker::new(Rc::clone(&envelope), Rc::clone(&feed), halted.clone(), first.take());
        workers.spawn_local_on(worker.run(), &local);
    }
    let halt = || {
        feed.borrow_mut().schedule.stop(Instant::now());
        halt.send_replace(true);
    };
    local.run_until(attend(workers, &feed, start, (stop, halt), progress)).await?;
    let feed = feed.borrow();
    let end = Instant::now();
    Ok(Report::new((options, protocol), &feed.counts, feed.schedule.pace(end), end - start))
}

async fn connect(route: &Route, target: &Target) -> Result<Link, Error> {
    let authority = || target.authority.clone();
    match timeout(ANSWER_TIMEOUT, Link::open(route)).await {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(Unopened::Unreachable(error))) => Err(Error::Unreachable(authority(), error)),
        Ok(Err(Unopened::Handshake(problem))) => Err(Error::Handshake(authority(), problem)),
        Err(_) => Err(Error::Unreachable(authority(), io::ErrorKind::TimedOut.into())),
    }
}

/// Until every connection is done: reports progress, and halts when asked to.
async fn attend(
    mut workers: JoinSet<Result<(), Error>>,
    feed: &RefCell<Feed>,
    start: Instant,
    (stop, halt): (impl Future<Output = ()>, impl Fn()),
    mut progress: impl FnMut(&Progress),
) -> Result<(), Error> {
    let mut stop = pin!(stop);
    let mut stopping = false;
    let mut seconds = interval_at(start + PROGRESS_EVERY, PROGRESS_EVERY);
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                Some(outcome) => outcome??,
                None => return Ok(()),
            },
            () = &mut stop, if !stopping => {
                stopping = true;
                halt();
            }
            now = seconds.tick() => progress(&feed.borrow().progress(start, now)),
        }
    }
}

impl Feed {
    fn progress(&self, start: Instant, now: Instant) -> Progress {
        let Tally { sent, answered } = self.counts.all;
        Progress { elapsed: now - start, sent, answered, behind: self.schedule.behind(now) }
    }
}
