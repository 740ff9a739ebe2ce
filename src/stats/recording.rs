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
use super::disconnects::{Disconnect, Disconnects};
use super::groups::{GroupTable, Recorded, Weeks};
use super::history::History;
use super::hyperloglog::{Element, hash, hash_pair};
use super::messages::{self, Messages};
use super::online::Online;
use super::pairs::Pairs;
use super::stages::Stages;
use super::state_start::StateStart;
use super::timeline::{Tick, Timeline};
use super::united::United;
use super::windows::{CurrentPeriods, Windows};
use crate::arena::{Arena, Block, Contents, Directory, Layout, SingleWord};
use crate::domain::codes::{self, OTHER, STATUSES};
use crate::domain::{Activity, Attempt, Chat, Event, Exclusion, Message, MessageSource, Presence, Reason, UnixMillis};

/// Names of sections in a state.
pub(super) const ID: &str = "id";
pub(super) const STARTED: &str = "began";
pub(super) const MESSAGE_COUNTERS: &str = "tallies";
pub(super) const ACTIVE_GROUPS: &str = "active groups";
pub(super) const USERS: &str = "users";

/// Versions of the layouts of [`ID`] and [`STARTED`].
pub(super) const ID_LAYOUT: u32 = 1;
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
    /// Maximum number of users online that are tracked; a user on two platforms counts twice.
    pub online: usize,
    /// Complete calendar days that the history keeps.
    pub history_days: usize,
}

/// All statistics.
#[derive(Debug)]
pub struct Stats {
    pub(super) arena: Arc<Arena>,
    /// The state's directory, which stays locked; `None` if the statistics are in memory only.
    pub(super) directory: Option<Directory>,
    pub(super) state_start: StateStart,
    pub(super) timeline: Timeline,
    /// A random number, by which the state is known to other exporters; 0 until it is chosen.
    pub(super) id: SingleWord,
    pub(super) started: SingleWord,
    pub(super) callbacks: Callbacks,
    pub(super) activities: Activities,
    pub(super) group_messages: Messages,
    pub(super) single_messages: Messages,
    pub(super) stages: Stages,
    /// Of group messages.
    pub(super) message_counters: Counters,
    pub(super) active_groups: Windows,
    /// Users that came online or read messages. Senders are in the messages' windows.
    pub(super) users: Windows,
    pub(super) online: Online,
    pub(super) disconnects: Disconnects,
    pub(super) groups: GroupTable,
    pub(super) pairs: Pairs,
    pub(super) dedup: Dedup,
    pub(super) history: History,
    pub(super) weeks: Weeks,
    pub(super) united: United,
}

impl Stats {
    /// The sections of a block for these capacities.
    pub(super) fn contents(capacities: Capacities) -> Contents {
        let mut contents = Contents::default();
        contents.reserve(Layout::new(ID, ID_LAYOUT, size_of::<u64>(), 1));
        contents.reserve(Layout::new(STARTED, STARTED_LAYOUT, size_of::<u64>(), 1));
        Callbacks::reserve(&mut contents);
        Activities::reserve(&mut contents);
        Messages::reserve(&mut contents, messages::GROUP);
        Messages::reserve(&mut contents, messages::SINGLE);
        Counters::reserve(&mut contents, MESSAGE_COUNTERS, vec![message_counter_keys()]);
        Windows::reserve(&mut contents, ACTIVE_GROUPS);
        Windows::reserve(&mut contents, USERS);
        Online::reserve(&mut contents, capacities.online);
        GroupTable::reserve(&mut contents, capacities.groups);
        Pairs::reserve(&mut contents, capacities.sender_pairs);
        Dedup::reserve(&mut contents, capacities.dedup_window);
        History::reserve(&mut contents, capacities.history_days);
        Weeks::reserve(&mut contents, capacities.exported_groups);
        contents
    }

    /// The statistics in a block with these [`Stats::contents`].
    pub(super) fn in_block(block: &Block, capacities: Capacities) -> io::Result<Self> {
        Ok(Self {
            arena: Arc::clone(block.arena()),
            directory: None,
            state_start: StateStart::Fresh,
            timeline: Timeline::default(),
            id: block.single_word(ID)?,
            started: block.single_word(STARTED)?,
            callbacks: Callbacks::open(block)?,
            activities: Activities::open(block)?,
            group_messages: Messages::open(block, messages::GROUP)?,
            single_messages: Messages::open(block, messages::SINGLE)?,
            stages: Stages::new(MessageSource::Auto),
            message_counters: Counters::open(block, MESSAGE_COUNTERS)?,
            active_groups: Windows::open(block, ACTIVE_GROUPS)?,
            users: Windows::open(block, USERS)?,
            online: Online::open(block, capacities.online)?,
            disconnects: Disconnects::default(),
            groups: GroupTable::open(block, capacities.exported_groups)?,
            pairs: Pairs::open(block, capacities.sender_pairs)?,
            dedup: Dedup::open(block, capacities.dedup_window)?,
            history: History::open(block)?,
            weeks: Weeks::open(block)?,
            united: United::default(),
        })
    }

    /// Empty statistics in memory, whose counters start at `now`.
    ///
    /// # Errors
    /// When the system refuses the memory that the capacities need.
    pub fn in_memory(capacities: Capacities, now: UnixMillis) -> io::Result<Self> {
        let stats = Self::in_block(&Block::in_memory(Self::contents(capacities))?, capacities)?;
        stats.set_started(now);
        stats.choose_id();
        stats.history.begin(&stats.sample());
        stats.prepare(now);
        Ok(stats)
    }

    pub(super) fn set_started(&self, now: UnixMillis) {
        self.started.set(now.0.cast_unsigned());
    }

    /// Sets which callbacks messages are counted from.
    #[must_use]
    pub fn counting_messages_from(mut self, source: MessageSource) -> Self {
        self.stages = Stages::new(source);
        self
    }

    /// Counts a message that was received at `clock`, the machine's time. Takes no exclusive lock and, if the group is
    /// tracked, does not allocate. A duplicate that arrives while its original is being counted waits for that.
    pub fn record(&self, message: &Message<'_>, clock: UnixMillis) -> Recorded {
        if !self.stages.counts(message) {
            self.dedup.count_duplicate();
            return Recorded::OtherSource;
        }
        let now = self.timeline.at(clock);
        let pending = match self.find_duplicate(message.server_msg_id, now) {
            DedupResult::Duplicate => return Recorded::Duplicate,
            DedupResult::New(pending) => pending,
        };
        let sender = hash(message.sender_id.as_bytes());
        let recorded = match message.group_id {
            Some(group) => self.record_in_group(message, (group, sender), clock, now),
            None => {
                let current = CurrentPeriods::at(now);
                self.single_messages.record_sender(Element::from_hash(sender), message, clock, &current);
                self.single_messages.record_content(message);
                Recorded::Single
            }
        };
        pending.into_iter().for_each(dedup::PendingMessage::confirm);
        recorded
    }

    #[inline]
    fn record_in_group(
        &self,
        message: &Message<'_>,
        (group_id, sender): (&str, u64),
        clock: UnixMillis,
        now: UnixMillis,
    ) -> Recorded {
        let group = hash(group_id.as_bytes());
        let pair = hash_pair(group, sender);
        self.pairs.prefetch(pair);
        // Before the total: a reader that reads the total first then finds every message of it in the groups.
        let recorded = self.groups.record(group_id, now, || {
            let current = CurrentPeriods::at(now);
            self.group_messages.record_sender(Element::from_hash(sender), message, clock, &current);
            self.active_groups.add(Element::from_hash(group), &current);
        });
        if let Recorded::Known(slot) | Recorded::Added(slot) = recorded {
            self.pairs.record(pair, slot, now);
        }
        self.record_message_counters(message);
        self.group_messages.record_content(message);
        recorded
    }

    /// Counts an accepted callback. `command` is its position in [`COMMANDS`](crate::domain::COMMANDS), if it is there.
    #[inline]
    pub fn record_callback(&self, command: Option<usize>, now: UnixMillis) {
        self.callbacks.accept(command, now);
    }

    /// Counts an accepted callback that is not counted in any other way.
    pub fn record_exclusion(&self, reason: Exclusion, now: UnixMillis) {
        self.callbacks.exclude(reason, now);
    }

    /// Counts what a callback that was received at `clock` reports, apart from a message.
    pub fn record_event(&self, event: Event<'_>, clock: UnixMillis) {
        let now = self.timeline.at(clock);
        match event {
            Event::Activity(activity, count) => self.activities.add(activity, count),
            Event::Attempt(Attempt { chat: Chat::Group, .. }) => self.activities.add(Activity::GroupAttempts, 1),
            Event::Attempt(Attempt { chat: Chat::Single, .. }) => self.activities.add(Activity::SingleAttempts, 1),
            // OpenIM may report a dismissal twice.
            Event::Dismissal(group) => {
                self.groups.dismiss(group, now, || self.activities.add(Activity::GroupsDismissed, 1));
            }
            Event::Read(user, activity, count) => {
                self.record_user(user, now);
                self.activities.add(activity, count);
            }
            Event::Online(Presence { user_id, platform_id }) => {
                if let Some(user) = self.record_user(user_id, now) {
                    self.online.add(user, platform_id, now);
                }
            }
            Event::Offline(Presence { user_id, platform_id }) => {
                let key = self.online.remove(hash(user_id.as_bytes()), platform_id);
                self.disconnects.add(Disconnect { key, at: now });
                self.activities.disconnect(platform_id);
            }
        }
    }

    /// Counts a user as active. Returns the hash of the ID, unless that is empty.
    fn record_user(&self, id: &str, now: UnixMillis) -> Option<u64> {
        let user = (!id.is_empty()).then(|| hash(id.as_bytes()))?;
        self.users.add(Element::from_hash(user), &CurrentPeriods::at(now));
        Some(user)
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
        self.tick_history(self.prepare(clock));
    }

    /// Does the periodic work, except that of the history, which begins when its calendar is set.
    pub(super) fn prepare(&self, clock: UnixMillis) -> Tick {
        let windows = [&self.group_messages.senders, &self.single_messages.senders, &self.active_groups, &self.users];
        let latest = || windows.map(Windows::latest).into_iter().fold(UnixMillis(0), UnixMillis::max);
        let tick = self.timeline.tick(clock, latest);
        windows.into_iter().for_each(|windows| windows.prepare(tick));
        let now = tick.now;
        if self.groups.tick(now) {
            self.groups.finish_removals(now, |slots| {
                self.pairs.forget(slots);
            });
            self.online.sweep(now);
            let publish = |slot, hour, day| self.groups.set_active_senders(slot, hour, day);
            self.pairs.scan(now, self.groups.slots_used(), publish);
        }
        self.dedup.tick(now);
        tick
    }
}
