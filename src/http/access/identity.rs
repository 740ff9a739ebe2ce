//! The server's certificate and key, and the authorities of clients, from the files that the settings name.

use jiff::Timestamp;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::certificates::{self, IdentityPart};
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
    let certificate_name = name("cert", &tls.certificate);
    let identity = certificates::identity(chain, &keys, &certificate_name, provider.key_provider);
    identity.map(|identity| (identity, validity)).map_err(|(part, error)| match part {
        IdentityPart::Certificate => problem("cert", &tls.certificate, error),
        IdentityPart::Key => problem("key", &tls.key, error),
    })
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
    Ok((roots, found))
}
