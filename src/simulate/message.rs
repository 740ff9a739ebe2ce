//! A random message: what was drawn of it, and the callback that it becomes.

/// OpenIM's content type of a text with mentions.
pub(super) const AT_TEXT: i32 = 106;

/// OpenIM's content type of an administrator's announcement.
pub(super) const OA_NOTIFICATION: i32 = 1400;

/// OpenIM's content type of a read receipt.
pub(super) const READ_RECEIPT: i32 = 2200;

/// What a message counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrawnMessage {
    /// Its content type.
    pub content_type: i32,
    /// Its platform ID.
    pub platform: i32,
    /// Its message status.
    pub status: i32,
    /// Whether a person sent it, not an administrator or the system.
    pub from_user: bool,
    /// The rank of a group, 0 for the busiest: where it was sent, unless it has a receiver.
    pub group: u32,
    /// The rank of its receiver, if it was sent to a person.
    pub receiver: Option<u32>,
    /// Its sender's rank, 0 for the most active; the number of people for the administrator.
    pub sender: u32,
    /// Number of people whom it mentions by ID.
    pub mentioned: u32,
    /// Whether it mentions everyone.
    pub mentions_all: bool,
    /// Length of its content in bytes.
    pub content_bytes: u64,
}

/// What is drawn of a message but not counted by the report. The buffers are reused for each message.
#[derive(Default)]
pub(super) struct Details {
    pub(super) text: String,
    pub(super) mentions: Vec<String>,
    pub(super) send_time: i64,
    pub(super) create_time: i64,
    pub(super) bytes: u64,
    pub(super) seconds: u64,
}

/// A callback to be sent. The buffers are reused for each callback.
#[derive(Debug, Default)]
pub struct EncodedCallback {
    /// The command, which is also the end of the path, unless the callback is a recorded one.
    pub command: &'static str,
    /// The end of the path and the query of a recorded callback.
    pub recorded_url: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The operation ID, which is also a header.
    pub operation_id: String,
}
