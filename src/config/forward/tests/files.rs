//! Files that the file of targets names.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};

use super::*;

fn whsec(length: usize) -> String {
    format!("whsec_{}", STANDARD.encode(vec![7; length]))
}

fn with(lines: &[&str], files: &[(&str, &str)]) -> Result<Arc<Target>, String> {
    let lines: Vec<_> = std::iter::once("  answers: false").chain(lines.iter().copied()).collect();
    let parsed = parse_with(&text(&lines), files).map(|forward| Arc::clone(&forward.targets[0]));
    parsed.map_err(|error| error.to_string())
}

#[test]
fn a_password_or_a_token_becomes_the_header() {
    let basic = ["  basic_auth: {username: openim, password_file: pw}"];
    for (text, password) in [("a:b", "a:b"), ("secret\n", "secret"), ("secret\r\n", "secret"), (" é ", " é ")] {
        let value = with(&basic, &[("pw", text)]).unwrap().authorization.clone().unwrap();
        assert_eq!(value.to_str().unwrap(), format!("Basic {}", STANDARD.encode(format!("openim:{password}"))));
        assert!(value.is_sensitive());
    }
    let bearer = with(&["  bearer_token_file: /t"], &[("/t", "abc.def\n")]).unwrap().authorization.clone().unwrap();
    assert_eq!((bearer.to_str().unwrap(), bearer.is_sensitive()), ("Bearer abc.def", true));
}

#[test]
fn a_wrong_password_or_token_is_an_error_and_not_shown() {
    let basic = "  basic_auth: {username: openim, password_file: pw}";
    let long = "hunter2".repeat(580);
    for (line, text, expected) in [
        ("  basic_auth: {username: openim}", "", "targets.basic_auth: password_file is missing"),
        ("  basic_auth: {password_file: pw}", "", "targets.basic_auth: username is missing"),
        (
            "  basic_auth: {username: 'a:b', password_file: pw}",
            "x",
            "targets.basic_auth.username: a user's name has no colon",
        ),
        (
            "  basic_auth: {user: a}",
            "",
            "targets.basic_auth.user: unknown key; did you mean username? the known keys are username, password_file",
        ),
        (basic, "", "targets.basic_auth.password_file: a password is one line without control"),
        (basic, "hunter2\nx", "targets.basic_auth.password_file: a password is one line"),
        (basic, &long, "targets.basic_auth.password_file: a password is one line"),
        ("  bearer_token_file: pw", "", "targets.bearer_token_file: a token is one line of printable"),
        ("  bearer_token_file: hunter2", "", "targets.bearer_token_file: it is missing; give a readable file"),
        ("  bearer_token_file: pw", "\u{fffd}", "targets.bearer_token_file: a token is one line"),
        ("  bearer_token_file: pw", "hunter2 x", "targets.bearer_token_file: a token is one line"),
        ("  bearer_token_file: none", "", "targets.bearer_token_file: it is missing; give a readable file"),
        (
            "  basic_auth: {username: a, password_file: pw}\n  bearer_token_file: pw",
            "x",
            "targets.bearer_token_file: basic_auth is given too; remove one of them",
        ),
    ] {
        let words = with(&[line], &[("pw", text)]).expect_err(line);
        assert!(words.contains(expected) && !words.contains("hunter2"), "{line}: {words}");
    }
}

#[test]
fn secrets_are_read_in_order() {
    let (new, old) = (format!("{}\n", whsec(32)), whsec(25));
    let two = [("new", new.as_str()), ("old", old.trim_end_matches('='))];
    let target = with(&["  signing_secret_files: [new, old]"], &two).unwrap();
    let lengths: Vec<_> = target.secrets.iter().map(|secret| secret.as_bytes().len()).collect();
    assert_eq!(lengths, [32, 25]);
    assert!(format!("{target:?}").contains("[SigningSecret(..), SigningSecret(..)]"));
    for text in ["", "whsec_", &whsec(23), &whsec(65), &whsec(32)[6..], "whsec_hunter2!", "whsec_\nx"] {
        let words = with(&["  signing_secret_files: [new]"], &[("new", text)]).expect_err(text);
        let expected = "line 5: targets.signing_secret_files: a secret is one line, whsec_ and 24 to 64";
        assert!(words.starts_with(expected) && !words.contains("hunter2"), "{words}");
    }
    let both = "  signing_secret_files: [new, old]";
    let words = with(&[both], &[("new", new.as_str()), ("old", "hunter2")]).unwrap_err();
    assert!(words.starts_with("line 5: targets.signing_secret_files: file 2: a secret is one line"), "{words}");
    let words = with(&[both], &[("old", old.as_str())]).unwrap_err();
    assert!(words.starts_with("line 5: targets.signing_secret_files: file 1: it is missing"), "{words}");
    let words = with(&["  signing_secret_files: [a, b, c]"], &[]).unwrap_err();
    assert_eq!(words, "line 5: targets.signing_secret_files: 3 are too many; give at most 2");
}

/// A self-signed certificate and its key, as PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn certificates_and_keys_are_read() {
    let ((pem, key), (_, other)) = (certificate(), certificate());
    let files = [("ca", pem.as_str()), ("cert", pem.as_str()), ("key", key.as_str()), ("other", other.as_str())];
    let tls = |lines: &str| with(&[&format!("  tls: {{{lines}}}")], &files);
    let all = tls("ca_file: ca, cert_file: cert, key_file: key, server_name: h.example.org").unwrap();
    assert!(matches!(&all.tls.trust, Trust::Authorities(list) if list.len() == 1));
    assert_eq!(all.tls.identity.as_ref().unwrap().certificates.len(), 1);
    assert_eq!(all.tls.server_name.as_ref().unwrap().to_str(), "h.example.org");
    let shown = format!("{all:?}");
    assert!(!shown.contains(&format!("{:?}", &all.tls.identity.as_ref().unwrap().key.secret_der()[..8])), "{shown}");
    assert_eq!(tls("insecure_skip_verify: true").unwrap().tls.trust, Trust::Any);
    assert_eq!(tls("insecure_skip_verify: false").unwrap().tls.trust, Trust::System);
    for (lines, expected) in [
        ("ca: x", "ca: unknown key; did you mean ca_file? the known keys are ca_file, cert_file, "),
        ("insecure_skip_verify: 1", "insecure_skip_verify: expected true or false, found text"),
        (
            "ca_file: ca, insecure_skip_verify: true",
            "ca_file: insecure_skip_verify accepts any certificate, so the authority",
        ),
        ("ca_file: none", "ca_file: /etc/exporter/none: it is missing; give a readable file"),
        ("ca_file: key", "ca_file: /etc/exporter/key: it has a private key and no certificate; give the certificate"),
        ("cert_file: cert", "cert_file: its key is missing; give key_file"),
        ("key_file: key", "key_file: its certificate is missing; give cert_file"),
        ("cert_file: cert, key_file: cert", "key_file: /etc/exporter/cert: it has a certificate and no private key"),
        (
            "cert_file: cert, key_file: other",
            "key_file: /etc/exporter/other: it is not the key of the certificate in cert_file /etc/exporter/cert; give the",
        ),
        ("server_name: a..b", "server_name: a certificate cannot have this name; give a DNS name or an IP address"),
    ] {
        let words = tls(lines).expect_err(lines);
        assert!(words.starts_with(&format!("line 5: targets.tls.{expected}")), "{lines}: {words}");
    }
}

#[test]
fn each_file_is_announced_before_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("forward.yml");
    let lines = ["- name: a", "  url: http://h", "  answers: true", "  signing_secret_files: [s]"];
    fs::write(&path, format!("targets:\n{}\n", lines.join("\n"))).unwrap();
    let settings = ForwardSettings { file: Some(path.clone()), ..settings() };
    let secret = directory.path().join("s");
    let mut announced = Vec::new();
    let words = Forward::read(&settings, &mut |path| announced.push(path.to_owned())).unwrap_err().to_string();
    let at = format!("{}:5: targets.signing_secret_files: No such file", path.display());
    assert!(words.starts_with(&at) && words.ends_with("; give a readable file"), "{words}");
    fs::write(&secret, whsec(32)).unwrap();
    let forward = Forward::read(&settings, &mut |path| announced.push(path.to_owned())).unwrap();
    assert_eq!(forward.targets[0].secrets.len(), 1);
    assert!(announced.iter().eq([&path, &secret, &path, &secret]), "{announced:?}");
}
