//! Kinds of keys: which of them TLS supports here, and what an unsupported one is called.

use std::ops::RangeInclusive;

use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use x509_parser::asn1_rs::{Any, FromDer as _, Integer, OctetString, Sequence, Tag};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

const SUPPORTED: &str = "use RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519: create such a key, and a certificate \
                         for it";

/// Sizes of RSA keys that ring can sign with, in bits. <https://docs.rs/ring/latest/ring/rsa/struct.KeyPair.html>
const RSA_SIGNING: RangeInclusive<usize> = 2048..=4096;

/// Sizes of RSA keys whose signatures ring can verify, in bits.
const RSA_VERIFYING: RangeInclusive<usize> = 2048..=8192;

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";

/// Object identifiers of algorithms and curves, their usual names, and whether they are supported.
const KINDS: [(&str, &str, bool); 13] = [
    ("1.2.840.10045.3.1.7", "P-256", true),
    ("1.3.132.0.34", "P-384", true),
    ("1.3.101.112", "an Ed25519 key", true),
    ("1.3.132.0.33", "P-224", false),
    ("1.3.132.0.35", "P-521", false),
    ("1.3.132.0.10", "secp256k1", false),
    ("1.2.840.113549.1.1.10", "a key that is only for RSA-PSS", false),
    ("1.2.840.10040.4.1", "a DSA key", false),
    ("1.2.840.113549.1.3.1", "a Diffie-Hellman key", false),
    ("1.3.101.110", "an X25519 key", false),
    ("1.3.101.111", "an X448 key", false),
    ("1.3.101.113", "an Ed448 key", false),
    ("2.16.840.1.101.3.4.3.18", "an ML-DSA key", false),
];

/// What a key is called, and whether it is supported.
struct Kind {
    name: String,
    is_supported: bool,
}

impl Kind {
    fn rsa(bits: usize, supported: RangeInclusive<usize>) -> Self {
        Self { name: format!("an RSA key with {bits} bits"), is_supported: supported.contains(&bits) }
    }

    fn curve(parameters: Option<&Any<'_>>) -> Self {
        let named = parameters.filter(|parameters| parameters.tag() == Tag::Oid);
        match named.and_then(|named| named.as_oid().ok()) {
            Some(curve) => {
                let kind = Self::named(&curve.to_id_string());
                Self { name: format!("an ECDSA key on the curve {}", kind.name), ..kind }
            }
            None => {
                Self { name: "an ECDSA key with parameters instead of a named curve".to_owned(), is_supported: false }
            }
        }
    }

    fn named(oid: &str) -> Self {
        let known = KINDS.iter().find(|(known, ..)| *known == oid);
        let (name, is_supported) = known.map_or((oid, false), |(_, name, is_supported)| (*name, *is_supported));
        Self { name: name.to_owned(), is_supported }
    }

    /// Not for RSA keys: whether one is supported depends on its size, which is in the key itself.
    fn of(algorithm: &AlgorithmIdentifier<'_>) -> Self {
        match algorithm.algorithm.to_id_string().as_str() {
            EC => Self::curve(algorithm.parameters.as_ref()),
            other => Self::named(other),
        }
    }
}

/// Why the TLS library refuses a private key, and how to correct it.
pub(crate) fn private_key_problem(key: &PrivateKeyDer<'_>) -> String {
    match private_kind(key) {
        Some(Kind { name, is_supported: false }) => format!("it is {name}, which is not supported; {SUPPORTED}"),
        Some(Kind { name, .. }) => {
            format!("it is {name}, but damaged or with unusual parameters; create a new key and certificate")
        }
        None => "the private key is damaged; copy it again".to_owned(),
    }
}

fn private_kind(key: &PrivateKeyDer<'_>) -> Option<Kind> {
    match key {
        PrivateKeyDer::Pkcs1(key) => rsa_private_kind(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => sec1_kind(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => {
            // RFC 5208: version, algorithm, key.
            let (_, sequence) = Sequence::from_der(key.secret_pkcs8_der()).ok()?;
            let (rest, _) = Integer::from_der(&sequence.content).ok()?;
            let (rest, algorithm) = AlgorithmIdentifier::from_der(rest).ok()?;
            if algorithm.algorithm.to_id_string() != RSA {
                return Some(Kind::of(&algorithm));
            }
            let (_, inner) = <&[u8]>::from_der(rest).ok()?;
            rsa_private_kind(inner)
        }
        _ => None,
    }
}

/// RFC 8017: version, modulus, and so on.
fn rsa_private_kind(der: &[u8]) -> Option<Kind> {
    let (_, sequence) = Sequence::from_der(der).ok()?;
    let (rest, _) = Integer::from_der(&sequence.content).ok()?;
    let (_, modulus) = Integer::from_der(rest).ok()?;
    let digits = modulus.as_ref().iter().skip_while(|byte| **byte == 0);
    let bits = digits.clone().count() * 8 - digits.clone().next()?.leading_zeros() as usize;
    Some(Kind::rsa(bits, RSA_SIGNING))
}

/// RFC 5915: version, key, the curve in a field with the tag 0.
fn sec1_kind(der: &[u8]) -> Option<Kind> {
    let (_, sequence) = Sequence::from_der(der).ok()?;
    let (rest, _) = Integer::from_der(&sequence.content).ok()?;
    let (rest, _) = OctetString::from_der(rest).ok()?;
    let (_, tagged) = Any::from_der(rest).ok()?;
    let (_, curve) = Any::from_der(tagged.data).ok()?;
    Some(Kind::curve(Some(&curve)))
}

/// Checks that the TLS library can verify what this key has signed.
///
/// # Errors
/// Say what kind of key it is, and which are supported.
pub(crate) fn check_public_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), String> {
    let kind = match key.parsed() {
        Ok(PublicKey::RSA(key)) => Kind::rsa(key.key_size(), RSA_VERIFYING),
        _ => Kind::of(&key.algorithm),
    };
    if kind.is_supported { Ok(()) } else { Err(format!("it has {}, which is not supported; {SUPPORTED}", kind.name)) }
}
