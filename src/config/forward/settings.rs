//! The flags of forwarding.

use std::path::PathBuf;
use std::time::Duration;

use super::url::Url;
use crate::config::flag::settings;
use crate::config::parse::{absolute_path, age, disk_bytes, name_of};
use crate::config::storage::Storage;
use crate::domain::FileSync;

settings! {
    /// Where callbacks are forwarded.
    pub struct ForwardSettings {
        /// URL of a business server that answers OpenIM through the exporter: http://10.0.0.5:8080/callback
        ///
        /// It gets every callback, as OpenIM sends it. OpenIM gets its answers to the callbacks that OpenIM waits for
        /// and obeys; all others are answered at once and delivered from a spool in --storage.path. If it does not
        /// answer, OpenIM carries on. For more than this, use --forward.config.file.
        #[arg(value_name = "URL", value_parser = Url::parse, hide_env_values = true)]
        "forward.url" url: Option<Url>,

        /// File with the servers that callbacks are forwarded to, as YAML
        ///
        /// See docs/forwarding.md. This file and the files that it names are reloaded as --web.config.file is.
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "forward.config.file" file: Option<PathBuf>,

        /// Maximum size of each target's spool; beyond it, the oldest callbacks are dropped and counted
        #[arg(value_name = "BYTES", default_value = "1GiB", value_parser = disk_bytes)]
        "forward.spool-max-bytes" spool_max_bytes: u64,

        /// Maximum age of a callback in a spool; older ones are dropped and counted
        #[arg(value_name = "DURATION", default_value = "72h", value_parser = age)]
        "forward.spool-max-age" spool_max_age: Duration,

        /// When a spool is synced to disk (fsync): every second, or with each append
        ///
        /// With second, a power failure can lose the callbacks of the last second. With append, each answer waits for
        /// the disk. A killed process loses nothing in either case.
        #[arg(value_name = "WHEN", default_value = "second", value_parser = name_of::<FileSync>())]
        "forward.spool-sync" spool_sync: FileSync,
    }
}

impl ForwardSettings {
    /// The flag that names the targets, without its hyphens; `None` if nothing is forwarded.
    pub(crate) const fn flag(&self) -> Option<&'static str> {
        match (&self.file, &self.url) {
            (Some(_), _) => Some("forward.config.file"),
            (None, Some(_)) => Some("forward.url"),
            (None, None) => None,
        }
    }

    /// # Errors
    /// When two flags name targets, or a spool has no directory.
    pub(in crate::config) fn check(&self, storage: &Storage) -> Result<(), String> {
        if self.file.is_some() && self.url.is_some() {
            return Err("--forward.url: --forward.config.file is given too; remove one of them".to_owned());
        }
        match self.flag() {
            Some(flag) if *storage == Storage::Memory => Err(format!(
                "--{flag}: callbacks wait for their delivery in the directory of --storage.path, which is empty; set it"
            )),
            _ => Ok(()),
        }
    }
}
