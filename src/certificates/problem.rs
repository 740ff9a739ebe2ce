//! Why a certificate cannot be used.

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{CertificateError, Error as TlsError, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use super::keys::check_public_key;

/// A certificate that is not damaged.
///
/// # Errors
/// Say how to correct it.
pub(crate) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let parsed = X509Certificate::from_der(certificate);
    parsed
        .map(|(_, parsed)| parsed)
        .map_err(|_| "it is not an X.509 certificate, or it is damaged; copy it again".to_owned())
}

/// Why the TLS library refuses a certificate, and how to correct it.
pub(crate) fn problem(certificate: &CertificateDer<'_>, error: &TlsError) -> String {
    const RECIPE: &str = "(docs/web-config.md has a recipe)";
    let version = match parse(certificate) {
        Err(problem) => return problem,
        Ok(parsed) => parsed.version(),
    };
    let problem = match error {
        _ if version != X509Version::V3 => {
            let version = version.0 + 1;
            return format!(
                "it is an X.509 version {version} certificate, and TLS needs version 3; issue it again with extensions, such \
                 as subjectAltName {RECIPE}"
            );
        }
        TlsError::InvalidCertificate(CertificateError::Other(error)) => error.0.to_string(),
        TlsError::InvalidCertificate(error) => error.to_string(),
        error => error.to_string(),
    };
    format!("the TLS library does not support it ({problem}); issue it again {RECIPE}")
}

/// These certificates as authorities.
///
/// # Errors
/// Say which certificate cannot be used, and how to correct it.
pub(crate) fn authorities(certificates: &[CertificateDer<'_>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates) {
        let added = roots.add(certificate.clone());
        let checked = added.map_err(|error| problem(certificate, &error)).and_then(|()| {
            let parsed = parse(certificate)?;
            check_public_key(parsed.public_key())
        });
        checked.map_err(|problem| format!("certificate {number}: {problem}"))?;
    }
    Ok(roots)
}
