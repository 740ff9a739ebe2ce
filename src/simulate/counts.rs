//! Counts of what was sent and how it was answered.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::error::Error;
use super::message::DrawnMessage;
use super::population;

/// Callbacks of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SendCount {
    /// All that were due, answered or failed.
    pub sent: u64,
    /// Those answered with status 200 and a success in the JSON.
    pub answered: u64,
}

impl SendCount {
    const fn add(&mut self, answered: bool) {
        self.sent += 1;
        self.answered += answered as u64;
    }
}

/// Number of failed callbacks, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// All of them.
    pub total: u64,
    /// No connection could be opened, so nothing was sent.
    pub not_connected: u64,
    /// The connection ended, or violated HTTP, before the answer was complete.
    pub closed: u64,
    /// The answer was not complete within 5 s.
    pub timeout: u64,
    /// An answer with a status other than 200.
    pub status: u64,
    /// Status 200, but without a success in the JSON.
    pub refused: u64,
}

/// Why one callback failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) text: String,
}

/// See [`Failures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    NotConnected,
    Closed,
    Timeout,
    Status,
    Refused,
}

impl FailureKind {
    /// Whether there was a complete answer.
    const fn was_answered(self) -> bool {
        matches!(self, Self::Status | Self::Refused)
    }
}

impl Failures {
    const fn add(&mut self, kind: FailureKind) {
        self.total += 1;
        let counter = match kind {
            FailureKind::NotConnected => &mut self.not_connected,
            FailureKind::Closed => &mut self.closed,
            FailureKind::Timeout => &mut self.timeout,
            FailureKind::Status => &mut self.status,
            FailureKind::Refused => &mut self.refused,
        };
        *counter += 1;
    }
}

/// All counts of a run. Codes are in lists: with few entries, a search is faster there than in a map.
pub(super) struct Counts {
    pub(super) all: SendCount,
    pub(super) failures: Failures,
    pub(super) first_failure: Option<String>,
    /// Microseconds until the answer was complete, including refusals.
    pub(super) answers: Histogram<u64>,
    pub(super) content_types: Vec<(i32, SendCount)>,
    pub(super) platforms: Vec<(i32, SendCount)>,
    pub(super) statuses: Vec<(i32, SendCount)>,
    pub(super) from_users: SendCount,
    pub(super) mentions: MentionCounts,
    /// By rank.
    pub(super) groups: HashMap<u32, SendCount, foldhash::fast::FixedState>,
    pub(super) senders_sent: RankSet,
    pub(super) senders_answered: RankSet,
}

/// Mentions in the messages that were sent and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MentionCounts {
    /// Mentions of a person: each entry of each list.
    pub user: SendCount,
    /// Mentions of everyone: one per message.
    pub all: SendCount,
}

impl Counts {
    pub(super) fn new(senders: u32) -> Result<Self, Error> {
        Ok(Self {
            all: SendCount::default(),
            failures: Failures::default(),
            first_failure: None,
            answers: Histogram::new_with_bounds(1, 60_000_000, 3)
                .map_err(|error| Error::Distribution(error.to_string()))?,
            content_types: population::MIX.iter().map(|(code, _)| (*code, SendCount::default())).collect(),
            platforms: Vec::new(),
            statuses: Vec::new(),
            from_users: SendCount::default(),
            mentions: MentionCounts::default(),
            groups: HashMap::default(),
            senders_sent: RankSet::up_to(senders),
            senders_answered: RankSet::up_to(senders),
        })
    }

    pub(super) fn record(&mut self, drawn: &DrawnMessage, result: Result<(), Failure>, took: Duration) {
        let answered = result.is_ok();
        if result.as_ref().map_or_else(|failure| failure.kind.was_answered(), |()| true) {
            self.answers.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        }
        if let Err(failure) = result {
            self.failures.add(failure.kind);
            self.first_failure.get_or_insert(failure.text);
        }
        self.all.add(answered);
        entry(&mut self.content_types, drawn.content_type).add(answered);
        entry(&mut self.platforms, drawn.platform).add(answered);
        entry(&mut self.statuses, drawn.status).add(answered);
        self.groups.entry(drawn.group).or_default().add(answered);
        if drawn.from_user {
            self.from_users.add(answered);
        }
        self.mentions.record(drawn, answered);
        self.senders_sent.insert(drawn.sender);
        if answered {
            self.senders_answered.insert(drawn.sender);
        }
    }
}

impl MentionCounts {
    fn record(&mut self, drawn: &DrawnMessage, answered: bool) {
        for _ in 0..drawn.mentioned {
            self.user.add(answered);
        }
        if drawn.mentions_all {
            self.all.add(answered);
        }
    }
}

fn entry(list: &mut Vec<(i32, SendCount)>, code: i32) -> &mut SendCount {
    let position = list.iter().position(|(listed, _)| *listed == code).unwrap_or_else(|| {
        list.push((code, SendCount::default()));
        list.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "found or just pushed")]
    &mut list[position].1
}

/// A set of ranks, as a bitmap: a hundred million people take 12 MiB.
pub(super) struct RankSet {
    words: Vec<u64>,
    distinct: u64,
}

impl RankSet {
    fn up_to(max: u32) -> Self {
        Self { words: vec![0; usize::try_from(max / 64).unwrap_or_default() + 1], distinct: 0 }
    }

    fn insert(&mut self, rank: u32) {
        let word = usize::try_from(rank / 64).ok().and_then(|position| self.words.get_mut(position));
        let bit = 1 << (rank % 64);
        if let Some(word) = word
            && *word & bit == 0
        {
            *word |= bit;
            self.distinct += 1;
        }
    }

    pub(super) const fn distinct(&self) -> u64 {
        self.distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rank_is_counted_once_including_the_last() {
        for max in [1, 63, 64, 65] {
            let mut ranks = RankSet::up_to(max);
            for rank in [0, max, 0, max] {
                ranks.insert(rank);
            }
            assert_eq!(ranks.distinct(), 2, "{max}");
        }
    }

    #[test]
    fn only_complete_answers_have_a_time_and_the_first_failure_is_kept() {
        let mut counts = Counts::new(10).unwrap();
        let drawn = DrawnMessage {
            content_type: 106,
            platform: 1,
            status: 1,
            from_user: true,
            group: 3,
            sender: 4,
            mentioned: 2,
            mentions_all: false,
        };
        let failure = |kind, text: &str| Err(Failure { kind, text: text.to_owned() });
        counts.record(&drawn, failure(FailureKind::Closed, "first"), Duration::from_secs(9));
        counts.record(&drawn, failure(FailureKind::Refused, "second"), Duration::from_millis(2));
        counts.record(&drawn, Ok(()), Duration::from_millis(1));
        assert_eq!(counts.all, SendCount { sent: 3, answered: 1 });
        assert_eq!(counts.failures, Failures { total: 2, closed: 1, refused: 1, ..Failures::default() });
        assert_eq!(counts.first_failure.as_deref(), Some("first"));
        assert_eq!((counts.answers.len(), counts.answers.max() / 100), (2, 20));
        assert_eq!(counts.mentions.user, SendCount { sent: 6, answered: 2 });
        assert_eq!(counts.groups[&3], SendCount { sent: 3, answered: 1 });
    }
}
