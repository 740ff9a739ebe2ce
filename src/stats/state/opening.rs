//! Opening a state: going on in its file, carrying it over into a new one, or starting anew.

use std::sync::Arc;

use super::first_version;
use super::{Outcome, Stats};
use crate::arena::{
    Arena, Boot, Contents, Damage, Directory, Error, Found, Kept, Plan, Sections, Step, Steps, Stored, Trust,
};
use crate::domain::UnixMillis;
use crate::stats::{Capacities, Places};

/// What could not be done with a header.
const HEADER: &str = "its header cannot be written";

/// Where a state is opened, for whom, and when.
pub(super) struct Opening<'a> {
    pub(super) directory: &'a Directory,
    pub(super) capacities: Capacities,
    pub(super) boot: Boot,
    pub(super) now: UnixMillis,
    pub(super) steps: Steps<'a>,
}

/// Why a state that was found cannot be used.
enum Failure {
    /// Nothing can go on with it: counting starts anew.
    Damage(Damage),
    /// Something else is in the way.
    Error(Error),
}

impl From<Damage> for Failure {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Opening<'_> {
    pub(super) fn open(&self) -> Result<Stats, Error> {
        let opened = match self.directory.find(self.boot, self.steps)? {
            Found::Nothing => return self.start_anew(None),
            Found::Damaged(damage) => Err(damage.into()),
            Found::State { arena, sections, trust, must_move } => self.open_found(arena, sections, trust, must_move),
        };
        match opened {
            Ok(stats) => Ok(stats),
            Err(Failure::Damage(damage)) => {
                self.directory.may_set_aside(damage)?;
                self.start_anew(Some(Kept::Damaged(damage, self.now.0)))
            }
            Err(Failure::Error(error)) => Err(error),
        }
    }

    fn open_found(
        &self,
        arena: Arc<Arena>,
        sections: Sections,
        trust: Trust,
        must_move: bool,
    ) -> Result<Stats, Failure> {
        let (plan, places) = self.plan();
        let mut differences = Vec::new();
        let contents = match sections {
            Sections::Listed(contents) => contents,
            Sections::OfFirstVersion { fingerprint, capacities } => {
                differences.push("0.1.0 wrote it, without a table of contents".to_owned());
                first_version::contents(fingerprint, capacities, arena.words_len())?
            }
        };
        if must_move {
            differences.push("its file would not keep the blocks that are reserved".to_owned());
        }
        differences.extend(contents.differences(plan.contents()));
        match trust {
            Trust::Exact => {}
            Trust::Restored(origin) => (self.steps)(Step::Restored(origin)),
            Trust::Torn(doubt) => (self.steps)(Step::CountersReset(doubt)),
        }
        let mut stats = if differences.is_empty() {
            self.go_on(&arena, &places, trust)?
        } else {
            (self.steps)(Step::OtherLayout { state: self.directory.state().to_owned(), differences });
            self.carry_over(&Stored::new(arena, contents), plan.contents(), trust)?
        };
        stats.outcome = Outcome::of(trust);
        Ok(stats)
    }

    /// Goes on in the file that was found.
    fn go_on(&self, arena: &Arc<Arena>, places: &Places, trust: Trust) -> Result<Stats, Failure> {
        let stats = self.over(places, arena)?;
        let is_torn = matches!(trust, Trust::Torn(_));
        if !is_torn {
            // Before anything else is written into the block: should this process be killed from here on, the next one
            // finds a block of this boot, and not one that was closed and has changed.
            self.begin(arena, || self.renew_start(&stats, trust))?;
        }
        stats.settle(trust, false, self.now)?;
        stats.tick(self.now);
        if is_torn {
            // After the reset: until that is done, the block is still in doubt.
            self.begin(arena, || ())?;
        }
        self.directory.note_generation(arena, self.directory.next_generation(arena));
        Ok(stats)
    }

    /// Copies what this program knows of a block into a new one, and puts that in its place. The old one is only read.
    fn carry_over(&self, stored: &Stored, wanted: &Contents, trust: Trust) -> Result<Stats, Failure> {
        let new = self.create()?;
        let left_out = new.carry(stored, wanted, self.now)?;
        left_out.iter().cloned().map(Step::LeftOut).for_each(self.steps);
        self.renew_start(&new, trust);
        new.settle(trust, !left_out.is_empty(), self.now)?;
        let kept = if left_out.is_empty() { Kept::UntilShutdown } else { Kept::Aside(self.now.0) };
        let generation = self.directory.next_generation(stored.arena());
        self.put_in_place(&new, Some(kept), generation).map_err(|error| self.directory.without_new(error))?;
        Ok(new)
    }

    /// Starts from nothing, in place of what was found.
    fn start_anew(&self, old: Option<Kept>) -> Result<Stats, Error> {
        let new = self.create()?;
        new.set_began(self.now);
        let generation = self.directory.next_generation(&new.arena);
        self.put_in_place(&new, old, generation).map_err(|error| self.directory.without_new(error))?;
        Ok(new)
    }

    /// The counters of a copy start at another time than those that Prometheus has seen.
    fn renew_start(&self, stats: &Stats, trust: Trust) {
        if matches!(trust, Trust::Restored(_)) {
            stats.set_began(self.now);
        }
    }

    fn plan(&self) -> (Plan, Places) {
        let mut plan = Plan::new();
        let places = Places::reserve(&mut plan, self.capacities);
        (plan, places)
    }

    /// New statistics in a file that is not in its place yet.
    fn create(&self) -> Result<Stats, Error> {
        let (plan, places) = self.plan();
        let arena = self.directory.create(&plan, self.steps)?;
        self.over(&places, &arena)
    }

    fn over(&self, places: &Places, arena: &Arc<Arena>) -> Result<Stats, Error> {
        let stats = Stats::over(places, self.capacities, arena);
        stats.map_err(|error| self.directory.refused("its parts do not fit", error))
    }

    fn begin(&self, arena: &Arena, first: impl FnOnce()) -> Result<(), Error> {
        arena.begin(self.boot, first).map_err(|error| self.directory.refused(HEADER, error))
    }

    /// Replaces the old block with a new one, but only once the new one is whole and on disk.
    fn put_in_place(&self, new: &Stats, old: Option<Kept>, generation: u64) -> Result<(), Error> {
        new.tick(self.now);
        new.arena.set_generation(generation);
        self.begin(&new.arena, || ())?;
        new.arena.flush().map_err(|error| self.directory.refused("the new state cannot be written", error))?;
        self.directory.put_in_place(old, self.steps)?;
        // Not before: until then the old one must not look older than the lock.
        self.directory.note_generation(&new.arena, generation);
        Ok(())
    }
}
