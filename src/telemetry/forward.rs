//! What happens to the callbacks that are forwarded: the metrics of each target, and their log events.

pub(super) mod figures;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tracing::{debug, error, info, warn};

use super::family::{Family, Samples};
use super::metric::{BusyCounter, Counter, CounterVec, DurationBuckets, Durations, Gauge, Metric, Throttle, metrics};
use crate::named::named;
use crate::spool::Dropped;

/// Upper bounds of the targets' response times, in microseconds: up to the longest timeout.
const TARGET: &DurationBuckets = &DurationBuckets {
    bounds_us: &[
        200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
        10_000_000, 30_000_000,
    ],
    native: None,
};

// In the order of a scrape. The first label of each is the target.
metrics! {
    /// The metrics of one target. Counters and histograms start with the process, or when the target is added.
    struct TargetMetrics;

    /// Time from a passed-through callback to the target's answer or the timeout, since the process started.
    answer_duration: Durations = "openim_exporter_forward_answer_duration_seconds" ["target"] (TARGET);
    /// Passed-through callbacks without a usable answer from the target, since the process started.
    answer_failures: CounterVec<AnswerFailure> = "openim_exporter_forward_answer_failures_total" ["target", "reason"];
    /// Answers to passed-through callbacks, since the process started: the target's, or those of its policy.
    answers: CounterVec<Verdict> = "openim_exporter_forward_answers_total" ["target", "verdict"];
    /// Attempts to deliver a callback from the spool, since the process started.
    attempts: CounterVec<Outcome> = "openim_exporter_forward_attempts_total" ["target", "outcome"];
    /// State of the target's circuit breaker: 0 closed, 1 half-open, 2 open.
    breaker_state: Gauge = "openim_exporter_forward_breaker_state" ["target"];
    /// Callbacks that the target rejected and that are kept as dead letters.
    dead_letters: Gauge = "openim_exporter_forward_dead_letters_stored" ["target"];
    /// Callbacks that became dead letters since the process started.
    dead_letters_total: Counter = "openim_exporter_forward_dead_letters_total" ["target"];
    /// Callbacks delivered from the spool since the process started.
    delivered: Counter = "openim_exporter_forward_delivered_total" ["target"];
    /// Callbacks removed from the spool without delivery, or not stored in it, since the process started.
    dropped: CounterVec<Dropped> = "openim_exporter_forward_dropped_total" ["target", "reason"];
    /// Time of each attempt to deliver a callback from the spool, since the process started.
    duration: Durations = "openim_exporter_forward_duration_seconds" ["target"] (TARGET);
    /// Age of the oldest pending callback in the spool, in seconds; 0 if there is none.
    oldest_pending_age: Gauge = "openim_exporter_forward_oldest_pending_age_seconds" ["target"];
    /// Size of the callbacks in the spool that are not delivered yet, in bytes.
    pending_bytes: Gauge = "openim_exporter_forward_pending_bytes" ["target"];
    /// Callbacks in the spool that are not delivered yet.
    pending_callbacks: Gauge = "openim_exporter_forward_pending_callbacks" ["target"];
    /// Callbacks received for the target's spool since the process started.
    received: BusyCounter = "openim_exporter_forward_received_total" ["target"];
    /// Times that delivery stalled because too many groups or senders were waiting for a retry, since the process
    /// started.
    stalls: Counter = "openim_exporter_forward_stalls_total" ["target"];
}

named! {
    /// How an attempt to deliver a callback ended.
    pub enum Outcome {
        /// The target accepted it.
        Success = "success",
        /// The target rejected it for good: it becomes a dead letter.
        Rejected = "rejected",
        /// The target answered, but the callback must be sent again.
        Failed = "failed",
        /// There was no answer in time.
        Timeout = "timeout",
        /// There was no connection, or it ended before the answer.
        Unreachable = "unreachable",
    }
}

named! {
    /// Which answer a passed-through callback got.
    pub enum Verdict {
        /// The target's, which lets the action go on.
        Allowed = "allowed",
        /// The target's, which stops the action.
        Refused = "refused",
        /// The target's, which looks like a refusal, but lets the action go on.
        IneffectiveRefusal = "ineffective_refusal",
        /// That of the policy `continue`.
        PolicyContinue = "policy_continue",
        /// That of the policy `refuse`.
        PolicyRefuse = "policy_refuse",
        /// That of the policy `transparent`.
        PolicyTransparent = "policy_transparent",
    }
}

named! {
    /// Why there is no usable answer from a target.
    pub enum AnswerFailure {
        /// It did not come in time.
        Timeout = "timeout",
        /// There was no connection, or it ended before the answer.
        Unreachable = "unreachable",
        /// OpenIM would take it for an error.
        Unusable = "unusable",
        /// The circuit breaker is open.
        Breaker = "breaker",
        /// Too many requests are in progress.
        InFlight = "in_flight",
        /// It is larger than a callback may be.
        TooLarge = "too_large",
    }
}

impl AnswerFailure {
    /// How the attempt to get an answer ended; `None` if nothing was sent.
    const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Timeout => Some(Outcome::Timeout),
            Self::Unreachable => Some(Outcome::Unreachable),
            Self::Unusable | Self::TooLarge => Some(Outcome::Failed),
            Self::Breaker | Self::InFlight => None,
        }
    }
}

/// The state of a target's circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests are sent.
    Closed = 0,
    /// One request probes whether the target works again.
    HalfOpen = 1,
    /// No request is sent.
    Open = 2,
}

/// How the last request to a target ended, whether it delivered a callback or passed it through: the position in
/// [`Outcome::ALL`] plus 1; 0 before the first.
#[derive(Debug, Default)]
struct LastAttempt(AtomicUsize);

impl LastAttempt {
    fn set(&self, outcome: Outcome) {
        self.0.store(outcome as usize + 1, Ordering::Relaxed);
    }

    fn name(&self) -> Option<&'static str> {
        let place = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Outcome::ALL.get(place).map(|outcome| outcome.name())
    }
}

/// What a target's spool holds, and what it dropped since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backlog {
    /// Callbacks that are not delivered yet.
    pub callbacks: u64,
    /// Their size.
    pub bytes: u64,
    /// Age of the oldest one.
    pub oldest_age: Duration,
    /// Dead letters.
    pub dead_letters: u64,
    /// Dropped callbacks, in the order of [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
}

/// The metrics of all targets, by name.
#[derive(Debug, Default)]
pub(super) struct Targets(RwLock<BTreeMap<Arc<str>, Arc<TargetTelemetry>>>);

impl Targets {
    /// Adds a target's metrics, or returns those that it has.
    pub(super) fn add(&self, name: &str) -> Arc<TargetTelemetry> {
        let new = || {
            let (metrics, spool_failures) = (TargetMetrics::new(), Throttle::default());
            Arc::new(TargetTelemetry {
                name: name.into(),
                metrics,
                spool_failures,
                last_attempt: LastAttempt::default(),
            })
        };
        Arc::clone(self.0.write().entry(name.into()).or_insert_with(new))
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.write().remove(name);
    }

    /// The samples of all targets' families whose names are wanted. A family without a target has no samples.
    pub(super) fn samples(
        &self,
        wanted: &dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'static Family, Samples)> + use<> {
        let families = FAMILIES.iter().filter(|family| wanted(family.name));
        let mut all: Vec<_> = families.map(|family| (family, Vec::new())).collect();
        for (name, target) in self.0.read().iter() {
            for ((_, targets), (_, samples)) in all.iter_mut().zip(target.metrics.samples(wanted)) {
                targets.push((Arc::clone(name), samples));
            }
        }
        all.into_iter().map(|(family, targets)| (family, Samples::ByTarget(targets)))
    }
}

/// The metrics and log events of one target.
#[derive(Debug)]
pub struct TargetTelemetry {
    name: Arc<str>,
    metrics: TargetMetrics,
    /// Limits the log lines about the spool.
    spool_failures: Throttle,
    last_attempt: LastAttempt,
}

impl TargetTelemetry {
    /// A callback is for the target's spool.
    #[inline]
    pub fn received(&self) {
        self.metrics.received.inc();
    }

    /// A callback could not be stored in the spool. The spool counts it.
    pub fn not_stored(&self, error: &dyn Display) {
        debug!(target = %self.name, %error, "a callback could not be stored for a target");
    }

    /// An attempt to deliver a callback ended after this time. `what` is the problem, if there is one.
    pub fn attempted(&self, outcome: Outcome, took: Duration, what: &dyn Display, at_ms: i64) {
        self.metrics.duration.observe(took);
        self.last_attempt.set(outcome);
        let Some(counter) = self.metrics.attempts.get(outcome) else { return };
        match outcome {
            Outcome::Success => {
                counter.inc();
                self.metrics.delivered.inc();
                return;
            }
            // It is a dead letter, which is logged as such.
            Outcome::Rejected => {
                counter.inc();
                return;
            }
            Outcome::Failed | Outcome::Timeout | Outcome::Unreachable => {}
        }
        debug!(target = %self.name, outcome = outcome.name(), problem = %what, "a delivery attempt failed");
        counter.inc_and_log(at_ms, |total| {
            let outcome = outcome.name();
            warn!(
                target = %self.name, outcome, problem = %what, total,
                "a delivery attempt failed; logged at most once a minute for each outcome"
            );
        });
    }

    /// A callback became a dead letter.
    pub fn buried(&self, command: &str, status: u16, at_ms: i64) {
        self.metrics.dead_letters_total.inc_and_log(at_ms, |total| {
            warn!(
                target = %self.name, command, status, total,
                "the target rejected a callback; it is kept as a dead letter: see openim-exporter spool show \
                 --dead-letters; logged at most once a minute"
            );
        });
    }

    /// Delivery stalled, because too many groups or senders are waiting for a retry.
    pub fn stalled(&self, at_ms: i64) {
        self.metrics.stalls.inc_and_log(at_ms, |total| {
            warn!(
                target = %self.name, total,
                "too many groups or senders wait for a retry; others wait too; logged at most once a minute"
            );
        });
    }

    /// The spool cannot be read or written.
    pub fn spool_failed(&self, error: &dyn Display, at_ms: i64) {
        debug!(target = %self.name, %error, "the spool cannot be read or written");
        if self.spool_failures.allows(at_ms) {
            warn!(
                target = %self.name, %error,
                "the spool cannot be read or written; retried every second, logged at most once a minute"
            );
        }
    }

    /// A callback in the spool cannot be made into a request.
    pub fn unusable(&self, command: &str, error: &dyn Display) {
        warn!(target = %self.name, command, %error, "a callback cannot be sent as a request; it is a dead letter");
    }

    /// The target cannot be used after a reload.
    pub fn not_applied(&self, error: &dyn Display) {
        error!(target = %self.name, %error, "the target cannot be used, so its callbacks are lost until the next reload");
    }

    /// The target answered a passed-through callback, this long `after` it arrived.
    pub fn answered(&self, verdict: Verdict, after: Duration) {
        self.metrics.answer_duration.observe(after);
        self.last_attempt.set(Outcome::Success);
        self.decided(verdict);
    }

    /// OpenIM gets this answer.
    pub fn decided(&self, verdict: Verdict) {
        if let Some(counter) = self.metrics.answers.get(verdict) {
            counter.inc();
        }
    }

    /// An answer to a command looks like a refusal, but OpenIM lets the action go on.
    pub fn refused_without_effect(&self, command: &str, at_ms: i64) {
        let Some(counter) = self.metrics.answers.get(Verdict::IneffectiveRefusal) else { return };
        counter.log(at_ms, |total| {
            warn!(
                target = %self.name, command, total,
                "the target's answer looks like a refusal, but OpenIM 3.7 and newer let the action go on: a refusal needs \
                 actionCode 0 and nextCode 1; logged at most once a minute"
            );
        });
    }

    /// A passed-through callback has no usable answer, this long `after` it arrived.
    pub fn answer_failed(
        &self,
        (failure, what): (AnswerFailure, &dyn Display),
        (command, policy): (&str, &str),
        after: Duration,
        at_ms: i64,
    ) {
        if let Some(outcome) = failure.outcome() {
            self.last_attempt.set(outcome);
            // Without a connection, this is not the target's time.
            if outcome != Outcome::Unreachable {
                self.metrics.answer_duration.observe(after);
            }
        }
        let Some(counter) = self.metrics.answer_failures.get(failure) else { return };
        debug!(target = %self.name, reason = failure.name(), command, problem = %what, "no usable answer");
        counter.inc_and_log(at_ms, |total| {
            warn!(
                target = %self.name, reason = failure.name(), command, policy, problem = %what, total,
                "the target gave no usable answer, so its policy decided; logged at most once a minute for each reason"
            );
        });
    }

    /// The circuit breaker changed its state.
    pub fn breaker_changed(&self, state: BreakerState) {
        let was_closed = self.metrics.breaker_state.get() == BreakerState::Closed as i64;
        self.metrics.breaker_state.set(state as i64);
        match state {
            BreakerState::Closed => info!(target = %self.name, "the target works again"),
            BreakerState::HalfOpen => debug!(target = %self.name, "probing the target"),
            BreakerState::Open if !was_closed => debug!(target = %self.name, "the target still fails"),
            BreakerState::Open => {
                warn!(target = %self.name, "too many requests to the target failed; its circuit breaker is open")
            }
        }
    }

    /// Sets the numbers of the spool, and logs what was dropped since the last call.
    pub fn set_backlog(&self, backlog: &Backlog) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.pending_callbacks.set(number(backlog.callbacks));
        self.metrics.pending_bytes.set(number(backlog.bytes));
        self.metrics.oldest_pending_age.set(number(backlog.oldest_age.as_secs()));
        self.metrics.dead_letters.set(number(backlog.dead_letters));
        for (reason, total) in Dropped::ALL.into_iter().zip(backlog.dropped) {
            let more = self.metrics.dropped.get(reason).map_or(0, |counter| counter.raise_to(total));
            if more > 0 {
                let reason = reason.name();
                warn!(target = %self.name, reason, callbacks = more, total, "callbacks for the target were dropped");
            }
        }
    }
}
