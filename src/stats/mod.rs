//! The statistics: what is counted of a message, and how it is read back.
//!
//! Numbers only: no JSON, no HTTP, no metric names, no files. Everything is an atomic in one [`Arena`].

mod counters;
mod delays;
mod group_name;
mod groups;
mod histogram;
pub mod hyperloglog;
mod mix;
#[cfg_attr(not(test), expect(dead_code, reason = "not wired in yet"))]
mod pairs;
mod windows;

use std::io;
use std::sync::Arc;

use crate::arena::{Arena, Place, Plan};
use crate::domain::codes::{self, STATUSES};
use crate::domain::{Message, UnixMillis};
use counters::Counters;
use delays::Delays;
use groups::Groups;
use histogram::Histogram;
use hyperloglog::Element;
use mix::Mix;
use windows::Windows;

pub use delays::ClockError;
pub use groups::{Group, Recorded};
pub use histogram::HistogramReading;
pub use mix::{MixCell, UNLISTED_TYPES};
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
    Folded,
}

const TALLIES: usize = Tally::Folded as usize + 1;

/// Capacities: what bounds the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Groups that are counted one by one.
    pub groups: usize,
}

/// All statistics of all messages.
#[derive(Debug)]
pub struct Stats {
    mix: Mix,
    tallies: Counters,
    content_bytes: Histogram,
    delays: Delays,
    senders: Windows,
    active_groups: Windows,
    groups: Groups,
}

/// Where the parts of [`Stats`] lie in the block.
struct Places {
    mix: mix::Places,
    tallies: Place,
    content_bytes: Place,
    delays: delays::Places,
    senders: windows::Places,
    active_groups: windows::Places,
    groups: Place,
}

impl Places {
    fn reserve(plan: &mut Plan, capacities: Capacities) -> Self {
        Self {
            mix: Mix::reserve(plan),
            tallies: Counters::reserve(plan, "tallies", TALLIES),
            content_bytes: Histogram::reserve(plan, "content bytes", CONTENT_BOUNDS),
            delays: Delays::reserve(plan),
            senders: Windows::reserve(plan, "senders"),
            active_groups: Windows::reserve(plan, "active groups"),
            groups: Groups::reserve(plan, capacities.groups),
        }
    }
}

impl Stats {
    /// Statistics that start from nothing, in anonymous memory.
    ///
    /// # Errors
    /// When the system refuses the memory that the capacities need.
    pub fn in_memory(capacities: Capacities) -> io::Result<Self> {
        let mut plan = Plan::new();
        let places = Places::reserve(&mut plan, capacities);
        Self::over(&places, &Arena::anonymous(&plan)?)
    }

    fn over(places: &Places, arena: &Arc<Arena>) -> io::Result<Self> {
        let section = |place| arena.section(place);
        Ok(Self {
            mix: Mix::over(places.mix, section)?,
            tallies: Counters::over(section(places.tallies)?, TALLIES),
            content_bytes: Histogram::over(section(places.content_bytes)?, CONTENT_BOUNDS),
            delays: Delays::over(places.delays, section)?,
            senders: Windows::over(places.senders, section)?,
            active_groups: Windows::over(places.active_groups, section)?,
            groups: Groups::over(section(places.groups)?),
        })
    }

    /// Counts one message that was received at `now`. Takes no exclusive lock and, for a group that is tracked,
    /// allocates nothing.
    pub fn record(&self, message: &Message<'_>, now: UnixMillis) -> Recorded {
        self.mix.record(message);
        self.record_tallies(message);
        self.content_bytes.observe(message.content_bytes);
        self.delays.record(message, now);
        self.senders.add(Element::of(message.sender_id.as_bytes()), now);
        self.active_groups.add(Element::of(message.group_id.as_bytes()), now);
        let recorded = self.groups.record(message.group_id, now);
        if recorded == Recorded::Folded {
            self.tallies.add(Tally::Folded as usize, 1);
        }
        recorded
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

    /// Periodic work, off the serving threads; at least once a minute.
    pub fn tick(&self, now: UnixMillis) {
        self.senders.prepare(now);
        self.active_groups.prepare(now);
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

    /// Messages that no tracked group carries because the table was full when they came.
    #[must_use]
    pub fn folded_for_capacity(&self) -> u64 {
        self.tallies.sum(Tally::Folded as usize)
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

    /// The tracked groups, in the order in which they came.
    pub fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.groups.all()
    }

    /// How many groups are tracked.
    #[must_use]
    pub fn groups_tracked(&self) -> usize {
        self.groups.tracked()
    }

    /// How many groups can be tracked.
    #[must_use]
    pub const fn groups_capacity(&self) -> usize {
        self.groups.capacity()
    }
}
