//! All parts of the statistics, and how a message is counted in each of them.
//!
//! A new counter of messages needs a value of [`MessageCounter`], its key in [`message_counter_keys`], an addition in
//! `record_message_counters` and a method in `readings.rs`. Counters of anything else are in `activities.rs` or
//! `callbacks.rs`. Any other new part needs a field of [`Stats`], a line in `contents` and `in_block`, and one in
//! `carry_from` and `reset_counters` of `state/restoring.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::activities::Activities;
use super::callbacks::Callbacks;
use super::carry::keys;
use super::counters::Counters;
use super::dedup::{self, Dedup, DedupResult};
use super::delays::Delays;
use super::groups::{GroupTable, Recorded};
use super::histogram::Histogram;
use super::hyperloglog::{Element, hash};
use super::mix::Mix;
use super::pairs::Pairs;
use super::state_start::StateStart;
use super::timeline::Timeline;
use super::windows::{CurrentPeriods, Windows};
use crate::arena::{Arena, Block, Contents, Directory, Layout, SingleWord};
use crate::domain::codes::{self, OTHER, STATUSES};
use crate::domain::{Event, Message, Reason, UnixMillis};

/// Upper bounds of the buckets for a content's length, in bytes: 16 B to 1 MiB, each four times the one before.
const CONTENT_BOUNDS: &[u64] = &[16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

/// Names of sections in a state.
pub(super) const STARTED: &str = "began";
pub(super) const MESSAGE_COUNTERS: &str = "tallies";
pub(super) const SENDERS: &str = "senders";
pub(super) const ACTIVE_GROUPS: &str = "active groups";

/// Version of the layout of [`STARTED`].
pub(super) const STARTED_LAYOUT: u32 = 1;

/// Counters of messages.
#[derive(Clone, Copy)]
pub(super) enum MessageCounter {
    /// The first of a counter for each of [`STATUSES`], and one for all other statuses.
    Status = 0,
    MentionedUsers = STATUSES.len() as isize + 1,
    MentionedAll,
}

/// The stored key of each [`MessageCounter`].
pub(super) fn message_counter_keys() -> Vec<String> {
    let statuses = STATUSES.into_iter().chain([OTHER]).map(|status| format!("status {status}"));
    keys(statuses.chain(["mentioned users", "mentioned all"].map(str::to_owned)))
}

/// Capacities, which limit the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Groups that are tracked.
    pub groups: usize,
    /// Tracked groups that are exported with series of their own.
    pub exported_groups: usize,
    /// Pairs of a group and a sender that are tracked.
    pub sender_pairs: usize,
    /// How long duplicate messages are ignored, at most a day; zero counts them all.
    pub dedup_window: Duration,
}

/// All statistics.
#[derive(Debug)]
pub struct Stats {
    pub(super) arena: Arc<Arena>,
    /// The state's directory, which stays locked; `None` if the statistics are in memory only.
    pub(super) directory: Option<Directory>,
    pub(super) state_start: StateStart,
    pub(super) timeline: Timeline,
    pub(super) started: SingleWord,
    pub(super) callbacks: Callbacks,
    pub(super) activities: Activities,
    pub(super) mix: Mix,
    pub(super) message_counters: Counters,
    pub(super) content_bytes: Histogram,
    pub(super) delays: Delays,
    pub(super) senders: Windows,
    pub(super) active_groups: Windows,
    pub(super) groups: GroupTable,
    pub(super) pairs: Pairs,
    pub(super) dedup: Dedup,
}

impl Stats {
    /// The sections of a block for these capacities.
    pub(super) fn contents(capacities: Capacities) -> Contents {
        let mut contents = Contents::default();
        contents.reserve(Layout::new(STARTED, STARTED_LAYOUT, size_of::<u64>(), 1));
        Callbacks::reserve(&mut contents);
        Activities::reserve(&mut contents);
        Mix::reserve(&mut contents);
        Counters::reserve(&mut contents, MESSAGE_COUNTERS, vec![message_counter_keys()]);
        Histogram::reserve(&mut contents, "content bytes", CONTENT_BOUNDS);
        Delays::reserve(&mut contents);
        Windows::reserve(&mut contents, SENDERS);
        Windows::reserve(&mut contents, ACTIVE_GROUPS);
        GroupTable::reserve(&mut contents, capacities.groups);
        Pairs::reserve(&mut contents, capacities.sender_pairs);
        Dedup::reserve(&mut contents, capacities.dedup_window);
        contents
    }

    /// The statistics in a block with these [`Stats::contents`].
    pub(super) fn in_block(block: &Block, capacities: Capacities) -> io::Result<Self> {
        Ok(Self {
            arena: Arc::clone(block.arena()),
            directory: None,
            state_start: StateStart::Fresh,
            timeline: Timeline::default(),
            started: block.single_word(STARTED)?,
            callbacks: Callbacks::open(block)?,
            activities: Activities::open(block)?,
            mix: Mix::open(block)?,
            message_counters: Counters::open(block, MESSAGE_COUNTERS)?,
            content_bytes: Histogram::open(block, "content bytes", CONTENT_BOUNDS)?,
            delays: Delays::open(block)?,
            senders: Windows::open(block, SENDERS)?,
            active_groups: Windows::open(block, ACTIVE_GROUPS)?,
            groups: GroupTable::open(block, capacities.exported_groups)?,
            pairs: Pairs::open(block, capacities.sender_pairs)?,
            dedup: Dedup::open(block, capacities.dedup_window)?,
        })
    }

    /// Empty statistics in memory, whose counters start at `now`.
    ///
    /// # Errors
    /// When the system refuses the memory that the capacities need.
    pub fn in_memory(capacities: Capacities, now: UnixMillis) -> io::Result<Self> {
        let stats = Self::in_block(&Block::in_memory(Self::contents(capacities))?, capacities)?;
        stats.set_started(now);
        stats.tick(now);
        Ok(stats)
    }

    pub(super) fn set_started(&self, now: UnixMillis) {
        self.started.set(now.0.cast_unsigned());
    }

    /// Counts a message that was received at `clock`, the machine's time. Takes no exclusive lock and, if the group is
    /// tracked, does not allocate. A duplicate that arrives while its original is being counted waits for that.
    pub fn record(&self, message: &Message<'_>, clock: UnixMillis) -> Recorded {
        let now = self.timeline.at(clock);
        let pending = match self.find_duplicate(message.server_msg_id, now) {
            DedupResult::Duplicate => return Recorded::Duplicate,
            DedupResult::New(pending) => pending,
        };
        let (sender, group) = (hash(message.sender_id.as_bytes()), hash(message.group_id.as_bytes()));
        let pair = hash_pair(group, sender);
        self.pairs.prefetch(pair);
        // Before the total: a reader that reads the total first then finds every message of it in the groups.
        let recorded = self.groups.record(message.group_id, now, || {
            self.delays.record(message, clock);
            let current = CurrentPeriods::at(now);
            self.senders.add(Element::from_hash(sender), &current);
            self.active_groups.add(Element::from_hash(group), &current);
        });
        if let Recorded::Known(slot) | Recorded::Added(slot) = recorded {
            self.pairs.record(pair, slot, now);
        }
        self.mix.record(message);
        self.record_message_counters(message);
        self.content_bytes.observe(message.content_bytes);
        pending.into_iter().for_each(dedup::PendingMessage::confirm);
        recorded
    }

    /// Counts an accepted callback. `command` is its position in [`COMMANDS`](crate::domain::COMMANDS), if it is there.
    #[inline]
    pub fn record_callback(&self, command: Option<usize>, now: UnixMillis) {
        self.callbacks.accept(command, now);
    }

    /// Counts what a callback reports, apart from a message.
    pub fn record_event(&self, event: Event) {
        self.activities.record(event);
    }

    /// Counts a refused request, and returns the number of refusals for this reason.
    pub fn record_refusal(&self, reason: Reason) -> u64 {
        self.callbacks.refuse(reason)
    }

    /// Looks for a duplicate. A message without an ID is always new.
    fn find_duplicate(&self, id: &str, now: UnixMillis) -> DedupResult<'_> {
        let can_be_duplicate = !id.is_empty() && self.dedup.capacity() > 0;
        if can_be_duplicate { self.dedup.register(hash(id.as_bytes()), now) } else { DedupResult::New(None) }
    }

    fn record_message_counters(&self, message: &Message<'_>) {
        let status = codes::status_position(message.status).unwrap_or(STATUSES.len());
        self.message_counters.add(MessageCounter::Status as usize + status, 1);
        if message.mentions.users > 0 {
            self.message_counters.add(MessageCounter::MentionedUsers as usize, u64::from(message.mentions.users));
        }
        if message.mentions.all {
            self.message_counters.add(MessageCounter::MentionedAll as usize, 1);
        }
    }

    /// Does the periodic work. Call it about once a second, not on a serving thread.
    pub fn tick(&self, clock: UnixMillis) {
        let tick = self.timeline.tick(clock, || self.senders.latest());
        self.senders.prepare(tick);
        self.active_groups.prepare(tick);
        let now = tick.now;
        if self.groups.tick(now) {
            let publish = |slot, hour, day| self.groups.set_active_senders(slot, hour, day);
            self.pairs.scan(now, self.groups.slots_used(), publish);
        }
        self.dedup.tick(now);
    }
}

/// A hash of a pair from the hashes of its group and its sender: the finalizer of SplitMix64 (Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", 2014), so that every bit of both affects every bit of the result.
const fn hash_pair(group: u64, sender: u64) -> u64 {
    let mixed = group.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ sender;
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
