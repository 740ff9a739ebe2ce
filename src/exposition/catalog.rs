//! All metrics. This file declares those of the statistics, with the source of their samples: their numbers are in the
//! state, so they survive a restart. `telemetry::events`, `telemetry::forward` and `telemetry::replicas` declare the
//! exporter's own, and the first says what else to update for a new metric.

use std::sync::LazyLock;

use super::writer::{FamilyWriter, MILLISECONDS, Observed};
use crate::domain::codes::{OTHER, STATUSES};
use crate::domain::{Activity, Chat, UnixMillis};
use crate::stats::{ClockError, Distinct, Group, RETENTION, StateStart, Stats, WINDOWS};
use crate::telemetry::families;

pub use super::writer::EXEMPLAR_LABEL;
pub use crate::telemetry::{Family, Kind};

/// A family of the statistics.
pub(super) struct Declaration {
    pub(super) family: &'static Family,
    pub(super) source: SampleSource,
}

/// The source of a family's samples.
pub(super) enum SampleSource {
    /// One sample without labels.
    Value(fn(&Stats) -> u64),
    /// A few samples, written together. The windows end at the given time.
    Samples(fn(&Stats, UnixMillis, &mut FamilyWriter<'_, '_>)),
    /// A sample for each combination of content type, platform and source that is usual for these messages, or that was
    /// counted.
    Mix(Chat),
    /// Samples for each exported group.
    ExportedGroups(OfGroup),
    /// Samples for each tracked group: the families of `/metrics/groups`.
    TrackedGroups(OfGroup),
}

/// Writes a group's samples. The time is when all counters began.
pub(super) type OfGroup = fn(&Group, UnixMillis, &mut FamilyWriter<'_, '_>);

use SampleSource::{ExportedGroups, Mix, Samples, TrackedGroups, Value};

fn group_messages(group: &Group, began: UnixMillis, rows: &mut FamilyWriter<'_, '_>) {
    // A group's counter began with its first message, or with all counters if those began later.
    rows.sample_since([&group.name], group.messages, group.created.max(began));
}

fn group_active_senders(group: &Group, _: UnixMillis, rows: &mut FamilyWriter<'_, '_>) {
    let [hour, day] = group.active_senders.map(u64::from);
    let name: &str = &group.name;
    rows.sample([name, "1h"], hour).sample([name, "24h"], day);
}

fn content_bytes(stats: &Stats, chat: Chat, rows: &mut FamilyWriter<'_, '_>) {
    let classic = Observed::from_reading(&stats.content_bytes(chat), 1.0);
    // Read after the classic buckets, which are counted later: so the native ones lack no observation that those have.
    let native = Some(stats.native_content_bytes(chat));
    rows.histogram(None, &Observed { native, ..classic }, &[]);
}

fn delivery_delay(stats: &Stats, chat: Chat, rows: &mut FamilyWriter<'_, '_>) {
    // Before the buckets: a message is observed before it becomes an exemplar, so each exemplar has been counted.
    let exemplars = stats.delivery_exemplars(chat);
    let classic = Observed::from_reading(&stats.delivery_delays(chat), MILLISECONDS);
    let native = Some(stats.native_delivery_delays(chat));
    rows.histogram(None, &Observed { native, ..classic }, &exemplars);
}

/// Writes a native histogram, without classic buckets, for each platform with observations.
fn delivery_delay_by_platform(stats: &Stats, chat: Chat, rows: &mut FamilyWriter<'_, '_>) {
    for (platform, sum_ms, native) in stats.delivery_delays_by_platform(chat).filter(|(.., native)| native.count() > 0)
    {
        let (sum, count) = (sum_ms as f64 / MILLISECONDS, native.count());
        rows.histogram(Some(platform), &Observed { buckets: Vec::new(), sum, count, native: Some(native) }, &[]);
    }
}

fn submit_delay(stats: &Stats, chat: Chat, rows: &mut FamilyWriter<'_, '_>) {
    let classic = Observed::from_reading(&stats.submit_delays(chat), MILLISECONDS);
    let native = Some(stats.native_submit_delays(chat));
    rows.histogram(None, &Observed { native, ..classic }, &[]);
}

fn clock_errors(stats: &Stats, chat: Chat, rows: &mut FamilyWriter<'_, '_>) {
    for kind in ClockError::ALL {
        rows.sample([kind.name()], stats.clock_errors(chat, kind));
    }
}

fn by_window(counts: [u64; WINDOWS.len()], rows: &mut FamilyWriter<'_, '_>) {
    for (window, count) in WINDOWS.into_iter().zip(counts) {
        rows.sample([window.name], count);
    }
}

/// Writes the numbers of all exporters together, if they are known.
fn united_by_window(stats: &Stats, of: Distinct, rows: &mut FamilyWriter<'_, '_>) {
    if let Some(united) = stats.united() {
        by_window(united.of(of), rows);
    }
}

/// Writes an activity in groups, and the same between two users.
fn by_chat(stats: &Stats, [group, single]: [Activity; 2], rows: &mut FamilyWriter<'_, '_>) {
    rows.sample(["group"], stats.activity(group)).sample(["single"], stats.activity(single));
}

/// Declares families: the doc comment is the help text, then come constant, type, name, labels and source.
macro_rules! catalog {
    ($($(#[doc = $help:literal])+ $constant:ident = $kind:ident $name:literal [$($label:literal),*] $source:expr;)+) => {
        $(
            $(#[doc = $help])+
            pub const $constant: Family = Family::new($name, Kind::$kind, concat!($($help),+), &[$($label),*]);
        )+

        /// The families of the statistics, in the order of a scrape. Messages are counted by group before they are
        /// counted in total. So a scrape reads the total before the groups, and the folded messages after them: no
        /// message is missing.
        pub(super) const STATISTICS: &[Declaration] = &[$(Declaration { family: &$constant, source: $source }),+];
    };
}

catalog! {
    /// Group messages that OpenIM reported. Unusual combinations of labels have no sample before their first message.
    MESSAGES = Counter "openim_group_messages_total" ["content_type", "platform", "source"] Mix(Chat::Group);
    /// Group messages by OpenIM's numeric message status.
    BY_STATUS = Counter "openim_group_messages_by_status_total" ["status"] Samples(|stats, _, rows| {
        for (status, messages) in STATUSES.into_iter().chain([OTHER]).zip(stats.by_status()) {
            rows.sample([status], messages);
        }
    });
    /// Group messages in each exported group.
    BY_GROUP = Counter "openim_group_messages_by_group_total" ["group_id"] ExportedGroups(group_messages);
    /// Group messages not attributed to a tracked group.
    FOLDED = Counter "openim_group_messages_folded_total" ["reason"] Samples(|stats, _, rows| {
        rows.sample(["capacity"], stats.folded_for_capacity()).sample(["retired"], stats.folded_retired());
        rows.sample(["dismissed"], stats.folded_dismissed()).sample(["erased"], stats.folded_erased());
    });
    /// Mentions in group messages: of a user, or of everyone.
    MENTIONS = Counter "openim_group_mentions_total" ["kind"] Samples(|stats, _, rows| {
        rows.sample(["user"], stats.mentioned_users()).sample(["all"], stats.mentioned_all());
    });
    /// Content length of group messages in UTF-8 bytes.
    CONTENT_BYTES = Histogram "openim_group_message_content_bytes" []
        Samples(|stats, _, rows| content_bytes(stats, Chat::Group, rows));
    /// Time from sendTime to the receipt of the callback.
    DELIVERY_DELAY = Histogram "openim_group_message_delivery_delay_seconds" []
        Samples(|stats, _, rows| delivery_delay(stats, Chat::Group, rows));
    /// Time from sendTime to the receipt of the callback, by the sender's platform. A native histogram only: the text
    /// formats have its count and its sum.
    DELIVERY_DELAY_BY_PLATFORM = Histogram "openim_group_message_delivery_delay_by_platform_seconds" ["platform"]
        Samples(|stats, _, rows| delivery_delay_by_platform(stats, Chat::Group, rows));
    /// Time from createTime to sendTime.
    SUBMIT_DELAY = Histogram "openim_group_message_submit_delay_seconds" []
        Samples(|stats, _, rows| submit_delay(stats, Chat::Group, rows));
    /// Delays left out of the histograms because a clock must be wrong.
    CLOCK_ERRORS = Counter "openim_group_message_clock_errors_total" ["kind"]
        Samples(|stats, _, rows| clock_errors(stats, Chat::Group, rows));
    /// Distinct senders of group messages in the window, estimated (standard error 0.81 %).
    ACTIVE_SENDERS = Gauge "openim_active_senders" ["window"]
        Samples(|stats, now, rows| by_window(stats.active_senders(Chat::Group, now), rows));
    /// Distinct groups with messages in the window, estimated (standard error 0.81 %).
    ACTIVE_GROUPS = Gauge "openim_active_groups" ["window"]
        Samples(|stats, now, rows| by_window(stats.active_groups(now), rows));
    /// Distinct senders in the window, for each exported group.
    GROUP_ACTIVE_SENDERS = Gauge "openim_group_active_senders" ["group_id", "window"]
        ExportedGroups(group_active_senders);
    /// Group messages in each tracked group; at /metrics/groups only.
    TRACKED_GROUP_MESSAGES = Counter "openim_tracked_group_messages_total" ["group_id"] TrackedGroups(group_messages);
    /// Distinct senders in the window, for each tracked group; at /metrics/groups only.
    TRACKED_GROUP_ACTIVE_SENDERS = Gauge "openim_tracked_group_active_senders" ["group_id", "window"]
        TrackedGroups(group_active_senders);
    /// Messages between two users that OpenIM reported. Unusual combinations of labels have no sample before their
    /// first message.
    SINGLE_MESSAGES = Counter "openim_single_messages_total" ["content_type", "platform", "source"] Mix(Chat::Single);
    /// Content length of messages between two users in UTF-8 bytes.
    SINGLE_CONTENT_BYTES = Histogram "openim_single_message_content_bytes" []
        Samples(|stats, _, rows| content_bytes(stats, Chat::Single, rows));
    /// Time from sendTime to the receipt of the callback, for messages between two users.
    SINGLE_DELIVERY_DELAY = Histogram "openim_single_message_delivery_delay_seconds" []
        Samples(|stats, _, rows| delivery_delay(stats, Chat::Single, rows));
    /// Time from sendTime to the receipt of the callback, for messages between two users, by the sender's platform. A
    /// native histogram only: the text formats have its count and its sum.
    SINGLE_DELIVERY_DELAY_BY_PLATFORM = Histogram "openim_single_message_delivery_delay_by_platform_seconds" ["platform"]
        Samples(|stats, _, rows| delivery_delay_by_platform(stats, Chat::Single, rows));
    /// Time from createTime to sendTime, for messages between two users.
    SINGLE_SUBMIT_DELAY = Histogram "openim_single_message_submit_delay_seconds" []
        Samples(|stats, _, rows| submit_delay(stats, Chat::Single, rows));
    /// Delays of messages between two users that were left out of the histograms because a clock must be wrong.
    SINGLE_CLOCK_ERRORS = Counter "openim_single_message_clock_errors_total" ["kind"]
        Samples(|stats, _, rows| clock_errors(stats, Chat::Single, rows));
    /// Distinct senders of messages between two users in the window, estimated (standard error 0.81 %).
    SINGLE_ACTIVE_SENDERS = Gauge "openim_single_active_senders" ["window"]
        Samples(|stats, now, rows| by_window(stats.active_senders(Chat::Single, now), rows));
    /// Distinct users in the window that sent or read messages or came online, estimated (standard error 0.81 %).
    ACTIVE_USERS = Gauge "openim_active_users" ["window"]
        Samples(|stats, now, rows| by_window(stats.active_users(now), rows));
    /// Of the people who sent messages on the calendar day that long before yesterday, the share who also sent messages
    /// yesterday. Estimated: the error is within 0.03 while the days have similar numbers of people. Absent until both
    /// days are over.
    SENDER_RETENTION = Gauge "openim_sender_retention_ratio" ["after"] Samples(|stats, now, rows| {
        for (after, days) in RETENTION {
            if let Some(ratio) = stats.sender_retention(days, now) {
                rows.sample([after], ratio);
            }
        }
    });
    /// Users that came online and have not gone offline since. A user that OpenIM does not report again expires after
    /// 30 minutes. A user on two platforms counts on both.
    USERS_ONLINE = Gauge "openim_users_online" ["platform"] Samples(|stats, _, rows| {
        for (platform, users) in stats.users_online() {
            rows.sample([platform], users as u64);
        }
    });
    /// Distinct senders of group messages in the window across all exporters, estimated (standard error 0.81 %). Each
    /// exporter has the same value, so query it with max(). Absent without Redis, and while Redis is unavailable.
    ACTIVE_SENDERS_UNITED = Gauge "openim_active_senders_united" ["window"]
        Samples(|stats, _, rows| united_by_window(stats, Distinct::Senders, rows));
    /// Distinct groups with messages in the window across all exporters, estimated (standard error 0.81 %). Each
    /// exporter has the same value, so query it with max(). Absent without Redis, and while Redis is unavailable.
    ACTIVE_GROUPS_UNITED = Gauge "openim_active_groups_united" ["window"]
        Samples(|stats, _, rows| united_by_window(stats, Distinct::Groups, rows));
    /// Distinct senders of messages between two users in the window across all exporters, estimated (standard error
    /// 0.81 %). Each exporter has the same value, so query it with max(). Absent without Redis, and while Redis is
    /// unavailable.
    SINGLE_ACTIVE_SENDERS_UNITED = Gauge "openim_single_active_senders_united" ["window"]
        Samples(|stats, _, rows| united_by_window(stats, Distinct::SingleSenders, rows));
    /// Distinct users that sent or read messages or came online in the window, across all exporters, estimated
    /// (standard error 0.81 %). Each exporter has the same value, so query it with max(). Absent without Redis, and
    /// while Redis is unavailable.
    ACTIVE_USERS_UNITED = Gauge "openim_active_users_united" ["window"]
        Samples(|stats, _, rows| united_by_window(stats, Distinct::Users, rows));
    /// Users online across all exporters, estimated (standard error 0.81 %). A user on two platforms counts on both.
    /// Each exporter has the same value, so query it with max(). Absent without Redis, and while Redis is unavailable.
    USERS_ONLINE_UNITED = Gauge "openim_users_online_united" ["platform"] Samples(|stats, _, rows| {
        for (platform, users) in stats.united().iter().flat_map(|united| united.users_online()) {
            rows.sample([platform], users);
        }
    });
    /// Connections of users that ended. Another connection of the same user may remain.
    DISCONNECTS = Counter "openim_user_disconnects_total" ["platform"] Samples(|stats, _, rows| {
        for (platform, disconnects) in stats.disconnects() {
            rows.sample([platform], disconnects);
        }
    });
    /// Users that were registered.
    USERS_REGISTERED = Counter "openim_users_registered_total" [] Value(|stats| stats.activity(Activity::UsersRegistered));
    /// Groups that were created.
    GROUPS_CREATED = Counter "openim_groups_created_total" [] Value(|stats| stats.activity(Activity::GroupsCreated));
    /// Groups that were dismissed.
    GROUPS_DISMISSED = Counter "openim_groups_dismissed_total" [] Value(|stats| stats.activity(Activity::GroupsDismissed));
    /// Members to be added to groups: counted before OpenIM adds them.
    MEMBERS_JOINED = Counter "openim_group_members_joined_total" [] Value(|stats| stats.activity(Activity::MembersJoined));
    /// Members that left a group.
    MEMBERS_LEFT = Counter "openim_group_members_left_total" [] Value(|stats| stats.activity(Activity::MembersLeft));
    /// Members that were removed from a group.
    MEMBERS_REMOVED = Counter "openim_group_members_removed_total" [] Value(|stats| stats.activity(Activity::MembersRemoved));
    /// Users to be invited into groups: counted before OpenIM invites them.
    MEMBERS_INVITED = Counter "openim_group_members_invited_total" [] Value(|stats| stats.activity(Activity::MembersInvited));
    /// Requests of users to join a group.
    JOIN_REQUESTS = Counter "openim_group_members_join_requests_total" [] Value(|stats| stats.activity(Activity::JoinRequests));
    /// Requests of users to become friends.
    FRIEND_REQUESTS = Counter "openim_friend_requests_total" [] Value(|stats| stats.activity(Activity::FriendRequests));
    /// Pairs of users that became friends.
    FRIENDSHIPS_STARTED = Counter "openim_friendships_started_total" [] Value(|stats| stats.activity(Activity::FriendshipsStarted));
    /// Friends that a user deleted.
    FRIENDSHIPS_ENDED = Counter "openim_friendships_ended_total" [] Value(|stats| stats.activity(Activity::FriendshipsEnded));
    /// Users to be blocked by another user: counted before OpenIM blocks them.
    USER_BLOCKS = Counter "openim_user_blocks_total" [] Value(|stats| stats.activity(Activity::UserBlocks));
    /// Users that another user unblocked.
    USER_UNBLOCKS = Counter "openim_user_unblocks_total" [] Value(|stats| stats.activity(Activity::UserUnblocks));
    /// Messages that were revoked.
    REVOCATIONS = Counter "openim_message_revocations_total" ["chat"] Samples(|stats, _, rows| {
        by_chat(stats, [Activity::GroupRevocations, Activity::SingleRevocations], rows);
    });
    /// Messages that were read. For groups, OpenIM does not report how many: each time that a user marks a group
    /// conversation as read counts as one.
    READS = Counter "openim_messages_read_total" ["chat"] Samples(|stats, _, rows| {
        by_chat(stats, [Activity::GroupReads, Activity::SingleReads], rows);
    });
    /// Offline users to whom a message is to be pushed: counted before the push.
    OFFLINE_PUSHES = Counter "openim_offline_pushes_total" ["chat"] Samples(|stats, _, rows| {
        by_chat(stats, [Activity::GroupPushes, Activity::SinglePushes], rows);
    });
    /// Messages to be sent: counted before OpenIM accepts them.
    ATTEMPTS = Counter "openim_message_attempts_total" ["chat"] Samples(|stats, _, rows| {
        by_chat(stats, [Activity::GroupAttempts, Activity::SingleAttempts], rows);
    });
    /// Accepted callbacks of all commands, except those that a flag excludes.
    CALLBACKS = Counter "openim_exporter_callbacks_total" ["command"] Samples(|stats, _, rows| {
        for (command, callbacks) in stats.callbacks() {
            rows.sample([command], callbacks);
        }
    });
    /// Accepted callbacks that are counted here only, because a flag excludes them.
    EXCLUDED = Counter "openim_exporter_callbacks_excluded_total" ["reason"] Samples(|stats, _, rows| {
        for (reason, callbacks) in stats.exclusions() {
            rows.sample([reason], callbacks);
        }
    });
    /// Refused requests.
    REJECTED = Counter "openim_exporter_callbacks_rejected_total" ["reason"] Samples(|stats, _, rows| {
        for (reason, refusals) in stats.refusals() {
            rows.sample([reason], refusals);
        }
    });
    /// Time of the last accepted callback, in seconds since the epoch; 0 before the first.
    LAST_CALLBACK = Gauge "openim_exporter_last_callback_timestamp_seconds" [] Samples(|stats, _, rows| {
        rows.sample([], stats.last_callback().map_or(0.0, UnixMillis::seconds));
    });
    /// Tracked groups, which have counters of their own.
    GROUPS_TRACKED = Gauge "openim_exporter_groups_tracked" [] Value(|stats| stats.groups_tracked() as u64);
    /// Maximum number of tracked groups.
    GROUPS_CAPACITY = Gauge "openim_exporter_groups_capacity" [] Value(|stats| stats.groups_capacity() as u64);
    /// Exported groups, which have series of their own.
    GROUPS_EXPORTED = Gauge "openim_exporter_groups_exported" [] Value(|stats| stats.exported_len() as u64);
    /// Maximum number of exported groups.
    GROUPS_EXPORTED_CAPACITY = Gauge "openim_exporter_groups_exported_capacity" []
        Value(|stats| stats.exported_groups_capacity() as u64);
    /// Groups retired because they were idle for over a day when a new group needed the space, or because the capacity
    /// was lowered.
    GROUPS_RETIRED = Counter "openim_exporter_groups_retired_total" [] Value(Stats::groups_retired);
    /// Pairs of a group and a sender that are remembered.
    PAIRS_TRACKED = Gauge "openim_exporter_sender_pairs_tracked" [] Value(Stats::sender_pairs_tracked);
    /// Maximum number of pairs of a group and a sender that are remembered.
    PAIRS_CAPACITY = Gauge "openim_exporter_sender_pairs_capacity" [] Value(|stats| stats.sender_pairs_capacity() as u64);
    /// Pairs of a group and a sender evicted less than a day after their last message, because there were too many.
    PAIRS_EVICTED = Counter "openim_exporter_sender_pairs_evicted_total" [] Value(Stats::sender_pairs_evicted);
    /// Maximum number of users online that are tracked; a user on two platforms counts twice.
    USERS_ONLINE_CAPACITY = Gauge "openim_exporter_users_online_capacity" []
        Value(|stats| stats.users_online_capacity() as u64);
    /// Reports of users that came online but were not tracked, because there were too many.
    USERS_ONLINE_OVERFLOW = Counter "openim_exporter_users_online_overflow_total" [] Value(Stats::users_online_overflow);
    /// Duplicate messages, which are answered but not counted: repeated within the dedup window, or reported by the
    /// callbacks that --callback.message-source leaves out.
    REPEATS = Counter "openim_exporter_callback_repeats_total" [] Value(Stats::duplicates);
    /// Messages that the dedup window remembers.
    MESSAGE_IDS_TRACKED = Gauge "openim_exporter_message_ids_tracked" [] Value(|stats| stats.message_ids_tracked() as u64);
    /// Maximum number of messages that the dedup window remembers; 0 if it is off.
    MESSAGE_IDS_CAPACITY = Gauge "openim_exporter_message_ids_capacity" []
        Value(|stats| stats.message_ids_capacity() as u64);
    /// Messages evicted within the dedup window, because there were too many: their duplicates are counted again.
    MESSAGE_IDS_EVICTED = Counter "openim_exporter_message_ids_evicted_total" [] Value(Stats::message_ids_evicted);
    /// How the state was opened: 1 for the outcome that applied.
    STATE_START = Gauge "openim_exporter_state_start" ["outcome"] Samples(|stats, _, rows| {
        for start in StateStart::ALL {
            rows.sample([start.name()], u64::from(start == stats.state_start()));
        }
    });
}

/// All families that begin with `openim_`, in the order of a scrape. Each is on one page only, so that a Prometheus
/// that scrapes both pages counts nothing twice.
pub static CATALOG: LazyLock<Vec<Family>> =
    LazyLock::new(|| STATISTICS.iter().map(|declared| declared.family).chain(families()).copied().collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_with_the_process_says_so_in_its_help() {
        for family in families().filter(|family| family.kind != Kind::Gauge) {
            assert!(family.help.contains("since the process started"), "{}: {}", family.name, family.help);
        }
        for Declaration { family, .. } in STATISTICS {
            assert!(!family.help.contains("process"), "{}: {}", family.name, family.help);
        }
    }

    #[test]
    fn names_are_unique_and_follow_prometheus_rules() {
        for (position, family) in CATALOG.iter().enumerate() {
            // OpenMetrics leaves `_total` out of a family's name.
            let name = |family: &Family| family.name.trim_end_matches("_total");
            assert!(CATALOG[..position].iter().all(|other| name(other) != name(family)), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            // Nothing in it has to be escaped, in either format.
            assert!(!family.help.is_empty() && !family.help.contains(['\n', '\\', '"']), "{}", family.name);
        }
    }
}
