//! Passing callbacks through: the target's answer decides, and its policy if there is none.
//!
//! A thread of its own talks to the targets, because deadlines need timers, which the serving threads do not have. The
//! thread that serves the callback waits for a message from it.

mod policy;
mod talk;

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::runtime::{self, Handle};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout_at};

use super::breaker::Permit;
use super::request::request;
use super::target::TargetHandle;
use crate::domain::Clock;
use crate::spool::Record;
use crate::telemetry::{AnswerFailure, Verdict};
use crate::wire::{Judged, UrlForm, judge};
pub(crate) use policy::Answer;
use policy::Fallback;
use talk::{Failure, ask};

/// OpenIM 2.3, which sends the command only in the body, gives up after two seconds; later versions after five.
const LIMIT_IN_BODY_FORM: Duration = Duration::from_millis(1800);

/// A sender that gives up after at least this time waited for the target; before, it probably ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread that passes callbacks through.
pub(crate) struct Answering {
    runtime: Handle,
    clock: Arc<dyn Clock>,
    /// The largest body of an answer, in bytes.
    max_answer_bytes: usize,
    /// The time by which every waiting callback is answered.
    drain: watch::Sender<Option<Instant>>,
    ended: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system provides no thread, or no file descriptor for its runtime.
    pub(crate) fn start(clock: Arc<dyn Clock>, max_answer_bytes: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (handle, ended) = (runtime.handle().clone(), Arc::new(Notify::new()));
        let end = Arc::clone(&ended);
        let run = move || {
            runtime.block_on(end.notified());
            // Requests in progress are given up. A DNS lookup must not delay the shutdown.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("forward-answer".to_owned()).spawn(run)?;
        let drain = watch::Sender::new(None);
        Ok(Self { runtime: handle, clock, max_answer_bytes, drain, ended, thread: Some(thread) })
    }

    /// From this time on, the policies answer the callbacks that still wait.
    pub(crate) fn drain(&self, until: Instant) {
        self.drain.send_replace(Some(until));
    }

    /// Passes a callback through to a target.
    pub(crate) fn pass(&self, target: &Arc<TargetHandle>, record: &Record<'_>, context: Context) -> Passed {
        let settings = &target.target;
        let Context { body, carry_on, form } = context;
        let case = Case {
            fallback: Fallback { policy: settings.policies.of(record.command), carry_on, form },
            command: record.command.into(),
            began: Instant::now(),
            target: Arc::clone(target),
            clock: Arc::clone(&self.clock),
            has_ended: AtomicBool::new(false),
        };
        let Some(place) = Place::take(target, settings.max_in_flight) else {
            let what = format_args!("{} requests are in progress", settings.max_in_flight);
            return Passed::Now(case.give_up(&Failure::new(AnswerFailure::InFlight, what), None));
        };
        let Some(permit) = target.breaker.permit(case.began) else {
            let failure = Failure::new(AnswerFailure::Breaker, "its circuit breaker is open");
            return Passed::Now(case.give_up(&failure, None));
        };
        match request(settings, record, body, self.clock.now()) {
            Ok(request) => self.send(case, request, (place, permit)),
            Err(error) => Passed::Now(case.give_up(&Failure::new(AnswerFailure::Unreachable, error), None)),
        }
    }

    fn send(&self, case: Case, request: Request<Full<Bytes>>, (place, permit): (Place, Permit)) -> Passed {
        let (mut sender, answer) = oneshot::channel();
        let (drain, limit, deadline) = (self.drain.subscribe(), self.max_answer_bytes, case.deadline());
        let case = Arc::new(case);
        let waiting = Waiting { answer, case: Arc::clone(&case) };
        self.runtime.spawn(async move {
            let _place = place;
            // The runtime then looks for events, such as the end of a connection in the pool.
            yield_now().await;
            let asked = async {
                tokio::select! {
                    asked = timeout_at(deadline.into(), ask(&case.target.answer_client, request, limit)) => asked.ok(),
                    () = drained(drain) => None,
                }
            };
            tokio::select! {
                asked = asked => drop(sender.send(case.end(asked, permit))),
                () = sender.closed() => case.abandon(permit),
            }
        });
        Passed::Waits(waiting)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ended.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

/// Waits until everything must be answered.
async fn drained(mut drain: watch::Receiver<Option<Instant>>) {
    let until = drain.wait_for(Option::is_some).await.ok().and_then(|until| *until);
    if let Some(until) = until {
        sleep_until(until.into()).await;
    }
}

/// What passing a callback through needs in addition to its record.
pub(crate) struct Context {
    pub(crate) body: Bytes,
    /// The body of the answer with which OpenIM carries on.
    pub(crate) carry_on: Bytes,
    pub(crate) form: UrlForm,
}

/// A callback that was passed through.
pub(crate) enum Passed {
    /// The policy answered at once.
    Now(Answer),
    Waits(Waiting),
}

/// The wait for an answer. Dropping it gives up the request.
pub(crate) struct Waiting {
    answer: oneshot::Receiver<Answer>,
    case: Arc<Case>,
}

impl Waiting {
    /// The target's answer, or that of its policy.
    pub(crate) async fn answer(&mut self) -> Answer {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            Err(_) => self.give_up(),
        }
    }

    /// The policy's answer, because the wait ends too late.
    pub(crate) fn give_up(&self) -> Answer {
        self.case.give_up(&Failure::new(AnswerFailure::Timeout, "the exporter is shutting down or overloaded"), None)
    }
}

/// A callback that is being passed through.
struct Case {
    target: Arc<TargetHandle>,
    command: Box<str>,
    fallback: Fallback,
    began: Instant,
    clock: Arc<dyn Clock>,
    /// Whether its end is counted.
    has_ended: AtomicBool,
}

impl Case {
    /// True once: both the thread that waits and the one that talks to the target may end it.
    fn ends(&self) -> bool {
        !self.has_ended.swap(true, Ordering::Relaxed)
    }

    /// Nobody waits any more, because the sender reset the request (HTTP/2): its limit may be shorter than ours. If it
    /// waited for long, the target is too slow.
    fn abandon(&self, permit: Permit) {
        if !self.ends() {
            return;
        }
        let waited = self.began.elapsed();
        if waited >= PATIENCE {
            permit.failed(Instant::now());
        }
        let what = format_args!("the sender gave up after {} ms", waited.as_millis());
        self.failed((AnswerFailure::Timeout, &what), waited);
    }

    fn failed(&self, failure: (AnswerFailure, &dyn Display), after: Duration) {
        let decision = (&*self.command, self.fallback.policy.name());
        self.target.telemetry.answer_failed(failure, decision, after, self.clock.now().0);
    }

    /// When the policy answers instead of the target.
    fn deadline(&self) -> Instant {
        let limit = self.target.target.answer_timeout;
        self.began + if self.fallback.form == UrlForm::Body { limit.min(LIMIT_IN_BODY_FORM) } else { limit }
    }

    /// Which limit is reached now.
    fn timeout(&self, now: Instant) -> String {
        let limit = self.target.target.answer_timeout;
        if now < self.deadline() {
            "no answer before the shutdown".to_owned()
        } else if self.fallback.form == UrlForm::Body && limit > LIMIT_IN_BODY_FORM {
            format!("no answer within {LIMIT_IN_BODY_FORM:?}: OpenIM 2.3 waits for 2s")
        } else {
            format!("no answer within answer_timeout ({limit:?})")
        }
    }

    /// Decides what OpenIM gets, and counts it. `None`: time is up.
    fn end(&self, asked: Option<Result<Answer, Failure>>, permit: Permit) -> Answer {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.began);
        let asked = asked.unwrap_or_else(|| Err(Failure::new(AnswerFailure::Timeout, self.timeout(now))));
        // A target whose answers OpenIM cannot use may still accept deliveries.
        match &asked {
            Ok(answer) if !answer.status.is_server_error() && answer.status != TOO_MANY_REQUESTS => {
                permit.succeeded(now);
            }
            _ => permit.failed(now),
        }
        match asked {
            Ok(answer) => self.judge(answer, took),
            Err(failure) => self.give_up(&failure, None),
        }
    }

    fn judge(&self, answer: Answer, took: Duration) -> Answer {
        // Go follows a redirect, and some of its versions fail without a `Location`, which is not passed on.
        let is_redirect = matches!(answer.status.as_u16(), 301..=303 | 307 | 308);
        let judged = if is_redirect { Judged::Unusable } else { judge(&answer.body, self.fallback.form) };
        let verdict = match judged {
            Judged::Allows => Verdict::Allowed,
            Judged::Refuses => Verdict::Refused,
            Judged::LooksLikeRefusal => Verdict::IneffectiveRefusal,
            Judged::Unusable => {
                let what = format!("status {}, {} bytes that OpenIM cannot read", answer.status, answer.body.len());
                return self.give_up(&Failure::new(AnswerFailure::Unusable, what), Some(answer));
            }
        };
        if self.ends() {
            self.target.telemetry.answered(verdict, took);
            if verdict == Verdict::IneffectiveRefusal {
                self.target.telemetry.refused_without_effect(&self.command, self.clock.now().0);
            }
        }
        answer
    }

    /// The policy decides, because of this failure.
    fn give_up(&self, failure: &Failure, came_back: Option<Answer>) -> Answer {
        let (answer, verdict) = self.fallback.answer(came_back);
        if self.ends() {
            self.failed((failure.kind, &failure.what), self.began.elapsed());
            self.target.telemetry.decided(verdict);
        }
        answer
    }
}

const TOO_MANY_REQUESTS: hyper::StatusCode = hyper::StatusCode::TOO_MANY_REQUESTS;

/// A place among the requests to a target that are in progress.
struct Place(Arc<TargetHandle>);

impl Place {
    /// `None` if this many are taken.
    fn take(target: &Arc<TargetHandle>, most: usize) -> Option<Self> {
        let taken: &AtomicUsize = &target.in_flight;
        let place =
            taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < most).then_some(taken + 1));
        place.ok().map(|_| Self(Arc::clone(target)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
