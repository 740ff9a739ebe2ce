//! What is counted for messages of both kinds: those in groups, and those between two users.

use std::io;

use super::carry::{CarryOver, keys};
use super::delays::{self, Delays};
use super::histogram::{self, Histogram, Shape};
use super::hyperloglog::Element;
use super::mix::{self, Mix};
use super::windows::{CurrentPeriods, Windows};
use crate::arena::{Block, Contents, Damage};
use crate::domain::{Chat, Message, UnixMillis};
use crate::native::NativeBuckets;

/// Upper bounds of the buckets for a content's length, in bytes: 16 B to 1 MiB, each four times the one before.
const CONTENT_BOUNDS: &[u64] = &[16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

/// The longest content in bytes: the highest limit on a body's size that can be configured.
const MAX_CONTENT_BYTES: u64 = 1 << 30;

const CONTENT: &Shape = &Shape {
    bounds: CONTENT_BOUNDS,
    highest: MAX_CONTENT_BYTES,
    native: NativeBuckets::between_powers(-1, 30),
    per_unit: 1.0,
};

/// The names of the sections in a state.
#[derive(Debug)]
pub(super) struct Names {
    mix: mix::Names,
    content_bytes: histogram::Names,
    delays: delays::Names,
    senders: &'static str,
}

/// The names for messages in groups.
pub(super) const GROUP: &Names = &Names {
    mix: mix::Names { cells: "mix", unlisted: "unlisted content types" },
    content_bytes: histogram::Names { classic: "content bytes", native: "content bytes, native" },
    delays: delays::Names {
        delivery: histogram::Names { classic: "delivery delay", native: "delivery delay, native" },
        delivery_sums: "delivery delay, sums",
        submit: histogram::Names { classic: "submit delay", native: "submit delay, native" },
        errors: "clock errors",
        exemplars: "delivery exemplars",
    },
    senders: "senders",
};

/// The names for messages between two users.
pub(super) const SINGLE: &Names = &Names {
    mix: mix::Names { cells: "single mix", unlisted: "single unlisted content types" },
    content_bytes: histogram::Names { classic: "single content bytes", native: "single content bytes, native" },
    delays: delays::Names {
        delivery: histogram::Names { classic: "single delivery delay", native: "single delivery delay, native" },
        delivery_sums: "single delivery delay, sums",
        submit: histogram::Names { classic: "single submit delay", native: "single submit delay, native" },
        errors: "single clock errors",
        exemplars: "single delivery exemplars",
    },
    senders: "single senders",
};

/// What is counted for messages of one kind.
#[derive(Debug)]
pub(super) struct Messages {
    names: &'static Names,
    pub(super) mix: Mix,
    pub(super) content_bytes: Histogram,
    pub(super) delays: Delays,
    pub(super) senders: Windows,
}

impl Messages {
    pub(super) fn reserve(contents: &mut Contents, names: &'static Names) {
        Mix::reserve(contents, names.mix);
        Histogram::reserve(contents, names.content_bytes, CONTENT, keys([histogram::ALL]));
        Delays::reserve(contents, names.delays);
        Windows::reserve(contents, names.senders);
    }

    pub(super) fn open(block: &Block, names: &'static Names) -> io::Result<Self> {
        Ok(Self {
            names,
            mix: Mix::open(block, names.mix)?,
            content_bytes: Histogram::open(block, names.content_bytes, CONTENT)?,
            delays: Delays::open(block, names.delays)?,
            senders: Windows::open(block, names.senders)?,
        })
    }

    /// Takes the numbers of an old block.
    ///
    /// # Errors
    /// When counting cannot have produced the old list of content types.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>) -> Result<(), Damage> {
        if !self.mix.carry_from(old) {
            return Err(Damage::Numbers("unlisted content types"));
        }
        self.content_bytes.carry_from(old, |_| 0);
        self.delays.carry_from(old);
        self.senders.carry_from(old, self.names.senders);
        Ok(())
    }

    /// Counts a message's delays and its sender: what needs memory that is probably not in the cache.
    #[inline]
    pub(super) fn record_sender(
        &self,
        sender: Element,
        message: &Message<'_>,
        clock: UnixMillis,
        now: &CurrentPeriods,
    ) {
        self.delays.record(message, clock);
        self.senders.add(sender, now);
    }

    /// Counts the rest of a message.
    #[inline]
    pub(super) fn record_content(&self, message: &Message<'_>) {
        self.mix.record(message);
        self.content_bytes.observe(0, message.content_bytes);
    }

    /// Messages as counted by the mix, and by the length of the content.
    pub(super) fn totals(&self) -> [u64; 2] {
        let mix = self.mix.cells(Chat::Group).fold(0, |sum: u64, cell| sum.saturating_add(cell.messages));
        [mix, self.content_bytes.count()]
    }

    /// Makes the classic and the native counts of each histogram equal. Returns false if more than `most` observations
    /// are missing.
    pub(super) fn complete_histograms(&self, most: u64) -> bool {
        self.content_bytes.complete(most) && self.delays.complete(most)
    }

    /// Counts messages of which only the total is known: as many as are missing from the mix, and from the lengths.
    pub(super) fn add_unknown(&self, [mix, content]: [u64; 2]) {
        self.mix.add_unknown(mix);
        self.content_bytes.observe_zeros(content);
    }

    /// What cannot be the result of counting this many messages, if anything.
    pub(super) fn implausible(&self, messages: u64) -> Option<&'static str> {
        let checks = [
            (self.mix.is_plausible(), "unlisted content types"),
            (self.content_bytes.is_plausible(messages), "content bytes"),
            (self.delays.is_plausible(messages), "delays"),
            (self.senders.is_plausible(), "active senders"),
        ];
        checks.into_iter().find(|(is_plausible, _)| !is_plausible).map(|(_, what)| what)
    }

    /// Drops unusable parts of a stored block.
    pub(super) fn restore(&self) {
        self.delays.restore();
    }

    /// Sets the counts to 0. The senders stay.
    pub(super) fn reset_counts(&self) {
        self.mix.reset_counts();
        self.content_bytes.reset();
        self.delays.reset();
    }
}
