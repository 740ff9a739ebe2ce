//! What was counted, read back.

use std::sync::atomic::Ordering;

use super::{ClockError, Exemplar, Group, HistogramReading, MixCell, RetirementPause, STATUSES, Stats, Tally, WINDOWS};
use crate::domain::UnixMillis;

impl Stats {
    /// Messages by content type, platform and source: every cell that is known in advance or has counted.
    pub fn mix(&self) -> impl Iterator<Item = MixCell> + '_ {
        self.mix.cells()
    }

    /// All messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.mix().map(|cell| cell.messages).fold(0, u64::wrapping_add)
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

    /// How many groups can have series of their own.
    #[must_use]
    pub const fn exported_groups_capacity(&self) -> usize {
        self.groups.exported_capacity()
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
    pub fn sender_pairs_tracked(&self) -> u64 {
        self.pairs.tracked()
    }

    /// Pairs of a group and a sender that can be told apart.
    #[must_use]
    pub const fn sender_pairs_capacity(&self) -> usize {
        self.pairs.capacity()
    }

    /// Pairs that were forgotten early because there were too many.
    #[must_use]
    pub fn sender_pairs_evicted(&self) -> u64 {
        self.pairs.evicted()
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
