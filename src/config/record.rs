//! The flags of the records of received callbacks.

use std::path::PathBuf;
use std::time::Duration;

use super::flag::{Shown, settings};
use super::parse::{absolute_path, age, disk_bytes, name_of};
use crate::domain::FileSync;
use crate::named::named;

named! {
    /// What a record has of a callback's body.
    pub enum RecordContent {
        /// All of it, as it came.
        Full = "full",
        /// All but the values of `content`, nicknames and the URLs of pictures.
        None = "none",
    }
}

impl Shown for RecordContent {
    fn show(&self, flag: &str, text: &mut String) {
        self.name().to_owned().show(flag, text);
    }
}

settings! {
    /// The records of received callbacks.
    pub struct RecordSettings {
        /// Directory for the records of received callbacks, one line of JSON each; created if it is missing
        ///
        /// The records contain everything that OpenIM sends, including messages. By default, nothing is recorded.
        #[arg(value_name = "DIR", value_parser = absolute_path())]
        "record.path" path: Option<PathBuf>,

        /// What is recorded of the bodies: full, or none, which leaves out content, nicknames and picture URLs
        #[arg(value_name = "CONTENT", default_value = "full", value_parser = name_of::<RecordContent>())]
        "record.content" content: RecordContent,

        /// Size at which a file is compressed and a new one is started; this also happens at midnight (UTC)
        #[arg(value_name = "BYTES", default_value = "256MiB", value_parser = disk_bytes)]
        "record.max-file-bytes" max_file_bytes: u64,

        /// Maximum total size of all files; beyond it, the oldest ones are removed
        #[arg(value_name = "BYTES", default_value = "10GiB", value_parser = disk_bytes)]
        "record.max-bytes" max_bytes: u64,

        /// Age at which a file is removed
        #[arg(value_name = "DURATION", default_value = "7d", value_parser = age)]
        "record.max-age" max_age: Duration,

        /// When the records are synced to disk (fsync): every second, or with each append
        ///
        /// With append, each answer waits for the disk.
        #[arg(value_name = "WHEN", default_value = "second", value_parser = name_of::<FileSync>())]
        "record.sync" sync: FileSync,
    }
}
