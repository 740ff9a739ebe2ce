//! Statistics that outlive the process: their block is a mapped file, and here it is opened, checked, carried over into
//! other capacities, and closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{io, iter};

use super::dedup::{ENTRIES, LONGEST_WINDOW};
use super::{Capacities, Places, STATUSES, Stats, Tally};
use crate::arena::{Arena, BootId, CAPACITIES, Damage, Directory, Error, Found, Plan, Section, Trust};
use crate::domain::UnixMillis;

/// How the counters began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There were none.
    Fresh,
    /// Where they were.
    Continued,
    /// From 0, because the machine went down while they were counted: a page of the file may be older than what a scrape
    /// showed, and a counter that goes on from a lower value makes Prometheus add the whole of it again.
    CountersReset,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Continued, Self::CountersReset];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Continued => "continued",
            Self::CountersReset => "counters_reset",
        }
    }
}

/// How a state was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// How the counters began.
    pub outcome: Outcome,
    /// A state that could not be used, where it was put, and why.
    pub set_aside: Option<(PathBuf, Damage)>,
    /// The capacities that the state had, where it was carried over into others.
    pub carried_from: Option<Capacities>,
}

/// What could not be done with a header.
const HEADER: &str = "its header cannot be written";

/// Messages that can have been under way: one for each serving thread, of a machine that may have had more of them.
const MOST_UNDER_WAY: u64 = 256;

impl Capacities {
    fn words(self) -> [u64; CAPACITIES] {
        [self.groups as u64, self.sender_pairs as u64, self.dedup_entries() as u64, 0, 0, 0, 0, 0]
    }

    /// The capacities of a stored block, with the rest as it is `now`: that is no matter of the block.
    fn of_words(words: [u64; CAPACITIES], now: Self) -> Result<Self, Damage> {
        let [groups, sender_pairs, dedup_entries, ..] = words;
        let number = |word: u64| usize::try_from(word).map_err(|_| Damage::Header);
        let dedup_window = match (dedup_entries, now.dedup_window) {
            (0, _) => Duration::ZERO,
            (_, Duration::ZERO) => LONGEST_WINDOW,
            (_, window) => window,
        };
        Ok(Self { groups: number(groups)?, sender_pairs: number(sender_pairs)?, dedup_window, ..now })
    }

    /// A table that is off takes no room.
    pub(super) const fn dedup_entries(&self) -> usize {
        if self.dedup_window.is_zero() { 0 } else { ENTRIES }
    }
}

impl Stats {
    /// The statistics in a directory: those that are there, or new ones that start from nothing at `now`.
    ///
    /// # Errors
    /// When the directory cannot be used. What is in it but cannot be used is no error: it is set aside.
    pub fn open(path: &Path, capacities: Capacities, boot: BootId, now: UnixMillis) -> Result<(Self, Start), Error> {
        let directory = Directory::lock(path)?;
        let (mut stats, start) = Self::open_in(&directory, capacities, boot, now)?;
        stats.outcome = start.outcome;
        stats.directory = Some(directory);
        Ok((stats, start))
    }

    fn open_in(
        directory: &Directory,
        capacities: Capacities,
        boot: BootId,
        now: UnixMillis,
    ) -> Result<(Self, Start), Error> {
        let fresh = Start { outcome: Outcome::Fresh, set_aside: None, carried_from: None };
        let (arena, words, trust) = match directory.find(boot)? {
            Found::Nothing => return Ok((Self::create(directory, capacities, boot, now)?, fresh)),
            Found::Damaged(damage) => return Self::begin_anew(directory, capacities, boot, now, damage),
            Found::State { arena, capacities, trust } => (arena, capacities, trust),
        };
        if trust == Trust::Exact {
            // Before anything is written into the block: should this process end at any moment from here on, the next
            // one finds a block of this boot, and not one that was closed and has changed.
            arena.begin(boot).map_err(|error| directory.refused(HEADER, error))?;
        }
        let found = Capacities::of_words(words, capacities);
        let stored = match found.and_then(|found| Ok((found, Self::restored(&arena, found, trust, now)?))) {
            Ok(stored) => stored,
            Err(damage) => return Self::begin_anew(directory, capacities, boot, now, damage),
        };
        let outcome = if trust == Trust::Exact { Outcome::Continued } else { Outcome::CountersReset };
        let (found, stats) = stored;
        if found == capacities {
            stats.tick(now);
            if trust == Trust::Torn {
                // After the reset: until it is done, the block is still of another boot.
                stats.arena.begin(boot).map_err(|error| directory.refused(HEADER, error))?;
            }
            return Ok((stats, Start { outcome, ..fresh }));
        }
        match Self::carried_over(directory, &stats, capacities, boot, now) {
            Ok(moved) => Ok((moved, Start { outcome, carried_from: Some(found), ..fresh })),
            Err(error) => {
                // The old one stays as good as it was. That it could not be moved is what there is to say.
                let _ = stats.arena.close();
                Err(error)
            }
        }
    }

    /// Writes everything to disk and marks it as whole. Nothing may be recorded any more. Does nothing in memory.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn close(&self) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        self.arena.close()?;
        if self.arena.is_at(directory.state()) {
            return Ok(());
        }
        let path = directory.state().display();
        Err(io::Error::other(format!("{path} was removed or replaced while it was in use: what was counted is lost")))
    }

    /// How the counters began.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn create(directory: &Directory, capacities: Capacities, boot: BootId, now: UnixMillis) -> Result<Self, Error> {
        let stats = Self::beside(directory, capacities)?;
        stats.set_began(now);
        stats.begin_in_place(directory, boot, now)?;
        Ok(stats)
    }

    fn begin_anew(
        directory: &Directory,
        capacities: Capacities,
        boot: BootId,
        now: UnixMillis,
        damage: Damage,
    ) -> Result<(Self, Start), Error> {
        let aside = directory.set_aside(damage, now.0)?;
        let stats = Self::create(directory, capacities, boot, now)?;
        Ok((stats, Start { outcome: Outcome::Fresh, set_aside: Some((aside, damage)), carried_from: None }))
    }

    /// New statistics in a file that is not in its place yet.
    fn beside(directory: &Directory, capacities: Capacities) -> Result<Self, Error> {
        let mut plan = Plan::new();
        let places = Places::reserve(&mut plan, capacities);
        let arena = directory.create(&plan, capacities.words())?;
        Self::over(&places, capacities, &arena).map_err(|error| directory.refused("its parts do not fit", error))
    }

    /// Has a new block take the old one's place: when it is whole, on disk too, and not before.
    fn begin_in_place(&self, directory: &Directory, boot: BootId, now: UnixMillis) -> Result<(), Error> {
        self.tick(now);
        self.arena.begin(boot).map_err(|error| directory.refused(HEADER, error))?;
        self.arena.flush().map_err(|error| directory.refused("the new state cannot be written", error))?;
        directory.put_in_place()
    }

    /// The statistics in a stored block, checked.
    fn restored(arena: &Arc<Arena>, capacities: Capacities, trust: Trust, now: UnixMillis) -> Result<Self, Damage> {
        let mut plan = Plan::new();
        let places = Places::reserve(&mut plan, capacities);
        if !arena.fits(&plan) {
            return Err(Damage::Header);
        }
        let stats = Self::over(&places, capacities, arena).map_err(|_| Damage::Header)?;
        if trust == Trust::Torn {
            stats.reset_counters(now);
        }
        stats.groups.restore(trust == Trust::Torn).map_err(|_| Damage::Numbers)?;
        stats.delays.restore();
        stats.dedup.restore();
        if stats.reconcile() { Ok(stats) } else { Err(Damage::Numbers) }
    }

    /// Counts the messages that were under way when the process ended where they were not counted yet. Each is counted
    /// by its group first, in the total then, and so on; nobody was answered before the end of it. So what is behind is
    /// raised, and no counter falls. False if something is behind, or ahead, by more than can have been under way.
    fn reconcile(&self) -> bool {
        let by_group: u64 = self.groups().fold(0, |sum: u64, group| sum.saturating_add(group.messages));
        let folded = self.folded_for_capacity().saturating_add(self.folded_retired());
        let messages = by_group.saturating_add(folded);
        let behind = |counted: u64| messages.checked_sub(counted).filter(|behind| *behind <= MOST_UNDER_WAY);
        let statuses = self.by_status().iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let [Some(total), Some(status), Some(content)] =
            [self.messages(), statuses, self.content_bytes().count].map(behind)
        else {
            return false;
        };
        self.mix.add_unknown(total);
        self.tallies.add(Tally::Status as usize + STATUSES.len(), status);
        (0..content).for_each(|_| {
            self.content_bytes.observe(0);
        });
        true
    }

    /// Starts the counters from 0. The windows stay, and so do the groups, for they hold what was seen lately.
    fn reset_counters(&self, now: UnixMillis) {
        self.set_began(now);
        let clear = |section: &Section| section.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.counters().into_iter().for_each(clear);
        self.groups.reset_counts(now);
        self.pairs.reset_counts();
    }

    /// Copies everything into a new block with other capacities, and puts that in the place of the old one.
    fn carried_over(
        directory: &Directory,
        old: &Self,
        capacities: Capacities,
        boot: BootId,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let new = Self::beside(directory, capacities)?;
        for (from, to) in iter::zip(old.unbounded(), new.unbounded()) {
            iter::zip(from.iter(), to.iter())
                .for_each(|(from, to)| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed));
        }
        let moved = new.groups.take_over(&old.groups);
        new.dedup.take_over(&old.dedup);
        new.pairs.take_over(&old.pairs, |slot| moved.get(slot as usize).copied().flatten());
        new.begin_in_place(directory, boot, now)?;
        Ok(new)
    }

    pub(super) fn set_began(&self, now: UnixMillis) {
        self.began.iter().for_each(|began| began.store(now.0.cast_unsigned(), Ordering::Relaxed));
    }

    /// The sections that hold counters, but for the groups' own.
    fn counters(&self) -> Vec<&Section> {
        let mut sections = vec![self.mix.counters(), self.tallies.section(), self.content_bytes.section()];
        sections.extend(self.delays.sections());
        sections.extend([self.groups.tallies(), self.dedup.counters()]);
        sections
    }

    /// The sections whose size does not depend on the capacities.
    fn unbounded(&self) -> Vec<&Section> {
        let mut sections = self.counters();
        sections.extend([&self.began, self.mix.unlisted(), self.dedup.cleared(), self.groups.ranked_at()]);
        sections.extend(self.senders.sections());
        sections.extend(self.active_groups.sections());
        sections
    }
}
