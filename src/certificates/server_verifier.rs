//! Verifies servers' certificates, as Go's client does.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};

use super::listed::{Listed, Purpose};

/// Authorities, and the certificates that are trusted themselves.
pub(crate) type Authorities = (RootCertStore, Vec<CertificateDer<'static>>);

/// Accepts certificates that these authorities issued, and those that are listed; any certificate without authorities.
///
/// # Errors
/// When there is no authority.
pub(crate) fn server_verifier(
    trusted: Option<Authorities>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let trusted = trusted.map(|authorities| Trusted::new(authorities, provider)).transpose()?;
    Ok(Arc::new(Verifier { algorithms: provider.signature_verification_algorithms, trusted }))
}

/// Whose certificates are accepted.
#[derive(Debug)]
struct Trusted {
    issuers: Arc<WebPkiServerVerifier>,
    listed: Listed,
}

impl Trusted {
    fn new((roots, listed): Authorities, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let issuers = builder.build().map_err(|error| format!("cannot set up TLS: {error}"))?;
        Ok(Self { issuers, listed: Listed::new(listed, Purpose::Server) })
    }
}

/// Verifies the server's certificate.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    /// `None` accepts any certificate. Signatures are verified nevertheless, so that a handshake has its usual cost.
    trusted: Option<Trusted>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(Trusted { issuers, listed }) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        if !listed.contains_valid(certificate, now)? {
            return issuers.verify_server_cert(certificate, intermediates, name, ocsp, now);
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
