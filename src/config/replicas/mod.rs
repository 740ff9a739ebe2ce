//! The union with other exporters, through Redis: its flags, and the files that they name.

mod files;
mod settings;
#[cfg(test)]
mod tests;
mod url;

pub use files::{RedisFileError, RedisFiles};
pub use settings::ReplicasSettings;
pub use url::{RedisHost, RedisUrl, Topology};
