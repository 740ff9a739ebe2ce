//! What was sent and what became of it, counted.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::generator::Drawn;
use super::{Error, population};

/// Callbacks of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All whose turn came, answered or failed.
    pub sent: u64,
    /// Those that the server took: status 200 and an answer that says so.
    pub answered: u64,
}

impl Tally {
    const fn add(&mut self, answered: bool) {
        self.sent += 1;
        self.answered += answered as u64;
    }
}

/// Why callbacks failed, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// All of them.
    pub total: u64,
    /// No connection could be opened, so nothing was sent.
    pub not_connected: u64,
    /// The connection ended, or broke the rules of HTTP, before a whole answer had come.
    pub closed: u64,
    /// No whole answer within 5 s.
    pub timeout: u64,
    /// An answer with another status than 200.
    pub status: u64,
    /// Status 200, but not the JSON of a success.
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
    /// Whether a whole answer came nevertheless.
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

/// Every count of a run. Small keys stand in lists, for a few entries are found sooner there than in a map.
pub(super) struct Counts {
    pub(super) all: Tally,
    pub(super) failures: Failures,
    pub(super) first_failure: Option<String>,
    /// Microseconds until a whole answer, whatever it said.
    pub(super) answers: Histogram<u64>,
    pub(super) content_types: Vec<(i32, Tally)>,
    pub(super) platforms: Vec<(i32, Tally)>,
    pub(super) statuses: Vec<(i32, Tally)>,
    pub(super) from_users: Tally,
    pub(super) mentions: Mentioned,
    /// By rank.
    pub(super) groups: HashMap<u32, Tally, foldhash::fast::FixedState>,
    pub(super) senders_sent: Ranks,
    pub(super) senders_answered: Ranks,
}

/// Mentions in messages sent, and in those of them that the server took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mentioned {
    /// Of a person: every entry of every list.
    pub user: Tally,
    /// Of everyone: once a message.
    pub all: Tally,
}

impl Counts {
    pub(super) fn new(senders: u32) -> Result<Self, Error> {
        Ok(Self {
            all: Tally::default(),
            failures: Failures::default(),
            first_failure: None,
            answers: Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|error| Error::Numbers(error.to_string()))?,
            content_types: population::MIX.iter().map(|(code, _)| (*code, Tally::default())).collect(),
            platforms: Vec::new(),
            statuses: Vec::new(),
            from_users: Tally::default(),
            mentions: Mentioned::default(),
            groups: HashMap::default(),
            senders_sent: Ranks::up_to(senders),
            senders_answered: Ranks::up_to(senders),
        })
    }

    pub(super) fn record(&mut self, drawn: &Drawn, outcome: Result<(), Failure>, took: Duration) {
        let answered = outcome.is_ok();
        if outcome.as_ref().map_or_else(|failure| failure.kind.was_answered(), |()| true) {
            self.answers.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        }
        if let Err(failure) = outcome {
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

impl Mentioned {
    fn record(&mut self, drawn: &Drawn, answered: bool) {
        for _ in 0..drawn.mentioned {
            self.user.add(answered);
        }
        if drawn.mentions_all {
            self.all.add(answered);
        }
    }
}

fn entry(list: &mut Vec<(i32, Tally)>, code: i32) -> &mut Tally {
    let position = list.iter().position(|(listed, _)| *listed == code).unwrap_or_else(|| {
        list.push((code, Tally::default()));
        list.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "found or just pushed")]
    &mut list[position].1
}

/// A set of ranks, a bit each: a hundred million people fit into 12 MiB.
pub(super) struct Ranks {
    words: Vec<u64>,
    distinct: u64,
}

impl Ranks {
    fn up_to(most: u32) -> Self {
        Self { words: vec![0; usize::try_from(most / 64).unwrap_or_default() + 1], distinct: 0 }
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
    fn distinct_ranks_are_counted_once_and_the_last_one_has_its_place() {
        for most in [1, 63, 64, 65] {
            let mut ranks = Ranks::up_to(most);
            for rank in [0, most, 0, most] {
                ranks.insert(rank);
            }
            assert_eq!(ranks.distinct(), 2, "{most}");
        }
    }

    #[test]
    fn only_whole_answers_have_a_time_and_the_first_failure_is_kept() {
        let mut counts = Counts::new(10).unwrap();
        let drawn = Drawn {
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
        assert_eq!(counts.all, Tally { sent: 3, answered: 1 });
        assert_eq!(counts.failures, Failures { total: 2, closed: 1, refused: 1, ..Failures::default() });
        assert_eq!(counts.first_failure.as_deref(), Some("first"));
        assert_eq!((counts.answers.len(), counts.answers.max() / 100), (2, 20));
        assert_eq!(counts.mentions.user, Tally { sent: 6, answered: 2 });
        assert_eq!(counts.groups[&3], Tally { sent: 3, answered: 1 });
    }
}
