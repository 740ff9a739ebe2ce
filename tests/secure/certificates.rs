//! Each way in which a certificate or a key is refused: the error says which file, what is wrong, and how to correct it.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use openim_exporter::config::Http;
use openim_exporter::domain::UnixMillis;
use openim_exporter::http::Access;
use tempfile::TempDir;

use crate::support::Exporter;

/// Writes a CA, and a certificate that it issued, with its key.
const GOOD: &str = "
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout ca.key -out ca.pem -subj /CN=ca -days 30
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout server.key -out server.csr -subj /CN=localhost
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 30 -out server.pem -extfile extensions";

/// Replaces the certificate with a self-signed one for the key in `server.key`.
pub(crate) const OF_THE_KEY: &str = "openssl req -x509 -key server.key -out server.pem -subj /CN=localhost";

const SETTINGS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n  \
                        client_auth_type: RequireAndVerifyClientCert\n";

/// A directory with good files, in which these commands are then run.
pub(crate) fn directory(commands: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("extensions"), "subjectAltName = DNS:localhost\n").unwrap();
    std::fs::write(directory.path().join("web.yml"), SETTINGS).unwrap();
    run(directory.path(), GOOD);
    run(directory.path(), commands);
    directory
}

pub(crate) fn run(directory: &Path, commands: &str) {
    let ran = Command::new("bash").args(["-ec", commands]).current_dir(directory).output().unwrap();
    assert!(ran.status.success(), "{commands}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// What `--check-config` says about the files in the directory, with `DIR` instead of its path.
pub(crate) fn check(directory: &Path) -> Result<(), String> {
    let mut settings = Http::defaults().unwrap();
    settings.access.web_config = Some(directory.join("web.yml"));
    let now = UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap());
    let checked = Access::read(&settings).and_then(|access| access.check_validity(now));
    checked.map_err(|error| error.to_string().replace(directory.to_str().unwrap(), "DIR"))
}

/// Runs the commands of each case, and compares the error with the expected one.
fn expect(cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (commands, expected) in cases {
        let directory = directory(commands);
        let found = check(directory.path()).err().unwrap_or_default();
        let expected = format!("--web.config.file: tls_server_config: {expected}");
        if found != expected {
            wrong.push(format!("{commands}\n  found    {found}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const CREATE: &str = "use RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519: create such a key, and a certificate \
                      for it";

#[test]
#[ignore = "needs openssl"]
fn the_error_names_the_certificate() {
    expect(&[
        (
            "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out server.pem",
            "cert_file DIR/server.pem: it is an X.509 version 1 certificate, and TLS needs version 3; issue it again with \
             extensions, such as subjectAltName (docs/web-config.md has a recipe)",
        ),
        (
            "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out server.pem -extfile <(echo 1.2.3.4=critical,ASN1:NULL)",
            "cert_file DIR/server.pem: the TLS library does not support it (UnsupportedCriticalExtension); issue it again \
             (docs/web-config.md has a recipe)",
        ),
        (
            "openssl x509 -in server.pem -outform der | head -c 200 | base64 > body
             (echo -----BEGIN CERTIFICATE-----; cat body; echo -----END CERTIFICATE-----) > server.pem",
            "cert_file DIR/server.pem: it is not an X.509 certificate, or it is damaged; copy it again",
        ),
        (
            "touch index; openssl ca -batch -config <(printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\nnew_certs_dir=.\\n\
             policy=p\\ndefault_md=sha256\\nrand_serial=yes\\n[p]\\ncommonName=supplied\\n') -in server.csr -out server.pem \
             -cert ca.pem -keyfile ca.key -startdate 20200101000000Z -enddate 20210101000000Z -extfile extensions",
            "cert_file DIR/server.pem: the certificate has expired (2021-01-01T00:00:00Z); use one that is valid now",
        ),
        (
            "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out v1.pem
             printf 'tls_server_config:\\n  cert: |\\n%s\\n  key_file: server.key\\n' \"$(sed 's/^/    /' v1.pem)\" > web.yml",
            "cert: it is an X.509 version 1 certificate, and TLS needs version 3; issue it again with extensions, such as \
             subjectAltName (docs/web-config.md has a recipe)",
        ),
        ("rm server.pem", "cert_file DIR/server.pem: No such file or directory (os error 2); give a readable file"),
        ("rm server.pem; mkdir server.pem", "cert_file DIR/server.pem: it is not a regular file; give a readable file"),
    ]);
}

#[test]
#[ignore = "needs openssl"]
fn the_error_says_what_is_in_the_file_instead_of_a_certificate() {
    expect(&[
        (": > server.pem", "cert_file DIR/server.pem: it is empty; give a certificate as PEM"),
        (
            "echo garbage > server.pem",
            "cert_file DIR/server.pem: there is no certificate in it; give a certificate as PEM, which starts with a line \
             -----BEGIN ...-----",
        ),
        (
            "sed -i 's/^/  /' server.pem",
            "cert_file DIR/server.pem: there is no certificate in it, because its -----BEGIN line is indented; remove the \
             spaces before each line",
        ),
        (
            "head -c 300 server.pem > cut; mv cut server.pem",
            "cert_file DIR/server.pem: a section has no matching -----END line: the PEM is cut off or damaged; copy it again",
        ),
        (
            "sed -i '3s/./!/' server.pem",
            "cert_file DIR/server.pem: a section is not base64: the PEM is cut off or damaged; copy it again",
        ),
        (
            "sed -i '1s/-*$//' server.pem",
            "cert_file DIR/server.pem: a -----BEGIN line is incomplete: the PEM is cut off or damaged; copy it again",
        ),
        (
            "openssl x509 -in server.pem -outform der -out der; mv der server.pem",
            "cert_file DIR/server.pem: it is a certificate as DER; convert it to PEM: openssl x509 -inform der -in FILE -out \
             NEW_FILE",
        ),
        (
            "openssl pkcs12 -export -in server.pem -inkey server.key -passout pass:x -out p12; mv p12 server.pem",
            "cert_file DIR/server.pem: it is a PKCS#12 archive; convert it to PEM: openssl pkcs12 -nodes -in FILE -out NEW_FILE",
        ),
        (
            "(printf '\\xff\\xfe'; iconv -t utf-16le server.pem) > utf16; mv utf16 server.pem",
            "cert_file DIR/server.pem: it is UTF-16 text; save it as UTF-8",
        ),
        ("head -c 100 /dev/zero | tr '\\0' '\\377' > server.pem", "cert_file DIR/server.pem: it is not text; give PEM"),
        (
            "openssl crl2pkcs7 -nocrl -certfile server.pem -out p7; mv p7 server.pem",
            "cert_file DIR/server.pem: it has certificates as PKCS#7; convert them: openssl pkcs7 -print_certs -in FILE -out \
             NEW_FILE",
        ),
        (
            "mv server.csr server.pem",
            "cert_file DIR/server.pem: it has a certificate signing request; give the certificate that the CA issued for it",
        ),
        (
            "openssl x509 -in server.pem -trustout -out trusted; mv trusted server.pem",
            "cert_file DIR/server.pem: it has a certificate in OpenSSL's trusted format; convert it: openssl x509 -in FILE -out \
             NEW_FILE",
        ),
        (
            "cp server.key server.pem",
            "cert_file DIR/server.pem: it has a private key and no certificate; give the certificate",
        ),
        (
            "openssl pkey -in server.key -pubout -out server.pem",
            "cert_file DIR/server.pem: it has a public key and no certificate; give the certificate",
        ),
    ]);
}

#[test]
#[ignore = "needs openssl"]
fn the_error_names_the_key() {
    let mismatch = "it is not the key of the certificate in cert_file DIR/server.pem; give the key that belongs to that certificate";
    expect(&[
        ("openssl genpkey -algorithm ed25519 -out server.key", &format!("key_file DIR/server.key: {mismatch}")),
        ("cp ca.key server.key", &format!("key_file DIR/server.key: {mismatch}")),
        (
            "cat ca.key server.key > both; mv both server.key",
            "key_file DIR/server.key: the key of the certificate is number 2 of the 2 keys in it, and only the first one is \
             used; put it first",
        ),
        (
            "cat ca.pem server.pem > chain; mv chain server.pem",
            "cert_file DIR/server.pem: the certificate of the key is number 2 of the 2 in it; put it first, and the \
             intermediate certificates after it",
        ),
        ("rm server.key", "key_file DIR/server.key: No such file or directory (os error 2); give a readable file"),
        (": > server.key", "key_file DIR/server.key: it is empty; give a private key as PEM"),
        (
            "head -c 100 server.key > cut; mv cut server.key",
            "key_file DIR/server.key: a section has no matching -----END line: the PEM is cut off or damaged; copy it again",
        ),
        (
            "openssl pkey -in server.key -outform der | head -c 60 | base64 > body
             (echo -----BEGIN PRIVATE KEY-----; cat body; echo -----END PRIVATE KEY-----) > server.key",
            "key_file DIR/server.key: the private key is damaged; copy it again",
        ),
        (
            "cp server.pem server.key",
            "key_file DIR/server.key: it has a certificate and no private key; give the private key",
        ),
        (
            "openssl pkey -in server.key -pubout -out public; mv public server.key",
            "key_file DIR/server.key: it has a public key and no private key; give the private key",
        ),
        (
            "openssl pkey -in server.key -outform der -out der; mv der server.key",
            "key_file DIR/server.key: it is a private key as DER; convert it to PEM: openssl pkey -inform der -in FILE -out \
             NEW_FILE",
        ),
        (
            "openssl pkcs12 -export -in server.pem -inkey server.key -passout pass:x -out p12; mv p12 server.key",
            "key_file DIR/server.key: it is a PKCS#12 archive; convert it to PEM: openssl pkcs12 -nodes -in FILE -out NEW_FILE",
        ),
        (
            "(echo -----BEGIN OPENSSH PRIVATE KEY-----; echo AAAA; echo -----END OPENSSH PRIVATE KEY-----) > server.key",
            "key_file DIR/server.key: it has a key in OpenSSH's format; convert a copy: ssh-keygen -p -N '' -m PEM -f COPY",
        ),
    ]);
    for encrypt in [
        "openssl pkey -in server.key -aes256 -passout pass:x -out encrypted",
        "openssl pkey -in server.key -aes256 -passout pass:x -traditional -out encrypted",
    ] {
        let error = "key_file DIR/server.key: the private key is encrypted, and the exporter cannot ask for its password; \
                     decrypt it: openssl pkey -in FILE -out NEW_FILE";
        expect(&[(&format!("{encrypt}; mv encrypted server.key"), error)]);
    }
}

#[test]
#[ignore = "needs openssl"]
fn the_error_names_the_kind_of_an_unsupported_key() {
    let curve =
        |curve: &str| format!("openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:{curve} -out server.key");
    let kinds = [
        ("openssl genrsa -out server.key 1024".to_owned(), "an RSA key with 1024 bits"),
        ("openssl genrsa -traditional -out server.key 1024".to_owned(), "an RSA key with 1024 bits"),
        ("openssl genrsa -out server.key 4104".to_owned(), "an RSA key with 4104 bits"),
        ("openssl genpkey -algorithm rsa-pss -out server.key".to_owned(), "a key that is only for RSA-PSS"),
        (curve("P-521"), "an ECDSA key on the curve P-521"),
        ("openssl ecparam -name secp521r1 -genkey -out server.key".to_owned(), "an ECDSA key on the curve P-521"),
        (curve("P-224"), "an ECDSA key on the curve P-224"),
        (curve("secp256k1"), "an ECDSA key on the curve secp256k1"),
        (curve("brainpoolP256r1"), "an ECDSA key on the curve 1.3.36.3.3.2.8.1.1.7"),
        (
            format!("{} -pkeyopt ec_param_enc:explicit", curve("P-256")),
            "an ECDSA key with parameters instead of a named curve",
        ),
        ("openssl genpkey -algorithm ed448 -out server.key".to_owned(), "an Ed448 key"),
        (
            "openssl genpkey -genparam -algorithm dsa -out dsa; openssl genpkey -paramfile dsa -out server.key"
                .to_owned(),
            "a DSA key",
        ),
    ];
    for (create, kind) in kinds {
        let error = format!("key_file DIR/server.key: it is {kind}, which is not supported; {CREATE}");
        expect(&[(&format!("{create}; {OF_THE_KEY}"), &error)]);
    }
    expect(&[
        (
            "openssl genpkey -algorithm x25519 -out server.key",
            &format!("key_file DIR/server.key: it is an X25519 key, which is not supported; {CREATE}"),
        ),
        (
            &format!("openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_pubexp:3 -out server.key; {OF_THE_KEY}"),
            "key_file DIR/server.key: it is an RSA key with 2048 bits, but damaged or with unusual parameters; create a new \
             key and certificate",
        ),
    ]);
}

#[test]
#[ignore = "needs openssl"]
fn the_error_names_the_clients_authority() {
    expect(&[
        ("rm ca.pem", "client_ca_file DIR/ca.pem: No such file or directory (os error 2); give a readable file"),
        (": > ca.pem", "client_ca_file DIR/ca.pem: it is empty; give a certificate as PEM"),
        (
            "cp ca.key ca.pem",
            "client_ca_file DIR/ca.pem: it has a private key and no certificate; give the certificate",
        ),
        (
            "openssl x509 -in ca.pem -outform der -out der; mv der ca.pem",
            "client_ca_file DIR/ca.pem: it is a certificate as DER; convert it to PEM: openssl x509 -inform der -in FILE -out \
             NEW_FILE",
        ),
        (
            "touch index; openssl ca -gencrl -crldays 1 -md sha256 -keyfile ca.key -cert ca.pem -out crl -config \
             <(printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\n'); mv crl ca.pem",
            "client_ca_file DIR/ca.pem: it has a certificate revocation list, which has no effect here; give a certificate",
        ),
        (
            "(cat ca.pem; echo -----BEGIN CERTIFICATE-----; echo AAAA; echo -----END CERTIFICATE-----) > both; mv both ca.pem",
            "client_ca_file DIR/ca.pem: certificate 2: it is not an X.509 certificate, or it is damaged; copy it again",
        ),
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -noenc -keyout k -out ca.pem -subj /CN=ca",
            &format!(
                "client_ca_file DIR/ca.pem: certificate 1: it has an ECDSA key on the curve P-521, which is not supported; \
                 {CREATE}"
            ),
        ),
    ]);
}

#[test]
#[ignore = "needs openssl"]
fn supported_certificates_and_keys_are_accepted() {
    let curve =
        |curve: &str| format!("openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:{curve} -out server.key");
    let keys = [
        "openssl genrsa -out server.key 2048".to_owned(),
        "openssl genrsa -traditional -out server.key 3072".to_owned(),
        "openssl genrsa -out server.key 4096".to_owned(),
        curve("P-256"),
        curve("P-384"),
        // With a section for the parameters.
        "openssl ecparam -name prime256v1 -genkey -out server.key".to_owned(),
        "openssl genpkey -algorithm ed25519 -out server.key".to_owned(),
    ];
    let of_keys = keys.map(|key| format!("{key}; {OF_THE_KEY}"));
    let others = [
        "true",
        // One file has the certificate and the key.
        "cat server.key >> server.pem; cp server.pem server.key",
        "openssl pkcs12 -export -in server.pem -inkey server.key -passout pass:x -out p12
         openssl pkcs12 -nodes -in p12 -passin pass:x -out server.pem; cp server.pem server.key",
        "sed -i '1s/^/\\xef\\xbb\\xbf/' server.pem server.key",
        "sed -i 's/$/\\r/' server.pem server.key",
        "cat server.key ca.key > both; mv both server.key",
        // An authority of version 1.
        "openssl req -new -key ca.key -subj /CN=ca | openssl x509 -req -key ca.key -out ca.pem",
    ];
    for commands in of_keys.iter().map(String::as_str).chain(others) {
        let directory = directory(commands);
        assert_eq!(check(directory.path()), Ok(()), "{commands}");
    }
}

#[test]
#[ignore = "needs openssl, curl"]
fn a_clients_self_signed_certificate_in_the_file_of_authorities_is_accepted() {
    let create = |name: &str| {
        format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout {name}.key -out {name}.pem \
             -subj /CN=prometheus\n"
        )
    };
    let directory =
        directory(&format!("cp ca.pem root.pem\n{}{}cp client.pem ca.pem", create("client"), create("other")));
    let exporter = Exporter::start(&["--web.config.file", directory.path().join("web.yml").to_str().unwrap()]);
    let port = exporter.address().port();
    for (client, status) in [("client", Some("200")), ("other", None)] {
        let (resolve, url) = (format!("localhost:{port}:127.0.0.1"), format!("https://localhost:{port}/-/healthy"));
        let commands = format!(
            "curl -s -o body -w %{{http_code}} --resolve {resolve} --cacert root.pem --cert {client}.pem --key {client}.key {url}"
        );
        let curl = Command::new("bash").args(["-ec", &commands]).current_dir(directory.path()).output().unwrap();
        let found = String::from_utf8(curl.stdout).unwrap();
        assert_eq!(curl.status.success().then_some(found.as_str()), status, "{commands}");
    }
}
