//! A random message: what was drawn of it, and the callback that it becomes.

/// OpenIM's content type of a text with mentions.
pub(super) const AT_TEXT: i32 = 106;

/// OpenIM's content type of an administrator's announcement.
pub(super) const OA_NOTIFICATION: i32 = 1400;

/// What a message counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnMessage {
    /// Its content type.
    pub content_type: i32,
    /// Its platform ID.
    pub platform: i32,
    /// Its message status.
    pub status: i32,
    /// Whether a person sent it, not an administrator or the system.
    pub from_user: bool,
    /// Its group's rank, 0 for the busiest.
    pub group: u32,
    /// Its sender's rank, 0 for the most active; the number of people for the administrator.
    pub sender: u32,
    /// Number of people whom it mentions by ID.
    pub mentioned: u32,
    /// Whether it mentions everyone.
    pub mentions_all: bool,
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
    /// The body.
    pub body: Vec<u8>,
    /// The operation ID, which is also a header.
    pub operation_id: String,
}
