//! OpenIM's JSON with all its peculiarities, and the answers that OpenIM expects.
//!
//! No other module contains the names of OpenIM's fields.

mod answer;
mod command;
mod decode;
mod encode;
mod escape;
mod event;
mod field;
mod limits;
mod object;
mod private;
mod quick;
mod subject;
mod verdict;

pub use answer::{SUCCESS, echo, obeyed_refusal, refusal};
pub use command::Command;
#[cfg(feature = "fuzzing")]
pub use decode::{DecoderComparison, compare_decoders};
pub use decode::{Problem, decode_command_name, decode_group_message};
pub(crate) use encode::body;
pub use encode::{Callback, Content, MENTION_OF_ALL, Media, OPERATION_ID_HEADER, encode, is_success, write_content};
pub use event::{Report, decode_report};
pub use private::{append_without_content, is_json};
pub use subject::{Subject, subject};
pub use verdict::{Judged, UrlForm, judge};
