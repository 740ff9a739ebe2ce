//! The report of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::counts::{Counts, Failures, MentionCounts, MessageCounts};
use super::population::group_id;
use super::presence::OnlineCount;
use super::replay::ReplayCounts;
use super::schedule::Pace;
use super::tally::SendCount;
use crate::client::Protocol;
use crate::config::simulate::Simulate;
use crate::domain::{Source, codes};

/// What was sent, how it was answered, and how long that took. `sent` is always `answered` plus all that failed. The
/// server must have counted at least what it answered, and at most what was sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The seed of the random messages.
    pub seed: u64,
    /// Number of connections.
    pub connections: usize,
    /// The protocol of the first connection.
    pub protocol: &'static str,
    /// Number of groups from which messages were drawn.
    pub groups: u32,
    /// Number of people from whom senders were drawn.
    pub senders: u32,
    /// All callbacks that were due, answered or failed.
    pub sent: u64,
    /// Callbacks answered with success.
    pub answered: u64,
    /// Callbacks that failed, by reason.
    pub failed: Failures,
    /// The error of the first callback that failed.
    pub first_failure: Option<String>,
    /// Time from the first callback to the last answer.
    pub elapsed_seconds: f64,
    /// Callbacks answered with success per second.
    pub answered_per_second: f64,
    /// How closely `--rate` was kept, if it was set.
    pub pace: Option<Pace>,
    /// What was read, with `--replay`. Then only the counts by command are those of the callbacks.
    pub replay: Option<ReplayCounts>,
    /// How long complete answers took.
    pub answer_seconds: AnswerTimes,
    /// By command.
    pub by_command: BTreeMap<&'static str, SendCount>,
    /// Group messages by the content type's name, or by its number if it has none.
    pub by_content_type: BTreeMap<String, SendCount>,
    /// Group messages by the platform's name, or `unknown`.
    pub by_platform: BTreeMap<String, SendCount>,
    /// Group messages by source: `user` or `admin`.
    pub by_source: BTreeMap<String, SendCount>,
    /// Group messages by the number of the message's status.
    pub by_status: BTreeMap<String, SendCount>,
    /// Mentions in group messages.
    pub mentions: MentionCounts,
    /// Length of the content of group messages, in bytes.
    pub content_bytes: SendCount,
    /// Number of distinct senders of group messages, including the administrator.
    pub distinct_senders: SendCount,
    /// Group messages by group ID.
    pub by_group: BTreeMap<String, SendCount>,
    /// Messages between two users.
    pub single_messages: SingleMessages,
    /// What else people did, by the activity's name, with the number of users or messages where callbacks have it.
    pub activities: BTreeMap<&'static str, SendCount>,
    /// Users that went offline, by the platform's name.
    pub disconnects: BTreeMap<String, SendCount>,
    /// Users online at the end, by the platform's name, unless the server forgot some that were not reported for too
    /// long.
    pub users_online: BTreeMap<String, OnlineCount>,
    /// Number of distinct users that sent or read messages or came online, including the administrator.
    pub distinct_users: SendCount,
}

/// Messages between two users, counted like those in groups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SingleMessages {
    /// By the content type's name, or by its number if it has none.
    pub by_content_type: BTreeMap<String, SendCount>,
    /// By the platform's name, or `unknown`.
    pub by_platform: BTreeMap<String, SendCount>,
    /// By source: `user` or `admin`.
    pub by_source: BTreeMap<String, SendCount>,
    /// Length of the content in bytes.
    pub content_bytes: SendCount,
    /// Number of distinct senders.
    pub distinct_senders: SendCount,
}

impl SingleMessages {
    fn new(counts: &MessageCounts) -> Self {
        Self {
            by_content_type: by_name(&counts.content_types, content_type_name),
            by_platform: by_name(&counts.platforms, platform_name),
            by_source: by_source(counts),
            content_bytes: counts.content_bytes,
            distinct_senders: counts.senders.count(),
        }
    }
}

/// How long complete answers took, in seconds, including the time to connect where that was necessary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AnswerTimes {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The maximum.
    pub max: f64,
}

impl AnswerTimes {
    fn from_microseconds(histogram: &Histogram<u64>) -> Self {
        let seconds = |microseconds| Duration::from_micros(microseconds).as_secs_f64();
        let at = |quantile| seconds(histogram.value_at_quantile(quantile));
        Self { p50: at(0.5), p99: at(0.99), max: seconds(histogram.max()) }
    }
}

impl Report {
    pub(super) fn new(
        (options, protocol): (&Simulate, Protocol),
        counts: &Counts,
        pace: Option<Pace>,
        elapsed: Duration,
    ) -> Self {
        let SendCount { sent, answered } = counts.all;
        let messages = &counts.group_messages;
        Self {
            seed: options.seed,
            connections: options.connections,
            protocol: protocol.name(),
            groups: options.groups,
            senders: options.senders,
            sent,
            answered,
            failed: counts.failures,
            first_failure: counts.first_failure.clone(),
            elapsed_seconds: elapsed.as_secs_f64(),
            answered_per_second: per_second(answered, elapsed),
            pace,
            replay: None,
            answer_seconds: AnswerTimes::from_microseconds(&counts.answers),
            by_command: counts.commands.iter().copied().collect(),
            by_content_type: by_name(&messages.content_types, content_type_name),
            by_platform: by_name(&messages.platforms, platform_name),
            by_source: by_source(messages),
            by_status: by_name(&counts.statuses, |status| status.to_string()),
            mentions: counts.mentions,
            content_bytes: messages.content_bytes,
            distinct_senders: messages.senders.count(),
            by_group: counts.groups.iter().map(|(rank, count)| (group_id(*rank).to_string(), *count)).collect(),
            single_messages: SingleMessages::new(&counts.single_messages),
            activities: counts.activities.iter().map(|(activity, count)| (activity.name(), *count)).collect(),
            disconnects: by_name(&counts.disconnects, platform_name),
            users_online: counts.presences.by_platform().into_iter().map(|(id, n)| (platform_name(id), n)).collect(),
            distinct_users: counts.users.count(),
        }
    }

    /// Whether every callback was answered with success, and every record was read.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.total == 0 && self.replay.as_ref().is_none_or(|replay| replay.ended_by.is_none())
    }
}

pub(super) fn per_second(count: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for reading")]
    let count = count as f64;
    if elapsed.is_zero() { 0.0 } else { count / elapsed.as_secs_f64() }
}

fn by_source(counts: &MessageCounts) -> BTreeMap<String, SendCount> {
    let MessageCounts { all, from_users, .. } = counts;
    let admins = SendCount { sent: all.sent - from_users.sent, answered: all.answered - from_users.answered };
    [(Source::User, *from_users), (Source::Admin, admins)]
        .map(|(source, count)| (source.name().to_owned(), count))
        .into()
}

fn by_name(list: &[(i32, SendCount)], name: impl Fn(i32) -> String) -> BTreeMap<String, SendCount> {
    let nonzero = list.iter().filter(|(_, count)| count.sent > 0);
    nonzero.map(|(code, count)| (name(*code), *count)).collect()
}

fn content_type_name(code: i32) -> String {
    let listed = codes::content_type_position(code).and_then(|position| codes::CONTENT_TYPES.get(position));
    listed.map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned())
}

fn platform_name(id: i32) -> String {
    let listed = codes::platform_position(id).and_then(|position| codes::PLATFORMS.get(position));
    listed.copied().unwrap_or(codes::UNKNOWN_PLATFORM).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_shown_by_their_names() {
        assert_eq!((content_type_name(101).as_str(), content_type_name(9001).as_str()), ("text", "9001"));
        assert_eq!((platform_name(1).as_str(), platform_name(0).as_str()), ("ios", "unknown"));
    }
}
