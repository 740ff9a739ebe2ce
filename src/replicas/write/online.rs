//! The users online on each platform. Unlike other registers, these can decrease: they are replaced, not raised.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use redis::Cmd;

use super::super::commands::set;
use super::super::keys::Name;
use super::super::manifest::Manifest;
use super::super::registers;
use crate::domain::codes::platform_names;
use crate::stats::Stats;

/// How long the registers stay, in milliseconds: as long as a user stays online without a report.
const EXPIRY_MS: u64 = 1_800_000;

/// Rounds after which they are written again even if they did not change: ten minutes.
const REFRESH_ROUNDS: u64 = 60;

/// What was last written.
#[derive(Default)]
pub(super) struct Online {
    /// By the position of the platform: a hash of the registers, and the round.
    known: BTreeMap<usize, (u64, u64)>,
    /// What becomes known once it is written.
    pending: BTreeMap<usize, (u64, u64)>,
}

impl Online {
    /// Makes the next round write all of them again, including platforms that no longer have users.
    pub(super) fn write_again(&mut self) {
        self.known.values_mut().for_each(|(_, written)| *written = 0);
    }

    /// The last commands succeeded.
    pub(super) fn written(&mut self) {
        self.known.append(&mut self.pending);
    }

    /// Commands that write the registers that changed.
    pub(super) fn commands(
        &mut self,
        name: &Name,
        stats: &Stats,
        manifest: &mut Manifest,
        round: u64,
        hasher: &RandomState,
    ) -> Vec<Cmd> {
        self.pending.clear();
        let mut commands = Vec::new();
        for (position, (sketch, platform)) in stats.online_sketches().iter().zip(platform_names()).enumerate() {
            let value = registers::pack(sketch);
            let hash = hasher.hash_one(&value);
            let is_known = |(known, written): &(u64, u64)| *known == hash && round < written + REFRESH_ROUNDS;
            let known = self.known.get(&position);
            let is_unused = known.is_none() && sketch.registers().all(|rank| rank == 0);
            if !is_unused && !known.is_some_and(is_known) {
                commands.push(set(&name.online(platform), &value, EXPIRY_MS));
                manifest.online.insert(position, round);
                self.pending.insert(position, (hash, round));
            }
        }
        commands
    }
}
