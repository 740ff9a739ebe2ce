//! `tls_server_config`.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::{CipherSuite, NamedGroup};

use crate::config::file::{self, FileError, MAX_PEM_BYTES};
use crate::config::yaml::{Field, Mapping};

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

/// The settings of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and the intermediate ones, as PEM.
    pub certificate: PemSource,
    /// Its private key, as PEM.
    pub key: PemSource,
    /// Which certificates clients must present.
    pub client_auth: ClientAuth,
    /// The oldest version that is allowed.
    pub min_version: TlsVersion,
    /// The newest version that is allowed; not older than `min_version`.
    pub max_version: TlsVersion,
    /// The allowed cipher suites of TLS 1.2, in order of preference; empty allows all. All of TLS 1.3 are allowed.
    pub cipher_suites: Vec<CipherSuite>,
    /// Whether the server's preference for a cipher suite wins over the client's.
    pub prefer_server_cipher_suites: bool,
    /// The allowed groups of the key exchange, in order of preference; empty allows all.
    pub curves: Vec<NamedGroup>,
}

/// Where PEM comes from. Its `Debug` does not show inline text, which may be a key.
#[derive(Clone, PartialEq, Eq)]
pub enum PemSource {
    /// A file; its path already includes the web configuration's directory if it was relative.
    File(PathBuf),
    /// Text in the web configuration.
    Inline(String),
}

impl PemSource {
    /// The PEM.
    ///
    /// # Errors
    /// When the file cannot be read or is too large. The error does not name the file.
    pub fn read(&self) -> Result<Vec<u8>, FileError> {
        match self {
            Self::Inline(text) => Ok(text.clone().into_bytes()),
            Self::File(path) => file::read_bytes(path, MAX_PEM_BYTES),
        }
    }
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline(..)"),
        }
    }
}

/// Which certificates clients must present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is requested.
    None,
    /// Any certificate: the client must only prove that it has the private key.
    Unverified {
        /// Whether a client must present one.
        required: bool,
    },
    /// None, or one issued by this authority.
    IfGiven {
        /// The authority's certificates, as PEM.
        ca: PemSource,
    },
    /// One issued by this authority.
    Required {
        /// The authority's certificates, as PEM.
        ca: PemSource,
        /// Subject alternative names (DNS, e-mail, IP address, URI): the certificate must have one of them; empty
        /// allows all.
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

/// Go's names of cipher suites, which are IANA's. All have forward secrecy and authenticated encryption; others are not
/// supported. As in Go, a list may have those of TLS 1.3, without effect.
const CIPHER_SUITES: [(&str, Option<CipherSuite>); 9] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_AES_128_GCM_SHA256", None),
    ("TLS_AES_256_GCM_SHA384", None),
    ("TLS_CHACHA20_POLY1305_SHA256", None),
];

/// Go's names of the key exchange's groups.
const CURVES: [(&str, NamedGroup); 3] =
    [("CurveP256", NamedGroup::secp256r1), ("CurveP384", NamedGroup::secp384r1), ("X25519", NamedGroup::X25519)];

/// What `client_auth_type` requires.
#[derive(Clone, Copy)]
enum Policy {
    None,
    IfGiven,
    Required,
    Unverified { required: bool },
}

/// Go's names of the policies.
const POLICIES: [(&str, Policy); 6] = [
    ("NoClientCert", Policy::None),
    ("VerifyClientCertIfGiven", Policy::IfGiven),
    ("RequireAndVerifyClientCert", Policy::Required),
    ("RequestClientCert", Policy::Unverified { required: false }),
    ("RequireAnyClientCert", Policy::Unverified { required: true }),
    // The toolkit's former name.
    ("RequireClientCert", Policy::Unverified { required: true }),
];

/// The mapping; `None` when it is empty, which means plain HTTP, as in the toolkit.
pub(super) fn parse(field: &Field, directory: &Path) -> Result<Option<Tls>, FileError> {
    let mapping = field.mapping(&KEYS)?;
    if mapping.is_empty() {
        return Ok(None);
    }
    let missing = |key: &str| field.error(format!("{key} is missing; give {key}_file, or {key} with the PEM itself"));
    let (_, certificate) = source(&mapping, "cert", "cert_file", directory)?.ok_or_else(|| missing("cert"))?;
    let (_, key) = source(&mapping, "key", "key_file", directory)?.ok_or_else(|| missing("key"))?;
    let client_auth = client_auth(&mapping, directory)?;
    let (min_version, max_version) = versions(&mapping)?;
    Ok(Some(Tls {
        certificate,
        key,
        client_auth,
        min_version,
        max_version,
        cipher_suites: cipher_suites(&mapping, min_version)?,
        prefer_server_cipher_suites: mapping.is_on("prefer_server_cipher_suites")?,
        curves: mapping
            .items("curve_preferences")?
            .iter()
            .map(|item| item.choice(&CURVES))
            .collect::<Result<_, _>>()?,
    }))
}

/// PEM as text or as the name of a file; both at once are an error.
fn source<'a>(
    mapping: &Mapping<'a>,
    inline: &str,
    file: &str,
    directory: &Path,
) -> Result<Option<(Field<'a>, PemSource)>, FileError> {
    match (mapping.text(inline)?, mapping.text(file)?) {
        (Some(_), Some((field, _))) => Err(field.error(format!("{inline} is given too; remove one of them"))),
        (Some((field, text)), None) => Ok(Some((field, PemSource::Inline(text.to_owned())))),
        (None, Some((field, path))) => Ok(Some((field, PemSource::File(directory.join(path))))),
        (None, None) => Ok(None),
    }
}

fn client_auth(mapping: &Mapping, directory: &Path) -> Result<ClientAuth, FileError> {
    const REQUIRE: &str = "set client_auth_type: RequireAndVerifyClientCert";
    let ca = source(mapping, "client_ca", "client_ca_file", directory)?;
    let sans = mapping.get("client_allowed_sans");
    let policy = mapping.text("client_auth_type")?.map(|(field, _)| field);
    let chosen = policy.as_ref().map_or(Ok(Policy::None), |field| field.choice(&POLICIES))?;
    match (&sans, chosen) {
        (Some(sans), Policy::None | Policy::IfGiven) => {
            return Err(sans.error(format!("clients need not present a certificate; {REQUIRE}")));
        }
        (Some(sans), Policy::Unverified { .. }) => {
            return Err(sans.error(format!("certificates are not verified, so their names can be forged; {REQUIRE}")));
        }
        _ => {}
    }
    match (chosen, policy, ca) {
        (Policy::Unverified { .. }, _, Some((ca, _))) => {
            Err(ca.error(format!("certificates are not verified, so the authority has no effect; {REQUIRE}")))
        }
        (Policy::Unverified { required }, ..) => Ok(ClientAuth::Unverified { required }),
        (Policy::IfGiven, _, Some((_, ca))) => Ok(ClientAuth::IfGiven { ca }),
        (Policy::Required, _, Some((_, ca))) => {
            Ok(ClientAuth::Required { ca, allowed_sans: sans.map_or(Ok(Vec::new()), |sans| allowed_sans(&sans))? })
        }
        (_, Some(policy), None) if !matches!(chosen, Policy::None) => {
            Err(policy.error("the authority that verifies certificates is missing; set client_ca_file"))
        }
        (_, _, Some((ca, _))) => {
            Err(ca.error(format!("no certificate is requested, so the authority has no effect; {REQUIRE}")))
        }
        _ => Ok(ClientAuth::None),
    }
}

fn allowed_sans(field: &Field) -> Result<Vec<String>, FileError> {
    let items = field.items()?;
    if items.is_empty() {
        return Err(
            field.error("an empty list would admit no client; add a subject alternative name, or remove the key")
        );
    }
    items.iter().map(|item| item.text().map(str::to_owned)).collect()
}

fn versions(mapping: &Mapping) -> Result<(TlsVersion, TlsVersion), FileError> {
    let max = mapping.get("max_version");
    let max_version = max.as_ref().map_or(Ok(TlsVersion::Tls13), version)?;
    let min_version = mapping.get("min_version").map_or(Ok(TlsVersion::Tls12), |field| version(&field))?;
    match max {
        Some(field) if min_version > max_version => {
            Err(field.error("this is older than min_version; raise it, or lower min_version"))
        }
        _ => Ok((min_version, max_version)),
    }
}

fn version(field: &Field) -> Result<TlsVersion, FileError> {
    if ["TLS10", "TLS11"].contains(&field.text()?) {
        return Err(field.error("TLS 1.0 and 1.1 are insecure (RFC 8996) and not supported; give TLS12 or TLS13"));
    }
    field.choice(&TlsVersion::NAMES)
}

fn cipher_suites(mapping: &Mapping, min_version: TlsVersion) -> Result<Vec<CipherSuite>, FileError> {
    let Some(field) = mapping.get("cipher_suites") else { return Ok(Vec::new()) };
    let listed = field.items()?.iter().map(cipher_suite).collect::<Result<Vec<_>, _>>()?;
    let suites: Vec<_> = listed.iter().flatten().copied().collect();
    if suites.is_empty() && !listed.is_empty() && min_version == TlsVersion::Tls12 {
        return Err(field.error("none of these is a cipher suite of TLS 1.2; add one, or set min_version: TLS13"));
    }
    Ok(suites)
}

fn cipher_suite(field: &Field) -> Result<Option<CipherSuite>, FileError> {
    let name = field.text()?;
    if ["_CBC_", "_RC4_", "_3DES_"].iter().any(|weak| name.contains(weak)) || name.starts_with("TLS_RSA_") {
        let problem = "cipher suites without forward secrecy or authenticated encryption (TLS_RSA_..., CBC, RC4) are not \
             supported; give those with ECDHE and GCM or CHACHA20_POLY1305";
        return Err(field.error(problem));
    }
    field.choice(&CIPHER_SUITES)
}
