//! A group message, the names of callbacks, OpenIM's codes, the reasons for refusals, time, and how the program was built:
//! plain values that use only the standard library, and jiff for time zones.

pub mod build;
mod calendar;
pub mod codes;
mod commands;
mod event;
mod file_sync;
mod message;
mod reason;
mod time;

pub use calendar::{Calendar, Day};
pub use commands::{AnswerUse, COMMANDS, GROUP_MESSAGE, KnownCommand, Subject};
pub use event::{Activity, Attempt, Chat, Event, Presence};
pub use file_sync::FileSync;
pub use message::{Mentions, Message, MessageSource, Source, Stage};
pub use reason::{Exclusion, Reason};
pub use time::{Clock, SystemClock, UnixMillis};
