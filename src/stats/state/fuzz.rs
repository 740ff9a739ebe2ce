//! For fuzzing: converting a block without files.

use std::io;

use crate::arena::{Block, Trust};
use crate::domain::UnixMillis;
use crate::stats::recording::{Capacities, Stats};

impl Stats {
    /// Statistics in memory with everything that this program knows of a block, and a list of what it does not know:
    /// the part of [`Stats::open`] that reads foreign numbers, without files.
    ///
    /// # Errors
    /// When the block's numbers contradict each other, or the system refuses the memory.
    pub fn in_memory_from(
        old: &Block,
        capacities: Capacities,
        trust: Trust,
        now: UnixMillis,
    ) -> io::Result<(Self, Vec<String>)> {
        let block = Block::in_memory(Self::contents(capacities))?;
        let new = Self::in_block(&block, capacities)?;
        let dropped = new.carry_from(old, block.contents(), now).map_err(io::Error::other)?;
        new.restore(trust, !dropped.is_empty(), now).map_err(io::Error::other)?;
        new.tick(now);
        Ok((new, dropped))
    }
}
