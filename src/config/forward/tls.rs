//! TLS to a target.

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::values::Files;
use crate::certificates::{self, IdentityPart};
use crate::config::file::{FileError, MAX_PEM_BYTES};
use crate::config::yaml::{Field, Mapping};

pub(super) const KEYS: [&str; 5] = ["ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"];

/// The settings of TLS to a target. Its `Debug` does not show the key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Which certificates are trusted.
    pub trust: Trust,
    /// The certificate that is presented if the target asks for one.
    pub identity: Option<ClientIdentity>,
    /// The name in the target's certificate; `None` means the URL's host.
    pub server_name: Option<ServerName<'static>>,
}

/// Which certificates are trusted.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those issued by authorities that the system trusts. There was at least one when the settings were read.
    #[default]
    System,
    /// Those issued by these authorities, and these certificates themselves. They are valid authorities.
    Authorities(Vec<CertificateDer<'static>>),
    /// Any certificate, for any name.
    Any,
}

/// A client certificate with the intermediate ones, and its key. They belong together and can be used.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The client's certificate is the first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// The settings of TLS.
pub(super) fn parse(field: &Field, files: &mut Files) -> Result<ClientTls, FileError> {
    let mapping = field.mapping(&KEYS)?;
    Ok(ClientTls {
        trust: trust(&mapping, files)?,
        identity: identity(&mapping, files)?,
        server_name: mapping.text("server_name")?.map(|(field, name)| server_name(&field, name)).transpose()?,
    })
}

fn server_name(field: &Field, name: &str) -> Result<ServerName<'static>, FileError> {
    let problem = "a certificate cannot have this name; give a DNS name or an IP address";
    ServerName::try_from(name.to_owned()).map_err(|_| field.error(problem))
}

fn trust(mapping: &Mapping, files: &mut Files) -> Result<Trust, FileError> {
    let is_any = mapping.get("insecure_skip_verify").is_some() && mapping.is_on("insecure_skip_verify")?;
    match mapping.text("ca_file")? {
        Some((field, _)) if is_any => {
            Err(field.error("insecure_skip_verify accepts any certificate, so the authority has no effect; remove one"))
        }
        Some((field, _)) => {
            let found = pem(&field, files, certificates::certificates)?;
            certificates::authorities(&found).map_err(|problem| in_file(&field, files, &problem))?;
            Ok(Trust::Authorities(found))
        }
        None => Ok(if is_any { Trust::Any } else { Trust::System }),
    }
}

fn identity(mapping: &Mapping, files: &mut Files) -> Result<Option<ClientIdentity>, FileError> {
    let (certificate, key) = match (mapping.text("cert_file")?, mapping.text("key_file")?) {
        (Some((certificate, _)), Some((key, _))) => (certificate, key),
        (Some((certificate, _)), None) => return Err(certificate.error("its key is missing; give key_file")),
        (None, Some((key, _))) => return Err(key.error("its certificate is missing; give cert_file")),
        (None, None) => return Ok(None),
    };
    let chain = pem(&certificate, files, certificates::certificates)?;
    let mut keys = pem(&key, files, certificates::private_keys)?;
    let name = format!("cert_file {}", files.path(&certificate)?.display());
    let provider = ring::default_provider().key_provider;
    certificates::identity(chain.clone(), &keys, &name, provider).map_err(|(part, problem)| match part {
        IdentityPart::Certificate => in_file(&certificate, files, &problem),
        IdentityPart::Key => in_file(&key, files, &problem),
    })?;
    Ok(Some(ClientIdentity { certificates: chain, key: keys.swap_remove(0) }))
}

/// What the PEM file that a field names has.
fn pem<T>(field: &Field, files: &mut Files, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, FileError> {
    let bytes = files.bytes(field, MAX_PEM_BYTES);
    bytes.and_then(|bytes| parse(&bytes)).map_err(|problem| in_file(field, files, &problem))
}

/// An error in the file that a field names.
fn in_file(field: &Field, files: &Files, problem: &str) -> FileError {
    files.path(field).map_or_else(|error| error, |path| field.error(format!("{}: {problem}", path.display())))
}
