//! The program from the archive, on a Debian that has nothing else.

use std::fs;
use std::process::{Command, Stdio};

use super::root::Root;
use super::support::{Exporter, Running, Samples, eventually, message};
use super::{PACKAGES, file, must, name};

/// The targets, whose names come from the list of hosts and from a DNS server.
const TARGETS: &str = "
targets:
  - {name: hosts, answers: false, url: 'http://localhost:20001/'}
  - {name: dns, answers: false, url: 'http://plain.test:20001/'}
  - {name: secure, answers: false, url: 'https://secure.test:20002/', tls: {ca_file: certificate.pem}}
";

/// Starts the program there with these flags, and waits until it serves.
fn exporter(root: &Root, address: &str, flags: &[&str]) -> Exporter {
    let start = ["/opt/openim-exporter", "--web.listen-address", address];
    Exporter::run(&mut root.command(&[&start, flags].concat()))
}

/// A DNS server that knows the names in `.test`.
fn name_server(root: &Root) -> Running {
    let mut server = root.network.command(&["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"]);
    server.args(["--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--pid-file="]);
    let server = Running::start(server.arg("--address=/test/127.0.0.1"));
    root.write("etc/resolv.conf", "nameserver 127.0.0.1\n");
    root.write("etc/hosts", "127.0.0.1 localhost\n");
    eventually("the DNS server", || {
        let ran = root.command(&["getent", "hosts", "plain.test"]).stdout(Stdio::null()).status();
        ran.unwrap().success()
    });
    server
}

#[test]
#[ignore = "needs debootstrap, dnsmasq, cargo-deb and root"]
fn the_program_serves_and_forwards_by_names_and_with_tls_on_a_debian_with_nothing_else() {
    let root = Root::new();
    let archive = file(&PACKAGES, "gnu.tar.gz");
    fs::create_dir_all(root.path("opt")).unwrap();
    let program = format!("{}/openim-exporter", name());
    must(
        Command::new("tar")
            .args(["--strip-components=1", "-xzf"])
            .arg(archive)
            .arg("-C")
            .arg(root.path("opt"))
            .arg(program),
    );
    let certificate = rcgen::generate_simple_self_signed(vec!["secure.test".to_owned()]).unwrap();
    root.write("etc/exporter/certificate.pem", certificate.cert.pem());
    root.write("etc/exporter/key.pem", certificate.signing_key.serialize_pem());
    root.write("etc/exporter/web.yml", "tls_server_config:\n  cert_file: certificate.pem\n  key_file: key.pem\n");
    root.write("etc/exporter/targets.yml", TARGETS);

    let _server = name_server(&root);
    let _plain = exporter(&root, "127.0.0.1:20001", &["--storage.path="]);
    let _secure =
        exporter(&root, "127.0.0.1:20002", &["--storage.path=", "--web.config.file", "/etc/exporter/web.yml"]);
    let flags = ["--storage.path", "/var/lib/e", "--forward.config.file", "/etc/exporter/targets.yml"];
    let _first = exporter(&root, "127.0.0.1:20000", &flags);
    let json = "content-type: application/json";
    let url = "http://127.0.0.1:20000/callbackAfterSendGroupMsgCommand";
    let answer = root.network.curl(&["-H", json, "-d", &message("g", "u"), url]);
    assert!(answer.contains(r#""errCode":0"#), "{answer}");
    let count = |url: &str| {
        let text = root.network.curl(&["-k", url]);
        Samples::parse(&text).sum("openim_group_messages_total")
    };
    eventually("the forwarded callbacks", || {
        count("http://127.0.0.1:20001/metrics") == 2.0 && count("https://127.0.0.1:20002/metrics") == 1.0
    });
    assert_eq!(count("http://127.0.0.1:20000/metrics"), 1.0);
}
