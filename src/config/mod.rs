//! Command line, environment and files -> checked settings, with one struct for each module that has settings.

mod access;
mod address;
mod command_line;
mod duration;
mod exclusions;
mod external_url;
mod file;
mod flag;
pub mod forward;
mod networks;
mod parse;
mod record;
mod secret;
mod serve;
pub mod simulate;
mod spool;
mod storage;
mod users;
mod variables;
pub mod web;
mod yaml;

pub use access::AccessSettings;
pub use address::ListenAddress;
pub use command_line::{Invocation, from_args, serve_flags};
pub use exclusions::{ContentTypes, Senders};
pub use external_url::ExternalUrl;
pub use file::FileError;
pub use forward::ForwardSettings;
pub use networks::Networks;
pub use record::{RecordContent, RecordSettings};
pub use secret::PathSecret;
pub use serve::{Config, Http, LogSettings, StatsSettings};
pub use spool::{Selection, SpoolAction, SpoolCommand};
pub use storage::Storage;
pub use users::{PasswordHash, Users};
pub use variables::unknown_variables;
