//! docs/web-config.md: the settings that it lists as unsupported are refused, all others of exporter-toolkit are accepted, and
//! its recipe for a certificate works.

use std::collections::BTreeSet;
use std::process::Command;

use crate::certificates::{OF_THE_KEY, check, directory, run};
use crate::support::{Exporter, command};

const PAGE: &str = include_str!("../../docs/web-config.md");

const PLAIN: &str = "cert_file: server.pem\n  key_file: server.key";
const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

fn section(heading: &str) -> &'static str {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).unwrap();
    section.split("\n#").next().unwrap()
}

/// The settings in the page's list.
fn listed() -> BTreeSet<&'static str> {
    let rows = section("## Unsupported settings").lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| row.split(" | ").next().unwrap()).filter(|first| *first != "Setting").collect()
}

fn tls(lines: &str) -> String {
    format!("tls_server_config:\n  {PLAIN}\n  {lines}\n")
}

/// A row of the list, and examples of it: commands that change the good files, and the web configuration.
type Row = (&'static str, Vec<(String, String)>);

const VERIFY: &str = "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem";

fn only_settings<T: AsRef<str>>(settings: &[T]) -> Vec<(String, String)> {
    settings.iter().map(|text| (String::new(), text.as_ref().to_owned())).collect()
}

fn refused() -> Vec<Row> {
    [settings_of_tls(), files(), other_settings()].concat()
}

fn settings_of_tls() -> Vec<Row> {
    let lines = |all: &[&str]| only_settings(&all.iter().map(|lines| tls(lines)).collect::<Vec<_>>());
    vec![
        ("`TLS10`, `TLS11`", lines(&["min_version: TLS10", "min_version: TLS11", "max_version: TLS11"])),
        (
            "Cipher suites without `ECDHE`, or with `CBC`, `RC4`, `3DES`",
            lines(&[
                "cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]",
                "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]",
                "cipher_suites: [TLS_ECDHE_RSA_WITH_RC4_128_SHA]",
                "cipher_suites: [TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA]",
            ]),
        ),
        (
            "A `cipher_suites` without any suite of TLS 1.2, unless `min_version` is `TLS13`",
            lines(&["cipher_suites: [TLS_AES_128_GCM_SHA256]"]),
        ),
        ("`CurveP521`", lines(&["curve_preferences: [CurveP521]"])),
        ("`max_version` below `min_version`", lines(&["min_version: TLS13\n  max_version: TLS12"])),
        (
            "`RequestClientCert`, `RequireAnyClientCert` with a `client_ca_file` or `client_allowed_sans`",
            lines(&[
                "client_auth_type: RequestClientCert\n  client_ca_file: ca.pem",
                "client_auth_type: RequireAnyClientCert\n  client_ca_file: ca.pem",
                "client_auth_type: RequestClientCert\n  client_allowed_sans: [a]",
                "client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]",
            ]),
        ),
        (
            "`VerifyClientCertIfGiven`, `RequireAndVerifyClientCert` without a `client_ca_file`",
            lines(&["client_auth_type: VerifyClientCertIfGiven", "client_auth_type: RequireAndVerifyClientCert"]),
        ),
        ("An empty `client_allowed_sans`", lines(&[&format!("{VERIFY}\n  client_allowed_sans: []")])),
        (
            "`cert` with `cert_file`, `key` with `key_file`, `client_ca` with `client_ca_file`",
            lines(&["cert: x", "key: x", &format!("{VERIFY}\n  client_ca: x")]),
        ),
        (
            "Keys in `tls_server_config`, but no certificate",
            only_settings(&["tls_server_config:\n  min_version: TLS13\n"]),
        ),
    ]
}

fn files() -> Vec<Row> {
    let files = |commands: &[&str]| commands.iter().map(|text| ((*text).to_owned(), tls(""))).collect::<Vec<_>>();
    let key = |create: &str| format!("{create} -out server.key; {OF_THE_KEY}");
    let curve = |curve: &str| key(&format!("openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:{curve}"));
    let with_ca = |commands: &str| (commands.to_owned(), tls(VERIFY));
    vec![
        (
            "Keys on P-224 or P-521, RSA keys with fewer than 2,048 or more than 4,096 bits",
            files(&[
                &curve("P-224"),
                &curve("P-521"),
                &key("openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2040"),
                &key("openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:4104"),
            ]),
        ),
        (
            "A certificate of X.509 version 1, or with an unknown critical extension",
            files(&[
                "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out server.pem",
                &format!("{OF_THE_KEY} -addext 1.2.3.4=critical,ASN1:NULL"),
            ]),
        ),
        (
            "A `client_ca_file` without a certificate, with a damaged one, or with an unsupported key",
            vec![
                with_ca("echo > ca.pem"),
                with_ca("sed -i '3s/./!/' ca.pem"),
                with_ca(
                    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -noenc -keyout k -out ca.pem -subj /CN=ca",
                ),
            ],
        ),
        (
            "Files of more than 1 MiB, and files that are not regular",
            files(&[
                "yes | head -c 2000000 >> server.pem",
                "rm server.key; mkfifo server.key",
                "rm web.yml; mkfifo web.yml",
            ]),
        ),
    ]
}

fn other_settings() -> Vec<Row> {
    vec![
        (
            "Headers of more than 4,096 characters, or with characters other than printable ASCII",
            only_settings(&[
                &format!("http_server_config:\n  headers:\n    X-XSS-Protection: {}\n", "a".repeat(4097)),
                "http_server_config:\n  headers:\n    X-XSS-Protection: é\n",
            ]),
        ),
        (
            "Hashes with a cost above 15, and `$2x$` hashes",
            [HASH.replace("$10$", "$16$"), HASH.replace("$2y$", "$2x$")]
                .map(|hash| (String::new(), format!("basic_auth_users: {{a: {hash}}}\n")))
                .to_vec(),
        ),
        (
            "More than 1,000 users",
            only_settings(&[
                (0..=1000).fold("basic_auth_users:\n".to_owned(), |all, user| format!("{all}  u{user}: {HASH}\n"))
            ]),
        ),
        (
            "Names of users that are empty, are longer than 255 bytes, or contain a colon or a control character",
            only_settings(&[
                format!("basic_auth_users: {{\"\": {HASH}}}\n"),
                format!("basic_auth_users: {{{}: {HASH}}}\n", "n".repeat(256)),
                format!("basic_auth_users: {{\"a:b\": {HASH}}}\n"),
                format!("basic_auth_users: {{\"a\\tb\": {HASH}}}\n"),
            ]),
        ),
        (
            "`interval` without a unit, or of more than 24 hours",
            only_settings(&["rate_limit: {interval: 1, burst: 1}\n", "rate_limit: {interval: 25h, burst: 1}\n"]),
        ),
        (
            "An `interval` with a `burst` of 0, or without one",
            only_settings(&["rate_limit: {interval: 1s, burst: 0}\n", "rate_limit: {interval: 1s}\n"]),
        ),
        (
            "A negative `interval` or `burst`",
            only_settings(&["rate_limit: {interval: -1s, burst: 1}\n", "rate_limit: {interval: 1s, burst: -1}\n"]),
        ),
        (
            "`yes`, `on`, `no`, `off` for `true` and `false`; aliases (`*name`), tags (`!name`), directives, a second document",
            only_settings(&[
                "http_server_config: {http2: yes}\n",
                "http_server_config: {http2: on}\n",
                "http_server_config: {http2: no}\n",
                "http_server_config: {http2: off}\n",
                "http_server_config: &x {http2: true}\nrate_limit: *x\n",
                "http_server_config: !!map {http2: true}\n",
                "%YAML 1.1\n---\nrate_limit: {}\n",
                "rate_limit: {}\n---\nrate_limit: {}\n",
            ]),
        ),
    ]
}

#[test]
#[ignore = "needs openssl"]
fn each_listed_setting_is_refused_and_each_example_is_listed() {
    assert_eq!(refused().iter().map(|(row, _)| *row).collect::<BTreeSet<_>>(), listed());
    let files = directory("");
    for (row, examples) in refused() {
        assert!(!examples.is_empty(), "{row}");
        for (commands, settings) in examples {
            let changed = if commands.is_empty() { None } else { Some(directory("")) };
            let files = changed.as_ref().unwrap_or(&files).path();
            std::fs::write(files.join("web.yml"), &settings).unwrap();
            run(files, &commands);
            assert!(check(files).is_err(), "{row}: {commands} {settings}");
        }
    }
}

/// Every key of exporter-toolkit's docs/web-configuration.md, with every value that it documents and that is not in the
/// list of the page.
#[test]
#[ignore = "needs openssl"]
fn everything_else_that_exporter_toolkit_documents_is_accepted() {
    let files = directory("");
    let ca = "client_ca_file: ca.pem";
    let pem = |name: &str| std::fs::read_to_string(files.path().join(name)).unwrap().trim_end().replace('\n', "\n    ");
    let inline = format!("cert: |\n    {}\n  key: |\n    {}", pem("server.pem"), pem("server.key"));
    let mut accepted = vec![
        format!("tls_server_config:\n  {inline}\n"),
        tls(&format!("client_auth_type: RequireAndVerifyClientCert\n  client_ca: |\n    {}", pem("ca.pem"))),
        tls(&format!("client_auth_type: RequireAndVerifyClientCert\n  {ca}\n  client_allowed_sans: [a, a@b, 192.0.2.7, u://v]")),
        tls(&format!("client_auth_type: VerifyClientCertIfGiven\n  {ca}")),
        tls(&format!("client_auth_type: RequireAndVerifyClientCert\n  {ca}")),
        tls("cipher_suites: []\n  curve_preferences: []"),
        format!("basic_auth_users:\n  alice: {HASH}\n"),
        "http_server_config:\n  http2: false\n  headers:\n    Content-Security-Policy: default-src 'self'\n    X-Frame-Options: deny\n    \
         X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1\n    Strict-Transport-Security: max-age=1\n"
            .to_owned(),
        "http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: sameorigin\n".to_owned(),
        "rate_limit:\n  interval: 1s\n  burst: 20\n".to_owned(),
        "rate_limit:\n  interval: 0\n  burst: 0\n".to_owned(),
    ];
    let policies = ["NoClientCert", "RequestClientCert", "RequireAnyClientCert", "RequireClientCert"];
    accepted.extend(policies.map(|policy| tls(&format!("client_auth_type: {policy}"))));
    for version in ["TLS12", "TLS13"] {
        accepted.extend(["min_version", "max_version"].map(|key| tls(&format!("{key}: {version}"))));
    }
    accepted.extend(["true", "false"].map(|value| tls(&format!("prefer_server_cipher_suites: {value}"))));
    accepted.extend(["CurveP256", "CurveP384", "X25519"].map(|curve| tls(&format!("curve_preferences: [{curve}]"))));
    let suites = ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"];
    for suite in suites.iter().flat_map(|suite| ["ECDSA", "RSA"].map(|key| format!("TLS_ECDHE_{key}_WITH_{suite}"))) {
        accepted.push(tls(&format!("cipher_suites: [{suite}, TLS_AES_128_GCM_SHA256]")));
    }
    for settings in accepted {
        std::fs::write(files.path().join("web.yml"), &settings).unwrap();
        assert_eq!(check(files.path()), Ok(()), "{settings}");
    }
}

#[test]
#[ignore = "needs openssl, curl"]
fn the_recipe_for_a_certificate_works() {
    let recipe = section("### Create a certificate");
    let blocks = |language: &str| -> Vec<&str> {
        let start = format!("```{language}\n");
        recipe.split(&start).skip(1).map(|block| block.split("```").next().unwrap()).collect()
    };
    let [create, attempt] = blocks("sh")[..] else { panic!("other commands") };
    let [settings] = blocks("yaml")[..] else { panic!("other settings") };
    let files = tempfile::tempdir().unwrap();
    run(files.path(), create);
    std::fs::write(files.path().join("web.yml"), settings).unwrap();
    let [start, simulate, curl] = attempt.lines().collect::<Vec<_>>()[..] else { panic!("{attempt}") };

    let words = |line: &str| line.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>();
    let listen = ["--web.listen-address".to_owned(), "127.0.0.1:0".to_owned()];
    let exporter = Exporter::run(command(&[words(start), listen.to_vec()].concat()).current_dir(files.path()));
    let here = |line: &str| line.replace(":10006", &format!(":{}", exporter.address().port()));
    let sent = command(&words(&here(simulate))).current_dir(files.path()).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let scraped = Command::new("bash").args(["-ec", &here(curl)]).current_dir(files.path()).output().unwrap();
    let metrics = String::from_utf8(scraped.stdout).unwrap();
    assert!(metrics.contains("\nopenim_group_message_content_bytes_count 100\n"), "{metrics}");
    // The system's file of authorities may have it too.
    let by_system = words(&here(simulate).replace("--ca-file server.crt ", "--yes "));
    let trusting = command(&by_system).env("SSL_CERT_FILE", "server.crt").current_dir(files.path()).output().unwrap();
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));
    // Another name, or no --ca-file, is refused.
    for (old, new) in [("//localhost", "//127.0.0.2"), ("--ca-file server.crt", "")] {
        let refused = here(simulate).replace(old, new) + " --yes";
        let refused = words(&refused).into_iter().filter(|word| !word.is_empty());
        let refused = command(&refused.collect::<Vec<_>>()).current_dir(files.path()).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{new}");
    }
}
