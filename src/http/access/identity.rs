//! The server's certificate and key, and the authorities of clients, from the files that the settings name.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::rustls::{Error as TlsError, InconsistentKeys, RootCertStore};

use crate::certificates;
use crate::config::web::{PemSource, Tls};

/// Why a certificate, a key or an authority cannot be used. Names the setting in `tls_server_config`, and the file.
#[derive(Debug, thiserror::Error)]
#[error("tls_server_config: {what}: {problem}")]
pub struct CertificateProblem {
    what: String,
    problem: String,
}

impl CertificateProblem {
    pub(crate) fn new(what: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self { what: what.into(), problem: problem.to_string() }
    }
}

fn problem(what: &str, source: &PemSource, problem: impl std::fmt::Display) -> CertificateProblem {
    CertificateProblem::new(name(what, source), problem)
}

/// A setting as written in the web configuration: `cert_file PATH`, or `cert` for inline PEM.
fn name(what: &str, source: &PemSource) -> String {
    match source {
        PemSource::File(path) => format!("{what}_file {}", path.display()),
        PemSource::Inline(_) => what.to_owned(),
    }
}

/// When the server's certificate is valid. The others in its file may be there only for old clients.
#[derive(Clone, Debug)]
pub(crate) struct Validity {
    name: String,
    /// In seconds since the epoch.
    from: i64,
    pub(crate) until: i64,
}

impl Validity {
    /// # Errors
    /// When the certificate has expired or is not valid yet at this time, in seconds since the epoch.
    pub(crate) fn check(&self, now: i64) -> Result<(), CertificateProblem> {
        let (problem, since) = match now {
            _ if self.until <= now => ("has expired", self.until),
            _ if self.from > now => ("is not valid yet", self.from),
            _ => return Ok(()),
        };
        let since = Timestamp::from_second(since).map_or_else(|_| since.to_string(), |time| time.to_string());
        let problem = format!("the certificate {problem} ({since}); use one that is valid now");
        Err(CertificateProblem::new(&self.name, problem))
    }
}

/// The server's certificates with their key, and when they are valid.
pub(crate) fn read(tls: &Tls, provider: &CryptoProvider) -> Result<(CertifiedKey, Validity), CertificateProblem> {
    let chain = read_certificates("cert", &tls.certificate)?;
    let own = chain.first().ok_or_else(|| problem("cert", &tls.certificate, "there is no certificate"))?;
    let parsed = certificates::parse(own).map_err(|error| problem("cert", &tls.certificate, error))?.validity().clone();
    let (from, until) = (parsed.not_before.timestamp(), parsed.not_after.timestamp());
    let validity = Validity { name: name("cert", &tls.certificate), from, until };

    let bytes = tls.key.read().map_err(|error| problem("key", &tls.key, error))?;
    let keys = certificates::private_keys(&bytes).map_err(|error| problem("key", &tls.key, error))?;
    let load = |key: &PrivateKeyDer<'_>| {
        let loaded = provider.key_provider.load_private_key(key.clone_key());
        loaded.map_err(|_| problem("key", &tls.key, certificates::private_key_problem(key)))
    };
    let (key, others) = keys.split_first().ok_or_else(|| problem("key", &tls.key, "there is no private key"))?;
    let identity = CertifiedKey::new(chain, load(key)?);
    match identity.keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok((identity, validity)),
        Err(TlsError::InconsistentKeys(_)) => {
            let others: Vec<_> = others.iter().map(|key| load(key).ok()).collect();
            Err(mismatch(tls, &identity, &others))
        }
        Err(error) => {
            let own = identity.cert.first().map_or_else(String::new, |own| certificates::problem(own, &error));
            Err(problem("cert", &tls.certificate, own))
        }
    }
}

/// Why the first certificate and the first key do not belong together.
fn mismatch(tls: &Tls, identity: &CertifiedKey, others: &[Option<Arc<dyn SigningKey>>]) -> CertificateProblem {
    let is_of = |certificate: &CertificateDer<'_>, key: &Arc<dyn SigningKey>| {
        let parsed = certificates::parse(certificate);
        parsed.is_ok_and(|parsed| key.public_key().is_some_and(|key| key.as_ref() == parsed.public_key().raw))
    };
    if let Some(position) = identity.cert.iter().position(|certificate| is_of(certificate, &identity.key)) {
        let all = identity.cert.len();
        let order = format!(
            "the certificate of the key is number {} of the {all} in it; put it first, and the intermediate certificates \
             after it",
            position + 1
        );
        return problem("cert", &tls.certificate, order);
    }
    let is_own = |key: &Arc<dyn SigningKey>| identity.cert.first().is_some_and(|own| is_of(own, key));
    if let Some(position) = others.iter().position(|key| key.as_ref().is_some_and(is_own)) {
        let order = format!(
            "the key of the certificate is number {} of the {} keys in it, and only the first one is used; put it first",
            position + 2,
            others.len() + 1
        );
        return problem("key", &tls.key, order);
    }
    let certificate = name("cert", &tls.certificate);
    let other =
        format!("it is not the key of the certificate in {certificate}; give the key that belongs to that certificate");
    problem("key", &tls.key, other)
}

fn read_certificates(what: &str, source: &PemSource) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    let bytes = source.read().map_err(|error| problem(what, source, error))?;
    certificates::certificates(&bytes).map_err(|error| problem(what, source, error))
}

/// The authorities of clients, and their certificates.
pub(crate) fn read_authorities(
    source: &PemSource,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), CertificateProblem> {
    let found = read_certificates("client_ca", source)?;
    let roots = certificates::authorities(&found).map_err(|error| problem("client_ca", source, error))?;
    for (number, certificate) in (1..).zip(&found) {
        let checked =
            certificates::parse(certificate).and_then(|parsed| certificates::check_public_key(parsed.public_key()));
        checked.map_err(|error| problem("client_ca", source, format!("certificate {number}: {error}")))?;
    }
    Ok((roots, found))
}
