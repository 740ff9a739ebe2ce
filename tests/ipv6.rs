//! IPv6: machines that have only one of the two families, link-local addresses, and clients of either family at one socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::namespace::Namespace;
use support::{Client, Exporter, GROUP_MESSAGE_PATH, command, eventually, free_port, message};

/// A namespace with the addresses `::1`, `fd00::1` and `fe80::1`, and no IPv4 address.
fn without_ipv4() -> Namespace {
    Namespace::new(
        "ip link set lo up; ip -4 address flush dev lo
         ip link add veth1 type veth peer name veth2; ip link set veth1 up; ip link set veth2 up
         ip -6 address add fd00::1/64 dev veth1 nodad; ip -6 address add fe80::1/64 dev veth1 nodad
         ip -6 address add fe80::2/64 dev veth2 nodad; test -z \"$(ip -4 address show)\"",
    )
}

const HEALTHY: &str = "openim-exporter is healthy.\n";

#[test]
#[ignore = "needs root, iproute2, curl"]
fn without_ipv4_the_defaults_serve_ipv6() {
    let namespace = without_ipv4();
    let _exporter = Exporter::run(&mut namespace.exporter(&["--web.telemetry-address", ":10007"]));
    for host in ["[::1]", "[fd00::1]", "localhost", "[fe80::1%25veth1]", "[fe80::1%veth1]"] {
        assert_eq!(namespace.curl(&[&format!("http://{host}:10006/-/healthy")]), HEALTHY, "{host}");
        assert!(namespace.curl(&[&format!("http://{host}:10007/metrics")]).contains("\nopenim_"), "{host}");
    }
    let checked = namespace.exporter(&["healthcheck"]).output().unwrap();
    let printed = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert_eq!(printed, format!("http://[::1]:10006: {HEALTHY}"));
}

/// The text after `start` and before `end`, each time.
fn between<'a>(text: &'a str, start: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(move |rest| rest.split(end).next().unwrap())
}

#[test]
#[ignore = "needs root, iproute2, curl"]
fn without_ipv4_the_kubernetes_manifest_and_its_probes_work() {
    let manifest = include_str!("../deploy/kubernetes.yml");
    let namespace = without_ipv4();
    let mut exporter = namespace.exporter(&[]);
    for variable in between(manifest, "- {name: OPENIM_EXPORTER_", '}') {
        let (name, value) = variable.split_once(", value: ").unwrap();
        exporter.env(format!("OPENIM_EXPORTER_{name}"), value.trim_matches('"'));
    }
    exporter.env("OPENIM_EXPORTER_STORAGE_PATH", "");
    // The pod's name. There is no Secret with Redis' URL.
    assert!(manifest.contains("- name: OPENIM_EXPORTER_REPLICAS_NAME\n"));
    exporter.env("OPENIM_EXPORTER_REPLICAS_NAME", "openim-exporter-0");
    let _exporter = Exporter::run(&mut exporter);
    let port =
        |name: &str| between(manifest, &format!("{{name: {name}, containerPort: "), '}').next().unwrap().to_owned();
    // The kubelet connects to the pod's address.
    let probes: Vec<_> = between(manifest, "httpGet: {path: ", '}').collect();
    assert_eq!(probes.len(), 2);
    for (path, of) in probes.iter().map(|probe| probe.split_once(", port: ").unwrap()) {
        let url = format!("http://[fd00::1]:{}{path}", port(of));
        assert_eq!(namespace.curl(&["-o", "/dev/null", "-w", "%{http_code}", &url]), "200", "{url}");
    }
    let target = format!("http://[fd00::1]:{}/callback", port("http"));
    let sent = namespace.exporter(&["simulate", "--yes", "--target", &target, "--count", "10"]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let metrics = namespace.curl(&[&format!("http://[fd00::1]:{}/metrics", port("metrics"))]);
    assert!(metrics.contains("\nopenim_group_message_content_bytes_count 10\n"), "{metrics}");
}

#[test]
#[ignore = "needs root, iproute2, systemd, curl"]
fn the_systemd_socket_serves_the_families_that_the_machine_has() {
    let unit = include_str!("../deploy/openim-exporter.socket");
    let address = between(unit, "\nListenStream=", '\n').next().unwrap();
    let program = env!("CARGO_BIN_EXE_openim-exporter");
    let activate = ["systemd-socket-activate", "--setenv=OPENIM_EXPORTER_STORAGE_PATH", "-l", address, program];
    for (namespace, host) in [
        (without_ipv4(), "[fd00::1]"),
        (Namespace::new("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up"), "127.0.0.1"),
        (Namespace::new("ip link set lo up"), "127.0.0.1"),
    ] {
        let mut manager = namespace.command(&[&activate[..], &["--web.systemd-socket"]].concat());
        let mut manager = manager.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It starts the exporter when a client connects.
        eventually("the answer", || namespace.curl(&[&format!("http://{host}:10006/-/healthy")]) == HEALTHY);
        manager.kill().unwrap();
        manager.wait().unwrap();
    }
}

#[test]
#[ignore = "needs root, iproute2, curl"]
fn without_ipv6_addresses_the_defaults_serve_ipv4() {
    let namespace = Namespace::new(
        "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up; ! ip -6 address show | grep .",
    );
    let _exporter = Exporter::run(&mut namespace.exporter(&["--web.telemetry-address", ":10007"]));
    assert_eq!(namespace.curl(&["http://127.0.0.1:10006/-/healthy"]), HEALTHY);
    assert!(namespace.curl(&["http://127.0.0.1:10007/metrics"]).contains("\nopenim_"));
}

#[test]
#[ignore = "needs root, iproute2, curl"]
fn with_a_name_it_listens_on_those_addresses_that_the_machine_has() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 both.test\n::1 both.test\n").unwrap();
    let line = format!(r#"mount --bind {} /etc/hosts && exec "$0" "$@""#, hosts.display());
    let program = env!("CARGO_BIN_EXE_openim-exporter");
    let exporter = ["unshare", "--mount", "sh", "-c", &line, program, "--web.listen-address", "both.test:10006"];
    for (setup, served) in [
        ("ip link set lo up", &["[::1]", "127.0.0.1"][..]),
        ("ip link set lo up; ip -4 address flush dev lo", &["[::1]"]),
        ("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up", &["127.0.0.1"]),
    ] {
        let namespace = Namespace::new(setup);
        let _exporter = Exporter::run(&mut namespace.command(&exporter));
        for address in served {
            assert_eq!(namespace.curl(&[&format!("http://{address}:10006/-/healthy")]), HEALTHY, "{setup}");
        }
    }
    // A missing address is skipped only if it is one of a name's addresses.
    let namespace = without_ipv4();
    let ran = namespace.exporter(&["--web.listen-address", "127.0.0.1:10006"]).output().unwrap();
    let printed = String::from_utf8(ran.stderr).unwrap();
    assert!(printed.contains("this machine does not have this address"), "{printed}");
}

#[test]
#[ignore = "needs root, iproute2, curl"]
fn a_link_local_address_is_listened_on_with_the_name_or_the_number_of_its_interface() {
    let namespace = without_ipv4();
    let number = namespace.run(&["sh", "-c", "ip -o link show veth1 | cut -d: -f1"]).stdout;
    let number = String::from_utf8(number).unwrap().trim().to_owned();
    for zone in ["veth1", &number] {
        let flags = ["--web.listen-address", &format!("[fe80::1%{zone}]:10006")];
        let exporter = Exporter::run(&mut namespace.exporter(&flags));
        assert_eq!(exporter.address().to_string(), format!("[fe80::1%{number}]:10006"));
        assert_eq!(namespace.curl(&["http://[fe80::1%25veth1]:10006/-/healthy"]), HEALTHY);
        assert_eq!(namespace.curl(&["http://[fd00::1]:10006/-/healthy"]), "");
        for target in ["http://[fe80::1%25veth1]:10006", &format!("http://[fe80::1%{number}]:10006")] {
            let sent =
                namespace.exporter(&["simulate", "--yes", "--target", target, "--count", "10"]).output().unwrap();
            assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        }
    }
}

#[test]
#[ignore = "needs root, iproute2"]
fn the_error_says_what_is_wrong_with_a_zone() {
    let namespace = without_ipv4();
    for (address, problem) in [
        ("[fe80::1%eth9]", "this machine has no network interface eth9; run: ip link"),
        ("[fe80::1%99]", "this machine has no network interface 99; run: ip link"),
        ("[fe80::1%]", "a link-local address needs its network interface, as in [fe80::1%eth0]:10006"),
        ("[fe80::1]", "a link-local address needs its network interface, as in [fe80::1%eth0]:10006"),
    ] {
        for flag in ["--web.listen-address", "--web.telemetry-address"] {
            let ran = namespace.exporter(&[flag, &format!("{address}:10006"), "--check-config"]).output().unwrap();
            let printed = String::from_utf8(ran.stderr).unwrap();
            assert_eq!(ran.status.code(), Some(2), "{printed}");
            assert!(printed.contains(flag) && printed.contains(problem), "{printed}");
        }
        let target = format!("http://{address}:10006");
        let ran = namespace.exporter(&["simulate", "--yes", "--target", &target, "--count", "1"]).output().unwrap();
        let printed = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && printed.contains("--target") && printed.contains(problem), "{printed}");
    }
}

/// A library that makes a family of addresses unknown, as on a kernel without it.
fn without_family(family: i32) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (source, library) = (directory.path().join("family.c"), directory.path().join("family.so"));
    let code = format!(
        "#include <errno.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n
         int socket(int domain, int type, int protocol) {{
             if (domain == {family}) {{ errno = EAFNOSUPPORT; return -1; }}
             return syscall(SYS_socket, domain, type, protocol);
         }}"
    );
    fs::write(&source, code).unwrap();
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status().unwrap();
    assert!(built.success());
    (directory, library)
}

#[test]
#[ignore = "needs gcc"]
fn a_kernel_may_lack_one_family() {
    let port = free_port();
    let (v4, v6) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    let listen = ["--web.listen-address", &format!(":{port}")];
    // AF_INET6, AF_INET.
    for (family, is_served) in [(10, [true, false]), (2, [true, true])] {
        let (_directory, library) = without_family(family);
        let exporter = Exporter::run(command(&listen).env("LD_PRELOAD", &library));
        assert_eq!([&v4, &v6].map(|address| answers(address)), is_served, "{:#?}", exporter.log());
    }
    let (_directory, library) = without_family(10);
    let ran = command(&["--web.listen-address", "[::]:0"]).env("LD_PRELOAD", &library).output().unwrap();
    let printed = String::from_utf8(ran.stderr).unwrap();
    assert!(printed.contains("IPv6 is turned off on this machine: choose an IPv4 address"), "{printed}");
}

fn answers(address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    Client::connect(address).is_ok_and(|mut client| client.post(GROUP_MESSAGE_PATH, message("g", "u")).status == 200)
}

#[test]
fn a_port_alone_listens_on_both_families() {
    let (port, other) = (free_port(), free_port());
    let flags = ["--web.listen-address", &format!(":{port}"), "--web.telemetry-address", &format!(":{other}")];
    let exporter = Exporter::run(&mut command(&flags));
    for host in ["127.0.0.1", "[::1]"] {
        assert!(answers(&format!("{host}:{port}")), "{host}");
        let mut client = Client::connect(format!("{host}:{other}").parse().unwrap()).unwrap();
        client.send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert_eq!(client.answer().status, 200, "{host}");
    }
    assert_eq!(exporter.addresses().iter().map(SocketAddr::port).collect::<Vec<_>>(), [port, other]);
    // A second exporter cannot take the port of either family.
    for taken in [format!(":{port}"), format!("0.0.0.0:{port}"), format!("[::]:{port}"), format!("127.0.0.1:{port}")] {
        let ran = command(&["--web.listen-address", &taken]).output().unwrap();
        let printed = String::from_utf8(ran.stderr).unwrap();
        assert!(printed.contains(&format!("cannot listen on {taken}: ")) && printed.contains("ss -ltnp"), "{printed}");
    }
}

#[test]
fn clients_over_ipv4_are_ipv4_clients_at_a_socket_of_both_families() {
    let exporter = Exporter::run(&mut command(&[
        "--web.listen-address",
        &format!(":{}", free_port()),
        "--callback.allowed-networks",
        "127.0.0.0/8",
        "--web.max-connections-per-address",
        "2",
    ]));
    let at = |ip: IpAddr| SocketAddr::new(ip, exporter.address().port());
    let mut v4 = Client::connect(at([127, 0, 0, 1].into())).unwrap();
    assert_eq!(v4.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    let mut v6 = Client::connect(at(Ipv6Addr::LOCALHOST.into())).unwrap();
    v6.post(GROUP_MESSAGE_PATH, message("g", "u")).refusal(403);
    // Each IPv4 address has connections of its own: they are not one IPv6 network.
    let mut held: Vec<_> = (1..4)
        .flat_map(|host| [host, host])
        .map(|host| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 1, host], 0)).into()).unwrap();
            socket.connect(&at([127, 0, 0, 1].into()).into()).unwrap();
            Client::from_socket(socket.into()).unwrap()
        })
        .collect();
    for client in &mut held {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    }
}

#[test]
fn simulate_sends_to_an_ipv6_address() {
    let exporter = Exporter::run(&mut command(&["--web.listen-address", "[::1]:0"]));
    let target = format!("http://{}", exporter.address());
    assert!(target.starts_with("http://[::1]:"), "{target}");
    let sent = command(&["simulate", "--yes", "--target", &target, "--count", "50"]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 50.0);
}

#[test]
fn ipv6_addresses_are_valid_in_the_host_header() {
    let exporter = Exporter::start(&[]);
    for host in ["[::1]", "[::1]:10006", "[fe80::1%25eth0]:10006", "[fe80::1%eth0]:10006", "[::ffff:127.0.0.1]:10006"] {
        let request = format!("GET /-/healthy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(exporter.ask(request.as_bytes()).status, 200, "{host}");
        let request = format!("GET http://{host}/-/healthy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        // hyper does not accept a zone in a URL.
        if !host.contains('%') {
            assert_eq!(exporter.ask(request.as_bytes()).status, 200, "{host}");
        }
    }
}
