//! Encodes drawn messages as callbacks.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::message::{AT_TEXT, Details, DrawnMessage, EncodedCallback, OA_NOTIFICATION, READ_RECEIPT};
use super::population::{group_id, nickname, sender_id};
use crate::domain::UnixMillis;
use crate::wire::{Callback, Content, Media, encode, write_content};

/// The user ID of the administrator, who has no rank.
pub(super) const ADMINISTRATOR: &str = "imAdmin";

/// Encodes callbacks, in buffers that each message overwrites.
pub(super) struct Composer {
    /// Draws IDs. The seed is new in each run, so that no server takes a second run for duplicates of the first.
    ids: Pcg64Mcg,
    senders: u32,
    pub(super) operation_id: String,
    server_message_id: String,
    pub(super) client_message_id: String,
    face_url: String,
    object_url: String,
    content: Vec<u8>,
}

impl Composer {
    pub(super) fn new(senders: u32) -> Self {
        Self {
            ids: Pcg64Mcg::seed_from_u64(RandomState::new().hash_one(senders)),
            senders,
            operation_id: String::new(),
            server_message_id: String::new(),
            client_message_id: String::new(),
            face_url: String::new(),
            object_url: String::new(),
            content: Vec::new(),
        }
    }

    /// Encodes the callback with this command. Returns the length of the message's content in bytes.
    pub(super) fn compose(
        &mut self,
        command: &'static str,
        drawn: &DrawnMessage,
        details: &Details,
        encoded: &mut EncodedCallback,
    ) -> serde_json::Result<u64> {
        encoded.command = command;
        encoded.operation_id.clone_from(&self.operation_id);
        let (mut chat, mut person) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (group_id, receiver_id) = match drawn.receiver {
            None => (chat.format(group_id(drawn.group)), ""),
            Some(receiver) => ("", chat.format(sender_id(receiver))),
        };
        let (sender_id, nickname) = if drawn.sender == self.senders {
            (ADMINISTRATOR, "")
        } else {
            (person.format(sender_id(drawn.sender)), nickname(drawn.sender))
        };
        let at_user_list: Vec<&str> = details.mentions.iter().map(String::as_str).collect();
        let media = Media {
            uuid: &self.client_message_id,
            url: &self.object_url,
            name: "report <final> & 会议纪要.dat",
            bytes: details.bytes,
            seconds: details.seconds,
        };
        let content = content(drawn, (&details.text, &at_user_list), media, (sender_id, group_id));
        let callback = Callback {
            sender_id,
            command,
            server_message_id: &self.server_message_id,
            client_message_id: &self.client_message_id,
            operation_id: &self.operation_id,
            platform_id: drawn.platform,
            nickname,
            session_type: if drawn.receiver.is_some() { 1 } else { 3 },
            message_from: if drawn.from_user { 100 } else { 200 },
            content_type: drawn.content_type,
            status: drawn.status,
            send_time: details.send_time,
            create_time: details.create_time,
            content: write_content(&content, &mut self.content)?,
            seq: 0,
            at_user_list: &at_user_list,
            face_url: &self.face_url,
            ex: "",
            receiver_id,
            group_id,
        };
        encode(&callback, &mut encoded.body)?;
        Ok(callback.content.len().try_into().unwrap_or(u64::MAX))
    }

    /// The number of the first group that this run creates: beyond those in which messages are sent, and probably not
    /// one that an earlier run created.
    pub(super) fn draw_first_group(&mut self) -> u32 {
        self.ids.random_range(200_000_000..4_000_000_000)
    }

    /// Draws the IDs of the next message, which all its callbacks have.
    pub(super) fn draw_ids(&mut self, now: UnixMillis, drawn: &DrawnMessage) {
        let sender = sender_id(drawn.sender);
        let suffix = self.ids.random_range(0..1_000_000_u32);
        overwrite(&mut self.operation_id, format_args!("{}{suffix:06}", now.0));
        let (server, client) = (self.ids.random::<u128>(), self.ids.random::<u128>());
        overwrite(&mut self.server_message_id, format_args!("{server:032x}"));
        overwrite(&mut self.client_message_id, format_args!("{client:032x}"));
        overwrite(&mut self.object_url, format_args!("https://objects.example.com/openim/{sender}/"));
        self.object_url.push_str(&self.client_message_id);
        self.face_url.clear();
        // Not everyone has a picture, and the system never has one.
        if drawn.from_user && !drawn.sender.is_multiple_of(3) {
            overwrite(&mut self.face_url, format_args!("https://cdn.example.com/faces/{sender}.jpg?size=80&v=2"));
        }
    }
}

fn overwrite(text: &mut String, with: std::fmt::Arguments<'_>) {
    text.clear();
    // Writing to a string cannot fail.
    let _ = text.write_fmt(with);
}

fn content<'a>(
    drawn: &DrawnMessage,
    (text, mentions): (&'a str, &'a [&'a str]),
    media: Media<'a>,
    (person, group): (&'a str, &'a str),
) -> Content<'a> {
    match drawn.content_type {
        102 => Content::Picture(media),
        103 => Content::Voice(media),
        104 => Content::Video(media),
        105 => Content::File(media),
        AT_TEXT => Content::AtText(text, mentions),
        108 => Content::Card(person, nickname(drawn.sender)),
        109 => Content::Location(text, 121.473_7, 31.230_4),
        110 | 9001 => Content::Custom(r#"{"kind":"poll","choices":["周四","Friday","<none>"]}"#),
        114 => Content::Quote(text, [media.uuid, person, "see you at 8 <3"]),
        OA_NOTIFICATION => Content::Announcement(text),
        1501..=1520 | READ_RECEIPT => Content::Notification(person, group),
        _ => Content::Text(text),
    }
}
