//! The sender's JSON, and every oddity of it; the answers that it expects.
//!
//! A field name of OpenIM's stands nowhere else.

mod answer;
mod command;
mod decode;
mod encode;
mod escape;
mod field;
mod limits;
mod object;
mod quick;

pub use answer::{SUCCESS, refusal};
pub use command::{COMMANDS, Command, GROUP_MESSAGE};
pub use decode::{Problem, command_of, group_message};
#[doc(hidden)]
pub use decode::{Quickly, quickly};
pub use encode::{Callback, Content, MENTION_OF_ALL, Media, OPERATION_ID_HEADER, encode, is_success, write_content};
