//! TLS to a target.

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// The settings of TLS to a target. Its `Debug` does not show the key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Which certificates are trusted.
    pub trust: Trust,
    /// The certificate that is presented if the target asks for one.
    pub identity: Option<ClientIdentity>,
    /// The name in the target's certificate; `None` means the URL's host.
    pub server_name: Option<ServerName<'static>>,
}

/// Which certificates are trusted.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those issued by authorities that the system trusts. There was at least one when the settings were read.
    #[default]
    System,
    /// Those issued by these authorities, and these certificates themselves. They are valid authorities.
    Authorities(Vec<CertificateDer<'static>>),
    /// Any certificate, for any name.
    Any,
}

/// A client certificate with the intermediate ones, and its key. They belong together and can be used.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The client's certificate is the first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}
