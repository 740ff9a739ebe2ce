//! Copying the state of a running exporter, which neither waits for this nor knows of it.
//!
//! 1. Everything whose numbers follow the counters, such as the history, is read before them: so it is never ahead of
//!    them. What only one thread changes now and then is read until two readings are equal.
//! 2. The groups and then the counters are read, and after a pause the counters and then the groups once more. So the
//!    first reading of the groups has no message that the second reading of the counters lacks, and so on: see
//!    [`settling`](super::settling), which makes the totals equal.
//! 3. Meanwhile groups may be added, retired, dismissed or erased. The copy has the groups of the second reading. A group
//!    that left the table in between is only in the counter to which its messages were moved. That is read last, so
//!    each message of the group is at least once in the second reading, perhaps twice. And it is not twice in the first
//!    reading: a group that is in both readings had not left when the first counters were read, unless a thread was
//!    just moving it, which the journal shows.
//!
//! A killed process can leave unfinished changes in other tables, such as half of a moved entry. A copy may have these
//! too, and they are repaired as a start repairs them.

use std::iter;
use std::thread;
use std::time::{Duration, Instant};

use crate::arena::{Arena, Block, Contents, ReadError, SectionEntry, StateFile, Trust};
use crate::domain::UnixMillis;
use crate::stats::groups::{FOLDED, JOURNAL, SLOTS};
use crate::stats::recording::{Capacities, Stats};

use super::settling::{has_caught_up, settle};

/// How many times a part is read until two readings are equal.
const MAX_READINGS: usize = 1000;

/// Time between two readings of the counters. Counting a message takes microseconds.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a message may take to be counted, because its thread has to wait for a processor.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// When a section is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before the counters, until two readings of everything with this turn are equal. The tick changes it.
    History,
    /// The same for each section on its own. The tick, or one message a second, changes it.
    Quiet,
    /// Before the counters, once. Each word is valid on its own, or a start repairs it.
    Early,
    /// Twice, as counters of messages.
    Counters,
    /// Twice, as groups.
    Groups,
    /// Between the two readings of the groups. The pairs of a slot are forgotten, or have expired, before another group
    /// gets the slot. So each pair belongs to the group of the first reading, or to a later one.
    Pairs,
    /// Not at all: it is empty in a copy.
    Journal,
    /// After everything else.
    Late,
}

impl Turn {
    pub(super) fn of(section: &SectionEntry) -> Self {
        match section.layout.name.as_str() {
            SLOTS => Self::Groups,
            JOURNAL => Self::Journal,
            "pairs" => Self::Pairs,
            // A group that was dismissed during the copy must be known as dismissed, and a content type that has
            // messages must be known.
            "dismissed groups" | "unlisted content types" | "single unlisted content types" => Self::Late,
            "group weeks" => Self::Quiet,
            // The periods of rings come before their sketches, which are cleared before they get a new period.
            name if name.starts_with("history") => Self::History,
            name if name.ends_with(", times") || name.ends_with("exemplars") => Self::Quiet,
            _ if section.layout.keys.is_empty() => Self::Early,
            _ => Self::Counters,
        }
    }
}

/// A running exporter's state.
pub(super) struct Running<'a> {
    pub(super) file: &'a StateFile,
    pub(super) contents: &'a Contents,
    pub(super) capacities: Capacities,
}

impl Running<'_> {
    /// Copies the state once. `None` if it has to be tried again.
    ///
    /// # Errors
    /// When the file cannot be read, or there is no memory.
    pub(super) fn copy(&self, now: UnixMillis) -> Result<Option<Stats>, ReadError> {
        let (first, later) = (self.empty()?, self.empty()?);
        self.file.read_frame(&first.arena)?;
        let is_read = self.read_before_counters(&first.arena)?
            && self.read_groups(&first)?
            && self.read_first_counters(&first, &later)?;
        if !is_read {
            return Ok(None);
        }
        self.read_each(Turn::Pairs, &first.arena)?;
        let begin = Instant::now();
        loop {
            thread::sleep(PAUSE);
            self.read_each(Turn::Counters, &later.arena)?;
            // A group that left the table between the first readings counts twice here, so it may seem never to catch up.
            if has_caught_up(&first, &later) || begin.elapsed() > MAX_WAIT {
                break;
            }
        }
        if !self.read_groups(&later)? {
            return Ok(None);
        }
        self.read_section(FOLDED, &later.arena)?;
        self.read_each(Turn::Late, &first.arena)?;
        let changed = first.groups.take_groups(&later.groups);
        // A group that was added again elsewhere during the second reading may be there twice.
        let is_consistent = settle(&first, &later) && first.restore(Trust::Exact, false, now) == Ok(0);
        // Their pairs may be those of the groups that had these slots in the first reading.
        first.pairs.forget(&changed);
        Ok(is_consistent.then_some(first))
    }

    fn empty(&self) -> Result<Stats, ReadError> {
        let block = Block::new(self.file.new_arena()?, self.contents.clone());
        Stats::in_block(&block, self.capacities).map_err(|error| self.file.no_memory(error))
    }

    fn read_before_counters(&self, to: &Arena) -> Result<bool, ReadError> {
        // A new period's cell is changed together with the list of periods.
        if !self.read_quiet(self.of(Turn::History), to)? {
            return Ok(false);
        }
        for section in &self.contents.sections {
            match Turn::of(section) {
                Turn::Quiet if !self.read_quiet(iter::once(section), to)? => return Ok(false),
                Turn::Early => self.read(section, to).map(|_| ())?,
                _ => {}
            }
        }
        Ok(true)
    }

    /// Reads sections until two readings are equal. Returns false if that takes too long.
    fn read_quiet<'a>(
        &self,
        sections: impl Iterator<Item = &'a SectionEntry> + Clone,
        to: &Arena,
    ) -> Result<bool, ReadError> {
        for _ in 0..MAX_READINGS {
            let mut differs = false;
            for section in sections.clone() {
                differs |= self.read(section, to)?;
            }
            if !differs {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns false if a group was being moved to another counter.
    fn read_first_counters(&self, first: &Stats, journal: &Stats) -> Result<bool, ReadError> {
        let is_retiring = || {
            self.read_section(JOURNAL, &journal.arena)?;
            Ok::<_, ReadError>(journal.groups.is_retiring())
        };
        let was_retiring = is_retiring()?;
        self.read_each(Turn::Counters, &first.arena)?;
        Ok(!was_retiring && !is_retiring()?)
    }

    fn read_groups(&self, to: &Stats) -> Result<bool, ReadError> {
        let start = self.contents.find(SLOTS).map_or(0, |slots| slots.words().start);
        to.groups.read_slots(&|at, words| self.file.read_words(start + at, words))
    }

    fn of(&self, turn: Turn) -> impl Iterator<Item = &SectionEntry> + Clone {
        self.contents.sections.iter().filter(move |section| Turn::of(section) == turn)
    }

    fn read_each(&self, turn: Turn, to: &Arena) -> Result<(), ReadError> {
        self.of(turn).map(|section| self.read(section, to)).try_for_each(|read| read.map(|_| ()))
    }

    fn read_section(&self, name: &str, to: &Arena) -> Result<(), ReadError> {
        self.contents.find(name).map_or(Ok(()), |section| self.read(section, to).map(|_| ()))
    }

    fn read(&self, section: &SectionEntry, to: &Arena) -> Result<bool, ReadError> {
        self.file.read(section.words(), to)
    }
}
