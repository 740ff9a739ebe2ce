//! The delays of messages: from the app to OpenIM's server, and from there to the exporter.

use std::io;
use std::sync::atomic::AtomicU64;

use super::carry::{CarryOver, keys};
use super::counters::{CounterSet, Counters, MAX_IN_PROGRESS};
use super::exemplars::{Exemplar, Exemplars};
use super::histogram::{self, Histogram, HistogramReading, Shape};
use crate::arena::{Block, Contents};
use crate::domain::codes::{PLATFORMS, platform_names, platform_row, platform_row_of};
use crate::domain::{Message, UnixMillis};
use crate::named::named;
use crate::native::{NativeBuckets, NativeReading};

/// Names of sections in a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) delivery: histogram::Names,
    pub(super) delivery_sums: &'static str,
    pub(super) submit: histogram::Names,
    pub(super) errors: &'static str,
    pub(super) exemplars: &'static str,
}

/// Upper bounds of both delays' buckets in milliseconds: 5 ms to an hour, closer together below a second.
pub(super) const BOUNDS_MS: &[u64] =
    &[5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];

/// The longest delay that is observed. Longer ones come from wrong clocks or replayed messages.
const MAX_DELAY_MS: u64 = 3_600_000;

/// The buckets of delays in milliseconds. The native ones are in seconds: from 1 ms to over an hour.
const DELAYS: &Shape = &Shape {
    bounds: BOUNDS_MS,
    highest: MAX_DELAY_MS,
    native: NativeBuckets::between_powers(-10, 12),
    per_unit: 1000.0,
};

/// The row of the native delivery delay for observations whose platform is no longer known: those of a state without
/// native histograms, and those of a message that was in progress when the process was killed.
const NO_PLATFORM: &str = "none";

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
    /// Its native buckets have a row for each platform, and one for [`NO_PLATFORM`].
    delivery: Histogram,
    /// The sum of the delivery delays for each platform.
    delivery_sums: Counters,
    submit: Histogram,
    errors: CounterSet<ClockError>,
    exemplars: Exemplars,
}

impl Delays {
    pub(super) fn reserve(contents: &mut Contents, names: Names) {
        Histogram::reserve(contents, names.delivery, DELAYS, keys(platform_names().chain([NO_PLATFORM])));
        Counters::reserve(contents, names.delivery_sums, vec![keys(platform_names())]);
        Histogram::reserve(contents, names.submit, DELAYS, keys([histogram::ALL]));
        CounterSet::<ClockError>::reserve(contents, names.errors);
        Exemplars::reserve(contents, names.exemplars, BOUNDS_MS.len() + 1);
    }

    pub(super) fn open(block: &Block, names: Names) -> io::Result<Self> {
        Ok(Self {
            names,
            delivery: Histogram::open(block, names.delivery, DELAYS)?,
            delivery_sums: Counters::open(block, names.delivery_sums)?,
            submit: Histogram::open(block, names.submit, DELAYS)?,
            errors: CounterSet::open(block, names.errors)?,
            exemplars: Exemplars::open(block, names.exemplars)?,
        })
    }

    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        let of_platform = |key: &str| if key == NO_PLATFORM { PLATFORMS.len() + 1 } else { platform_row_of(key) };
        // Without the observations of each platform, their sums mean nothing.
        if self.delivery.carry_from(old, of_platform) {
            self.delivery_sums.carry_from(old, self.names.delivery_sums, |key| Some(platform_row_of(key)));
        }
        self.submit.carry_from(old, |_| 0);
        self.errors.carry_from(old);
        self.exemplars.carry_from(old, self.names.exemplars, |value| self.delivery.bucket(value));
    }

    /// Whether this many messages can have produced the numbers.
    pub(super) fn is_plausible(&self, messages: u64) -> bool {
        let errors = ClockError::ALL.map(|kind| self.errors(kind));
        let has_plausible_sum = |(_, sum, reading): (_, u64, NativeReading)| {
            sum / MAX_DELAY_MS <= reading.count().saturating_add(MAX_IN_PROGRESS)
        };
        self.delivery.is_plausible(messages)
            && self.by_platform().all(has_plausible_sum)
            && self.submit.is_plausible(messages)
            // A message has two delays.
            && errors.iter().all(|count| *count <= messages.saturating_mul(2))
    }

    /// Observes the message's delays, except those for which it lacks a time.
    pub(super) fn record(&self, message: &Message<'_>, received: UnixMillis) {
        let Some(sent) = message.send_time else { return };
        let platform = platform_row(message.platform_id);
        if let Some((bucket, delay)) = self.observe(&self.delivery, platform, received.since(sent), ClockError::Future)
        {
            self.delivery_sums.add(platform, delay);
            self.exemplars.offer(bucket, delay, received, message.operation_id);
        }
        if let Some(created) = message.create_time {
            self.observe(&self.submit, 0, sent.since(created), ClockError::NegativeSubmit);
        }
    }

    fn observe(
        &self,
        histogram: &Histogram,
        row: usize,
        delay_ms: i64,
        if_negative: ClockError,
    ) -> Option<(usize, u64)> {
        let error = match u64::try_from(delay_ms) {
            Err(_) => if_negative,
            Ok(delay) if delay > MAX_DELAY_MS => ClockError::Stale,
            Ok(delay) => return Some((histogram.observe(row, delay), delay)),
        };
        self.errors.add(error, 1);
        None
    }

    /// Resets everything, including the exemplars: each belongs to an observation.
    pub(super) fn reset(&self) {
        self.delivery.reset();
        self.delivery_sums.reset();
        self.submit.reset();
        self.errors.reset();
        self.exemplars.reset();
    }

    /// Makes the classic and the native counts equal. Returns false if more than `most` observations are missing.
    pub(super) fn complete(&self, most: u64) -> bool {
        self.delivery.complete(most) && self.submit.complete(most)
    }

    /// Drops unusable exemplars of a stored block.
    pub(super) fn restore(&self) {
        self.exemplars.restore(|value| self.delivery.bucket(value));
    }

    /// The exemplars of the delivery delay's buckets.
    pub(super) fn exemplars(&self) -> Vec<Option<Exemplar>> {
        self.exemplars.read()
    }

    /// The histograms: the delivery delay, and the submit delay.
    pub(super) const fn histograms(&self) -> [&Histogram; 2] {
        [&self.delivery, &self.submit]
    }

    /// The words of the delivery delay's sums for each platform.
    pub(super) fn delivery_sum_words(&self) -> &[AtomicU64] {
        self.delivery_sums.words()
    }

    /// The histogram's values, see [`Histogram::values`].
    pub(super) fn delivery_values(&self) -> impl Iterator<Item = u64> {
        self.delivery.values()
    }

    pub(super) fn delivery(&self) -> HistogramReading {
        self.delivery.read()
    }

    pub(super) fn native_delivery(&self) -> NativeReading {
        self.delivery.native().read()
    }

    /// The delivery delays of each platform: its name, their sum in milliseconds, and their native histogram.
    pub(super) fn by_platform(&self) -> impl Iterator<Item = (&'static str, u64, NativeReading)> + '_ {
        let readings = self.delivery.native().rows().enumerate();
        platform_names().zip(readings).map(|(name, (row, reading))| (name, self.delivery_sums.sum(row), reading))
    }

    pub(super) fn submit(&self) -> HistogramReading {
        self.submit.read()
    }

    pub(super) fn native_submit(&self) -> NativeReading {
        self.submit.native().read()
    }

    pub(super) fn errors(&self, kind: ClockError) -> u64 {
        self.errors.sum(kind)
    }
}
