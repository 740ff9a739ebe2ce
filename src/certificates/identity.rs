//! A certificate with its private key.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::KeyProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::rustls::{Error as TlsError, InconsistentKeys};

use super::keys::private_key_problem;
use super::problem::{parse, problem};

/// What a problem is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdentityPart {
    /// The file of certificates.
    Certificate,
    /// The file of the private key.
    Key,
}

/// The certificates of a peer, its own first, and the first of these keys. They belong together.
///
/// # Errors
/// Say what is wrong and how to correct it; `file` is what an error calls the file of certificates.
pub(crate) fn identity(
    certificates: Vec<CertificateDer<'static>>,
    keys: &[PrivateKeyDer<'static>],
    file: &str,
    provider: &dyn KeyProvider,
) -> Result<CertifiedKey, (IdentityPart, String)> {
    let load = |key: &PrivateKeyDer<'_>| {
        let loaded = provider.load_private_key(key.clone_key());
        loaded.map_err(|_| (IdentityPart::Key, private_key_problem(key)))
    };
    let (key, others) = keys.split_first().ok_or_else(|| (IdentityPart::Key, "there is no private key".to_owned()))?;
    let identity = CertifiedKey::new(certificates, load(key)?);
    match identity.keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(TlsError::InconsistentKeys(_)) => {
            let others: Vec<_> = others.iter().map(|key| load(key).ok()).collect();
            Err(mismatch(file, &identity, &others))
        }
        Err(error) => {
            let own = identity.cert.first().map_or_else(String::new, |own| problem(own, &error));
            Err((IdentityPart::Certificate, own))
        }
    }
}

/// Why the first certificate and the first key do not belong together.
fn mismatch(file: &str, identity: &CertifiedKey, others: &[Option<Arc<dyn SigningKey>>]) -> (IdentityPart, String) {
    let is_of = |certificate: &CertificateDer<'_>, key: &Arc<dyn SigningKey>| {
        parse(certificate)
            .is_ok_and(|parsed| key.public_key().is_some_and(|key| key.as_ref() == parsed.public_key().raw))
    };
    if let Some(position) = identity.cert.iter().position(|certificate| is_of(certificate, &identity.key)) {
        let all = identity.cert.len();
        let order = format!(
            "the certificate of the key is number {} of the {all} in it; put it first, and the intermediate certificates \
             after it",
            position + 1
        );
        return (IdentityPart::Certificate, order);
    }
    let is_own = |key: &Arc<dyn SigningKey>| identity.cert.first().is_some_and(|own| is_of(own, key));
    if let Some(position) = others.iter().position(|key| key.as_ref().is_some_and(is_own)) {
        let order = format!(
            "the key of the certificate is number {} of the {} keys in it, and only the first one is used; put it first",
            position + 2,
            others.len() + 1
        );
        return (IdentityPart::Key, order);
    }
    let other =
        format!("it is not the key of the certificate in {file}; give the key that belongs to that certificate");
    (IdentityPart::Key, other)
}
