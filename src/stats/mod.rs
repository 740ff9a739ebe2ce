//! The statistics: what is counted of a message, and how it is read back.
//!
//! Numbers only: no JSON, no HTTP, no metric names, no files. Everything is an atomic in one [`Arena`].

mod counters;
mod dedup;
mod delays;
mod exemplars;
mod group_name;
mod groups;
mod histogram;
pub mod hyperloglog;
mod mix;
mod state;
mod windows;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::arena::{Arena, Directory, Place, Plan, Section};
use crate::domain::codes::{self, STATUSES};
use crate::domain::{Message, UnixMillis};
use counters::Counters;
use dedup::{Admission, Dedup};
use delays::Delays;
use groups::Groups;
use histogram::Histogram;
use hyperloglog::{Element, hash};
use mix::Mix;
use windows::Windows;

pub use dedup::LONGEST_WINDOW;
pub use delays::ClockError;
pub use exemplars::Exemplar;
pub use groups::{Group, GroupName, Recorded, RetirementPause};
pub use histogram::HistogramReading;
pub use mix::{MixCell, UNLISTED_TYPES};
pub use state::{Outcome, Start};
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
    dedup: dedup::Places,
}

impl Places {
    fn reserve(plan: &mut Plan, capacities: Capacities) -> Self {
        Self {
            began: plan.reserve("began", 1),
            mix: Mix::reserve(plan),
            tallies: Counters::reserve(plan, "tallies", TALLIES),
            content_bytes: Histogram::reserve(plan, "content bytes", CONTENT_BOUNDS),
            delays: Delays::reserve(plan),
            senders: Windows::reserve(plan, "senders"),
            active_groups: Windows::reserve(plan, "active groups"),
            groups: Groups::reserve(plan, capacities.groups),
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
            dedup: Dedup::over(places.dedup, capacities.dedup_window, section)?,
        })
    }

    /// Counts one message that was received at `now`. Takes no exclusive lock and, for a group that is tracked,
    /// allocates nothing.
    pub fn record(&self, message: &Message<'_>, now: UnixMillis) -> Recorded {
        let admitted = match self.admit(message.server_msg_id, now) {
            Admission::Repeat => return Recorded::Repeat,
            Admission::New(entry) => entry,
        };
        let (sender, group) = (hash(message.sender_id.as_bytes()), hash(message.group_id.as_bytes()));
        // Before the total: who reads the total first and the groups then misses no message of it among them.
        let recorded = self.groups.record(message.group_id, now);
        self.mix.record(message);
        self.record_tallies(message);
        self.content_bytes.observe(message.content_bytes);
        self.delays.record(message, now);
        self.senders.add(Element::of_hash(sender), now);
        self.active_groups.add(Element::of_hash(group), now);
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
        self.groups.tick(now);
        self.dedup.tick(now);
    }

    /// Messages by content type, platform and source: every cell that is known in advance or has counted.
    pub fn mix(&self) -> impl Iterator<Item = MixCell> + '_ {
        self.mix.cells()
    }

    /// All messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.mix().map(|cell| cell.messages).sum()
    }

    /// Messages by status: one number for each of [`STATUSES`], then one for all other values.
    #[must_use]
    pub fn by_status(&self) -> [u64; STATUSES.len() + 1] {
        std::array::from_fn(|status| self.tallies.sum(Tally::Status as usize + status))
    }

    /// Entries of mention lists that name a user.
    #[must_use]
    pub fn mentioned_users(&self) -> u64 {
        self.tallies.sum(Tally::MentionedUsers as usize)
    }

    /// Messages that mention everyone.
    #[must_use]
    pub fn mentioned_all(&self) -> u64 {
        self.tallies.sum(Tally::MentionedAll as usize)
    }

    /// Lengths of `content` in bytes.
    #[must_use]
    pub fn content_bytes(&self) -> HistogramReading {
        self.content_bytes.read()
    }

    /// Receipt minus `sendTime`, in milliseconds.
    #[must_use]
    pub fn delivery_delays(&self) -> HistogramReading {
        self.delays.delivery()
    }

    /// `sendTime` minus `createTime`, in milliseconds.
    #[must_use]
    pub fn submit_delays(&self) -> HistogramReading {
        self.delays.submit()
    }

    /// Delays that were not observed because a clock was wrong.
    #[must_use]
    pub fn clock_errors(&self, kind: ClockError) -> u64 {
        self.delays.errors(kind)
    }

    /// Distinct senders in each of [`WINDOWS`], estimated.
    #[must_use]
    pub fn active_senders(&self, now: UnixMillis) -> [u64; WINDOWS.len()] {
        self.senders.counts(now)
    }

    /// Distinct groups in each of [`WINDOWS`], estimated; those that are not tracked too.
    #[must_use]
    pub fn active_groups(&self, now: UnixMillis) -> [u64; WINDOWS.len()] {
        self.active_groups.counts(now)
    }

    /// For each bucket of [`Stats::delivery_delays`], and then for what is above the last, a message that fell into it.
    #[must_use]
    pub fn delivery_exemplars(&self) -> Vec<Option<Exemplar>> {
        self.delays.exemplars()
    }

    /// When the counters began, from 0.
    #[must_use]
    pub fn began(&self) -> UnixMillis {
        let began = self.began.first().map_or(0, |began| began.load(Ordering::Relaxed));
        UnixMillis(began.cast_signed())
    }

    /// The tracked groups. Read one by one: without a pause of retirement, one that is retired meanwhile may be missed.
    pub fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        let slots = u32::try_from(self.group_slots()).unwrap_or(u32::MAX);
        (0..slots).filter_map(|slot| self.group(slot))
    }

    /// The groups' slots: those that are in use are below this number.
    #[must_use]
    pub fn group_slots(&self) -> usize {
        self.groups.slots_used()
    }

    /// The group in a slot, if one has it. Takes no lock.
    #[must_use]
    pub fn group(&self, slot: u32) -> Option<Group> {
        self.groups.read(slot)
    }

    /// The slots of the groups that have series of their own: the most active.
    #[must_use]
    pub fn exported_groups(&self) -> Vec<u32> {
        self.groups.exported()
    }

    /// Keeps groups from being retired, so that all of them and then the folded messages can be read as of one state:
    /// together they are [`Stats::messages`], and what came since that was read. Held off for ten seconds at most.
    #[must_use]
    pub fn pause_retirement(&self, now: UnixMillis) -> RetirementPause {
        self.groups.pause_retirement(now)
    }

    /// How many groups are tracked.
    #[must_use]
    pub fn groups_tracked(&self) -> usize {
        self.groups.tracked()
    }

    /// How many groups can be tracked.
    #[must_use]
    pub fn groups_capacity(&self) -> usize {
        self.groups.capacity()
    }

    /// Pairs of a group and a sender that were seen in the last 24 hours, about.
    #[must_use]
    pub const fn sender_pairs_tracked(&self) -> u64 {
        0
    }

    /// Pairs of a group and a sender that can be told apart.
    #[must_use]
    pub const fn sender_pairs_capacity(&self) -> usize {
        0
    }

    /// Pairs that were forgotten early because there were too many.
    #[must_use]
    pub const fn sender_pairs_evicted(&self) -> u64 {
        0
    }

    /// Messages that came within the dedup window before, and were not counted again.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.dedup.repeats()
    }

    /// Messages that the dedup window knows, as of the last few seconds.
    #[must_use]
    pub fn message_ids_tracked(&self) -> usize {
        self.dedup.known()
    }

    /// Messages that the dedup window can know; 0 where it is off.
    #[must_use]
    pub fn message_ids_capacity(&self) -> usize {
        self.dedup.capacity()
    }

    /// Messages that were forgotten within the dedup window: a repeat of one of these is counted again.
    #[must_use]
    pub fn message_ids_evicted(&self) -> u64 {
        self.dedup.evicted()
    }

    /// How many groups were retired.
    #[must_use]
    pub fn groups_retired(&self) -> u64 {
        self.groups.retired()
    }

    /// Messages that no tracked group carries because the table was full when they came.
    #[must_use]
    pub fn folded_for_capacity(&self) -> u64 {
        self.groups.folded_for_capacity()
    }

    /// Messages of groups that were retired.
    #[must_use]
    pub fn folded_retired(&self) -> u64 {
        self.groups.folded_retired()
    }
}
