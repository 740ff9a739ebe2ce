//! TLS to the server, configured like Go's client.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, Error as TlsError, InvalidMessage};

use crate::certificates::{self, Authorities};
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
        let trusted = match trust {
            CertificateTrust::System => {
                let advice = |problem| format!("{problem}, or give the target's CA with --ca-file");
                Some(certificates::system().map_err(advice)?)
            }
            CertificateTrust::Authorities(file) => Some(authorities_in(file)?),
            CertificateTrust::Any => None,
        };
        let mut config = certificates::client_config(trusted, None)?;
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
