//! The flags of TLS to an exporter, for `simulate` and `healthcheck`.

use std::path::PathBuf;

use super::parse::absolute_path;
use super::target::{CertificateTrust, IdentityFiles, Target};

/// Which certificates are trusted, and the client's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct TlsFlags {
    /// Trust the CAs in this PEM file instead of those that the system trusts
    ///
    /// The file may also contain the server's own self-signed certificate.
    #[arg(long, value_name = "FILE", value_parser = absolute_path())]
    ca_file: Option<PathBuf>,

    /// Accept any certificate, for example if you reach the exporter by a name that is not in it
    ///
    /// Anyone between you and the exporter can then read everything, including the password and the secret.
    #[arg(long, conflicts_with = "ca_file")]
    tls_skip_verify: bool,

    /// Client certificate, as PEM, if the exporter requires one (client_auth_type in --web.config.file)
    #[arg(long, value_name = "FILE", requires = "key_file", value_parser = absolute_path())]
    cert_file: Option<PathBuf>,

    /// Private key of the client certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "cert_file", value_parser = absolute_path())]
    key_file: Option<PathBuf>,
}

impl TlsFlags {
    /// Gives these settings to a target.
    ///
    /// # Errors
    /// When the target has no TLS; name the flags and say how to correct it.
    pub(super) fn give_to(&self, target: &mut Target, flag: &str) -> Result<(), String> {
        let (trust_flag, trust) = match (&self.ca_file, self.tls_skip_verify) {
            (Some(file), _) => ("--ca-file", Some(CertificateTrust::Authorities(file.clone()))),
            (None, true) => ("--tls-skip-verify", Some(CertificateTrust::Any)),
            (None, false) => ("--cert-file", None),
        };
        let identity = self.cert_file.clone().zip(self.key_file.clone());
        target.identity = identity.map(|(certificate, key)| IdentityFiles { certificate, key });
        if target.trust.is_none() && (trust.is_some() || target.identity.is_some()) {
            return Err(format!(
                "{trust_flag}: only an https:// target has certificates; change {flag}, or remove {trust_flag}"
            ));
        }
        if trust.is_some() {
            target.trust = trust;
        }
        Ok(())
    }
}
