mod hostile;
mod tls;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tokio_rustls::rustls::{CipherSuite, NamedGroup};

use super::*;

const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

fn parse(text: &str) -> Result<Web, FileError> {
    Web::parse(text, Path::new("/etc/exporter"))
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// A section for TLS with a certificate, a key, and more lines.
fn tls(lines: &[&str]) -> String {
    let lines = [&["cert_file: a.crt", "key_file: a.key"], lines].concat();
    format!("tls_server_config:\n  {}\n", lines.join("\n  "))
}

#[test]
fn all_settings_are_parsed() {
    let text = format!(
        "tls_server_config:
  cert_file: server.crt
  key_file: /keys/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example.org, 192.0.2.7]
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_AES_128_GCM_SHA256
  prefer_server_cipher_suites: false
  curve_preferences: [X25519, CurveP256]
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000; includeSubDomains
basic_auth_users:
  alice: {HASH}
rate_limit:
  interval: 1s
  burst: 20
"
    );
    let web = parse(&text).unwrap();
    let expected = Tls {
        certificate: PemSource::File(PathBuf::from("/etc/exporter/server.crt")),
        key: PemSource::File(PathBuf::from("/keys/server.key")),
        client_auth: ClientAuth::Required {
            ca: PemSource::File(PathBuf::from("/etc/exporter/ca.crt")),
            allowed_sans: vec!["prometheus.example.org".to_owned(), "192.0.2.7".to_owned()],
        },
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
        cipher_suites: vec![CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256],
        prefer_server_cipher_suites: false,
        curves: vec![NamedGroup::X25519, NamedGroup::secp256r1],
    };
    assert_eq!(web.tls, Some(expected));
    assert!(!web.http2);
    let headers: Vec<_> = web.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let expected = [("strict-transport-security", "max-age=31536000; includeSubDomains"), ("x-frame-options", "deny")];
    assert_eq!(headers, expected);
    assert_eq!(web.users.iter().map(|(name, hash)| (name, hash.as_str())).collect::<Vec<_>>(), [("alice", HASH)]);
    let limit = RateLimit { interval: Duration::from_secs(1), burst: NonZeroU32::new(20).unwrap() };
    assert_eq!(web.rate_limit, Some(limit));
}

#[test]
fn an_empty_file_changes_nothing() {
    for text in
        ["", "# nothing\n", "---\n", "{}", "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n", "\u{feff}"]
    {
        let web = parse(text).expect(text);
        assert!(web.tls.is_none() && web.http2 && web.headers.is_empty() && web.users.is_empty());
        assert!(web.rate_limit.is_none());
    }
}

#[test]
fn an_unknown_key_is_an_error_at_every_level() {
    for (text, expected) in [
        (
            "tls_config: {}\n",
            "line 1: tls_config: unknown key; did you mean tls_server_config? the known keys are tls_server_config, http_server_config, \
            basic_auth_users, rate_limit",
        ),
        (
            "\nhttp_server_config:\n  http3: true\n",
            "line 3: http_server_config.http3: unknown key; did you mean http2? the known keys are \
            http2, headers",
        ),
        ("rate_limit: {rate: 1}\n", "line 1: rate_limit.rate: unknown key; the known keys are interval, burst"),
        (
            "http_server_config:\n  headers:\n    Server: x\n",
            "line 3: http_server_config.headers.Server: unknown \
            key; the known keys are Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, \
            X-Frame-Options, X-XSS-Protection",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
    let words = error(&tls(&["certfile: a"]));
    assert!(
        words.starts_with(
            "line 4: tls_server_config.certfile: unknown key; did you mean cert_file? the known keys are cert, "
        ),
        "{words}"
    );
}

#[test]
fn a_duplicate_key_is_an_error() {
    for (text, expected) in [
        ("rate_limit: {}\nrate_limit: {}\n", "line 2: rate_limit: duplicate key; remove one".to_owned()),
        (&tls(&["cert_file: b.crt"]), "line 4: cert_file: duplicate key; remove one".to_owned()),
        (
            &format!("basic_auth_users:\n  alice: {HASH}\n  \"alice\": {HASH}\n"),
            "line 3: alice: duplicate key; remove one".to_owned(),
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn a_value_of_the_wrong_type_is_an_error() {
    for (text, expected) in [
        ("- a\n", "line 1: expected a mapping (key: value), found a list"),
        ("hello\n", "line 1: expected a mapping (key: value), found text"),
        ("http_server_config: 1\n", "line 1: http_server_config: expected a mapping (key: value), found text"),
        ("http_server_config:\n  http2: 1\n", "line 2: http_server_config.http2: expected true or false, found text"),
        (
            "http_server_config: {http2: [true]}\n",
            "line 1: http_server_config.http2: expected true or false, found a list",
        ),
        ("basic_auth_users: [a]\n", "line 1: basic_auth_users: expected a mapping (key: value), found a list"),
        ("basic_auth_users:\n  alice:\n", "line 2: basic_auth_users.alice: expected text, found nothing"),
        (
            "tls_server_config:\n  cert_file: {a: b}\n",
            "line 2: tls_server_config.cert_file: expected text, found a mapping",
        ),
        (&tls(&["cipher_suites: X"]), "line 4: tls_server_config.cipher_suites: expected a list (- value), found text"),
        (
            &tls(&["curve_preferences:", "- [X25519]"]),
            "line 5: tls_server_config.curve_preferences: expected text, found a list",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn a_header_has_only_values_that_the_toolkit_sends() {
    let with = |header: &str| parse(&format!("http_server_config:\n  headers:\n    {header}\n"));
    for header in [
        "X-Frame-Options: ALLOW",
        "X-Content-Type-Options: sniff",
        "Content-Security-Policy: \"a\\nb\"",
        "Content-Security-Policy: \"a\\r\\nSet-Cookie: b\"",
        "Content-Security-Policy: \"\\0\"",
        "Content-Security-Policy: é",
        &format!("Content-Security-Policy: {}", "a".repeat(4097)),
    ] {
        let words = with(header).expect_err(header).to_string();
        let name = header.split(':').next().unwrap();
        assert!(words.starts_with(&format!("line 3: http_server_config.headers.{name}: ")), "{words}");
    }
    for blank in ["X-Frame-Options: ''", "X-Frame-Options:", "Content-Security-Policy: ''"] {
        assert!(with(blank).expect(blank).headers.is_empty());
    }
}

#[test]
fn a_rate_limit_has_an_interval_and_a_burst_or_is_off() {
    for off in ["interval: 0", "interval: 0s, burst: 5", "burst: 5", "interval: , burst: 1"] {
        assert_eq!(parse(&format!("rate_limit: {{{off}}}\n")).expect(off).rate_limit, None);
    }
    for (wrong, expected) in [
        ("interval: 1s", "line 1: rate_limit: burst is missing; give 1 or more"),
        ("interval: 1s, burst: 0", "line 1: rate_limit.burst: give a whole number from 1 to 4294967295"),
        ("interval: 1s, burst: -1", "line 1: rate_limit.burst: give a whole number"),
        ("interval: 1s, burst: 1.5", "line 1: rate_limit.burst: give a whole number"),
        ("interval: 1s, burst: 4294967296", "line 1: rate_limit.burst: give a whole number"),
        ("interval: 1, burst: 1", "line 1: rate_limit.interval: give a time of at most 24h with its unit"),
        ("interval: 25h, burst: 1", "line 1: rate_limit.interval: give a time of at most 24h with its unit"),
        ("interval: -1s, burst: 1", "line 1: rate_limit.interval: give a time of at most 24h with its unit"),
    ] {
        let words = error(&format!("rate_limit: {{{wrong}}}\n"));
        assert!(words.starts_with(expected), "{wrong}: {words}");
    }
}

#[test]
fn errors_name_the_file_and_relative_paths_start_from_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.yml");
    std::fs::write(&path, "http_server_config:\n  http2: maybe\n").unwrap();
    let words = Web::read(&path).unwrap_err().to_string();
    assert_eq!(words, format!("{}:2: http_server_config.http2: expected true or false, found text", path.display()));
    std::fs::write(&path, tls(&[])).unwrap();
    let tls = Web::read(&path).unwrap().tls.unwrap();
    assert_eq!(tls.certificate, PemSource::File(directory.path().join("a.crt")));
}
