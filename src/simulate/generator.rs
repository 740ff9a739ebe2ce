//! Draws random messages, the same for the same seed.

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, LogNormal, Zipf};
use rand_pcg::Pcg64Mcg;

use super::compose::Composer;
use super::error::Error;
use super::message::{AT_TEXT, Details, DrawnMessage, EncodedCallback, OA_NOTIFICATION, READ_RECEIPT};
use super::population::{MIX, PLATFORMS, SINGLE_MIX, draw_weighted, sender_id, write_phrases};
use crate::domain::{Chat, GROUP_MESSAGE, UnixMillis};
use crate::wire::MENTION_OF_ALL;

/// Exponents of Zipf's law: how unevenly messages are spread over groups and people.
const GROUP_EXPONENT: f64 = 1.1;
const SENDER_EXPONENT: f64 = 0.8;
/// Time from the sending to the callback: median and spread of a log-normal distribution.
const DELIVERY_MS: (f64, f64) = (6.0, 0.7);
/// Time from the creation of a message on a phone to its sending.
const SUBMISSION_MS: (f64, f64) = (40.0, 0.9);
const TEXT_BYTES: (f64, f64) = (30.0, 1.0);
const MAX_TEXT_BYTES: u64 = 4096;
const ADMIN_PLATFORM: i32 = 10;

/// Draws messages and encodes their callbacks. Generators with the same parameters draw the same messages in the same
/// order, except for their message IDs, which are new in each run, and their times, which follow the clock.
pub struct Generator {
    pub(super) random: Pcg64Mcg,
    group: Zipf<f64>,
    sender: Zipf<f64>,
    delivery: LogNormal<f64>,
    submission: LogNormal<f64>,
    length: LogNormal<f64>,
    pub(super) senders: u32,
    details: Details,
    pub(super) composer: Composer,
}

impl Generator {
    /// A generator of messages in `groups` groups by `senders` people.
    ///
    /// # Errors
    /// When there is no group or no sender.
    pub fn new(groups: u32, senders: u32, seed: u64) -> Result<Self, Error> {
        let zipf = |n: u32, exponent| {
            Zipf::new(f64::from(n), exponent).map_err(|error| Error::Distribution(error.to_string()))
        };
        let log_normal = |(median, spread): (f64, f64)| {
            LogNormal::new(median.ln(), spread).map_err(|error| Error::Distribution(error.to_string()))
        };
        Ok(Self {
            random: Pcg64Mcg::seed_from_u64(seed),
            group: zipf(groups, GROUP_EXPONENT)?,
            sender: zipf(senders, SENDER_EXPONENT)?,
            delivery: log_normal(DELIVERY_MS)?,
            submission: log_normal(SUBMISSION_MS)?,
            length: log_normal(TEXT_BYTES)?,
            senders,
            details: Details::default(),
            composer: Composer::new(senders),
        })
    }

    /// Draws the next group message, delivered at `now`, and encodes its callback.
    ///
    /// # Errors
    /// None in practice; see [`encode`](crate::wire::encode()).
    pub fn draw(&mut self, now: UnixMillis, encoded: &mut EncodedCallback) -> serde_json::Result<DrawnMessage> {
        let mut drawn = self.draw_kind(Chat::Group);
        self.draw_details(&drawn, now);
        self.encode(GROUP_MESSAGE, &mut drawn, encoded)?;
        Ok(drawn)
    }

    /// Encodes a callback that reports the message whose details were drawn last.
    pub(super) fn encode(
        &mut self,
        command: &'static str,
        drawn: &mut DrawnMessage,
        encoded: &mut EncodedCallback,
    ) -> serde_json::Result<()> {
        drawn.content_bytes = self.composer.compose(command, drawn, &self.details, encoded)?;
        Ok(())
    }

    /// Any person, each equally often.
    pub(super) fn draw_person(&mut self) -> u32 {
        self.random.random_range(0..self.senders)
    }

    /// Draws equally often for each kind of message, so that a change of the mix changes little else.
    pub(super) fn draw_kind(&mut self, chat: Chat) -> DrawnMessage {
        let (kinds, receiver) = match chat {
            Chat::Group => (MIX, None),
            Chat::Single => (SINGLE_MIX, Some(self.draw_person())),
        };
        let content_type = draw_weighted(&mut self.random, kinds);
        let device = draw_weighted(&mut self.random, PLATFORMS);
        let group = rank(self.group.sample(&mut self.random));
        let person = rank(self.sender.sample(&mut self.random));
        let mentioned = self.random.random_range(1..=4);
        let mentions_all = self.random.random_range(0..10_u32) == 0;
        let (platform, status, from_user, sender) = match content_type {
            OA_NOTIFICATION => (ADMIN_PLATFORM, 2, false, self.senders),
            // The server sends it, on behalf of the person who caused it and without a platform.
            1501..=1520 | READ_RECEIPT => (0, 1, false, person),
            _ => (device, 1, true, person),
        };
        let (mentioned, mentions_all) = match (content_type, mentions_all) {
            (AT_TEXT, true) => (0, true),
            (AT_TEXT, false) => (mentioned, false),
            _ => (0, false),
        };
        DrawnMessage {
            content_type,
            platform,
            status,
            from_user,
            group,
            receiver,
            sender,
            mentioned,
            mentions_all,
            content_bytes: 0,
        }
    }

    /// Draws the rest of a message that is delivered at `now`, and its IDs.
    pub(super) fn draw_details(&mut self, drawn: &DrawnMessage, now: UnixMillis) {
        self.composer.draw_ids(now, drawn);
        let Self { random, details, .. } = self;
        details.mentions.clear();
        if drawn.mentions_all {
            details.mentions.push(MENTION_OF_ALL.to_owned());
        }
        for _ in 0..drawn.mentioned {
            details.mentions.push(sender_id(random.random_range(0..self.senders)).to_string());
        }
        let length = truncate(self.length.sample(random)).min(MAX_TEXT_BYTES);
        write_phrases(random, usize::try_from(length).unwrap_or_default(), &mut details.text);
        details.send_time = now.0.saturating_sub(milliseconds(self.delivery.sample(random)));
        let submission = milliseconds(self.submission.sample(random));
        // The server's own messages are created when they are sent.
        details.create_time = details.send_time.saturating_sub(if drawn.from_user { submission } else { 0 });
        details.bytes = random.random_range(10_000..4_000_000);
        details.seconds = random.random_range(1..=60);
    }
}

/// Zipf's ranks count from 1.
fn rank(drawn: f64) -> u32 {
    u32::try_from(truncate(drawn)).unwrap_or(u32::MAX).saturating_sub(1)
}

/// A minute at most: longer delays are phones that were switched off.
fn milliseconds(drawn: f64) -> i64 {
    i64::try_from(truncate(drawn).clamp(1, 60_000)).unwrap_or(1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "drawn positive, and the cast saturates")]
fn truncate(drawn: f64) -> u64 {
    drawn as u64
}

#[cfg(test)]
mod tests {
    use super::super::population::group_id;
    use super::*;
    use crate::domain::Source;
    use serde_json::Value;
    use std::collections::{HashMap, HashSet};

    const NOW: UnixMillis = UnixMillis(1_732_345_678_901);

    fn drawn(count: usize, seed: u64) -> Vec<(DrawnMessage, Value)> {
        let mut generator = Generator::new(1000, 10_000, seed).unwrap();
        let mut encoded = EncodedCallback::default();
        let mut next = || {
            let drawn = generator.draw(NOW, &mut encoded).unwrap();
            (drawn, serde_json::from_slice(&encoded.body).unwrap())
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_messages_under_new_ids() {
        let (first, second) = (drawn(2000, 7), drawn(2000, 7));
        let facts = |list: &[(DrawnMessage, Value)]| list.iter().map(|(drawn, _)| *drawn).collect::<Vec<_>>();
        assert_eq!(facts(&first), facts(&second));
        assert_ne!(facts(&first), facts(&drawn(2000, 8)));
        for ((_, one), (_, other)) in first.iter().zip(&second) {
            for field in ["sendID", "groupID", "sendTime", "createTime", "atUserList", "senderNickname"] {
                assert_eq!(one[field], other[field]);
            }
        }
        let ids: HashSet<_> = first.iter().chain(&second).map(|(_, body)| body["serverMsgID"].to_string()).collect();
        assert_eq!(ids.len(), 4000);
    }

    #[test]
    fn a_few_groups_get_most_messages() {
        let mut groups = HashMap::<u32, u32>::new();
        for (drawn, _) in drawn(20_000, 1) {
            *groups.entry(drawn.group).or_default() += 1;
        }
        let mut counts: Vec<_> = groups.into_values().collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        assert!(counts.len() > 500 && counts.len() <= 1000, "{}", counts.len());
        assert!(counts[0] > 3000 && counts[..10].iter().sum::<u32>() > 9000, "{:?}", &counts[..10]);
    }

    #[test]
    fn the_body_has_what_was_drawn() {
        for (drawn, body) in drawn(5000, 3) {
            assert_eq!(body["contentType"], drawn.content_type);
            assert_eq!(body["senderPlatformID"], drawn.platform);
            assert_eq!(body["status"], drawn.status);
            let source = Source::from_code(body["msgFrom"].as_i64().unwrap().try_into().unwrap());
            assert_eq!(source, if drawn.from_user { Source::User } else { Source::Admin });
            assert_eq!(body["groupID"], group_id(drawn.group).to_string());
            let sender =
                if drawn.sender == 10_000 { "imAdmin".to_owned() } else { sender_id(drawn.sender).to_string() };
            assert_eq!(body["sendID"], sender);
            let mentions = body["atUserList"].as_array().cloned();
            let expected = drawn.mentioned as usize + usize::from(drawn.mentions_all);
            assert_eq!(mentions.as_ref().map_or(0, Vec::len), expected);
            assert_eq!(mentions.is_none(), expected == 0);
            assert_eq!(drawn.mentions_all, mentions.is_some_and(|list| list.contains(&"AtAllTag".into())));
            assert!(body["sendTime"].as_i64().unwrap() < NOW.0);
            assert!(body["createTime"].as_i64() <= body["sendTime"].as_i64());
            assert_eq!(body["serverMsgID"].as_str().unwrap().len(), 32);
            let content = body["content"].as_str().unwrap();
            assert_eq!(content.len() as u64, drawn.content_bytes);
            assert!(serde_json::from_str::<Value>(content).unwrap().is_object());
        }
    }

    #[test]
    fn the_smallest_world_has_one_group_and_one_sender() {
        let mut generator = Generator::new(1, 1, 1).unwrap();
        for _ in 0..100 {
            let drawn = generator.draw(NOW, &mut EncodedCallback::default()).unwrap();
            assert!(drawn.group == 0 && drawn.sender <= 1);
        }
        assert!(Generator::new(0, 1, 1).is_err());
    }
}
