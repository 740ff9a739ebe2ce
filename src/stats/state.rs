//! Statistics that outlive the process: their block is a mapped file, and here it is opened, checked, carried over into
//! another layout, and closed.

mod checks;
mod first_version;
mod opening;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::dedup::ENTRIES;
use super::{Capacities, Carry, Places, Stats, tally_keys};
use crate::arena::{Arena, Boot, Contents, Damage, Directory, Error, Plan, Section, Steps, Stored, Trust};
use crate::domain::UnixMillis;
use opening::Opening;

/// How the counters began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There were none.
    Fresh,
    /// Where they were.
    Continued,
    /// Where they were in a copy: Prometheus may have seen higher ones, so they have a new start time.
    Restored,
    /// From 0, because a part of the file may be older than what a scrape showed, and a counter that goes on from a
    /// lower value makes Prometheus add the whole of it again.
    CountersReset,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Fresh, Self::Continued, Self::Restored, Self::CountersReset];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Continued => "continued",
            Self::Restored => "restored",
            Self::CountersReset => "counters_reset",
        }
    }

    const fn of(trust: Trust) -> Self {
        match trust {
            Trust::Exact => Self::Continued,
            Trust::Restored(_) => Self::Restored,
            Trust::Torn(_) => Self::CountersReset,
        }
    }
}

impl Capacities {
    /// A table that is off takes no room.
    pub(super) const fn dedup_entries(&self) -> usize {
        if self.dedup_window.is_zero() { 0 } else { ENTRIES }
    }
}

impl Stats {
    /// The statistics in a directory: those that are there, or new ones that start from nothing at `now`. Each step is
    /// reported before the next one can fail.
    ///
    /// # Errors
    /// When the directory cannot be used. A state that cannot be used is not an error: it is set aside.
    pub fn open(
        path: &Path,
        capacities: Capacities,
        boot: Boot,
        now: UnixMillis,
        steps: Steps<'_>,
    ) -> Result<Self, Error> {
        let directory = Directory::lock(path, steps)?;
        let opening = Opening { directory: &directory, capacities, boot, now, steps };
        let mut stats = opening.open()?;
        stats.directory = Some(directory);
        Ok(stats)
    }

    /// Statistics in memory with what they know of a stored block, and what of it they leave out: the part of
    /// [`Stats::open`] that reads numbers which other programs wrote, without files.
    ///
    /// # Errors
    /// When the block's numbers contradict each other, or the system refuses the memory.
    pub fn in_memory_from(
        stored: &Stored,
        capacities: Capacities,
        trust: Trust,
        now: UnixMillis,
    ) -> io::Result<(Self, Vec<String>)> {
        let mut plan = Plan::new();
        let places = Places::reserve(&mut plan, capacities);
        let new = Self::over(&places, capacities, &Arena::anonymous(&plan)?)?;
        let left_out = new.carry(stored, plan.contents(), now).map_err(io::Error::other)?;
        new.settle(trust, !left_out.is_empty(), now).map_err(io::Error::other)?;
        new.tick(now);
        Ok((new, left_out))
    }

    /// Looks after the state's file, about once a second: notes that it is in use, so that an older copy is known as one.
    /// Returns whether the file is where it should be; in memory it always is.
    #[must_use]
    pub fn look_after(&self) -> bool {
        let Some(directory) = &self.directory else { return true };
        directory.note_generation(&self.arena, self.arena.generation().saturating_add(1));
        self.arena.is_at(directory.state())
    }

    /// Where the state's file should be; `None` in memory.
    #[must_use]
    pub fn state_path(&self) -> Option<&Path> {
        self.directory.as_ref().map(Directory::state)
    }

    /// Writes everything to disk and marks it as whole. Nothing may be recorded any more. Where the file was removed, it
    /// is written again. Does nothing in memory.
    ///
    /// # Errors
    /// When the file cannot be written, or another one has its path.
    pub fn close(&self, now: UnixMillis, steps: Steps<'_>) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return Ok(()) };
        self.arena.close().map_err(|error| {
            directory.refused("it cannot be written to disk, but is whole as long as the machine stays on", error)
        })?;
        if !self.arena.is_at(directory.state()) {
            let written = directory.write_again(&self.arena, now.0, steps);
            return written.map_err(|error| error.losing(directory.state()));
        }
        directory.forget_previous(steps);
        Ok(())
    }

    /// Closes a state that nobody has counted in, after a start that failed: what was kept of it stays.
    pub fn abandon(&self) {
        if self.directory.is_some() {
            // The failure of the start is what there is to tell.
            let _ = self.arena.close();
        }
    }

    /// How the counters began.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    pub(super) fn set_began(&self, now: UnixMillis) {
        self.began.iter().for_each(|began| began.store(now.0.cast_unsigned(), Ordering::Relaxed));
    }

    /// Takes from a block of another layout what this program knows, and returns what it does not.
    fn carry(&self, stored: &Stored, wanted: &Contents, now: UnixMillis) -> Result<Vec<String>, Damage> {
        let carry = Carry::of(stored);
        carry.copy("began", super::LAYOUT, &self.began);
        if self.began().0 == 0 {
            self.set_began(now);
        }
        if !self.mix.carry(&carry) {
            return Err(Damage::Numbers("content types that are not listed"));
        }
        let keys = tally_keys();
        let other = keys.iter().position(|key| *key == "status other");
        let tally = |key: &str| keys.iter().position(|name| *name == key);
        self.tallies.carry(&carry, "tallies", |key| tally(key).or(other.filter(|_| key.starts_with("status "))));
        self.content_bytes.carry(&carry, "content bytes");
        self.delays.carry(&carry);
        self.senders.carry(&carry, "senders");
        self.active_groups.carry(&carry, "active groups");
        let moved = self.groups.carry(&carry);
        self.pairs.carry(&carry, &moved);
        self.dedup.carry(&carry);
        Ok(carry.left_out(wanted))
    }

    /// Makes numbers usable that were read from a file; `is_part` says that some of them were left out.
    fn settle(&self, trust: Trust, is_part: bool, now: UnixMillis) -> Result<(), Damage> {
        let is_torn = matches!(trust, Trust::Torn(_));
        if is_torn {
            self.reset_counters(now);
        }
        self.pairs.restore();
        self.groups.restore(is_torn).map_err(|_| Damage::Numbers("groups"))?;
        self.delays.restore();
        self.dedup.restore();
        self.complete(is_part)
    }

    /// Starts the counters from 0. The windows stay, and so do the groups, for they hold what was seen lately.
    fn reset_counters(&self, now: UnixMillis) {
        self.set_began(now);
        let clear = |section: &Section| section.iter().for_each(|word: &AtomicU64| word.store(0, Ordering::Relaxed));
        self.counters().into_iter().for_each(clear);
        self.groups.reset_counts(now);
        self.pairs.reset_counts();
    }

    /// The sections that hold counters, but for the groups' own.
    fn counters(&self) -> Vec<&Section> {
        let mut sections = vec![self.mix.counters(), self.tallies.section(), self.content_bytes.section()];
        sections.extend(self.delays.sections());
        sections.extend([self.groups.tallies(), self.dedup.counters()]);
        sections
    }
}
