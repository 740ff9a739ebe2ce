//! The TLS settings of the web configuration: certificates, keys, versions, client certificates.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, Error as TlsError, ServerConfig,
    SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion, version,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::{self, CertificateProblem, Validity};
use crate::certificates::{Listed, Purpose};
use crate::config::web::{ClientAuth, Tls, TlsVersion};
use crate::http::base::limits::ALPN_HTTP2;

/// The TLS configuration of the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) validity: Validity,
}

/// Reads the certificates and the key, and builds the TLS configuration.
pub(crate) fn build(tls: &Tls, http2: bool) -> Result<ServerTls, CertificateProblem> {
    let provider = Arc::new(provider(tls));
    let (identity, validity) = identity::read(tls, &provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls))
        .map_err(|error| CertificateProblem::new("min_version", error))?;
    let mut server = builder
        .with_client_cert_verifier(client_verifier(&tls.client_auth, &provider)?)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    server.ignore_client_order = tls.prefer_server_cipher_suites;
    server.alpn_protocols = if http2 { vec![ALPN_HTTP2.to_vec()] } else { Vec::new() };
    server.alpn_protocols.push(b"http/1.1".to_vec());
    // Lets clients resume sessions without a full handshake. If it fails, only time is lost.
    if let Ok(ticketer) = ring::Ticketer::new() {
        server.ticketer = ticketer;
    }
    Ok(ServerTls { server: Arc::new(server), validity })
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
    let (roots, listed) = identity::read_authorities(ca)?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let issuers = builder.build().map_err(|error| CertificateProblem::new("client_ca", error))?;
    let authorities = Some(Authorities { issuers, listed: Listed::new(listed, Purpose::Client) });
    Ok(Arc::new(ClientVerifier { authorities, algorithms, is_required, names: allowed_sans }))
}

/// Whose certificates are accepted.
#[derive(Debug)]
struct Authorities {
    issuers: Arc<dyn ClientCertVerifier>,
    listed: Listed,
}

/// Verifies clients' certificates as the settings demand.
#[derive(Debug)]
struct ClientVerifier {
    /// Verify that one of them issued a certificate, or that the certificate is in their file. Without them, any certificate is
    /// accepted if the client has its key, as with Go's `RequestClientCert` and `RequireAnyClientCert`.
    authorities: Option<Authorities>,
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
        self.authorities.as_ref().map_or(&[], |authorities| authorities.issuers.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        if let Some(Authorities { issuers, listed }) = &self.authorities
            && !listed.contains_valid(certificate, now)?
        {
            issuers.verify_client_cert(certificate, intermediates, now)?;
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
