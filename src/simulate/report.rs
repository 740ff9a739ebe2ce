//! What a run reports.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::link::Protocol;
use super::population::group_id;
use super::schedule::Pace;
use super::tally::{Counts, Failures, Mentioned, Tally};
use crate::config::simulate::Simulate;
use crate::domain::{Source, codes};

/// What was sent, what became of it, and how long it took. `sent` is always `answered` plus all that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Which messages were sent.
    pub seed: u64,
    /// Over how many connections.
    pub connections: usize,
    /// What was spoken, by the first connection.
    pub protocol: Protocol,
    /// From how many groups they were drawn.
    pub groups: u32,
    /// From how many people they were drawn.
    pub senders: u32,
    /// All callbacks whose turn came, answered or failed.
    pub sent: u64,
    /// The callbacks that the server took.
    pub answered: u64,
    /// The others, by why.
    pub failed: Failures,
    /// What was wrong with the first that failed.
    pub first_failure: Option<String>,
    /// From the first callback to the last answer.
    pub elapsed_seconds: f64,
    /// Callbacks taken a second.
    pub answered_per_second: f64,
    /// How well `--rate` was kept, if it was given.
    pub pace: Option<Pace>,
    /// How long whole answers took.
    pub answer_seconds: AnswerTimes,
    /// By the name of the content type; a number where it has none.
    pub by_content_type: BTreeMap<String, Tally>,
    /// By the name of the platform, or `unknown`.
    pub by_platform: BTreeMap<String, Tally>,
    /// By source: `user` or `admin`.
    pub by_source: BTreeMap<String, Tally>,
    /// By the number of the message's status.
    pub by_status: BTreeMap<String, Tally>,
    /// Mentions.
    pub mentions: Mentioned,
    /// How many different people sent; the administrator is one of them.
    pub distinct_senders: Tally,
    /// By group ID.
    pub by_group: BTreeMap<String, Tally>,
}

/// How long whole answers took, from a callback's turn: opening a connection is included where one was needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AnswerTimes {
    /// Half took at most this long.
    pub p50: f64,
    /// 99 of 100 took at most this long.
    pub p99: f64,
    /// The longest.
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
        let Tally { sent, answered } = counts.all;
        let users = counts.from_users;
        let admins = Tally { sent: sent - users.sent, answered: answered - users.answered };
        Self {
            seed: options.seed,
            connections: options.connections,
            protocol,
            groups: options.groups,
            senders: options.senders,
            sent,
            answered,
            failed: counts.failures,
            first_failure: counts.first_failure.clone(),
            elapsed_seconds: elapsed.as_secs_f64(),
            answered_per_second: per_second(answered, elapsed),
            pace,
            answer_seconds: AnswerTimes::from_microseconds(&counts.answers),
            by_content_type: named(&counts.content_types, content_type_name),
            by_platform: named(&counts.platforms, |id| platform_name(id).to_owned()),
            by_source: [(Source::User, users), (Source::Admin, admins)]
                .map(|(source, tally)| (source.name().to_owned(), tally))
                .into(),
            by_status: named(&counts.statuses, |status| status.to_string()),
            mentions: counts.mentions,
            distinct_senders: Tally {
                sent: counts.senders_sent.distinct(),
                answered: counts.senders_answered.distinct(),
            },
            by_group: counts.groups.iter().map(|(rank, tally)| (group_id(*rank).to_string(), *tally)).collect(),
        }
    }

    /// Whether every callback that was sent was taken.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.failed.total == 0
    }
}

pub(super) fn per_second(count: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for reading")]
    let count = count as f64;
    if elapsed.is_zero() { 0.0 } else { count / elapsed.as_secs_f64() }
}

fn named(list: &[(i32, Tally)], name: impl Fn(i32) -> String) -> BTreeMap<String, Tally> {
    let happened = list.iter().filter(|(_, tally)| tally.sent > 0);
    happened.map(|(code, tally)| (name(*code), *tally)).collect()
}

fn content_type_name(code: i32) -> String {
    let listed = codes::content_type_position(code).and_then(|position| codes::CONTENT_TYPES.get(position));
    listed.map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned())
}

fn platform_name(id: i32) -> &'static str {
    let listed = codes::platform_position(id).and_then(|position| codes::PLATFORMS.get(position));
    listed.copied().unwrap_or(codes::UNKNOWN_PLATFORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_shown_by_their_names() {
        assert_eq!((content_type_name(101).as_str(), content_type_name(9001).as_str()), ("text", "9001"));
        assert_eq!((platform_name(1), platform_name(0)), ("ios", "unknown"));
    }
}
