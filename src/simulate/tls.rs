//! TLS to the server, configured like Go's client.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, InvalidMessage, RootCertStore,
    SignatureScheme,
};

use crate::certificates::{self, Listed, Purpose};
use crate::config::simulate::CertificateTrust;

/// HTTP/2's name in a handshake.
const HTTP2: &[u8] = b"h2";

/// A TLS client for one server.
pub(super) struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsClient {
    /// # Errors
    /// Name the flag and say how to correct it.
    pub(super) fn new(trust: &CertificateTrust, host: &str) -> Result<Self, String> {
        // Certificates have addresses without a zone.
        let host = host.split('%').next().unwrap_or_default();
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| {
            format!("--target: certificates cannot have the name {host}; give a DNS name or an IP address")
        })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        let trusted = match trust {
            CertificateTrust::System => Some(Trusted::new(system_authorities()?, &provider)?),
            CertificateTrust::Authorities(file) => Some(Trusted::new(authorities_in(file)?, &provider)?),
            CertificateTrust::Any => None,
        };
        let verifier = Verifier { algorithms: provider.signature_verification_algorithms, trusted };
        let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        // Like Go's client, which has no session cache by default.
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// # Errors
    /// Say what is wrong, and which flag to change.
    pub(super) async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| with_advice(&error))
    }
}

/// Whether the handshake selected HTTP/2.
pub(super) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

type Authorities = (RootCertStore, Vec<CertificateDer<'static>>);

fn system_authorities() -> Result<Authorities, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Unreadable certificates are skipped: the others may be sufficient.
    if roots.add_parsable_certificates(found.certs.iter().cloned()).0 > 0 {
        return Ok((roots, found.certs));
    }
    let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
    Err(format!("the system trusts no CA{why}; install ca-certificates, or give the target's CA with --ca-file"))
}

fn authorities_in(path: &Path) -> Result<Authorities, String> {
    let named = |problem: String| format!("--ca-file {}: {problem}", path.display());
    let pem = std::fs::read(path).map_err(|error| named(format!("{error}; give a readable file")))?;
    let found = certificates::certificates(&pem).map_err(named)?;
    let roots = certificates::authorities(&found).map_err(named)?;
    Ok((roots, found))
}

fn with_advice(error: &io::Error) -> String {
    let advice = match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "; give the certificate of its CA with --ca-file"
        }
        Some(TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
            if presented.is_empty() =>
        {
            "; it has no subjectAltName: make one as in docs/web-config.md"
        }
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; use a name of its certificate in --target",
        Some(TlsError::InvalidCertificate(CertificateError::Other(other)))
            if other.0.to_string() == "CaUsedAsEndEntity" =>
        {
            " (it is marked as a CA certificate); give this certificate itself with --ca-file"
        }
        Some(TlsError::InvalidCertificate(_)) => "; --tls-skip-verify accepts any certificate",
        Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "; if the server has no TLS, use http:// in --target"
        }
        _ => "",
    };
    format!("{error}{advice}")
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
