//! A realistic OpenIM: sends callbacks for made-up messages and everything else that people do, and counts how they are
//! answered.
//!
//! [`run`] does the work and prints nothing; the subcommand runs it for a person at a terminal.

mod actions;
mod commas;
mod compose;
mod console;
mod counts;
mod error;
mod generator;
mod message;
mod mix;
mod people;
mod population;
mod presence;
mod question;
mod recorded;
mod replay;
mod report;
mod run;
mod schedule;
mod sender;
mod tally;
#[cfg(test)]
mod tests;

pub use actions::actions;
pub(crate) use console::command;
pub use counts::{Failures, MentionCounts};
pub use error::Error;
pub use generator::Generator;
pub use message::{DrawnMessage, EncodedCallback};
pub use population::{group_id, sender_id};
pub use presence::OnlineCount;
pub use replay::ReplayCounts;
pub use report::{AnswerTimes, Report, SingleMessages};
pub use run::{RunProgress, run};
pub use schedule::Pace;
pub use tally::SendCount;
