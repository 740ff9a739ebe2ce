//! One run: from the first connection to the report.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, interval_at, timeout};

use super::counts::Counts;
use super::error::Error;
use super::generator::Generator;
use super::mix::{CallbackSource, Mix};
use super::replay::{Replay, ReplayCounts};
use super::report::Report;
use super::schedule::Schedule;
use super::sender::{ANSWER_TIMEOUT, CallbackSender, Orders, RequestTemplate, RunState};
use super::tally::SendCount;
use crate::client::{ConnectError, Endpoint, Link};
use crate::config::simulate::{Callbacks, Simulate, Target};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The progress of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunProgress {
    /// Time since the first callback.
    pub elapsed: Duration,
    /// Callbacks answered or failed.
    pub sent: u64,
    /// Callbacks that the server answered with success.
    pub answered: u64,
    /// How late the next callback is; zero without `--rate`.
    pub behind: Duration,
}

/// Sends callbacks until the count or the time is reached or `stop` completes, and waits for the outstanding answers.
/// `progress` is called each second. Everything runs on the thread that awaits this.
///
/// # Errors
/// When the target cannot be reached at the start. Later failures are counted instead.
pub async fn run(
    options: &Simulate,
    stop: impl Future<Output = ()>,
    progress: impl FnMut(&RunProgress),
) -> Result<Report, Error> {
    let template = Rc::new(RequestTemplate::new(&options.target)?);
    let generator = Generator::new(options.groups, options.senders, options.seed)?;
    let source = match options.callbacks {
        Callbacks::GroupMessages => CallbackSource::GroupMessages(Box::new(generator)),
        Callbacks::All => CallbackSource::All(Box::new(Mix::new(generator))),
    };
    let counts = Counts::new(options.senders)?;
    let replay = options.replay.as_ref().map(Replay::open).transpose()?.map(Rc::new);
    let first = connect(&template.endpoint, &options.target).await?;
    let protocol = first.protocol();
    let mut first = Some(first);
    let start = Instant::now();
    let shared = Rc::new(RefCell::new(RunState { source, schedule: Schedule::new(options, start), counts }));
    let orders = Rc::new(Orders::new());
    let (halt, halted) = watch::channel(false);
    let (local, mut senders) = (LocalSet::new(), JoinSet::new());
    for _ in 0..options.connections {
        let shared = (Rc::clone(&shared), Rc::clone(&orders), replay.clone());
        let sender = CallbackSender::new(Rc::clone(&template), shared, halted.clone(), first.take());
        senders.spawn_local_on(sender.run(), &local);
    }
    let halt = || {
        shared.borrow_mut().schedule.stop(Instant::now());
        halt.send_replace(true);
    };
    local.run_until(supervise(senders, &shared, start, (stop, halt), progress)).await?;
    let shared = shared.borrow();
    let end = Instant::now();
    let latest_start_seconds = shared.schedule.latest().as_secs_f64();
    let replay = replay.map(|replay| ReplayCounts { latest_start_seconds, ..replay.counts() });
    let report = Report::new((options, protocol), &shared.counts, shared.schedule.pace(end), end - start);
    Ok(Report { replay, ..report })
}

async fn connect(endpoint: &Endpoint, target: &Target) -> Result<Link, Error> {
    let authority = || target.authority.clone();
    match timeout(ANSWER_TIMEOUT, Link::open(endpoint)).await {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(ConnectError::Unreachable(error))) => Err(Error::Unreachable(authority(), error)),
        Ok(Err(problem)) => Err(Error::Handshake(authority(), problem.to_string())),
        Err(_) => Err(Error::Unreachable(authority(), io::ErrorKind::TimedOut.into())),
    }
}

/// Waits until every connection is done, reports the progress, and halts the connections once `stop` completes.
async fn supervise(
    mut senders: JoinSet<Result<(), Error>>,
    shared: &RefCell<RunState>,
    start: Instant,
    (stop, halt): (impl Future<Output = ()>, impl Fn()),
    mut progress: impl FnMut(&RunProgress),
) -> Result<(), Error> {
    let mut stop = pin!(stop);
    let mut stopping = false;
    let mut seconds = interval_at(start + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            ended = senders.join_next() => match ended {
                Some(result) => result??,
                None => return Ok(()),
            },
            () = &mut stop, if !stopping => {
                stopping = true;
                halt();
            }
            now = seconds.tick() => progress(&shared.borrow().progress(start, now)),
        }
    }
}

impl RunState {
    fn progress(&self, start: Instant, now: Instant) -> RunProgress {
        let SendCount { sent, answered } = self.counts.all;
        RunProgress { elapsed: now - start, sent, answered, behind: self.schedule.behind(now) }
    }
}
