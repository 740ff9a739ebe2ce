//! A group message, OpenIM's codes, and time: plain values that use only the standard library.

pub mod codes;
mod message;
mod time;

pub use message::{Mentions, Message, Source};
pub use time::{Clock, SystemClock, UnixMillis};
