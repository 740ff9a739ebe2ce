//! The TLS settings of the web configuration: certificates, keys, versions, client certificates.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    ServerConfig, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion, version,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::web::{ClientAuth, PemSource, Tls, TlsVersion};
use crate::http::base::limits::ALPN_HTTP2;

/// Why a certificate, a key or an authority cannot be used. Names the setting in `tls_server_config`, and the file.
#[derive(Debug, thiserror::Error)]
#[error("tls_server_config: {what}: {problem}")]
pub struct CertificateProblem {
    what: String,
    problem: String,
}

fn problem(what: &str, source: &PemSource, problem: impl std::fmt::Display) -> CertificateProblem {
    let what = match source {
        PemSource::File(path) => format!("{what}_file {}", path.display()),
        PemSource::Inline(_) => what.to_owned(),
    };
    CertificateProblem { what, problem: problem.to_string() }
}

/// The TLS configuration of the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) server: Arc<ServerConfig>,
    /// Start and end of the validity of the server's certificate, in seconds since the epoch.
    pub(crate) valid: (i64, i64),
}

/// Reads the certificates and the key, and builds the TLS configuration.
pub(crate) fn build(tls: &Tls, http2: bool) -> Result<ServerTls, CertificateProblem> {
    let chain = certificates("cert", &tls.certificate)?;
    let valid = validity(&chain).map_err(|error| problem("cert", &tls.certificate, error))?;
    let key = PrivateKeyDer::from_pem_slice(pem("key", &tls.key)?.as_bytes())
        .map_err(|error| problem("key", &tls.key, format!("{error}; give a private key as PEM, not encrypted")))?;
    let provider = Arc::new(provider(tls));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls))
        .map_err(|error| problem("min_version", &tls.certificate, error))?;
    let mut server = builder
        .with_client_cert_verifier(client_verifier(&tls.client_auth, &provider)?)
        .with_single_cert(chain, key)
        .map_err(|error| problem("key", &tls.key, format!("{error}; it must be the key of the certificate")))?;
    server.ignore_client_order = tls.prefer_server_cipher_suites;
    server.alpn_protocols = if http2 { vec![ALPN_HTTP2.to_vec()] } else { Vec::new() };
    server.alpn_protocols.push(b"http/1.1".to_vec());
    // Lets clients resume sessions without a full handshake. If it fails, only time is lost.
    if let Ok(ticketer) = ring::Ticketer::new() {
        server.ticketer = ticketer;
    }
    Ok(ServerTls { server: Arc::new(server), valid })
}

fn pem(what: &str, source: &PemSource) -> Result<String, CertificateProblem> {
    let what = if matches!(source, PemSource::File(_)) { format!("{what}_file") } else { what.to_owned() };
    source.read().map_err(|error| CertificateProblem { what, problem: error.to_string() })
}

fn certificates(what: &str, source: &PemSource) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    let read = CertificateDer::pem_slice_iter(pem(what, source)?.as_bytes()).collect::<Result<Vec<_>, _>>();
    let found = read.map_err(|error| problem(what, source, format!("{error}; give certificates as PEM")))?;
    if found.is_empty() {
        return Err(problem(what, source, "there is no certificate in it; give certificates as PEM"));
    }
    Ok(found)
}

/// Start and end of the validity of the first certificate, the server's own. The others may be there only for old
/// clients.
fn validity(chain: &[CertificateDer<'_>]) -> Result<(i64, i64), String> {
    let own = chain.first().map(|own| X509Certificate::from_der(own));
    match own {
        Some(Ok((_, own))) => Ok((own.validity().not_before.timestamp(), own.validity().not_after.timestamp())),
        Some(Err(error)) => Err(format!("the certificate cannot be read: {error}")),
        None => Err("there is no certificate".to_owned()),
    }
}

fn versions(tls: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::Tls12, &version::TLS12), (TlsVersion::Tls13, &version::TLS13)];
    let asked = |named: &(TlsVersion, _)| (tls.min_version..=tls.max_version).contains(&named.0);
    all.into_iter().filter(asked).map(|(_, version)| version).collect()
}

/// ring's cryptography, with the configured suites and groups, in the configured order.
fn provider(tls: &Tls) -> CryptoProvider {
    let all = ring::default_provider();
    let (suites, groups) = (all.cipher_suites, all.kx_groups);
    let of_1_3 = suites.iter().copied().filter(|suite| suite.tls13().is_some());
    let suite = |asked: &CipherSuite| suites.iter().copied().find(|suite| suite.suite() == *asked);
    let cipher_suites: Vec<SupportedCipherSuite> = match tls.cipher_suites.as_slice() {
        [] => suites.clone(),
        asked => of_1_3.chain(asked.iter().filter_map(suite)).collect(),
    };
    let kx_groups: Vec<&'static dyn SupportedKxGroup> = match tls.curves.as_slice() {
        [] => groups,
        asked => asked.iter().filter_map(|curve| groups.iter().copied().find(|group| group.name() == *curve)).collect(),
    };
    CryptoProvider { cipher_suites, kx_groups, ..ring::default_provider() }
}

fn client_verifier(
    auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateProblem> {
    let algorithms = provider.signature_verification_algorithms;
    let (ca, is_required, allowed_sans) = match auth {
        ClientAuth::None => return Ok(Arc::new(NoClientAuth)),
        ClientAuth::Unverified { required } => {
            let verifier = ClientVerifier { authorities: None, algorithms, is_required: *required, names: Vec::new() };
            return Ok(Arc::new(verifier));
        }
        ClientAuth::IfGiven { ca } => (ca, false, Vec::new()),
        ClientAuth::Required { ca, allowed_sans } => (ca, true, allowed_sans.clone()),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", ca)? {
        roots.add(certificate).map_err(|error| problem("client_ca", ca, error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let authorities = builder.build().map_err(|error| problem("client_ca", ca, error))?;
    Ok(Arc::new(ClientVerifier { authorities: Some(authorities), algorithms, is_required, names: allowed_sans }))
}

/// Verifies clients' certificates as the settings demand.
#[derive(Debug)]
struct ClientVerifier {
    /// Verifies that a certificate comes from a known authority. Without it, any certificate is accepted if the
    /// client has its key, as with Go's `RequestClientCert` and `RequireAnyClientCert`.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    is_required: bool,
    /// If not empty, a certificate must have one of these names: `client_allowed_sans` of the exporter toolkit.
    names: Vec<String>,
}

impl ClientVerifier {
    fn has_allowed_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let Ok(Some(found)) = parsed.subject_alternative_name() else { return false };
        found.value.general_names.iter().filter_map(text_of_name).any(|name| self.names.contains(&name))
    }
}

/// A subject alternative name as written in the settings.
fn text_of_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from)).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        if let Some(authorities) = &self.authorities {
            authorities.verify_client_cert(certificate, intermediates, now)?;
        }
        if self.names.is_empty() || self.has_allowed_name(certificate) {
            return Ok(ClientCertVerified::assertion());
        }
        Err(TlsError::InvalidCertificate(CertificateError::NotValidForName))
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
