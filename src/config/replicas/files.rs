//! The files that the flags name.

use std::path::Path;

use tokio_rustls::rustls::crypto::ring;

use super::settings::ReplicasSettings;
use crate::certificates::{self, IdentityPart};
use crate::config::file::{self, FileError, MAX_PEM_BYTES};
use crate::config::forward::{ClientIdentity, Trust};

/// Maximum size of the password file, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// Why a file cannot be used. Names the flag and the file, and how to correct it.
#[derive(Debug, thiserror::Error)]
#[error("--replicas.{flag} {error}")]
pub struct RedisFileError {
    flag: &'static str,
    error: FileError,
}

/// What the files contain. There is no `Debug`, which would show the password.
pub struct RedisFiles {
    /// The password; not empty.
    pub password: Option<String>,
    /// Which certificates are trusted. Without TLS, the system's.
    pub trust: Trust,
    /// The client certificate.
    pub identity: Option<ClientIdentity>,
}

impl RedisFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or is not valid.
    pub fn read(settings: &ReplicasSettings) -> Result<Self, RedisFileError> {
        let password = settings.password_file.as_deref().map(password).transpose()?;
        let trust = settings.ca_file.as_deref().map_or(Ok(Trust::System), trust)?;
        let identity = settings.cert_file.as_deref().zip(settings.key_file.as_deref());
        let identity = identity.map(|(certificate, key)| identity_in(certificate, key)).transpose()?;
        Ok(Self { password, trust, identity })
    }
}

fn password(path: &Path) -> Result<String, RedisFileError> {
    let line = |text: String| {
        let line = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
        let is_line = !line.is_empty() && !line.contains(['\n', '\r']);
        is_line.then(|| line.to_owned()).ok_or_else(|| FileError::about_file("it must have the password, on one line"))
    };
    let password = file::read(path, MAX_PASSWORD_BYTES).and_then(line);
    password.map_err(|error| RedisFileError { flag: "redis-password-file", error: error.in_file(path) })
}

fn trust(path: &Path) -> Result<Trust, RedisFileError> {
    let found = pem("redis-ca-file", path, certificates::certificates)?;
    certificates::authorities(&found).map_err(|problem| wrong("redis-ca-file", path, problem))?;
    Ok(Trust::Authorities(found))
}

fn identity_in(certificate: &Path, key: &Path) -> Result<ClientIdentity, RedisFileError> {
    let chain = pem("redis-cert-file", certificate, certificates::certificates)?;
    let mut keys = pem("redis-key-file", key, certificates::private_keys)?;
    let name = format!("--replicas.redis-cert-file {}", certificate.display());
    let provider = ring::default_provider().key_provider;
    certificates::identity(chain.clone(), &keys, &name, provider).map_err(|(part, problem)| match part {
        IdentityPart::Certificate => wrong("redis-cert-file", certificate, problem),
        IdentityPart::Key => wrong("redis-key-file", key, problem),
    })?;
    Ok(ClientIdentity { certificates: chain, key: keys.swap_remove(0) })
}

/// What a PEM file contains.
fn pem<T>(
    flag: &'static str,
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, RedisFileError> {
    let bytes =
        file::read_bytes(path, MAX_PEM_BYTES).map_err(|error| RedisFileError { flag, error: error.in_file(path) })?;
    parse(&bytes).map_err(|problem| wrong(flag, path, problem))
}

fn wrong(flag: &'static str, path: &Path, problem: String) -> RedisFileError {
    RedisFileError { flag, error: FileError::about_file(problem).in_file(path) }
}
