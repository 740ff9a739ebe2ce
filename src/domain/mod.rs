//! What a group message is: pure values and names, standard library only.

pub mod codes;
mod message;
mod time;

pub use message::{Mentions, Message, Source};
pub use time::{Clock, ManualClock, SystemClock, UnixMillis};
