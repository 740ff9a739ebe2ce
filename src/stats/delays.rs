//! The delays of messages: from the app to OpenIM's server, and from there to the exporter.

use std::io;

use super::carry::CarryOver;
use super::counters::CounterSet;
use super::exemplars::{Exemplar, Exemplars};
use super::histogram::{Histogram, HistogramReading};
use crate::arena::{Block, Contents};
use crate::domain::{Message, UnixMillis};
use crate::named::named;

/// Names of sections in a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) delivery: &'static str,
    pub(super) submit: &'static str,
    pub(super) errors: &'static str,
    pub(super) exemplars: &'static str,
}

/// Upper bounds of both delays' buckets in milliseconds: 5 ms to an hour, closer together below a second.
pub(super) const BOUNDS_MS: &[u64] =
    &[5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];

/// The longest delay that is observed. Longer ones come from wrong clocks or replayed messages.
const MAX_DELAY_MS: u64 = 3_600_000;

named! {
    /// Why a delay was not observed.
    pub enum ClockError {
        /// `sendTime` is after the receipt.
        Future = "future",
        /// The delay is over an hour.
        Stale = "stale",
        /// `sendTime` is before `createTime`.
        NegativeSubmit = "negative_submit",
    }
}

/// The two delays, and the clock errors that prevented an observation.
#[derive(Debug)]
pub(super) struct Delays {
    names: Names,
    delivery: Histogram,
    submit: Histogram,
    errors: CounterSet<ClockError>,
    exemplars: Exemplars,
}

impl Delays {
    pub(super) fn reserve(contents: &mut Contents, names: Names) {
        Histogram::reserve(contents, names.delivery, BOUNDS_MS);
        Histogram::reserve(contents, names.submit, BOUNDS_MS);
        CounterSet::<ClockError>::reserve(contents, names.errors);
        Exemplars::reserve(contents, names.exemplars, BOUNDS_MS.len() + 1);
    }

    pub(super) fn open(block: &Block, names: Names) -> io::Result<Self> {
        Ok(Self {
            names,
            delivery: Histogram::open(block, names.delivery, BOUNDS_MS)?,
            submit: Histogram::open(block, names.submit, BOUNDS_MS)?,
            errors: CounterSet::open(block, names.errors)?,
            exemplars: Exemplars::open(block, names.exemplars)?,
        })
    }

    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        self.delivery.carry_from(old);
        self.submit.carry_from(old);
        self.errors.carry_from(old);
        self.exemplars.carry_from(old, self.names.exemplars, |value| self.delivery.bucket(value));
    }

    /// Whether this many messages can have produced the numbers.
    pub(super) fn is_plausible(&self, messages: u64) -> bool {
        let errors = ClockError::ALL.map(|kind| self.errors(kind));
        self.delivery.is_plausible(messages, MAX_DELAY_MS)
            && self.submit.is_plausible(messages, MAX_DELAY_MS)
            // A message has two delays.
            && errors.iter().all(|count| *count <= messages.saturating_mul(2))
    }

    /// Observes the message's delays, except those for which it lacks a time.
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
            Ok(delay) if delay > MAX_DELAY_MS => ClockError::Stale,
            Ok(delay) => return Some((histogram.observe(delay), delay)),
        };
        self.errors.add(error, 1);
        None
    }

    /// Resets everything, including the exemplars: each belongs to an observation.
    pub(super) fn reset(&self) {
        self.delivery.reset();
        self.submit.reset();
        self.errors.reset();
        self.exemplars.reset();
    }

    /// Drops unusable exemplars of a stored block.
    pub(super) fn restore(&self) {
        self.exemplars.restore(|value| self.delivery.bucket(value));
    }

    /// The exemplars of the delivery delay's buckets.
    pub(super) fn exemplars(&self) -> Vec<Option<Exemplar>> {
        self.exemplars.read()
    }

    /// The histogram's values, see [`Histogram::values`].
    pub(super) fn delivery_values(&self) -> impl Iterator<Item = u64> {
        self.delivery.values()
    }

    pub(super) fn delivery(&self) -> HistogramReading {
        self.delivery.read()
    }

    pub(super) fn submit(&self) -> HistogramReading {
        self.submit.read()
    }

    pub(super) fn errors(&self, kind: ClockError) -> u64 {
        self.errors.sum(kind)
    }
}
