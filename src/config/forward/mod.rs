//! Where callbacks are forwarded: the targets, from `--forward.url` or the file of `--forward.config.file`.

mod breaker;
mod globs;
mod headers;
mod policies;
mod settings;
mod signing_secret;
mod target;
mod targets;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod values;

use std::path::Path;
use std::sync::Arc;

use super::file::{self, FileError};
use super::yaml::{self, Field};
use crate::certificates;
pub use breaker::Breaker;
pub use globs::{Commands, Globs};
pub use policies::{Policies, Policy};
pub use settings::ForwardSettings;
pub use signing_secret::SigningSecret;
pub use target::Target;
pub use tls::{ClientIdentity, ClientTls, Trust};
pub use url::Url;
use values::Files;
pub use values::ReadFile;

/// Largest file of targets, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The keys of a target in the file, as the documentation must list them: `tls`, `tls.ca_file` and so on.
#[must_use]
pub fn target_keys() -> Vec<String> {
    let sections = [
        ("basic_auth", &headers::BASIC_KEYS[..]),
        ("tls", &tls::KEYS),
        ("policies", &policies::KEYS),
        ("breaker", &breaker::KEYS),
    ];
    let with_inner = |key: &&str| {
        let inner = sections.iter().filter(|(section, _)| section == key).flat_map(|(_, inner)| *inner);
        let inner = inner.map(|inner| format!("{key}.{inner}"));
        std::iter::once((*key).to_owned()).chain(inner).collect::<Vec<_>>()
    };
    targets::KEYS.iter().flat_map(with_inner).collect()
}

/// The targets, each with a unique name. At most one of them answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// In the order of the file; at most 16, and none if forwarding is off.
    pub targets: Vec<Arc<Target>>,
}

impl Forward {
    /// Reads the file of the settings and the files that it names. Calls `before_read` with the path of each file before
    /// it is read.
    ///
    /// # Errors
    /// When a file cannot be read or is not valid; names the file, the line and the key, and says how to correct it.
    pub fn read(settings: &ForwardSettings, before_read: &mut dyn FnMut(&Path)) -> Result<Self, FileError> {
        match (&settings.file, &settings.url) {
            (Some(path), _) => {
                let directory = path.parent().unwrap_or(Path::new(""));
                before_read(path);
                let text = file::read(path, MAX_BYTES);
                let mut read = |path: &Path, max_bytes| {
                    before_read(path);
                    file::read_bytes(path, max_bytes)
                };
                text.and_then(|text| Self::parse(&text, directory, settings, &mut read))
                    .and_then(Self::check_system)
                    .map_err(|error| error.in_file(path))
            }
            (None, Some(url)) => {
                let (max_bytes, max_age) = (settings.spool_max_bytes, settings.spool_max_age);
                let target = Target { max_bytes, max_age, ..Target::simple(url.clone()) };
                Self { targets: vec![Arc::new(target)] }.check_system()
            }
            (None, None) => Ok(Self::default()),
        }
    }

    /// Parses a file's text; relative paths in it start from `directory`. `read` reads a file of at most so many bytes.
    ///
    /// # Errors
    /// As [`Forward::read`].
    pub fn parse(
        text: &str,
        directory: &Path,
        settings: &ForwardSettings,
        read: &mut ReadFile<'_>,
    ) -> Result<Self, FileError> {
        let root = yaml::parse(text)?;
        let defaults = (settings.spool_max_bytes, settings.spool_max_age);
        let targets = targets::parse(&Field::root(&root), &mut Files { directory, read }, defaults)?;
        Ok(Self { targets })
    }

    /// Checks that the system trusts an authority, if a target's certificate is verified with those.
    fn check_system(self) -> Result<Self, FileError> {
        if let Some(target) =
            self.targets.iter().find(|target| target.url.is_https() && target.tls.trust == Trust::System)
        {
            certificates::system().map_err(|problem| {
                FileError::about_file(format!(
                    "target {}: {problem}, or give the target's CA with tls.ca_file",
                    target.name
                ))
            })?;
        }
        Ok(self)
    }
}
