//! The content of a message: JSON in a string of the callback's JSON.

use serde::{Serialize, Serializer};

/// The content of a message.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Plain text.
    Text(&'a str),
    /// A picture, in three sizes.
    Picture(Media<'a>),
    /// A recorded voice.
    Voice(Media<'a>),
    /// A video with its preview.
    Video(Media<'a>),
    /// Any file.
    File(Media<'a>),
    /// Text with mentions.
    AtText(&'a str, &'a [&'a str]),
    /// A reply to an earlier message: the text, and that message's ID, sender and text.
    Quote(&'a str, [&'a str; 3]),
    /// A user's ID and name.
    Card(&'a str, &'a str),
    /// A place: its name, longitude and latitude.
    Location(&'a str, f64, f64),
    /// An app's own data.
    Custom(&'a str),
    /// A change of a group: the user who made it, and the group.
    Notification(&'a str, &'a str),
    /// An administrator's announcement.
    Announcement(&'a str),
}

/// An uploaded object.
#[derive(Clone, Copy, Debug)]
pub struct Media<'a> {
    /// Its ID in the object store.
    pub uuid: &'a str,
    /// Its download URL.
    pub url: &'a str,
    /// The file's name.
    pub name: &'a str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its duration.
    pub seconds: u64,
}

/// Replaces `buffer` with the JSON for [`Callback::content`](super::Callback::content), and returns it as text.
///
/// # Errors
/// None in practice: these types can always be serialized.
pub fn write_content<'b>(content: &Content<'_>, buffer: &'b mut Vec<u8>) -> serde_json::Result<&'b str> {
    buffer.clear();
    serde_json::to_writer(&mut *buffer, &ContentJson::from(content))?;
    str::from_utf8(buffer).map_err(serde::ser::Error::custom)
}

/// The contents with the field names of OpenIM's client SDK.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum ContentJson<'a> {
    Text {
        content: &'a str,
    },
    Picture {
        source_path: &'a str,
        source_picture: Picture<'a>,
        big_picture: Picture<'a>,
        snapshot_picture: Picture<'a>,
    },
    Sound {
        uuid: &'a str,
        sound_path: &'a str,
        source_url: &'a str,
        data_size: u64,
        duration: u64,
        sound_type: &'a str,
    },
    Video(Video<'a>),
    File {
        file_path: &'a str,
        uuid: &'a str,
        source_url: &'a str,
        file_name: &'a str,
        file_size: u64,
    },
    AtText {
        text: &'a str,
        at_user_list: &'a [&'a str],
        is_at_self: bool,
    },
    Quote {
        text: &'a str,
        quote_message: QuotedMessage<'a>,
    },
    Card {
        #[serde(rename = "userID")]
        user_id: &'a str,
        nickname: &'a str,
        #[serde(rename = "faceURL")]
        face_url: &'a str,
        ex: &'a str,
    },
    Location {
        description: &'a str,
        longitude: f64,
        latitude: f64,
    },
    Custom {
        data: &'a str,
        description: &'a str,
        extension: &'a str,
    },
    Notification {
        #[serde(serialize_with = "as_text")]
        detail: Detail<'a>,
    },
    Announcement {
        notification_name: &'a str,
        notification_type: i32,
        text: &'a str,
        external_url: &'a str,
        mix_type: i32,
    },
}

#[derive(Serialize)]
struct Picture<'a> {
    uuid: &'a str,
    #[serde(rename = "type")]
    format: &'a str,
    size: u64,
    width: u32,
    height: u32,
    url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Video<'a> {
    video_path: &'a str,
    #[serde(rename = "videoUUID")]
    video_uuid: &'a str,
    video_url: &'a str,
    video_type: &'a str,
    video_size: u64,
    duration: u64,
    snapshot_url: &'a str,
    snapshot_width: u32,
    snapshot_height: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuotedMessage<'a> {
    #[serde(rename = "clientMsgID")]
    client_message_id: &'a str,
    #[serde(rename = "sendID")]
    sender_id: &'a str,
    content_type: i32,
    content: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    op_user: Operator<'a>,
    group: GroupJson<'a>,
}

#[derive(Serialize)]
struct Operator<'a> {
    #[serde(rename = "userID")]
    user_id: &'a str,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    #[serde(rename = "groupID")]
    group_id: &'a str,
}

/// A notification's detail is JSON in a string of the content.
fn as_text<S: Serializer>(detail: &Detail<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&serde_json::to_string(detail).map_err(serde::ser::Error::custom)?)
}

impl<'a> From<&Content<'a>> for ContentJson<'a> {
    fn from(content: &Content<'a>) -> Self {
        match *content {
            Content::Text(content) => Self::Text { content },
            Content::Picture(media) => Self::Picture {
                source_path: media.name,
                source_picture: Picture::of(media, 1),
                big_picture: Picture::of(media, 2),
                snapshot_picture: Picture::of(media, 8),
            },
            Content::Voice(media) => Self::voice(media),
            Content::Video(media) => Self::Video(Video::of(media)),
            Content::File(media) => Self::file(media),
            Content::AtText(text, at_user_list) => Self::AtText { text, at_user_list, is_at_self: false },
            Content::Quote(text, [client_message_id, sender_id, content]) => Self::Quote {
                text,
                quote_message: QuotedMessage { client_message_id, sender_id, content_type: 101, content },
            },
            Content::Card(user_id, nickname) => Self::Card { user_id, nickname, face_url: "", ex: "" },
            Content::Location(description, longitude, latitude) => Self::Location { description, longitude, latitude },
            Content::Custom(data) => Self::Custom { data, description: "", extension: "" },
            Content::Notification(operator, group) => Self::Notification {
                detail: Detail { op_user: Operator { user_id: operator }, group: GroupJson { group_id: group } },
            },
            Content::Announcement(text) => Self::Announcement {
                notification_name: "announcement",
                notification_type: 1,
                text,
                external_url: "",
                mix_type: 0,
            },
        }
    }
}

impl<'a> ContentJson<'a> {
    const fn voice(media: Media<'a>) -> Self {
        let Media { uuid, url, name, bytes, seconds } = media;
        Self::Sound { uuid, sound_path: name, source_url: url, data_size: bytes, duration: seconds, sound_type: "aac" }
    }

    const fn file(media: Media<'a>) -> Self {
        let Media { uuid, url, name, bytes, .. } = media;
        Self::File { file_path: "", uuid, source_url: url, file_name: name, file_size: bytes }
    }
}

impl<'a> Picture<'a> {
    fn of(media: Media<'a>, shrink: u32) -> Self {
        let size = media.bytes / u64::from(shrink * shrink);
        Self {
            uuid: media.uuid,
            format: "image/jpeg",
            size,
            width: 1920 / shrink,
            height: 1080 / shrink,
            url: media.url,
        }
    }
}

impl<'a> Video<'a> {
    fn of(media: Media<'a>) -> Self {
        Self {
            video_path: media.name,
            video_uuid: media.uuid,
            video_url: media.url,
            video_type: "video/mp4",
            video_size: media.bytes,
            duration: media.seconds,
            snapshot_url: media.url,
            snapshot_width: 720,
            snapshot_height: 1280,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_content_is_json_with_the_sdk_s_names() {
        let media = Media { uuid: "u", url: "https://x", name: "n", bytes: 640, seconds: 3 };
        let cases = [
            (Content::Picture(media), "/snapshotPicture/size", "10"),
            (Content::Voice(media), "/soundPath", "\"n\""),
            (Content::Video(media), "/videoUUID", "\"u\""),
            (Content::File(media), "/fileName", "\"n\""),
            (Content::AtText("hi", &["a"]), "/atUserList/0", "\"a\""),
            (Content::Quote("hi", ["m", "s", "c"]), "/quoteMessage/clientMsgID", "\"m\""),
            (Content::Card("7", "Mei"), "/userID", "\"7\""),
            (Content::Location("park", 1.5, 2.5), "/latitude", "2.5"),
            (Content::Custom("{}"), "/data", "\"{}\""),
            (
                Content::Notification("7", "8"),
                "/detail",
                r#""{\"opUser\":{\"userID\":\"7\"},\"group\":{\"groupID\":\"8\"}}""#,
            ),
            (Content::Announcement("tonight"), "/notificationName", "\"announcement\""),
        ];
        for (content, pointer, expected) in cases {
            let json: serde_json::Value =
                serde_json::from_str(write_content(&content, &mut Vec::new()).unwrap()).unwrap();
            assert_eq!(json.pointer(pointer).unwrap().to_string(), expected, "{json}");
        }
    }
}
