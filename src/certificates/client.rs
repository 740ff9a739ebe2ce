//! TLS of a client.

use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::server_verifier::{Authorities, server_verifier};

/// TLS that accepts the certificates of [`server_verifier`], and presents the client's own certificate if it has one.
///
/// # Errors
/// When there is no authority, or the identity cannot be used.
pub(crate) fn client_config(
    trusted: Option<Authorities>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("cannot set up TLS: {error}"))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(server_verifier(trusted, &provider)?);
    match identity {
        Some((certificates, key)) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| format!("the client certificate cannot be used: {error}")),
        None => Ok(builder.with_no_client_auth()),
    }
}
