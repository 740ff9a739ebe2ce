//! What a file of certificates or keys contains.

use tokio_rustls::rustls::pki_types::pem::{Error, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const BEGIN: &str = "-----BEGIN ";

/// What a program that writes keys with a password adds to the PEM.
const ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";

/// How to get rid of a key's password.
const DECRYPT: &str = "the private key is encrypted, and the exporter cannot ask for its password; decrypt it: \
                       openssl pkey -in FILE -out NEW_FILE";

/// The end of a PEM label -> what it is, and how to get a certificate.
const INSTEAD_OF_CERTIFICATE: [(&str, &str); 7] = [
    ("CERTIFICATE REQUEST", "a certificate signing request; give the certificate that the CA issued for it"),
    (
        "TRUSTED CERTIFICATE",
        "a certificate in OpenSSL's trusted format; convert it: openssl x509 -in FILE -out NEW_FILE",
    ),
    ("PKCS7", "certificates as PKCS#7; convert them: openssl pkcs7 -print_certs -in FILE -out NEW_FILE"),
    ("CRL", "a certificate revocation list, which has no effect here; give a certificate"),
    ("PRIVATE KEY", "a private key and no certificate; give the certificate"),
    ("PUBLIC KEY", "a public key and no certificate; give the certificate"),
    ("PARAMETERS", "parameters and no certificate; give the certificate"),
];

/// The end of a PEM label -> what it is, and how to get a private key.
const INSTEAD_OF_KEY: [(&str, &str); 5] = [
    ("OPENSSH PRIVATE KEY", "a key in OpenSSH's format; convert a copy: ssh-keygen -p -N '' -m PEM -f COPY"),
    (
        "DSA PRIVATE KEY",
        "a DSA key, which TLS no longer uses; create an RSA, ECDSA or Ed25519 key and a certificate for it",
    ),
    ("CERTIFICATE", "a certificate and no private key; give the private key"),
    ("PUBLIC KEY", "a public key and no private key; give the private key"),
    ("CERTIFICATE REQUEST", "a certificate signing request and no private key; give the private key"),
];

/// The certificates in PEM; at least one.
///
/// # Errors
/// Say what is wrong and how to correct it.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    sections(pem, "certificate", &INSTEAD_OF_CERTIFICATE)
}

/// The private keys in PEM; at least one.
///
/// # Errors
/// Say what is wrong and how to correct it.
pub(crate) fn private_keys(pem: &[u8]) -> Result<Vec<PrivateKeyDer<'static>>, String> {
    let is_encrypted =
        |text: &str| text.contains(ENCRYPTED) || labels(text).any(|label| label == "ENCRYPTED PRIVATE KEY");
    if std::str::from_utf8(pem).is_ok_and(is_encrypted) {
        return Err(DECRYPT.to_owned());
    }
    sections(pem, "private key", &INSTEAD_OF_KEY)
}

fn sections<T: PemObject>(pem: &[u8], wanted: &str, instead: &[(&str, &str)]) -> Result<Vec<T>, String> {
    let pem = pem.strip_prefix("\u{feff}".as_bytes()).unwrap_or(pem);
    let found = T::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| damage(&error))?;
    if !found.is_empty() {
        return Ok(found);
    }
    let Ok(text) = std::str::from_utf8(pem) else { return Err(binary(pem)) };
    if text.trim().is_empty() {
        return Err(format!("it is empty; give a {wanted} as PEM"));
    }
    let known = labels(text).find_map(|label| instead.iter().find(|(end, _)| label.ends_with(end)));
    Err(match known {
        Some((_, what)) => format!("it has {what}"),
        None if text.contains(BEGIN) && labels(text).next().is_none() => {
            format!(
                "there is no {wanted} in it, because its {BEGIN}line is indented; remove the spaces before each line"
            )
        }
        None => format!("there is no {wanted} in it; give a {wanted} as PEM, which starts with a line {BEGIN}...-----"),
    })
}

/// The labels of the sections: `CERTIFICATE` for `-----BEGIN CERTIFICATE-----`.
fn labels(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix(BEGIN)?.trim_end().strip_suffix("-----"))
}

/// What is wrong with a PEM section. Shows nothing of it, because it may be a key.
fn damage(error: &Error) -> String {
    let problem = match error {
        Error::MissingSectionEnd { .. } => "a section has no matching -----END line",
        Error::IllegalSectionStart { .. } => "a -----BEGIN line is incomplete",
        Error::Base64Decode(_) => "a section is not base64",
        _ => "a section cannot be read",
    };
    format!("{problem}: the PEM is cut off or damaged; copy it again")
}

/// What a file that is not text has.
fn binary(bytes: &[u8]) -> String {
    // An archive starts with a sequence whose first element is the version, 3 (RFC 7292).
    let is_pkcs12 = bytes.iter().take(7).copied().collect::<Vec<_>>().ends_with(&[2, 1, 3]);
    let found = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16 text; save it as UTF-8",
        _ if is_pkcs12 => "a PKCS#12 archive; convert it to PEM: openssl pkcs12 -nodes -in FILE -out NEW_FILE",
        _ if X509Certificate::from_der(bytes).is_ok() => {
            "a certificate as DER; convert it to PEM: openssl x509 -inform der -in FILE -out NEW_FILE"
        }
        _ if PrivateKeyDer::try_from(bytes).is_ok() => {
            "a private key as DER; convert it to PEM: openssl pkey -inform der -in FILE -out NEW_FILE"
        }
        _ => "not text; give PEM",
    };
    format!("it is {found}")
}
