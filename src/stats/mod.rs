//! The statistics: what is counted of a message, and how it is read back.
//!
//! Numbers only: no JSON, no HTTP, no metric names, no files. Everything is an atomic in one [`Arena`].

mod carry;
mod counters;
mod dedup;
mod delays;
mod exemplars;
mod group_name;
mod groups;
mod histogram;
pub mod hyperloglog;
mod mix;
mod packed;
mod pairs;
mod readings;
mod state;
mod windows;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::arena::{Arena, Directory, Layout, Place, Plan, Section};
use crate::domain::codes::{self, OTHER, STATUSES};
use crate::domain::{Message, UnixMillis};
use carry::{Carry, keys};
use counters::Counters;
use dedup::{Admission, Dedup};
use delays::Delays;
use groups::Groups;
use histogram::Histogram;
use hyperloglog::{Element, hash};
use mix::Mix;
use pairs::Pairs;
use windows::{Current, Windows};

pub use delays::ClockError;
pub use exemplars::Exemplar;
pub use groups::{Group, GroupName, Recorded, RetirementPause};
pub use histogram::HistogramReading;
pub use mix::{MixCell, UNLISTED_TYPES};
pub use state::Outcome;
pub use windows::{WINDOWS, Window};

/// Upper bounds of the content's buckets in bytes: 16 B to 1 MiB, each four times the one before.
const CONTENT_BOUNDS: &[u64] = &[16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

/// Counters of which there are few, in one row.
#[derive(Clone, Copy)]
enum Tally {
    /// The first of one for each of `STATUSES` and one for the others.
    Status = 0,
    MentionedUsers = STATUSES.len() as isize + 1,
    MentionedAll,
}

const TALLIES: usize = Tally::MentionedAll as usize + 1;

/// The key of each [`Tally`].
fn tally_keys() -> Vec<String> {
    let statuses = STATUSES.into_iter().chain([OTHER]).map(|status| format!("status {status}"));
    keys(statuses.chain(["mentioned users", "mentioned all"].map(str::to_owned)))
}

/// Version of the layout of the time at which the counters began.
const LAYOUT: u32 = 1;

/// Messages that can have been under way when a process was killed: one for each serving thread, of a machine that may
/// have had more of them.
const MOST_UNDER_WAY: u64 = 256;

/// Capacities: what bounds the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Groups that are counted one by one.
    pub groups: usize,
    /// Groups that have series of their own.
    pub exported_groups: usize,
    /// Pairs of a group and a sender that are told apart.
    pub sender_pairs: usize,
    /// For how long a message that comes again is a repeat; nothing makes none one. At most a day.
    pub dedup_window: Duration,
}

/// All statistics of all messages.
#[derive(Debug)]
pub struct Stats {
    arena: Arc<Arena>,
    /// Of a state that is kept: locked as long as this lives.
    directory: Option<Directory>,
    outcome: Outcome,
    began: Section,
    mix: Mix,
    tallies: Counters,
    content_bytes: Histogram,
    delays: Delays,
    senders: Windows,
    active_groups: Windows,
    groups: Groups,
    pairs: Pairs,
    dedup: Dedup,
}

/// Where the parts of [`Stats`] lie in the block.
struct Places {
    began: Place,
    mix: mix::Places,
    tallies: Place,
    content_bytes: Place,
    delays: delays::Places,
    senders: windows::Places,
    active_groups: windows::Places,
    groups: groups::Places,
    pairs: pairs::Places,
    dedup: dedup::Places,
}

impl Places {
    fn reserve(plan: &mut Plan, capacities: Capacities) -> Self {
        Self {
            began: plan.reserve(Layout::of("began", LAYOUT, size_of::<u64>(), 1)),
            mix: Mix::reserve(plan),
            tallies: Counters::reserve(plan, "tallies", vec![tally_keys()]),
            content_bytes: Histogram::reserve(plan, "content bytes", CONTENT_BOUNDS),
            delays: Delays::reserve(plan),
            senders: Windows::reserve(plan, "senders"),
            active_groups: Windows::reserve(plan, "active groups"),
            groups: Groups::reserve(plan, capacities.groups),
            pairs: Pairs::reserve(plan, capacities.sender_pairs),
            dedup: Dedup::reserve(plan, capacities.dedup_entries()),
        }
    }
}

impl Stats {
    /// Statistics that start from nothing at `now`, in anonymous memory.
    ///
    /// # Errors
    /// When the system refuses the memory that the capacities need.
    pub fn in_memory(capacities: Capacities, now: UnixMillis) -> io::Result<Self> {
        let mut plan = Plan::new();
        let places = Places::reserve(&mut plan, capacities);
        let stats = Self::over(&places, capacities, &Arena::anonymous(&plan)?)?;
        stats.set_began(now);
        stats.tick(now);
        Ok(stats)
    }

    fn over(places: &Places, capacities: Capacities, arena: &Arc<Arena>) -> io::Result<Self> {
        let section = |place| arena.section(place);
        Ok(Self {
            arena: Arc::clone(arena),
            directory: None,
            outcome: Outcome::Fresh,
            began: section(places.began)?,
            mix: Mix::over(places.mix, section)?,
            tallies: Counters::over(section(places.tallies)?, TALLIES),
            content_bytes: Histogram::over(section(places.content_bytes)?, CONTENT_BOUNDS),
            delays: Delays::over(places.delays, section)?,
            senders: Windows::over(places.senders, section)?,
            active_groups: Windows::over(places.active_groups, section)?,
            groups: Groups::over(places.groups, capacities.exported_groups, section)?,
            pairs: Pairs::over(places.pairs, capacities.sender_pairs, section)?,
            dedup: Dedup::over(places.dedup, capacities.dedup_window, section)?,
        })
    }

    /// Counts one message that was received at `now`. Takes no exclusive lock and, for a group that is tracked,
    /// allocates nothing. A duplicate that comes while its original is being counted waits for that.
    pub fn record(&self, message: &Message<'_>, now: UnixMillis) -> Recorded {
        let admitted = match self.admit(message.server_msg_id, now) {
            Admission::Repeat => return Recorded::Repeat,
            Admission::New(entry) => entry,
        };
        let (sender, group) = (hash(message.sender_id.as_bytes()), hash(message.group_id.as_bytes()));
        let pair = pair(group, sender);
        self.pairs.prefetch(pair);
        // Before the total: who reads the total first and the groups then misses no message of it among them.
        let recorded = self.groups.record(message.group_id, now, || {
            self.delays.record(message, now);
            let current = Current::at(now);
            self.senders.add(Element::of_hash(sender), &current);
            self.active_groups.add(Element::of_hash(group), &current);
        });
        if let Recorded::Known(slot) | Recorded::Added(slot) = recorded {
            self.pairs.record(pair, slot, now);
        }
        self.mix.record(message);
        self.record_tallies(message);
        self.content_bytes.observe(message.content_bytes);
        admitted.into_iter().for_each(dedup::Entry::confirm);
        recorded
    }

    /// A message without an ID is always new.
    fn admit(&self, id: &str, now: UnixMillis) -> Admission<'_> {
        let is_known_by = !id.is_empty() && self.dedup.capacity() > 0;
        if is_known_by { self.dedup.admit(hash(id.as_bytes()), now) } else { Admission::New(None) }
    }

    fn record_tallies(&self, message: &Message<'_>) {
        let status = codes::status_position(message.status).unwrap_or(STATUSES.len());
        self.tallies.add(Tally::Status as usize + status, 1);
        if message.mentions.users > 0 {
            self.tallies.add(Tally::MentionedUsers as usize, u64::from(message.mentions.users));
        }
        if message.mentions.all {
            self.tallies.add(Tally::MentionedAll as usize, 1);
        }
    }

    /// Periodic work, off the serving threads; about once a second.
    pub fn tick(&self, now: UnixMillis) {
        self.senders.prepare(now);
        self.active_groups.prepare(now);
        if self.groups.tick(now) {
            let publish = |slot, hour, day| self.groups.set_active_senders(slot, hour, day);
            self.pairs.scan(now, self.groups.slots_used(), publish);
        }
        self.dedup.tick(now);
    }
}

/// A hash of a group and a sender, of theirs: the finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators", 2014), so that every bit of both is in every bit of it.
const fn pair(group: u64, sender: u64) -> u64 {
    let mixed = group.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ sender;
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
