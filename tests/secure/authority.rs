//! An authority that issues certificates, and clients that trust it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore};

/// An authority, and a directory for the files that it writes.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, directory: tempfile::tempdir().unwrap() };
        authority.write("ca.pem", authority.issuer.pem());
        authority
    }

    /// A file in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        // Readers see either the old file or the new one.
        let new = self.path(&format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }

    /// Issues a certificate for these names, and its key: `NAME.pem` and `NAME.key`.
    pub(crate) fn issue(&self, name: &str, subjects: &[&str]) {
        self.issue_with(name, subjects, |_| ());
    }

    pub(crate) fn issue_with(&self, name: &str, subjects: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let subjects: Vec<String> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        let mut params = CertificateParams::new(subjects).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{name}.key"), key.serialize_pem());
        self.write(&format!("{name}.pem"), certificate.pem());
    }

    /// A web configuration with the certificate `NAME.pem`, and these lines after it.
    pub(crate) fn web_config(&self, name: &str, rest: &str) -> PathBuf {
        let text = format!("tls_server_config:\n  cert_file: {name}.pem\n  key_file: {name}.key\n{rest}");
        self.write("web.yml", text)
    }

    /// A client that trusts the authority, and presents the certificate `NAME.pem` if a name is given.
    pub(crate) fn client(&self, shows: Option<&str>) -> Arc<ClientConfig> {
        self.client_of(shows, &[b"http/1.1"])
    }

    /// A client that presents the certificate `NAME.pem` with the key `NAME.key`, even if they do not match.
    pub(crate) fn thief(&self, name: &str) -> Arc<ClientConfig> {
        let certificate = certificate_in(&self.path(&format!("{name}.pem")));
        let key = any_supported_type(&key_in(&self.path(&format!("{name}.key")))).unwrap();
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        Arc::new(self.trusting().with_client_cert_resolver(Arc::new(shown)))
    }

    fn trusting(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    }

    pub(crate) fn client_of(&self, shows: Option<&str>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let builder = self.trusting();
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (certificate, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
                builder.with_client_auth_cert(vec![certificate_in(&certificate)], key_in(&key)).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

fn certificate_in(path: &Path) -> CertificateDer<'static> {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(path).unwrap()
}

fn key_in(path: &Path) -> PrivateKeyDer<'static> {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    PrivateKeyDer::from_pem_file(path).unwrap()
}
