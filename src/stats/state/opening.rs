//! Opening a state: continuing in its file, converting it into a new one, or starting from nothing.

use std::sync::Arc;

use super::first_version;
use crate::arena::{
    Arena, Block, Boot, Contents, Damage, Directory, Error, Found, OldState, Sections, Step, Steps, Trust,
};
use crate::domain::UnixMillis;
use crate::stats::recording::{Capacities, Stats};
use crate::stats::state_start::StateStart;

/// What failed when a header was written.
const HEADER: &str = "its header cannot be written";

/// Opens the state of a directory.
pub(super) struct Opening<'a> {
    pub(super) directory: &'a Directory,
    pub(super) capacities: Capacities,
    pub(super) boot: Boot,
    pub(super) now: UnixMillis,
    pub(super) steps: Steps<'a>,
}

/// Why an existing state cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum OpeningError {
    /// It is damaged: counting starts from nothing.
    Damage(#[from] Damage),
    /// Another error, which ends the start.
    Error(#[from] Error),
}

impl Opening<'_> {
    pub(super) fn open(&self) -> Result<Stats, Error> {
        let opened = match self.directory.find(self.boot, self.steps)? {
            Found::Nothing => return self.start_empty(None),
            Found::Damaged(damage) => Err(damage.into()),
            Found::State { arena, sections, trust, must_move } => self.open_found(arena, sections, trust, must_move),
        };
        match opened {
            Ok(stats) => Ok(stats),
            Err(OpeningError::Damage(damage)) => {
                self.directory.check_renamable(damage)?;
                self.start_empty(Some(OldState::RenameDamaged(damage, self.now.0)))
            }
            Err(OpeningError::Error(error)) => Err(error),
        }
    }

    fn open_found(
        &self,
        arena: Arc<Arena>,
        sections: Sections,
        trust: Trust,
        must_move: bool,
    ) -> Result<Stats, OpeningError> {
        let wanted = Stats::contents(self.capacities);
        let mut differences = Vec::new();
        let contents = match sections {
            Sections::Listed(contents) => contents,
            Sections::OfFirstVersion { fingerprint, capacities } => {
                differences.push("0.1.0 wrote it, without a table of contents".to_owned());
                first_version::contents(fingerprint, capacities, arena.words_len())?
            }
        };
        if must_move {
            differences.push("its file is copy-on-write, so that no space can be reserved".to_owned());
        }
        differences.extend(contents.differences(&wanted));
        match trust {
            Trust::Exact => {}
            Trust::Restored => (self.steps)(Step::Restored),
            Trust::Torn(doubt) => (self.steps)(Step::CountersReset(doubt)),
        }
        let block = Block::new(arena, contents);
        let mut stats = if differences.is_empty() {
            self.continue_in(&block, trust)?
        } else {
            (self.steps)(Step::OtherLayout { state: self.directory.state().to_owned(), differences });
            self.convert(&block, wanted, trust)?
        };
        stats.state_start = StateStart::from_trust(trust);
        Ok(stats)
    }

    /// Continues in the existing file.
    fn continue_in(&self, block: &Block, trust: Trust) -> Result<Stats, OpeningError> {
        let (stats, arena) = (self.in_block(block)?, block.arena());
        let is_torn = matches!(trust, Trust::Torn(_));
        if !is_torn {
            // Before any other change: if this process is killed from here on, the next one finds a block that was in
            // use on this boot, and not one that changed after it was closed.
            self.mark_in_use(arena)?;
        } else if arena.is_clean() {
            // Likewise, but the next one must then start the counters from 0.
            arena.mark_in_use(Boot::Unknown).map_err(|error| self.directory.io_error(HEADER, error))?;
        }
        stats.restore(trust, false, self.now)?;
        stats.prepare(self.now);
        if is_torn {
            // After the reset: until then the block cannot be trusted.
            self.mark_in_use(arena)?;
        }
        self.directory.set_generation(arena, self.directory.next_generation(arena));
        Ok(stats)
    }

    /// Converts a block into a new file, which then replaces it. The old file is only read.
    fn convert(&self, old: &Block, wanted: Contents, trust: Trust) -> Result<Stats, OpeningError> {
        let new = self.create(wanted.clone())?;
        let dropped = new.carry_from(old, &wanted, self.now)?;
        dropped.iter().cloned().map(Step::Dropped).for_each(self.steps);
        new.restore(trust, !dropped.is_empty(), self.now)?;
        let fate = if dropped.is_empty() { OldState::KeepUntilShutdown } else { OldState::Rename(self.now.0) };
        let generation = self.directory.next_generation(old.arena());
        self.put_in_place(&new, Some(fate), generation).map_err(|error| self.directory.discard_new(error))?;
        Ok(new)
    }

    /// Creates an empty state, which replaces the old one.
    fn start_empty(&self, old: Option<OldState>) -> Result<Stats, Error> {
        let new = self.create(Stats::contents(self.capacities))?;
        new.set_started(self.now);
        new.choose_id();
        new.history.begin(&new.sample());
        let generation = self.directory.next_generation(&new.arena);
        self.put_in_place(&new, old, generation).map_err(|error| self.directory.discard_new(error))?;
        Ok(new)
    }

    /// Creates statistics in a new file, which is not in its place yet.
    fn create(&self, contents: Contents) -> Result<Stats, Error> {
        self.in_block(&self.directory.create(contents, self.steps)?)
    }

    fn in_block(&self, block: &Block) -> Result<Stats, Error> {
        let stats = Stats::in_block(block, self.capacities);
        stats.map_err(|error| self.directory.io_error("its sections do not fit", error))
    }

    fn mark_in_use(&self, arena: &Arena) -> Result<(), Error> {
        arena.mark_in_use(self.boot).map_err(|error| self.directory.io_error(HEADER, error))
    }

    /// Replaces the old state with a new one, once all of that is on disk.
    fn put_in_place(&self, new: &Stats, old: Option<OldState>, generation: u64) -> Result<(), Error> {
        new.prepare(self.now);
        new.arena.set_generation(generation);
        self.mark_in_use(&new.arena)?;
        new.arena.flush().map_err(|error| self.directory.io_error("the new state cannot be written", error))?;
        self.directory.replace_state(old, self.steps)?;
        // Not earlier: the old state must not look older than the lock file while it is still in place.
        self.directory.set_generation(&new.arena, generation);
        Ok(())
    }
}
