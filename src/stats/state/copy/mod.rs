//! Copies of states: of closed ones, of those that a killed exporter left, and of running exporters.

mod running;
mod settling;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::first_version;
use crate::arena::{Arena, Block, Boot, Contents, Damage, Doubt, ReadError, Sections, StateFile, Trust};
use crate::domain::UnixMillis;
use crate::stats::dedup::Dedup;
use crate::stats::groups::{GroupTable, Weeks};
use crate::stats::history::History;
use crate::stats::online::Online;
use crate::stats::pairs::Pairs;
use crate::stats::recording::{Capacities, Stats};
use running::Running;

/// If the generation stays the same for this long, the state is not in use. In use, it rises about once a second.
const MAX_SILENCE: Duration = Duration::from_millis(2500);

/// Time between two readings of the generation.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How many times a state that changes is copied.
const MAX_ATTEMPTS: usize = 20;

/// Where a copy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A state that the exporter had closed, or a copy of one: nothing was counted after it.
    Closed,
    /// The state of a running exporter.
    InUse,
    /// A state that is not in use, but was not closed: the exporter was killed, the machine went down, or another
    /// program copied the state while the exporter ran.
    Killed,
    /// A copy that this program had made of a state that was not closed.
    Copied,
}

/// Why a state cannot be copied. The text names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It cannot be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A newer version wrote it.
    #[error("{path}: this version of openim-exporter does not know everything in it ({what}); use the version that wrote it", path = .path.display(), what = .unknown.join("; "))]
    Newer {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        unknown: Vec<String>,
    },
    /// A running exporter of another version uses it.
    #[error(
        "{path}: an exporter of version {program} is using it; run this command with that version",
        path = .path.display()
    )]
    OtherProgram {
        /// The file.
        path: PathBuf,
        /// The version.
        program: String,
    },
    /// It changed too much during each attempt.
    #[error("{path}: the state changed too much while it was copied; try again, or stop the exporter first", path = .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

/// A consistent copy of a state, in memory. All totals that a start compares are equal.
///
/// Of a running exporter, no message is split: each counter is between its values before and after, and no lower than
/// in an earlier copy. The module `running` says why.
#[derive(Debug)]
pub struct StateCopy {
    /// The numbers.
    pub stats: Stats,
    /// Where they come from.
    pub source: Source,
    /// Why the next start would reset the counters of the file that was copied, if it would. The copy has their values,
    /// unless they contradict each other: then they are 0.
    pub doubt: Option<Doubt>,
    /// The version of the program that had created the file.
    pub program: String,
    /// The number of messages that were in progress when the exporter was killed, at least. They are complete in the copy.
    pub completed: u64,
    /// The length of the file in bytes.
    pub bytes: u64,
}

impl Stats {
    /// Copies a state or a backup without changing anything: also the state of a running exporter, which is not slowed
    /// down. `boot` is the current boot of the machine.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is another version's and in use or newer.
    pub fn copy_of(path: &Path, boot: Boot, now: UnixMillis) -> Result<StateCopy, CopyError> {
        let file = StateFile::open(path)?;
        let copying = Copying { file: &file, path, boot, now };
        for _ in 0..MAX_ATTEMPTS {
            let copied = match copying.find_use()? {
                Use::None => copying.copy_closed()?,
                Use::Exporter => copying.copy_running()?,
                Use::Left => return copying.copy_killed(),
            };
            if let Some(copy) = copied {
                return Ok(copy);
            }
        }
        Err(CopyError::Busy { path: path.to_owned() })
    }
}

impl Stats {
    /// Checks that a start accepts a state, given how far it would trust the numbers. Changes nothing.
    ///
    /// # Errors
    /// When it cannot be read, its numbers contradict each other, or it is newer than this program.
    pub(crate) fn check_state(path: &Path, boot: Boot, trust: Trust, now: UnixMillis) -> Result<(), CopyError> {
        let file = StateFile::open(path)?;
        let arena = file.new_arena()?;
        file.read_all(&arena)?;
        let copying = Copying { file: &file, path, boot, now };
        copying.finish(arena, trust, (Source::Closed, None), Boot::Unknown).map(drop)
    }
}

impl StateCopy {
    /// Writes the copy as a state's file, closed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        self.stats.arena.write_to(to)
    }

    /// The length of what [`StateCopy::write`] writes, in bytes.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.stats.arena.words_len() * size_of::<u64>() as u64
    }

    /// A number that rises with each second of use. It tells which of two copies of one state is newer.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.stats.arena.generation()
    }

    /// Lets the counters continue from their values although the exporter may have counted more after the copy.
    pub fn keep_counters(&self) {
        self.stats.arena.mark_closed(Boot::Unknown);
    }
}

/// Whether a state is in use.
enum Use {
    /// No. It was closed.
    None,
    /// By a running exporter.
    Exporter,
    /// Not any more, but it was not closed.
    Left,
}

struct Copying<'a> {
    file: &'a StateFile,
    path: &'a Path,
    boot: Boot,
    now: UnixMillis,
}

/// The layout of a state.
struct StoredLayout {
    contents: Contents,
    capacities: Capacities,
    /// What this program would store.
    wanted: Contents,
    is_same: bool,
}

impl Copying<'_> {
    fn damaged(&self, damage: Damage) -> CopyError {
        self.file.damaged(damage).into()
    }

    fn find_use(&self) -> Result<Use, CopyError> {
        let header = self.file.new_arena()?;
        self.file.read_header(&header)?;
        let generation = header.generation();
        let begin = Instant::now();
        loop {
            if header.is_clean() {
                return Ok(Use::None);
            }
            if self.file.is_locked() || header.generation() != generation {
                return Ok(Use::Exporter);
            }
            if begin.elapsed() > MAX_SILENCE {
                return Ok(Use::Left);
            }
            thread::sleep(POLL_INTERVAL);
            self.file.read_header(&header)?;
        }
    }

    /// `None` if an exporter began to use it meanwhile.
    fn copy_closed(&self) -> Result<Option<StateCopy>, CopyError> {
        let arena = self.file.new_arena()?;
        self.file.read_all(&arena)?;
        // First, because with a wrong length, the checksum is wrong too.
        arena.sections().map_err(|damage| self.damaged(damage))?;
        let (is_clean, trust) = (arena.is_clean(), self.file.assess(&arena, self.boot, 0));
        // Only now, because the rest may have been read while an exporter changed it.
        if self.file.read_header(&arena)? || !is_clean {
            return Ok(None);
        }
        let doubt = match trust.map_err(|damage| self.damaged(damage))? {
            Trust::Torn(doubt) => Some(doubt),
            Trust::Exact | Trust::Restored => None,
        };
        let boot = arena.boot();
        let source = if boot == Boot::CopiedInUse { Source::Copied } else { Source::Closed };
        Ok(Some(self.finish(arena, Trust::Exact, (source, doubt), boot)?))
    }

    fn copy_killed(&self) -> Result<StateCopy, CopyError> {
        let read = || {
            let arena = self.file.new_arena()?;
            self.file.read_all(&arena)?;
            Ok::<_, CopyError>(arena)
        };
        let arena = read()?;
        let trust = self.file.assess(&arena, self.boot, 0).map_err(|damage| self.damaged(damage))?;
        let Trust::Torn(doubt) = trust else {
            return self.finish(arena, trust, (Source::Killed, None), Boot::CopiedInUse);
        };
        // The start resets the counters; a copy keeps them unless they contradict each other.
        let origin = (Source::Killed, Some(doubt));
        match self.finish(arena, Trust::Restored, origin, Boot::CopiedInUse) {
            Err(CopyError::Read(ReadError::Damaged { .. })) => self.finish(read()?, trust, origin, Boot::CopiedInUse),
            finished => finished,
        }
    }

    /// `None` if it has to be tried again.
    fn copy_running(&self) -> Result<Option<StateCopy>, CopyError> {
        let frame = self.file.new_arena()?;
        self.file.read_frame(&frame)?;
        let layout = self.layout(&frame)?;
        if !layout.is_same {
            return Err(CopyError::OtherProgram { path: self.path.to_owned(), program: layout.contents.program });
        }
        let StoredLayout { contents, capacities, .. } = layout;
        let running = Running { file: self.file, contents: &contents, capacities };
        let Some(stats) = running.copy(self.now)? else { return Ok(None) };
        stats.arena.mark_closed(Boot::CopiedInUse);
        let (program, bytes) = (contents.program, self.file.bytes());
        Ok(Some(StateCopy { stats, source: Source::InUse, doubt: None, program, completed: 0, bytes }))
    }

    /// Does with a copy what a start would do with the file.
    fn finish(
        &self,
        arena: Arc<Arena>,
        trust: Trust,
        (source, doubt): (Source, Option<Doubt>),
        boot: Boot,
    ) -> Result<StateCopy, CopyError> {
        let StoredLayout { contents, capacities, wanted, is_same } = self.layout(&arena)?;
        let program = contents.program.clone();
        let old = Block::new(arena, contents);
        let no_memory = |error| self.file.no_memory(error);
        let mut block = old.clone();
        if !is_same {
            block = Block::for_file(wanted.clone(), old.arena()).map_err(no_memory)?;
        }
        let stats = Stats::in_block(&block, capacities).map_err(no_memory)?;
        if !is_same {
            let unknown = stats.carry_from(&old, &wanted, self.now).map_err(|damage| self.damaged(damage))?;
            if !unknown.is_empty() {
                return Err(CopyError::Newer { path: self.path.to_owned(), unknown });
            }
        }
        let completed = stats.restore(trust, false, self.now).map_err(|damage| self.damaged(damage))?;
        stats.arena.mark_closed(boot);
        Ok(StateCopy { stats, source, doubt, program, completed, bytes: self.file.bytes() })
    }

    fn layout(&self, arena: &Arena) -> Result<StoredLayout, CopyError> {
        let contents = match arena.sections().map_err(|damage| self.damaged(damage))? {
            Sections::Listed(contents) => contents,
            Sections::OfFirstVersion { fingerprint, capacities } => {
                let contents = first_version::contents(fingerprint, capacities, arena.words_len());
                let contents = contents.map_err(|damage| self.damaged(damage))?;
                Contents { program: "0.1.0".to_owned(), ..contents }
            }
        };
        let capacities = stored_capacities(&contents);
        let wanted = Stats::contents(capacities);
        let is_same = contents.differences(&wanted).is_empty();
        Ok(StoredLayout { contents, capacities, wanted, is_same })
    }
}

/// The capacities for which a block was made, as far as its sections tell.
fn stored_capacities(contents: &Contents) -> Capacities {
    Capacities {
        groups: GroupTable::stored_capacity(contents),
        exported_groups: Weeks::stored_capacity(contents),
        sender_pairs: Pairs::stored_capacity(contents),
        dedup_window: Dedup::stored_window(contents),
        online: Online::stored_capacity(contents),
        history_days: History::stored_days(contents),
    }
}
