//! Certificates that are trusted themselves, and not only as the issuers of others.

use std::time::Duration;

use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::{CertificateError, Error as TlsError};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

/// What a peer uses a certificate for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Server,
    Client,
}

/// The certificates of a file of authorities. A peer that presents one of them is trusted, as in Go: an ordinary
/// self-signed certificate (`openssl req -x509`) is marked as an authority's, and webpki refuses it as a peer's.
#[derive(Debug)]
pub(crate) struct Listed {
    certificates: Vec<CertificateDer<'static>>,
    purpose: Purpose,
}

impl Listed {
    pub(crate) const fn new(certificates: Vec<CertificateDer<'static>>, purpose: Purpose) -> Self {
        Self { certificates, purpose }
    }

    /// Whether this certificate is one of them and valid now; `false` if it is not one of them.
    ///
    /// # Errors
    /// When it is one of them, but has expired, is not valid yet, or is for another purpose.
    pub(crate) fn contains_valid(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<bool, TlsError> {
        if !self.certificates.contains(certificate) {
            return Ok(false);
        }
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let time = |time: ASN1Time| {
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0)))
        };
        let (not_before, not_after) = (time(parsed.validity().not_before), time(parsed.validity().not_after));
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        let usage = parsed.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
        let fits = usage.is_none_or(|usage| match self.purpose {
            Purpose::Server => usage.value.any || usage.value.server_auth,
            Purpose::Client => usage.value.any || usage.value.client_auth,
        });
        if fits { Ok(true) } else { Err(CertificateError::InvalidPurpose.into()) }
    }
}
