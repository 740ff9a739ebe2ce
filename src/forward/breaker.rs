//! The circuit breaker of a target: if too many requests fail, no requests are sent for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::forward::Breaker as Settings;
use crate::telemetry::{BreakerState, TargetTelemetry};

/// Number of parts of the window. Each part leaves the window as a whole.
const PARTS: u32 = 10;

/// The longest time for which the breaker is open before a probe.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A breaker, which the delivery and the pass-through of a target share.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    telemetry: Arc<TargetTelemetry>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    phase: Phase,
    /// How often it has closed.
    closed: u64,
}

#[derive(Debug)]
enum Phase {
    /// The parts of the window in which requests ended, the latest last.
    Closed(VecDeque<Part>),
    Open {
        until: Instant,
        pause: Duration,
    },
    /// A probe is in progress.
    HalfOpen {
        pause: Duration,
    },
}

#[derive(Debug)]
struct Part {
    began: Instant,
    ended: u32,
    failed: u32,
}

/// The right to send one request. Dropped without a result, it counts as neither success nor failure.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    is_probe: bool,
    has_ended: bool,
}

impl Breaker {
    /// A closed breaker.
    pub(crate) fn new(settings: Settings, telemetry: Arc<TargetTelemetry>) -> Self {
        let state = State { settings, phase: Phase::Closed(VecDeque::new()), closed: 0 };
        Self { state: Mutex::new(state), telemetry }
    }

    /// Changes the settings.
    pub(crate) fn set(&self, settings: Settings) {
        self.state.lock().settings = settings;
    }

    /// The right to send a request now; `None` during a pause, and while another request is the probe.
    pub(crate) fn permit(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        let permit = |is_probe| Permit { breaker: Arc::clone(self), is_probe, has_ended: false };
        let mut state = self.state.lock();
        match state.phase {
            Phase::Closed(_) => Some(permit(false)),
            Phase::Open { until, pause } if until <= now => {
                state.phase = Phase::HalfOpen { pause };
                self.telemetry.breaker_changed(BreakerState::HalfOpen);
                Some(permit(true))
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// Whether [`Breaker::permit`] would give a permit now, and whether it would be for a probe.
    pub(crate) fn allows(&self, now: Instant) -> Option<bool> {
        match self.state.lock().phase {
            Phase::Closed(_) => Some(false),
            Phase::Open { until, .. } => (until <= now).then_some(true),
            Phase::HalfOpen { .. } => None,
        }
    }

    /// How often it has closed. When this rises, the target works again.
    pub(crate) fn closed(&self) -> u64 {
        self.state.lock().closed
    }

    fn ended(&self, is_probe: bool, success: bool, now: Instant) {
        let mut state = self.state.lock();
        let settings = state.settings;
        let next = match &mut state.phase {
            Phase::Closed(parts) => {
                count(parts, settings, success, now);
                is_too_bad(parts, settings).then(|| open(settings.open_for, now))
            }
            Phase::HalfOpen { .. } if is_probe && success => Some(Phase::Closed(VecDeque::new())),
            Phase::HalfOpen { pause } if is_probe => {
                Some(open((*pause * 2).min(MAX_PAUSE).max(settings.open_for), now))
            }
            // A request that was sent before the breaker opened.
            Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        };
        let Some(next) = next else { return };
        let name = if matches!(next, Phase::Closed(_)) { BreakerState::Closed } else { BreakerState::Open };
        state.closed += u64::from(name == BreakerState::Closed);
        state.phase = next;
        self.telemetry.breaker_changed(name);
    }

    /// The probe was given up: another one may start at once.
    fn give_up_probe(&self, now: Instant) {
        let mut state = self.state.lock();
        if let Phase::HalfOpen { pause } = state.phase {
            state.phase = Phase::Open { until: now, pause };
        }
    }
}

/// The open phase. Up to a tenth is added at random, so that several exporters do not probe a target at the same time.
fn open(pause: Duration, now: Instant) -> Phase {
    Phase::Open { until: now + pause.mul_f64(rand::random_range(1.0..1.1)), pause }
}

/// Counts a request that ended, and forgets what has left the window.
fn count(parts: &mut VecDeque<Part>, settings: Settings, success: bool, now: Instant) {
    while parts.front().is_some_and(|part| now.saturating_duration_since(part.began) >= settings.window) {
        parts.pop_front();
    }
    let is_current = |part: &&mut Part| now.saturating_duration_since(part.began) < settings.window / PARTS;
    let failed = u32::from(!success);
    match parts.back_mut().filter(is_current) {
        Some(part) => {
            part.ended = part.ended.saturating_add(1);
            part.failed = part.failed.saturating_add(failed);
        }
        None => parts.push_back(Part { began: now, ended: 1, failed }),
    }
}

fn is_too_bad(parts: &VecDeque<Part>, settings: Settings) -> bool {
    let sum = |number: fn(&Part) -> u32| parts.iter().map(number).map(f64::from).sum::<f64>();
    let (ended, failed) = (sum(|part| part.ended), sum(|part| part.failed));
    ended >= f64::from(settings.min_requests) && failed > 0.0 && failed >= ended * settings.failure_rate
}

impl Permit {
    /// The target answered, and may work.
    pub(crate) fn succeeded(mut self, now: Instant) {
        self.end(true, now);
    }

    /// The target did not answer, or is overloaded or broken.
    pub(crate) fn failed(mut self, now: Instant) {
        self.end(false, now);
    }

    fn end(&mut self, success: bool, now: Instant) {
        self.has_ended = true;
        self.breaker.ended(self.is_probe, success, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe && !self.has_ended {
            self.breaker.give_up_probe(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    const SECOND: Duration = Duration::from_secs(1);

    struct Timeline {
        breaker: Arc<Breaker>,
        now: Instant,
    }

    impl Timeline {
        fn start() -> Self {
            let settings = Settings { window: 10 * SECOND, min_requests: 20, failure_rate: 0.5, open_for: 5 * SECOND };
            let telemetry = Telemetry::default().add_target("a");
            Self { breaker: Arc::new(Breaker::new(settings, telemetry)), now: Instant::now() }
        }

        /// Sends this many requests at once. Returns how many were permitted.
        fn send(&self, count: usize, success: bool) -> usize {
            let permits: Vec<_> = (0..count).filter_map(|_| self.breaker.permit(self.now)).collect();
            let permitted = permits.len();
            for permit in permits {
                if success { permit.succeeded(self.now) } else { permit.failed(self.now) }
            }
            permitted
        }

        fn wait(&mut self, seconds: f64) -> &Self {
            self.now += Duration::from_secs_f64(seconds);
            self
        }
    }

    #[test]
    fn it_opens_at_the_failure_rate_but_not_before_the_minimum_of_requests() {
        let mut line = Timeline::start();
        assert_eq!(line.send(19, false), 19);
        assert_eq!(line.breaker.allows(line.now), Some(false));
        // These have left the window.
        line.wait(11.0);
        assert_eq!(line.send(10, true), 10);
        assert_eq!(line.send(9, false), 9);
        assert_eq!(line.breaker.allows(line.now), Some(false));
        assert_eq!(line.send(1, false), 1);
        assert_ne!(line.breaker.allows(line.now), Some(false));
        assert_eq!(line.wait(4.9).send(5, true), 0);
    }

    #[test]
    fn requests_in_all_parts_of_the_window_count() {
        let mut line = Timeline::start();
        for _ in 0..9 {
            line.send(2, false);
            line.wait(1.0);
        }
        assert_eq!(line.breaker.allows(line.now), Some(false));
        line.send(2, false);
        assert_ne!(line.breaker.allows(line.now), Some(false));
    }

    #[test]
    fn one_probe_at_a_time_decides_and_each_failure_doubles_the_pause() {
        let mut line = Timeline::start();
        line.send(20, false);
        for pause in [5.0, 10.0, 20.0, 30.0, 30.0] {
            assert_eq!(line.wait(pause * 0.99).send(3, false), 0, "{pause}");
            assert_eq!(line.wait(pause * 0.12).send(3, false), 1, "{pause}");
        }
        assert_eq!(line.wait(33.0).send(3, true), 1);
        assert_eq!((line.breaker.allows(line.now), line.breaker.closed()), (Some(false), 1));
        // The failures before the pause are forgotten.
        assert_eq!(line.send(19, false), 19);
        assert_eq!(line.breaker.allows(line.now), Some(false));
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_place_to_another() {
        let mut line = Timeline::start();
        line.send(20, false);
        line.wait(6.0);
        let probe = line.breaker.permit(line.now);
        assert!(probe.is_some() && line.breaker.permit(line.now).is_none());
        drop(probe);
        assert_eq!(line.wait(1.0).send(1, true), 1);
        assert_eq!(line.breaker.allows(line.now), Some(false));
    }

    #[test]
    fn a_request_from_before_the_pause_changes_nothing() {
        let mut line = Timeline::start();
        let early = line.breaker.permit(line.now).unwrap();
        line.send(20, false);
        line.wait(6.0);
        let probe = line.breaker.permit(line.now).unwrap();
        early.failed(line.now);
        probe.succeeded(line.now);
        assert_eq!(line.breaker.allows(line.now), Some(false));
    }
}
