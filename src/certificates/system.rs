//! The authorities that the system trusts.

use tokio_rustls::rustls::RootCertStore;

use super::server_verifier::Authorities;

/// The authorities that the system trusts, at least one, and their certificates. Unreadable ones are left out: the others
/// may be sufficient.
///
/// # Errors
/// When there is none.
pub(crate) fn system() -> Result<Authorities, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(found.certs.iter().cloned()).0 > 0 {
        return Ok((roots, found.certs));
    }
    let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
    Err(format!("the system trusts no CA{why}; install ca-certificates"))
}
