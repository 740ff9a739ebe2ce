//! Counts of what was sent and how it was answered.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::error::Error;
use super::message::DrawnMessage;
use super::mix::Drawn;
use super::presence::Presences;
use super::tally::{Distinct, SendCount, entry};
use crate::domain::Activity;

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
    pub(super) commands: Vec<(&'static str, SendCount)>,
    pub(super) group_messages: MessageCounts,
    pub(super) single_messages: MessageCounts,
    /// Of group messages, as are the next two.
    pub(super) statuses: Vec<(i32, SendCount)>,
    pub(super) mentions: MentionCounts,
    /// By rank.
    pub(super) groups: HashMap<u32, SendCount, foldhash::fast::FixedState>,
    pub(super) activities: Vec<(Activity, SendCount)>,
    /// By platform ID.
    pub(super) disconnects: Vec<(i32, SendCount)>,
    pub(super) presences: Presences,
    /// Who sent or read messages or came online.
    pub(super) users: Distinct,
    /// Whether the dismissal that was reported last was answered.
    dismissal_answered: bool,
}

/// Counts of messages in groups, or of those between two users.
pub(super) struct MessageCounts {
    pub(super) all: SendCount,
    pub(super) from_users: SendCount,
    pub(super) content_types: Vec<(i32, SendCount)>,
    pub(super) platforms: Vec<(i32, SendCount)>,
    pub(super) content_bytes: SendCount,
    pub(super) senders: Distinct,
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
            commands: Vec::new(),
            group_messages: MessageCounts::new(senders),
            single_messages: MessageCounts::new(senders),
            statuses: Vec::new(),
            mentions: MentionCounts::default(),
            groups: HashMap::default(),
            activities: Vec::new(),
            disconnects: Vec::new(),
            presences: Presences::default(),
            users: Distinct::up_to(senders),
            dismissal_answered: false,
        })
    }

    /// Counts a callback with this command and its result. `took` is the time until then.
    pub(super) fn record(
        &mut self,
        (command, drawn): (&'static str, &Drawn),
        result: Result<(), Failure>,
        took: Duration,
    ) {
        let answered = result.is_ok();
        if result.as_ref().map_or_else(|failure| failure.kind.was_answered(), |()| true) {
            self.answers.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        }
        if let Err(failure) = result {
            self.failures.add(failure.kind);
            self.first_failure.get_or_insert(failure.text);
        }
        self.all.add(1, answered);
        entry(&mut self.commands, command).add(1, answered);
        self.record_drawn(drawn, answered);
    }

    fn record_drawn(&mut self, drawn: &Drawn, answered: bool) {
        match *drawn {
            Drawn::Nothing => {}
            Drawn::Message(message) => self.record_message(&message, answered),
            Drawn::Activity(activity, count) => entry(&mut self.activities, activity).add(count, answered),
            Drawn::Dismissal(again) => {
                let count = entry(&mut self.activities, Activity::GroupsDismissed);
                // One group counts once, as soon as one of its reports is answered.
                count.sent += u64::from(!again);
                count.answered += u64::from(answered && !(again && self.dismissal_answered));
                self.dismissal_answered = answered || again && self.dismissal_answered;
            }
            Drawn::Read(person, activity, count) => {
                self.users.insert(person, answered);
                entry(&mut self.activities, activity).add(count, answered);
            }
            Drawn::Online(session) => {
                self.users.insert(session.person, answered);
                self.presences.online(session, answered);
            }
            Drawn::Offline(session) => {
                entry(&mut self.disconnects, session.platform).add(1, answered);
                self.presences.offline(session, answered);
            }
        }
    }

    fn record_message(&mut self, message: &DrawnMessage, answered: bool) {
        self.users.insert(message.sender, answered);
        if message.receiver.is_some() {
            self.single_messages.record(message, answered);
            return;
        }
        self.group_messages.record(message, answered);
        entry(&mut self.statuses, message.status).add(1, answered);
        self.groups.entry(message.group).or_default().add(1, answered);
        self.mentions.user.add(message.mentioned.into(), answered);
        self.mentions.all.add(message.mentions_all.into(), answered);
    }
}

impl MessageCounts {
    fn new(senders: u32) -> Self {
        Self {
            all: SendCount::default(),
            from_users: SendCount::default(),
            content_types: Vec::new(),
            platforms: Vec::new(),
            content_bytes: SendCount::default(),
            senders: Distinct::up_to(senders),
        }
    }

    fn record(&mut self, message: &DrawnMessage, answered: bool) {
        self.all.add(1, answered);
        self.from_users.add(message.from_user.into(), answered);
        entry(&mut self.content_types, message.content_type).add(1, answered);
        entry(&mut self.platforms, message.platform).add(1, answered);
        self.content_bytes.add(message.content_bytes, answered);
        self.senders.insert(message.sender, answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWN: Drawn = Drawn::Message(DrawnMessage {
        content_type: 106,
        platform: 1,
        status: 1,
        from_user: true,
        group: 3,
        receiver: None,
        sender: 4,
        mentioned: 2,
        mentions_all: false,
        content_bytes: 9,
    });

    fn failure(kind: FailureKind, text: &str) -> Result<(), Failure> {
        Err(Failure { kind, text: text.to_owned() })
    }

    #[test]
    fn only_complete_answers_have_a_time_and_the_first_failure_is_kept() {
        let mut counts = Counts::new(10).unwrap();
        counts.record(("a", &DRAWN), failure(FailureKind::Closed, "first"), Duration::from_secs(9));
        counts.record(("a", &DRAWN), failure(FailureKind::Refused, "second"), Duration::from_millis(2));
        counts.record(("a", &DRAWN), Ok(()), Duration::from_millis(1));
        assert_eq!(counts.all, SendCount { sent: 3, answered: 1 });
        assert_eq!(counts.commands, [("a", counts.all)]);
        assert_eq!(counts.failures, Failures { total: 2, closed: 1, refused: 1, ..Failures::default() });
        assert_eq!(counts.first_failure.as_deref(), Some("first"));
        assert_eq!((counts.answers.len(), counts.answers.max() / 100), (2, 20));
        assert_eq!(counts.mentions.user, SendCount { sent: 6, answered: 2 });
        assert_eq!(counts.groups[&3], SendCount { sent: 3, answered: 1 });
        assert_eq!(counts.group_messages.content_bytes, SendCount { sent: 27, answered: 9 });
    }

    #[test]
    fn a_group_whose_dismissal_is_reported_twice_counts_once_if_either_is_answered() {
        for (answered, expected) in [([false, false], 0), ([true, false], 1), ([false, true], 1), ([true, true], 1)] {
            let mut counts = Counts::new(10).unwrap();
            for (again, answered) in [false, true].into_iter().zip(answered) {
                let result = if answered { Ok(()) } else { failure(FailureKind::Closed, "") };
                counts.record(("d", &Drawn::Dismissal(again)), result, Duration::ZERO);
            }
            let dismissed = (Activity::GroupsDismissed, SendCount { sent: 1, answered: expected });
            assert_eq!(counts.activities, [dismissed], "{answered:?}");
        }
    }
}
