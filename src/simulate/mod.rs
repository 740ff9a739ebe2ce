//! A realistic OpenIM: sends callbacks for made-up group messages, and counts how they are answered.
//!
//! [`run`] does the work and prints nothing; the subcommand runs it for a person at a terminal.

mod compose;
mod console;
mod counts;
mod error;
mod generator;
mod link;
mod message;
mod population;
mod report;
mod run;
mod schedule;
mod sender;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use console::command;
pub use counts::{Failures, MentionCounts, SendCount};
pub use error::Error;
pub use generator::Generator;
pub use message::{DrawnMessage, EncodedCallback};
pub use population::{group_id, sender_id};
pub use report::{AnswerTimes, Report};
pub use run::{RunProgress, run};
pub use schedule::Pace;
