//! `tls_server_config`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::section::{Field, Section};
use crate::config::file::{self, FileError};

const KEYS: [&str; 13] = [
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_auth_type",
    "client_ca",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];

/// How to encrypt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate, and those between it and a root, as PEM.
    pub certificate: Source,
    /// Its private key, as PEM.
    pub key: Source,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest; not older than `min_version`.
    pub max_version: TlsVersion,
    /// The suites of TLS 1.2 that may be used, in order of preference; empty allows all. TLS 1.3's may all be used.
    pub cipher_suites: Vec<CipherSuite>,
    /// Whether the server's order of suites counts, and not the client's.
    pub prefer_server_cipher_suites: bool,
    /// The groups for the key exchange, in order of preference; empty allows all.
    pub curves: Vec<Curve>,
}

/// Where PEM stands. Its `Debug` does not show inline text, which may be a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file; relative paths begin at the web configuration's directory already.
    File(PathBuf),
    /// In the web configuration.
    Inline(String),
}

/// The largest file of certificates or keys, in bytes. A chain has a few thousand.
const MOST_PEM_BYTES: u64 = 1 << 20;

impl Source {
    /// The PEM.
    ///
    /// # Errors
    /// When the file cannot be read, or is too large; names it.
    pub fn read(&self) -> Result<String, FileError> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => file::read(path, MOST_PEM_BYTES).map_err(|error| error.in_file(path)),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline(..)"),
        }
    }
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They may show one that nobody has vouched for; only that they have its key is verified.
    Unverified {
        /// They must.
        required: bool,
    },
    /// They may; one that is shown must be of this authority.
    IfGiven {
        /// The authority's certificates, as PEM.
        ca: Source,
    },
    /// They must show one of this authority.
    Required {
        /// The authority's certificates, as PEM.
        ca: Source,
        /// Subject alternative names (DNS, e-mail, IP address, URI), one of which the certificate must have exactly;
        /// empty asks for none.
        allowed_sans: Vec<String>,
    },
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl TlsVersion {
    const NAMES: [(&str, Self); 2] = [("TLS12", Self::Tls12), ("TLS13", Self::Tls13)];
}

/// A suite of TLS 1.2. All have forward secrecy and authenticated encryption; there are no others here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherSuite {
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`
    EcdheEcdsaAes128Gcm,
    /// `TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384`
    EcdheEcdsaAes256Gcm,
    /// `TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256`
    EcdheEcdsaChaCha20Poly1305,
    /// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`
    EcdheRsaAes128Gcm,
    /// `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`
    EcdheRsaAes256Gcm,
    /// `TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256`
    EcdheRsaChaCha20Poly1305,
}

impl CipherSuite {
    /// By Go's names, which are IANA's. Those of TLS 1.3 may stand in a list, as with Go, and choose nothing.
    const NAMES: [(&str, Option<Self>); 9] = [
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(Self::EcdheEcdsaAes128Gcm)),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some(Self::EcdheEcdsaAes256Gcm)),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Some(Self::EcdheEcdsaChaCha20Poly1305)),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(Self::EcdheRsaAes128Gcm)),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some(Self::EcdheRsaAes256Gcm)),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Some(Self::EcdheRsaChaCha20Poly1305)),
        ("TLS_AES_128_GCM_SHA256", None),
        ("TLS_AES_256_GCM_SHA384", None),
        ("TLS_CHACHA20_POLY1305_SHA256", None),
    ];
}

/// A group for the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `CurveP256`
    P256,
    /// `CurveP384`
    P384,
    /// `X25519`
    X25519,
}

impl Curve {
    const NAMES: [(&str, Self); 3] = [("CurveP256", Self::P256), ("CurveP384", Self::P384), ("X25519", Self::X25519)];
}

/// The policies for clients, by Go's names.
#[derive(Clone, Copy)]
enum Policy {
    None,
    IfGiven,
    Required,
    Unverified { required: bool },
}

const POLICIES: [(&str, Policy); 6] = [
    ("NoClientCert", Policy::None),
    ("VerifyClientCertIfGiven", Policy::IfGiven),
    ("RequireAndVerifyClientCert", Policy::Required),
    ("RequestClientCert", Policy::Unverified { required: false }),
    ("RequireAnyClientCert", Policy::Unverified { required: true }),
    // As the toolkit once called it.
    ("RequireClientCert", Policy::Unverified { required: true }),
];

/// The section; `None` when it is empty, which the toolkit takes for plain HTTP too.
pub(super) fn parse(field: Field, directory: &Path) -> Result<Option<Tls>, FileError> {
    let line = field.line;
    let mut section = field.section(&KEYS)?;
    if section.is_empty() {
        return Ok(None);
    }
    let missing = |key: &str| {
        let problem = format!("give {key}_file, or {key} with the PEM itself: the section has keys, so TLS is meant");
        FileError::at(line, "tls_server_config", problem)
    };
    let (_, certificate) = source(&mut section, "cert", "cert_file", directory)?.ok_or_else(|| missing("cert"))?;
    let (_, key) = source(&mut section, "key", "key_file", directory)?.ok_or_else(|| missing("key"))?;
    let client_auth = client_auth(&mut section, directory)?;
    let (min_version, max_version) = versions(&mut section)?;
    Ok(Some(Tls {
        certificate,
        key,
        client_auth,
        min_version,
        max_version,
        cipher_suites: cipher_suites(&mut section, min_version)?,
        prefer_server_cipher_suites: section
            .take("prefer_server_cipher_suites")
            .map_or(Ok(true), |field| field.boolean())?,
        curves: curves(&mut section)?,
    }))
}

/// Text or the name of a file: one of the two, or none.
fn source(
    section: &mut Section,
    inline: &str,
    file: &str,
    directory: &Path,
) -> Result<Option<(Field, Source)>, FileError> {
    match (section.take_text(inline)?, section.take_text(file)?) {
        (Some(_), Some((field, _))) => Err(field.refused(format!("{inline} is given too; strike one of the two"))),
        (Some((field, text)), None) => Ok(Some((field, Source::Inline(text)))),
        (None, Some((field, path))) => Ok(Some((field, Source::File(directory.join(path))))),
        (None, None) => Ok(None),
    }
}

fn client_auth(section: &mut Section, directory: &Path) -> Result<ClientAuth, FileError> {
    const REQUIRE: &str = "set client_auth_type: RequireAndVerifyClientCert";
    let ca = source(section, "client_ca", "client_ca_file", directory)?;
    let sans = section.take("client_allowed_sans");
    let policy = section.take_text("client_auth_type")?.map(|(field, _)| field);
    let chosen = policy.as_ref().map_or(Ok(Policy::None), |field| field.choice(&POLICIES))?;
    match (&sans, chosen) {
        (Some(sans), Policy::None | Policy::IfGiven) => {
            return Err(sans.refused(format!("a client need not show a certificate; {REQUIRE}")));
        }
        (Some(sans), Policy::Unverified { .. }) => {
            return Err(
                sans.refused(format!("anybody can put names into a certificate that nobody verifies; {REQUIRE}"))
            );
        }
        _ => {}
    }
    match (chosen, policy, ca) {
        (Policy::Unverified { .. }, _, Some((ca, _))) => {
            Err(ca.refused(format!("an authority, but certificates are not verified; {REQUIRE}")))
        }
        (Policy::Unverified { required }, ..) => Ok(ClientAuth::Unverified { required }),
        (Policy::IfGiven, _, Some((_, ca))) => Ok(ClientAuth::IfGiven { ca }),
        (Policy::Required, _, Some((_, ca))) => {
            Ok(ClientAuth::Required { ca, allowed_sans: sans.map_or(Ok(Vec::new()), allowed_sans)? })
        }
        (_, Some(policy), None) if !matches!(chosen, Policy::None) => {
            Err(policy.refused("without an authority no certificate can be verified; set client_ca_file"))
        }
        (_, _, Some((ca, _))) => Err(ca.refused(format!("an authority, but no certificate is asked for; {REQUIRE}"))),
        _ => Ok(ClientAuth::None),
    }
}

fn allowed_sans(field: Field) -> Result<Vec<String>, FileError> {
    let line = field.line;
    let items = field.items()?;
    if items.is_empty() {
        let problem = "an empty list would admit nobody; name a subject alternative name, or strike the key";
        return Err(FileError::at(line, "tls_server_config.client_allowed_sans", problem));
    }
    items.iter().map(|item| item.text().map(str::to_owned)).collect()
}

fn versions(section: &mut Section) -> Result<(TlsVersion, TlsVersion), FileError> {
    let max = section.take("max_version");
    let max_version = max.as_ref().map_or(Ok(TlsVersion::Tls13), version)?;
    let min_version = section.take("min_version").map_or(Ok(TlsVersion::Tls12), |field| version(&field))?;
    match max {
        Some(field) if min_version > max_version => {
            Err(field.refused("this is older than min_version; raise it, or lower min_version"))
        }
        _ => Ok((min_version, max_version)),
    }
}

fn version(field: &Field) -> Result<TlsVersion, FileError> {
    if ["TLS10", "TLS11"].contains(&field.text()?) {
        return Err(field.refused("TLS 1.0 and 1.1 are broken (RFC 8996) and not spoken; give TLS12 or TLS13"));
    }
    field.choice(&TlsVersion::NAMES)
}

fn cipher_suites(section: &mut Section, min_version: TlsVersion) -> Result<Vec<CipherSuite>, FileError> {
    let Some(field) = section.take("cipher_suites") else { return Ok(Vec::new()) };
    let line = field.line;
    let items = field.items()?;
    let listed = items.iter().map(cipher_suite).collect::<Result<Vec<_>, _>>()?;
    let suites: Vec<_> = listed.iter().flatten().copied().collect();
    if suites.is_empty() && !listed.is_empty() && min_version == TlsVersion::Tls12 {
        let problem = "none of these is a suite of TLS 1.2; add one, or set min_version: TLS13";
        return Err(FileError::at(line, "tls_server_config.cipher_suites", problem));
    }
    Ok(suites)
}

fn cipher_suite(field: &Field) -> Result<Option<CipherSuite>, FileError> {
    let given = field.text()?;
    if ["_CBC_", "_RC4_", "_3DES_"].iter().any(|weak| given.contains(weak)) || given.starts_with("TLS_RSA_") {
        let problem = "suites without forward secrecy or authenticated encryption (TLS_RSA_..., CBC, RC4) are not \
             spoken; give those with ECDHE and GCM or CHACHA20_POLY1305";
        return Err(field.refused(problem));
    }
    field.choice(&CipherSuite::NAMES)
}

fn curves(section: &mut Section) -> Result<Vec<Curve>, FileError> {
    let items = section.take("curve_preferences").map_or(Ok(Vec::new()), Field::items)?;
    items.iter().map(|item| item.choice(&Curve::NAMES)).collect()
}
