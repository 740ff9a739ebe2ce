//! `tls_server_config`.

use super::*;

#[test]
fn one_certificate_and_one_key_are_required() {
    let section = "tls_server_config:\n  ";
    for (lines, expected) in [
        ("cert_file: a", "line 1: tls_server_config: key is missing; give key_file, or key with the PEM itself"),
        ("key_file: a", "line 1: tls_server_config: cert is missing; give cert_file, or cert with the PEM itself"),
        (
            "min_version: TLS13",
            "line 1: tls_server_config: cert is missing; give cert_file, or cert with the PEM itself",
        ),
        (
            "cert_file: ''\n  key_file: a",
            "line 1: tls_server_config: cert is missing; give cert_file, or cert with the PEM itself",
        ),
        (
            "cert: x\n  cert_file: a\n  key_file: a",
            "line 3: tls_server_config.cert_file: cert is given too; remove one of them",
        ),
        (
            "cert_file: a\n  key_file: a\n  key: x",
            "line 3: tls_server_config.key_file: key is given too; remove one of them",
        ),
        (
            "cert_file: a\n  key_file: a\n  client_ca_file: a\n  client_ca: x",
            "line 4: tls_server_config.client_ca_file: \
            client_ca is given too; remove one of them",
        ),
    ] {
        assert_eq!(error(&format!("{section}{lines}\n")), expected);
    }
}

#[test]
fn inline_pem_is_valid_and_never_shown() {
    let text = "tls_server_config:
  cert: |
    -----BEGIN CERTIFICATE-----
    public
  key: |
    -----BEGIN PRIVATE KEY-----
    hidden
";
    let web = parse(text).unwrap();
    let shown = format!("{web:?}");
    assert!(!shown.contains("hidden") && shown.contains("key: Inline(..)"), "{shown}");
    assert_eq!(web.tls.unwrap().key, PemSource::Inline("-----BEGIN PRIVATE KEY-----\nhidden\n".to_owned()));
}

#[test]
fn each_policy_for_clients_is_valid_or_an_error() {
    let ca = "client_ca_file: ca.crt";
    let policy = |name: &str| format!("client_auth_type: {name}");
    let auth = |lines: &[&str]| parse(&tls(lines)).map(|web| web.tls.unwrap().client_auth);
    let source = || PemSource::File(PathBuf::from("/etc/exporter/ca.crt"));
    assert_eq!(auth(&[]).unwrap(), ClientAuth::None);
    assert_eq!(auth(&[&policy("NoClientCert")]).unwrap(), ClientAuth::None);
    assert_eq!(auth(&[&policy("''")]).unwrap(), ClientAuth::None);
    assert_eq!(auth(&[&policy("VerifyClientCertIfGiven"), ca]).unwrap(), ClientAuth::IfGiven { ca: source() });
    for (name, required) in [("RequestClientCert", false), ("RequireAnyClientCert", true), ("RequireClientCert", true)]
    {
        assert_eq!(auth(&[&policy(name)]).unwrap(), ClientAuth::Unverified { required });
    }
    let required = ClientAuth::Required { ca: source(), allowed_sans: Vec::new() };
    assert_eq!(auth(&[&policy("RequireAndVerifyClientCert"), ca]).unwrap(), required);

    let sans = "client_allowed_sans: [a]";
    for (lines, expected) in [
        (
            [&*policy("RequireAnyClientCert"), ca],
            "line 5: tls_server_config.client_ca_file: certificates are not verified, so the authority has no effect; set \
            client_auth_type: RequireAndVerifyClientCert",
        ),
        (
            [&policy("RequestClientCert"), sans],
            "line 5: tls_server_config.client_allowed_sans: certificates are not verified, so their names can be forged; ",
        ),
        (
            [&policy("requireandverifyclientcert"), ca],
            "line 4: tls_server_config.client_auth_type: \
            requireandverifyclientcert is not supported; give one of NoClientCert, VerifyClientCertIfGiven, ",
        ),
        (
            [&policy("VerifyClientCertIfGiven"), ""],
            "line 4: tls_server_config.client_auth_type: the authority that verifies certificates is missing; set client_ca_file",
        ),
        (
            [&policy("RequireAndVerifyClientCert"), ""],
            "line 4: tls_server_config.client_auth_type: the authority that verifies certificates is missing; set client_ca_file",
        ),
        (
            [ca, ""],
            "line 4: tls_server_config.client_ca_file: no certificate is requested, so the authority has no effect; set ",
        ),
        (
            [&policy("NoClientCert"), ca],
            "line 5: tls_server_config.client_ca_file: no certificate is requested, so the authority",
        ),
        ([sans, ""], "line 4: tls_server_config.client_allowed_sans: clients need not present a certificate; set "),
        (
            [&format!("{}\n  {ca}", policy("VerifyClientCertIfGiven")), sans],
            "line 6: \
            tls_server_config.client_allowed_sans: clients need not present a certificate; set ",
        ),
        (
            [&format!("{}\n  {ca}", policy("RequireAndVerifyClientCert")), "client_allowed_sans: []"],
            "line 6: \
            tls_server_config.client_allowed_sans: an empty list would admit no client",
        ),
    ] {
        let words = auth(&lines).unwrap_err().to_string();
        assert!(words.starts_with(expected), "{lines:?}: {words}");
    }
}

#[test]
fn old_versions_weak_suites_and_unknown_curves_are_errors() {
    for (line, expected) in [
        (
            "min_version: TLS10",
            "line 4: tls_server_config.min_version: TLS 1.0 and 1.1 are insecure (RFC 8996) and not supported; \
            give TLS12 or TLS13",
        ),
        ("max_version: TLS11", "line 4: tls_server_config.max_version: TLS 1.0 and 1.1 are insecure"),
        (
            "max_version: TLS1.3",
            "line 4: tls_server_config.max_version: TLS1.3 is not supported; give one of TLS12, TLS13",
        ),
        (
            "min_version: TLS13\n  max_version: TLS12",
            "line 5: tls_server_config.max_version: this is older than min_version",
        ),
        (
            "cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]",
            "line 4: tls_server_config.cipher_suites: cipher suites without forward \
            secrecy or authenticated encryption",
        ),
        (
            "cipher_suites:\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  - TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
            "line 6: \
            tls_server_config.cipher_suites: cipher suites without forward secrecy",
        ),
        (
            "cipher_suites: [TLS_FAST]",
            "line 4: tls_server_config.cipher_suites: TLS_FAST is not supported; give one of TLS_ECDHE_",
        ),
        (
            "cipher_suites: [TLS_AES_128_GCM_SHA256]",
            "line 4: tls_server_config.cipher_suites: none of these is a cipher suite of TLS 1.2",
        ),
        (
            "curve_preferences: [CurveP521]",
            "line 4: tls_server_config.curve_preferences: CurveP521 is not supported; give one of \
            CurveP256, CurveP384, X25519",
        ),
        (
            "prefer_server_cipher_suites: yes",
            "line 4: tls_server_config.prefer_server_cipher_suites: expected true or false, found text",
        ),
    ] {
        let words = error(&tls(&[line]));
        assert!(words.starts_with(expected), "{line}: {words}");
    }
    let only_newest =
        parse(&tls(&["min_version: TLS13", "cipher_suites: [TLS_AES_128_GCM_SHA256]"])).unwrap().tls.unwrap();
    assert!(only_newest.cipher_suites.is_empty());
}

#[test]
fn each_suite_and_curve_has_its_name_in_go() {
    let suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
         TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, \
         TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
    let lines = [&*format!("cipher_suites: [{suites}]"), "curve_preferences: [CurveP384, CurveP256, X25519]"];
    let tls = parse(&tls(&lines)).unwrap().tls.unwrap();
    let expected = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    assert_eq!(tls.cipher_suites, expected);
    assert_eq!(tls.curves, [NamedGroup::secp384r1, NamedGroup::secp256r1, NamedGroup::X25519]);
}
