//! Accepted callbacks by command, refused requests by reason, and the time of the last callback.

use std::io;

use super::carry::{CarryOver, keys};
use super::counters::{CounterSet, Counters, MAX_COUNT};
use crate::arena::{Block, Contents, Layout, SingleWord};
use crate::domain::codes::OTHER;
use crate::domain::{COMMANDS, Exclusion, Reason, UnixMillis};

/// Names of sections in a state.
const ACCEPTED: &str = "callbacks";
const REFUSED: &str = "refusals";
const EXCLUDED: &str = "exclusions";
const LAST: &str = "last callback";

/// Version of the layout of [`LAST`].
const LAST_LAYOUT: u32 = 1;

#[derive(Debug)]
pub(super) struct Callbacks {
    /// One for each of [`COMMANDS`], and one for all other commands.
    accepted: Counters,
    refused: CounterSet<Reason>,
    excluded: CounterSet<Exclusion>,
    /// In milliseconds since the epoch; 0 before the first.
    last: SingleWord,
}

impl Callbacks {
    pub(super) fn reserve(contents: &mut Contents) {
        Counters::reserve(contents, ACCEPTED, vec![keys(commands())]);
        CounterSet::<Reason>::reserve(contents, REFUSED);
        CounterSet::<Exclusion>::reserve(contents, EXCLUDED);
        contents.reserve(Layout::new(LAST, LAST_LAYOUT, size_of::<u64>(), 1));
    }

    pub(super) fn open(block: &Block) -> io::Result<Self> {
        Ok(Self {
            accepted: Counters::open(block, ACCEPTED)?,
            refused: CounterSet::open(block, REFUSED)?,
            excluded: CounterSet::open(block, EXCLUDED)?,
            last: block.single_word(LAST)?,
        })
    }

    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        let find = |key: &str| COMMANDS.iter().position(|known| known.name == key);
        self.accepted.carry_from(old, ACCEPTED, |key| Some(find(key).unwrap_or(COMMANDS.len())));
        self.refused.carry_from(old);
        self.excluded.carry_from(old);
        old.copy(LAST, LAST_LAYOUT, &self.last);
    }

    /// Whether counting can have produced the numbers.
    pub(super) fn is_plausible(&self) -> bool {
        let counts = self.accepted().chain(self.refused()).chain(self.excluded());
        counts.fold(0, |sum: u64, (_, count)| sum.saturating_add(count)) <= MAX_COUNT
            && i64::try_from(self.last.get()).is_ok()
    }

    /// Resets the counters.
    pub(super) fn reset(&self) {
        self.accepted.reset();
        self.refused.reset();
        self.excluded.reset();
    }

    #[inline]
    pub(super) fn accept(&self, command: Option<usize>, now: UnixMillis) {
        self.accepted.add(command.unwrap_or(COMMANDS.len()), 1);
        self.set_last(now);
    }

    pub(super) fn exclude(&self, reason: Exclusion, now: UnixMillis) {
        self.excluded.add(reason, 1);
        self.set_last(now);
    }

    #[inline]
    fn set_last(&self, now: UnixMillis) {
        let now = now.0.max(0).cast_unsigned();
        // Written at most once per millisecond: all threads read this word.
        if self.last.get() != now {
            self.last.set(now);
        }
    }

    pub(super) fn refuse(&self, reason: Reason) -> u64 {
        self.refused.add(reason, 1);
        self.refused.sum(reason)
    }

    pub(super) fn accepted(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        commands().enumerate().map(|(command, name)| (name, self.accepted.sum(command)))
    }

    pub(super) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Reason::ALL.into_iter().map(|reason| (reason.name(), self.refused.sum(reason)))
    }

    pub(super) fn excluded(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Exclusion::ALL.into_iter().map(|reason| (reason.name(), self.excluded.sum(reason)))
    }

    pub(super) fn last(&self) -> Option<UnixMillis> {
        let last = self.last.get().cast_signed();
        (last != 0).then_some(UnixMillis(last))
    }
}

/// The names of the counters of accepted callbacks.
fn commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|known| known.name).chain([OTHER])
}
