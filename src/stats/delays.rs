//! How long messages take: from the app to the server, and from there to us.

use super::carry::{Carry, keys};
use super::counters::Counters;
use super::exemplars::{Exemplar, Exemplars};
use super::histogram::{Histogram, HistogramReading};
use crate::arena::{Place, Plan, Section};
use crate::domain::{Message, UnixMillis};

/// Upper bounds of both delays' buckets in milliseconds: 5 ms to an hour, closer where chat is usable.
const BOUNDS_MS: &[u64] =
    &[5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];

/// A longer delay tells of a wrong clock or of a replayed message rather than of a delay.
const STALE_MS: u64 = 3_600_000;

/// Why a delay was not observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// `sendTime` lies after the receipt.
    Future,
    /// The delay is over an hour.
    Stale,
    /// `sendTime` lies before `createTime`.
    NegativeSubmit,
}

impl ClockError {
    /// Every kind, in the order of the counters.
    pub const ALL: [Self; 3] = [Self::Future, Self::Stale, Self::NegativeSubmit];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Future => "future",
            Self::Stale => "stale",
            Self::NegativeSubmit => "negative_submit",
        }
    }
}

/// The two delays, and the clock errors that kept a delay out of them.
#[derive(Debug)]
pub(super) struct Delays {
    delivery: Histogram,
    submit: Histogram,
    errors: Counters,
    exemplars: Exemplars,
}

/// Where [`Delays`] lies in the block.
#[derive(Clone, Copy)]
pub(super) struct Places {
    delivery: Place,
    submit: Place,
    errors: Place,
    exemplars: Place,
}

impl Delays {
    pub(super) fn reserve(plan: &mut Plan) -> Places {
        Places {
            delivery: Histogram::reserve(plan, "delivery delay", BOUNDS_MS),
            submit: Histogram::reserve(plan, "submit delay", BOUNDS_MS),
            errors: Counters::reserve(plan, "clock errors", vec![keys(ClockError::ALL.map(ClockError::name))]),
            exemplars: Exemplars::reserve(plan, "delivery exemplars", BOUNDS_MS.len() + 1),
        }
    }

    /// Adds what was stored.
    pub(super) fn carry(&self, carry: &Carry<'_>) {
        self.delivery.carry(carry, "delivery delay");
        self.submit.carry(carry, "submit delay");
        self.errors.carry(carry, "clock errors", |key| ClockError::ALL.iter().position(|kind| kind.name() == key));
        self.exemplars.carry(carry, "delivery exemplars", |value| self.delivery.bucket(value));
    }

    /// Whether so many messages can have made these numbers.
    pub(super) fn is_plausible(&self, most: u64) -> bool {
        let errors = ClockError::ALL.map(|kind| self.errors(kind));
        self.delivery.is_plausible(most, STALE_MS)
            && self.submit.is_plausible(most, STALE_MS)
            // A message has two delays.
            && errors.iter().all(|count| *count <= most.saturating_mul(2))
    }

    pub(super) fn over(places: Places, section: impl Fn(Place) -> std::io::Result<Section>) -> std::io::Result<Self> {
        Ok(Self {
            delivery: Histogram::over(section(places.delivery)?, BOUNDS_MS),
            submit: Histogram::over(section(places.submit)?, BOUNDS_MS),
            errors: Counters::over(section(places.errors)?, ClockError::ALL.len()),
            exemplars: Exemplars::over(section(places.exemplars)?),
        })
    }

    /// Observes what the message's times tell. A time that the sender left out tells nothing.
    pub(super) fn record(&self, message: &Message<'_>, received: UnixMillis) {
        let Some(sent) = message.send_time else { return };
        if let Some((bucket, delay)) = self.observe(&self.delivery, received.since(sent), ClockError::Future) {
            self.exemplars.offer(bucket, delay, received, message.operation_id);
        }
        if let Some(created) = message.create_time {
            self.observe(&self.submit, sent.since(created), ClockError::NegativeSubmit);
        }
    }

    fn observe(&self, histogram: &Histogram, delay_ms: i64, if_negative: ClockError) -> Option<(usize, u64)> {
        let error = match u64::try_from(delay_ms) {
            Err(_) => if_negative,
            Ok(delay) if delay > STALE_MS => ClockError::Stale,
            Ok(delay) => return Some((histogram.observe(delay), delay)),
        };
        self.errors.add(error as usize, 1);
        None
    }

    /// Everything, exemplars included: they illustrate counts.
    pub(super) fn sections(&self) -> [&Section; 4] {
        [self.delivery.section(), self.submit.section(), self.errors.section(), self.exemplars.section()]
    }

    /// Makes a stored block's exemplars usable again.
    pub(super) fn restore(&self) {
        self.exemplars.restore(|value| self.delivery.bucket(value));
    }

    /// Of the delivery delay's buckets.
    pub(super) fn exemplars(&self) -> Vec<Option<Exemplar>> {
        self.exemplars.read()
    }

    pub(super) fn delivery(&self) -> HistogramReading {
        self.delivery.read()
    }

    pub(super) fn submit(&self) -> HistogramReading {
        self.submit.read()
    }

    pub(super) fn errors(&self, kind: ClockError) -> u64 {
        self.errors.sum(kind as usize)
    }
}
