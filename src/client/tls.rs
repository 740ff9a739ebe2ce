//! TLS to the server, configured like Go's client.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::{ResolvesClientCert, Resumption};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{CertificateError, Error as TlsError, InvalidMessage, SignatureScheme};

use super::error::ConnectError;
use crate::certificates::{self, Authorities};
use crate::config::simulate::{CertificateTrust, IdentityFiles, Target};

/// HTTP/2's name in a handshake.
const HTTP2: &[u8] = b"h2";

/// Notes that a server asks for a client certificate, and presents none.
#[derive(Debug, Default)]
struct NoCertificate {
    is_wanted: AtomicBool,
}

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_wanted.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A TLS client for one server.
pub(super) struct TlsClient {
    connector: TlsConnector,
    no_certificate: Arc<NoCertificate>,
    name: ServerName<'static>,
    /// The flag that has the server's URL.
    flag: &'static str,
}

impl TlsClient {
    /// # Errors
    /// Name the flag and say how to correct it.
    pub(super) fn new(trust: &CertificateTrust, target: &Target, flag: &'static str) -> Result<Self, String> {
        // Certificates have addresses without a zone.
        let host = target.host.split('%').next().unwrap_or_default();
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| {
            format!("{flag}: certificates cannot have the name {host}; give a DNS name or an IP address")
        })?;
        let trusted = match trust {
            CertificateTrust::System => {
                let advice = |problem| format!("{problem}, or give the server's CA with --ca-file");
                Some(certificates::system().map_err(advice)?)
            }
            CertificateTrust::Authorities(file) => Some(authorities_in(file)?),
            CertificateTrust::Any => None,
        };
        let identity = target.identity.as_ref().map(own_certificate).transpose()?;
        let mut config = certificates::client_config(trusted, identity).map_err(|problem| match &target.identity {
            Some(files) => format!("--cert-file {}: {problem}", files.certificate.display()),
            None => problem,
        })?;
        let no_certificate = Arc::new(NoCertificate::default());
        if target.identity.is_none() {
            config.client_auth_cert_resolver = Arc::<NoCertificate>::clone(&no_certificate);
        }
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        // Like Go's client, which has no session cache by default.
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), no_certificate, name, flag })
    }

    /// # Errors
    /// When the server requires a client certificate, or something else is wrong; says which flag to change.
    pub(super) async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, ConnectError> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| {
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
            let is_the_server_s = !matches!(cause, Some(TlsError::InvalidCertificate(_)));
            if self.lacks_certificate() && is_the_server_s {
                ConnectError::NoCertificate
            } else {
                ConnectError::Handshake(self.with_advice(&error))
            }
        })
    }

    /// Whether the server has asked for a client certificate and got none. If it requires one, it closes the connection, in
    /// TLS 1.3 after the handshake; the alert that says so may be lost.
    pub(super) fn lacks_certificate(&self) -> bool {
        self.no_certificate.is_wanted.load(Ordering::Relaxed)
    }

    /// What is wrong, and which flag to change.
    fn with_advice(&self, error: &io::Error) -> String {
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
            )) => {
                return format!("{error}; use a name of its certificate in {}", self.flag);
            }
            Some(TlsError::InvalidCertificate(CertificateError::Other(other)))
                if other.0.to_string() == "CaUsedAsEndEntity" =>
            {
                " (it is marked as a CA certificate); give this certificate itself with --ca-file"
            }
            Some(TlsError::InvalidCertificate(_)) => "; --tls-skip-verify accepts any certificate",
            Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                return format!("{error}; if the server has no TLS, use http:// in {}", self.flag);
            }
            _ => "",
        };
        format!("{error}{advice}")
    }
}

/// Whether the handshake selected HTTP/2.
pub(super) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// The client's certificates and its key.
fn own_certificate(files: &IdentityFiles) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = pem("--cert-file", &files.certificate, certificates::certificates)?;
    let first = |keys: Vec<_>| keys.into_iter().next().ok_or_else(|| "there is no private key".to_owned());
    Ok((chain, pem("--key-file", &files.key, |bytes| certificates::private_keys(bytes).and_then(first))?))
}

/// What the PEM file of a flag has.
fn pem<T>(flag: &str, path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{error}; give a readable file"));
    bytes.and_then(|bytes| parse(&bytes)).map_err(|problem| format!("{flag} {}: {problem}", path.display()))
}

fn authorities_in(path: &Path) -> Result<Authorities, String> {
    pem("--ca-file", path, |bytes| {
        let found = certificates::certificates(bytes)?;
        Ok((certificates::authorities(&found)?, found))
    })
}
