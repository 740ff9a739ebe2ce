//! Reading the counts.

use std::sync::atomic::AtomicU64;

use super::delays::ClockError;
use super::exemplars::Exemplar;
use super::groups::{Group, RetirementPause, SlotSet};
use super::histogram::HistogramReading;
use super::messages::Messages;
use super::mix::MixCell;
use super::recording::{MessageCounter, Stats};
use super::windows::{WINDOWS, Windows};
use crate::domain::codes::{STATUSES, platform_names};
use crate::domain::{Activity, Chat, UnixMillis};
use crate::native::NativeReading;

impl Stats {
    /// Messages of one kind by content type, platform and source: every combination with messages, and the usual ones,
    /// so that `increase()` counts their first message too.
    pub fn mix(&self, chat: Chat) -> impl Iterator<Item = MixCell> + '_ {
        self.messages_of(chat).mix.cells(chat)
    }

    pub(super) fn messages_of(&self, chat: Chat) -> &Messages {
        match chat {
            Chat::Group => &self.group_messages,
            Chat::Single => &self.single_messages,
        }
    }

    /// Accepted callbacks, by command.
    pub fn callbacks(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.callbacks.accepted()
    }

    /// How often something happened.
    #[must_use]
    pub fn activity(&self, activity: Activity) -> u64 {
        self.activities.count(activity)
    }

    /// Connections that ended, by platform.
    pub fn disconnects(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.activities.disconnects()
    }

    /// Refused requests, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.callbacks.refused()
    }

    /// Accepted callbacks that are not counted in any other way, by reason.
    pub fn exclusions(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.callbacks.excluded()
    }

    /// When the last callback was accepted; `None` before the first.
    #[must_use]
    pub fn last_callback(&self) -> Option<UnixMillis> {
        self.callbacks.last()
    }

    /// All group messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.mix(Chat::Group).map(|cell| cell.messages).fold(0, u64::wrapping_add)
    }

    /// All messages between two users.
    #[must_use]
    pub fn single_messages(&self) -> u64 {
        self.mix(Chat::Single).map(|cell| cell.messages).fold(0, u64::wrapping_add)
    }

    /// Messages by status: one number for each of [`STATUSES`], then one for all other values.
    #[must_use]
    pub fn by_status(&self) -> [u64; STATUSES.len() + 1] {
        std::array::from_fn(|status| self.message_counters.sum(MessageCounter::Status as usize + status))
    }

    /// The words that count messages by status.
    pub(super) fn status_words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.message_counters.words_of(MessageCounter::Status as usize..MessageCounter::MentionedUsers as usize)
    }

    /// Entries of mention lists that name a user.
    #[must_use]
    pub fn mentioned_users(&self) -> u64 {
        self.message_counters.sum(MessageCounter::MentionedUsers as usize)
    }

    /// Messages that mention everyone.
    #[must_use]
    pub fn mentioned_all(&self) -> u64 {
        self.message_counters.sum(MessageCounter::MentionedAll as usize)
    }

    /// Lengths of `content` in bytes.
    #[must_use]
    pub fn content_bytes(&self, chat: Chat) -> HistogramReading {
        self.messages_of(chat).content_bytes.read()
    }

    /// The same in bytes, as a native histogram. Read it after the classic one, which is counted later.
    #[must_use]
    pub fn native_content_bytes(&self, chat: Chat) -> NativeReading {
        self.messages_of(chat).content_bytes.native().read()
    }

    /// Receipt minus `sendTime`, in milliseconds.
    #[must_use]
    pub fn delivery_delays(&self, chat: Chat) -> HistogramReading {
        self.messages_of(chat).delays.delivery()
    }

    /// The same in seconds, as a native histogram. Read it after the classic one, which is counted later.
    #[must_use]
    pub fn native_delivery_delays(&self, chat: Chat) -> NativeReading {
        self.messages_of(chat).delays.native_delivery()
    }

    /// The delivery delays of each platform: its name, their sum in milliseconds, and their native histogram in seconds.
    pub fn delivery_delays_by_platform(
        &self,
        chat: Chat,
    ) -> impl Iterator<Item = (&'static str, u64, NativeReading)> + '_ {
        self.messages_of(chat).delays.by_platform()
    }

    /// `sendTime` minus `createTime`, in milliseconds.
    #[must_use]
    pub fn submit_delays(&self, chat: Chat) -> HistogramReading {
        self.messages_of(chat).delays.submit()
    }

    /// The same in seconds, as a native histogram. Read it after the classic one, which is counted later.
    #[must_use]
    pub fn native_submit_delays(&self, chat: Chat) -> NativeReading {
        self.messages_of(chat).delays.native_submit()
    }

    /// Delays that were not observed because a clock was wrong.
    #[must_use]
    pub fn clock_errors(&self, chat: Chat, kind: ClockError) -> u64 {
        self.messages_of(chat).delays.errors(kind)
    }

    /// An exemplar for each bucket of [`Stats::delivery_delays`], the last one for values above all bounds.
    #[must_use]
    pub fn delivery_exemplars(&self, chat: Chat) -> Vec<Option<Exemplar>> {
        self.messages_of(chat).delays.exemplars()
    }

    /// Estimated number of distinct senders in each of [`WINDOWS`].
    #[must_use]
    pub fn active_senders(&self, chat: Chat, now: UnixMillis) -> [u64; WINDOWS.len()] {
        self.messages_of(chat).senders.counts(self.timeline.at(now))
    }

    /// Estimated number of distinct senders of messages of either kind in each of [`WINDOWS`].
    #[must_use]
    pub fn senders(&self, now: UnixMillis) -> [u64; WINDOWS.len()] {
        let all = [&self.group_messages.senders, &self.single_messages.senders];
        Windows::counts_of_all(all, self.timeline.at(now))
    }

    /// Estimated number of distinct users in each of [`WINDOWS`] that sent or read messages or came online.
    #[must_use]
    pub fn active_users(&self, now: UnixMillis) -> [u64; WINDOWS.len()] {
        let all = [&self.group_messages.senders, &self.single_messages.senders, &self.users];
        Windows::counts_of_all(all, self.timeline.at(now))
    }

    /// Users online by platform. A user on two platforms counts on both.
    pub fn users_online(&self) -> impl Iterator<Item = (&'static str, usize)> + '_ {
        platform_names().zip(self.online.by_platform())
    }

    /// How many users online can be tracked.
    #[must_use]
    pub const fn users_online_capacity(&self) -> usize {
        self.online.capacity()
    }

    /// Reports of users online that were not tracked, because there were too many.
    #[must_use]
    pub fn users_online_overflow(&self) -> u64 {
        self.online.overflow()
    }

    /// Estimated number of distinct groups in each of [`WINDOWS`], including groups that are not tracked.
    #[must_use]
    pub fn active_groups(&self, now: UnixMillis) -> [u64; WINDOWS.len()] {
        self.active_groups.counts(self.timeline.at(now))
    }

    /// When the counters started.
    #[must_use]
    pub fn started(&self) -> UnixMillis {
        UnixMillis(self.started.get().cast_signed())
    }

    /// The tracked groups. A group that is retired during the iteration may be missed, see `Stats::pause_retirement`.
    pub fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        let slots = u32::try_from(self.group_slots()).unwrap_or(u32::MAX);
        (0..slots).filter_map(|slot| self.group(slot))
    }

    /// Every slot in use is below this number.
    pub(crate) fn group_slots(&self) -> usize {
        self.groups.slots_used()
    }

    /// The group in a slot; `None` if the slot is free. Takes no lock.
    #[must_use]
    pub fn group(&self, slot: u32) -> Option<Group> {
        self.groups.read(slot)
    }

    /// The slots of the exported groups: the most active ones, which have series of their own.
    #[must_use]
    pub fn exported_groups(&self) -> Vec<u32> {
        self.groups.exported()
    }

    /// The same as a set, which takes much less memory if they are many.
    pub(crate) fn exported_set(&self) -> SlotSet {
        self.groups.exported_set()
    }

    /// How many groups are exported.
    pub(crate) fn exported_len(&self) -> usize {
        self.groups.exported_len()
    }

    /// How many groups can be exported.
    pub(crate) const fn exported_groups_capacity(&self) -> usize {
        self.groups.exported_capacity()
    }

    /// Pauses the retirement of groups for at most ten seconds, so that a reader of all groups, and then of the folded
    /// messages, counts each message once: their sum is at least the [`Stats::messages`] that were read before.
    pub(crate) fn pause_retirement(&self, now: UnixMillis) -> RetirementPause {
        self.groups.pause_retirement(self.timeline.at(now))
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

    /// Approximate number of pairs of a group and a sender that were seen in the last 24 hours.
    #[must_use]
    pub fn sender_pairs_tracked(&self) -> u64 {
        self.pairs.tracked()
    }

    /// How many pairs of a group and a sender can be tracked.
    #[must_use]
    pub const fn sender_pairs_capacity(&self) -> usize {
        self.pairs.capacity()
    }

    /// Pairs that were evicted early because there were too many.
    #[must_use]
    pub fn sender_pairs_evicted(&self) -> u64 {
        self.pairs.evicted()
    }

    /// Duplicate messages, which were not counted again.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.dedup.duplicates()
    }

    /// Message IDs of the dedup window, as of a few seconds ago.
    #[must_use]
    pub fn message_ids_tracked(&self) -> usize {
        self.dedup.tracked()
    }

    /// How many message IDs can be tracked; 0 if duplicates are not detected.
    #[must_use]
    pub fn message_ids_capacity(&self) -> usize {
        self.dedup.capacity()
    }

    /// Message IDs that were evicted within the dedup window: a duplicate of one of these messages is counted again.
    pub(crate) fn message_ids_evicted(&self) -> u64 {
        self.dedup.evicted()
    }

    /// How many groups were retired.
    #[must_use]
    pub fn groups_retired(&self) -> u64 {
        self.groups.retired()
    }

    /// Messages not attributed to a tracked group because the table of groups was full.
    #[must_use]
    pub fn folded_for_capacity(&self) -> u64 {
        self.groups.folded_for_capacity()
    }

    /// Messages of dismissed groups.
    #[must_use]
    pub fn folded_dismissed(&self) -> u64 {
        self.groups.folded_dismissed()
    }

    /// Messages of erased groups.
    #[must_use]
    pub fn folded_erased(&self) -> u64 {
        self.groups.folded_erased()
    }

    /// Messages of retired groups.
    #[must_use]
    pub fn folded_retired(&self) -> u64 {
        self.groups.folded_retired()
    }
}
