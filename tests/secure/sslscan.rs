//! What a TLS scanner finds: no old version, no weak suite.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::authority::Authority;
use crate::support::{Exporter, eventually, free_port};

/// sslscan's report: XML with a line for each element.
struct Scan(String);

impl Scan {
    fn of(address: SocketAddr) -> Self {
        let scan = Command::new("sslscan").args(["--xml=-", &address.to_string()]).output().unwrap();
        let report = String::from_utf8_lossy(&scan.stdout).into_owned();
        assert!(scan.status.success() && report.contains("</document>"), "{report}");
        Self(report)
    }

    /// These attributes of each such element. There must be at least one, because otherwise nothing was scanned.
    fn all<const N: usize>(&self, element: &str, attributes: [&str; N]) -> Vec<[String; N]> {
        let start = format!("<{element} ");
        let elements = self.0.lines().filter(|line| line.trim_start().starts_with(&start));
        let found: Vec<_> = elements.map(|line| attributes.map(|name| attribute(line, name))).collect();
        assert!(!found.is_empty(), "no {element}: {}", self.0);
        found
    }

    fn versions(&self) -> Vec<String> {
        let all = self.all("protocol", ["type", "version", "enabled"]);
        assert_eq!(all.len(), 6, "{}", self.0);
        let enabled = all.into_iter().filter(|[_, _, enabled]| enabled != "0");
        enabled.map(|[kind, version, _]| format!("{kind} {version}")).collect()
    }

    fn suites(&self) -> Vec<String> {
        let all = self.all("cipher", ["sslversion", "cipher"]);
        all.into_iter().map(|[version, suite]| format!("{version} {suite}")).collect()
    }

    fn weaknesses(&self) -> Vec<String> {
        let versions = self.versions().into_iter().filter(|version| version != "tls 1.2" && version != "tls 1.3");
        let suites = self.suites().into_iter().filter(|suite| !is_strong(suite));
        let renegotiation = self.all("renegotiation", ["supported", "secure"]);
        let renegotiation = renegotiation.into_iter().filter(|found| *found == ["1", "0"]);
        let heartbleed = self.all("heartbleed", ["vulnerable"]).into_iter().filter(|found| *found != ["0"]);
        // Debian's sslscan cannot check compression and omits it.
        let compression = self.0.contains(r#"<compression supported="1""#).then(|| "compression".to_owned());
        versions
            .chain(suites)
            .chain(renegotiation.map(|_| "renegotiation".to_owned()))
            .chain(heartbleed.map(|_| "heartbleed".to_owned()))
            .chain(compression)
            .collect()
    }
}

fn attribute(element: &str, name: &str) -> String {
    let (_, after) = element.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name}: {element}"));
    after.split('"').next().unwrap().to_owned()
}

/// Whether a suite has forward secrecy and authenticated encryption.
fn is_strong(suite: &str) -> bool {
    let is_forward = suite.starts_with("TLSv1.3 TLS_") || suite.starts_with("TLSv1.2 ECDHE-");
    is_forward && (suite.contains("GCM") || suite.contains("CHACHA20"))
}

fn served(authority: &Authority, settings: &str) -> Exporter {
    let config = authority.web_config("server", settings);
    Exporter::start(&["--web.config.file", config.to_str().unwrap()])
}

/// Writes a self-signed certificate with an RSA key, which the authority does not support.
fn issue_rsa(authority: &Authority) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout"])
        .arg(authority.path("server.key"))
        .arg("-out")
        .arg(authority.path("server.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
#[ignore = "needs sslscan, openssl"]
fn a_scan_finds_two_versions_and_no_weak_suite_for_both_kinds_of_keys() {
    let authority = Authority::new();
    for key in ["ECDSA", "RSA"] {
        if key == "RSA" {
            issue_rsa(&authority);
        } else {
            authority.issue("server", &["localhost"]);
        }
        let scan = Scan::of(served(&authority, "").address());
        assert_eq!((scan.weaknesses(), scan.versions().len()), (Vec::new(), 2), "{}", scan.0);
        let of_1_2 = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
            .map(|cipher| format!("TLSv1.2 ECDHE-{key}-{cipher}"));
        let of_1_3 = ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"]
            .map(|cipher| format!("TLSv1.3 TLS_{cipher}"));
        let mut suites = scan.suites();
        suites.sort();
        assert_eq!(suites, [of_1_2, of_1_3].concat());
    }
}

#[test]
#[ignore = "needs sslscan"]
fn a_scan_finds_only_tls_1_3_if_configured() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let scan = Scan::of(served(&authority, "  min_version: TLS13\n").address());
    assert_eq!((scan.weaknesses(), scan.versions()), (Vec::new(), vec!["tls 1.3".to_owned()]), "{}", scan.0);
    let suites = scan.suites();
    assert!(suites.iter().all(|suite| suite.starts_with("TLSv1.3 ")), "{suites:?}");
}

/// A server that is killed when dropped.
struct Weak(Child);

impl Drop for Weak {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs sslscan, openssl"]
fn a_scan_of_a_weak_server_finds_its_weaknesses() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-cipher", "ALL:@SECLEVEL=0", "-accept", &address.to_string(), "-cert"])
        .arg(authority.path("server.pem"))
        .arg("-key")
        .arg(authority.path("server.key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = Weak(server.unwrap());
    eventually("openssl to listen", || TcpStream::connect(address).is_ok());
    let weaknesses = Scan::of(address).weaknesses();
    for weakness in ["tls 1.0", "TLSv1.2 ECDHE-ECDSA-AES128-SHA256", "TLSv1.2 ADH-AES128-GCM-SHA256"] {
        assert!(weaknesses.iter().any(|found| found == weakness), "{weakness}: {weaknesses:?}");
    }
}
