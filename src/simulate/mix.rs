//! Draws the callbacks of everything that people do.
//!
//! An action is drawn as a whole, and its callbacks are handed out one after the other: those of one message have the
//! same IDs. Only people who are online do something.

use std::io;

use rand::Rng;

use super::actions::{ACTIONS, ACTIONS_IN_ALL, ARRIVAL, Action, Callback, Effect, Step};
use super::compose::ADMINISTRATOR;
use super::generator::Generator;
use super::message::{DrawnMessage, EncodedCallback};
use super::people::{People, Session};
use super::population::{PLATFORMS, draw_weighted, group_id, sender_id};
use crate::domain::{Activity, Chat, UnixMillis};
use crate::wire::body::{Body, Values};

/// What a callback must count as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    /// Only as a callback.
    Nothing,
    Message(DrawnMessage),
    Activity(Activity, u64),
    /// The dismissal of a group; true if it is the second report of the one before.
    Dismissal(bool),
    /// By the person with this rank.
    Read(u32, Activity, u64),
    Online(Session),
    Offline(Session),
}

impl Drawn {
    /// Callbacks with the same number must reach the server one after the other, because what they count as depends on
    /// their order.
    pub(super) const fn order(&self) -> Option<usize> {
        match self {
            Self::Online(session) | Self::Offline(session) => Some(session.person as usize),
            Self::Dismissal(_) => Some(0),
            Self::Nothing | Self::Message(_) | Self::Activity(..) | Self::Read(..) => None,
        }
    }
}

/// A source of callbacks.
pub(super) enum CallbackSource {
    GroupMessages(Box<Generator>),
    All(Box<Mix>),
}

impl CallbackSource {
    pub(super) fn draw(&mut self, now: UnixMillis, encoded: &mut EncodedCallback) -> io::Result<Drawn> {
        match self {
            Self::GroupMessages(generator) => Ok(Drawn::Message(generator.draw(now, encoded)?)),
            Self::All(mix) => mix.draw(now, encoded),
        }
    }
}

/// Draws [`ACTIONS`]. Like those of a generator, the same callbacks follow from the same seed.
pub(super) struct Mix {
    messages: Generator,
    people: People,
    /// The remaining steps of the current action.
    steps: &'static [Step],
    act: Act,
    /// New groups have numbers from here on, and are dismissed in the same order. The first one is new in each run.
    first_group: u32,
    created: u32,
    dismissed: u32,
}

/// What was drawn for an action.
struct Act {
    chat: Chat,
    /// Only some actions send it.
    message: DrawnMessage,
    /// Who does it; `None` for an administrator.
    session: Option<Session>,
    other: u32,
    users: Vec<String>,
    group: u32,
    sequence: u64,
    read: u64,
}

impl Mix {
    pub(super) fn new(mut messages: Generator) -> Self {
        let first_group = messages.composer.draw_first_group();
        let act = Act {
            chat: Chat::Group,
            message: DrawnMessage::default(),
            session: None,
            other: 0,
            users: Vec::new(),
            group: 0,
            sequence: 0,
            read: 0,
        };
        Self { messages, people: People::default(), steps: &[], act, first_group, created: 0, dismissed: 0 }
    }

    fn draw(&mut self, now: UnixMillis, encoded: &mut EncodedCallback) -> io::Result<Drawn> {
        loop {
            let Some((step, rest)) = self.steps.split_first() else {
                self.begin(now);
                continue;
            };
            let is_attempt = matches!(step.effect, Effect::Attempt(_));
            if is_attempt && !self.act.message.from_user {
                self.steps = rest;
            } else if self.messages.random.random_range(0..100) < step.chance {
                self.steps = rest;
                return self.take(step, now, encoded);
            } else {
                self.steps = &[];
            }
        }
    }

    /// Draws the next action. Draws equally often for each kind, so that a change of the mix changes little else.
    fn begin(&mut self, now: UnixMillis) {
        let action = self.draw_action();
        let messages = &mut self.messages;
        let mut message = messages.draw_kind(action.chat);
        let other = messages.draw_person();
        let users: Vec<u32> = (0..messages.random.random_range(1..=5)).map(|_| messages.draw_person()).collect();
        let (sequence, read) = (messages.random.random_range(1..100_000), messages.random.random_range(0..4));
        let is_admin = message.sender == messages.senders;
        let session = if is_admin && matches!(action.effect(), Effect::Attempt(_)) {
            None
        } else {
            self.draw_session(action, if is_admin { other } else { message.sender })
        };
        if let Some(session) = session {
            message.sender = session.person;
            message.platform = if message.from_user { session.platform } else { message.platform };
        }
        let Some(group) = self.choose_group(action, message.group) else { return };
        self.messages.draw_details(&message, now);
        let users = users.into_iter().map(|person| sender_id(person).to_string()).collect();
        let other = message.receiver.unwrap_or(other);
        self.act = Act { chat: action.chat, message, session, other, users, group, sequence, read };
        self.steps = action.steps;
    }

    fn draw_action(&mut self) -> &'static Action {
        let mut rest = self.messages.random.random_range(0..ACTIONS_IN_ALL);
        let is_drawn = |action: &&Action| match rest.checked_sub(action.share) {
            Some(less) => {
                rest = less;
                false
            }
            None => true,
        };
        let drawn = ACTIONS.iter().find(is_drawn);
        drawn.filter(|_| !self.people.is_empty()).unwrap_or(&ARRIVAL)
    }

    /// Who does it: the person with this rank or, if that one is offline, someone else. So the share of people who come
    /// online is the one in the table.
    fn draw_session(&mut self, action: &Action, person: u32) -> Option<Session> {
        let platform = draw_weighted(&mut self.messages.random, PLATFORMS);
        let place = self.messages.random.random();
        let found = self.people.session(person);
        match action.effect() {
            Effect::Arrival if found.is_none() && !self.people.is_full() => {
                Some(self.people.arrive(Session { person, platform }))
            }
            Effect::Arrival | Effect::Online => self.people.next(),
            Effect::Offline => self.people.leave(place),
            _ => found.or_else(|| self.people.at(place)),
        }
    }

    /// The group of an action. `None` if all new groups were dismissed.
    fn choose_group(&mut self, action: &Action, drawn: u32) -> Option<u32> {
        let number = match action.effect() {
            Effect::Dismissal(_) if self.dismissed == self.created => return None,
            Effect::Dismissal(_) => &mut self.dismissed,
            _ if action.creates_group => &mut self.created,
            _ => return Some(drawn),
        };
        let group = self.first_group.saturating_add(*number);
        *number += 1;
        Some(group)
    }

    /// Encodes the callback of a step.
    fn take(&mut self, step: &Step, now: UnixMillis, encoded: &mut EncodedCallback) -> io::Result<Drawn> {
        match step.callback {
            Callback::OfMessage(command) => self.messages.encode(command, &mut self.act.message, encoded)?,
            Callback::Other(body) => self.write(body, now, encoded)?,
        }
        let Act { message, read, .. } = self.act;
        Ok(match (step.effect, self.act.session) {
            (Effect::Message, _) => Drawn::Message(message),
            (Effect::Attempt(activity) | Effect::Once(activity), _) => Drawn::Activity(activity, 1),
            (Effect::Each(activity), _) => Drawn::Activity(activity, self.act.users.len() as u64),
            (Effect::Dismissal(again), _) => Drawn::Dismissal(again),
            (Effect::GroupRead, Some(session)) => Drawn::Read(session.person, Activity::GroupReads, 1),
            (Effect::SingleRead, Some(session)) => Drawn::Read(session.person, Activity::SingleReads, read),
            (Effect::Arrival | Effect::Online, Some(session)) => Drawn::Online(session),
            (Effect::Offline, Some(session)) => Drawn::Offline(session),
            _ => Drawn::Nothing,
        })
    }

    /// Fills a template. Without a session, the user is an administrator.
    fn write(&self, body: &Body, now: UnixMillis, encoded: &mut EncodedCallback) -> io::Result<()> {
        let (act, ids) = (&self.act, &self.messages.composer);
        let user = act.session.map_or_else(|| ADMINISTRATOR.to_owned(), |at| sender_id(at.person).to_string());
        encoded.command = body.command;
        encoded.operation_id.clone_from(&ids.operation_id);
        let values = Values {
            user: &user,
            other: &sender_id(act.other).to_string(),
            users: &act.users,
            group: &group_id(act.group).to_string(),
            chat: act.chat,
            platform_id: act.session.map_or(0, |session| session.platform),
            operation_id: &ids.operation_id,
            client_message_id: &ids.client_message_id,
            content_type: act.message.content_type,
            sequence: act.sequence,
            read: act.read,
            now,
        };
        body.write(&values, &mut encoded.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::COMMANDS;
    use serde_json::Value;
    use std::collections::{BTreeMap, HashSet};

    const NOW: UnixMillis = UnixMillis(1_732_345_678_901);

    /// Each callback with its body.
    fn drawn(count: usize, seed: u64) -> Vec<(&'static str, Drawn, Value)> {
        let mut mix = Mix::new(Generator::new(1000, 10_000, seed).unwrap());
        let mut encoded = EncodedCallback::default();
        let mut next = |_| {
            let drawn = mix.draw(NOW, &mut encoded).unwrap();
            (encoded.command, drawn, serde_json::from_slice(&encoded.body).unwrap())
        };
        (0..count).map(&mut next).collect()
    }

    /// Whether a value has the type of the same one from OpenIM. Everything in a body may also be null.
    fn is_like(value: &Value, real: &Value) -> bool {
        match (value, real) {
            (Value::Null, _) | (_, Value::Null) => true,
            (Value::Object(one), Value::Object(other)) => {
                one.keys().eq(other.keys()) && one.values().zip(other.values()).all(|(one, other)| is_like(one, other))
            }
            (Value::Array(one), Value::Array(other)) => one.iter().all(|value| is_like(value, &other[0])),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }

    #[test]
    fn the_bodies_have_the_fields_and_types_of_openim_s() {
        let real: BTreeMap<String, Value> = include_str!("../../tests/answers/bodies.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|body| (body["callbackCommand"].as_str().unwrap().to_owned(), body))
            .collect();
        let mut found = HashSet::new();
        for (command, _, body) in drawn(60_000, 1) {
            assert_eq!(body["callbackCommand"], command);
            assert!(is_like(&body, &real[command]), "{body}\n{}", real[command]);
            found.insert(command);
        }
        let known = |command: &str| COMMANDS.iter().any(|known| known.name == command);
        let all: HashSet<_> =
            ACTIONS.iter().flat_map(|action| action.steps).map(|step| step.callback.command()).collect();
        assert_eq!(found, all);
        assert!(all.iter().all(|command| known(command)), "{all:?}");
    }

    #[test]
    fn the_same_seed_draws_the_same_callbacks() {
        let facts =
            |seed| drawn(3000, seed).into_iter().map(|(command, drawn, _)| (command, drawn)).collect::<Vec<_>>();
        assert_eq!(facts(7), facts(7));
        assert_ne!(facts(7), facts(8));
    }

    #[test]
    fn only_people_who_are_online_act_and_on_their_platform() {
        let mut online = HashSet::new();
        let (mut attempts, mut messages) = (HashSet::new(), 0);
        for (command, drawn, body) in drawn(60_000, 3) {
            match drawn {
                Drawn::Online(session) => drop(online.insert(session)),
                Drawn::Offline(session) => assert!(online.remove(&session), "{body}"),
                Drawn::Read(person, ..) => assert!(online.iter().any(|session| session.person == person), "{body}"),
                Drawn::Message(message) if message.from_user => {
                    let session = Session { person: message.sender, platform: message.platform };
                    assert!(online.contains(&session), "{body}");
                    assert!(attempts.remove(&body["serverMsgID"].to_string()), "{body}");
                    messages += 1;
                }
                Drawn::Activity(Activity::GroupAttempts | Activity::SingleAttempts, _) => {
                    assert!(attempts.insert(body["serverMsgID"].to_string()), "{command}: {body}");
                }
                _ => {}
            }
        }
        // Those that OpenIM refused.
        assert!((50..500).contains(&attempts.len()) && messages > 20_000, "{} of {messages}", attempts.len());
    }
}
