//! The metrics of the process: they are those of programs that are built with Go's client library, and the network
//! metrics count the right bytes.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::scrape::{Family, TEXT, read};
use crate::support::namespace::Namespace;
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, Running, SUCCESS, Samples, eventually, free_port};

/// What ours has in addition to Debian 12's programs: the last two are in client_golang since 1.20, and the first is from
/// other client libraries.
const MORE: [&str; 3] = ["process_threads", "process_network_receive_bytes", "process_network_transmit_bytes"];

/// The numbers that the network metrics are read from.
const OCTETS: [&str; 2] = ["process_network_receive_bytes_total", "process_network_transmit_bytes_total"];

/// The families of the process at an address, by name.
fn of_process(address: SocketAddr) -> BTreeMap<String, Family> {
    let mut client = Client::connect(address).unwrap();
    client.send("GET /metrics HTTP/1.1\r\nhost: x\r\naccept: text/plain\r\nconnection: close\r\n\r\n").unwrap();
    // Without the other metrics, some of which are NaN.
    let is_of_process =
        |line: &&str| line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with("process_");
    let lines: String = client.answer().text().split_inclusive('\n').filter(is_of_process).collect();
    let families = read(TEXT, lines.as_bytes()).into_iter();
    families.map(|family| (family.name.clone(), family)).collect()
}

/// A program with these flags, and the address of its metrics.
fn start(program: &str, flags: &[&str]) -> (Running, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address={address}")).args(flags).stdin(Stdio::null());
    let running = Running::start(&mut command);
    eventually(program, || Client::connect(address).is_ok());
    (running, address)
}

/// Fails unless the process has the families of a program that is built with Go's client library.
fn assert_has(ours: &BTreeMap<String, Family>, program: &str, theirs: &BTreeMap<String, Family>) {
    assert!(theirs.len() >= 7, "{program}: {theirs:?}");
    for (name, expected) in theirs {
        let found = ours.get(name).unwrap_or_else(|| panic!("{program} has {name}"));
        assert_eq!((&found.kind, &found.help), (&expected.kind, &expected.help), "{program}: {name}");
        assert_eq!(found.samples.len(), expected.samples.len(), "{program}: {name}");
    }
    for name in ours.keys().filter(|name| !theirs.contains_key(*name)) {
        assert!(MORE.contains(&name.as_str()), "{program} does not have {name}");
    }
    // The limit is inherited from this process, so all have the same.
    let limit = |families: &BTreeMap<String, Family>| families["process_virtual_memory_max_bytes"].samples[0].2;
    assert_eq!(limit(ours), limit(theirs), "{program}");
}

#[test]
#[ignore = "needs prometheus, prometheus-alertmanager, prometheus-node-exporter and python3-prometheus-client"]
fn the_process_has_all_metrics_that_programs_with_go_s_client_library_have() {
    let directory = TempDir::new().unwrap();
    let [empty, routes, data] = ["empty", "routes", "data"].map(|name| directory.path().join(name));
    fs::write(&empty, "").unwrap();
    fs::write(&routes, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    let [empty, routes] = [empty, routes].map(|file| format!("--config.file={}", file.display()));
    let [tsdb, alerts] = ["tsdb", "alerts"].map(|name| data.join(name).to_str().unwrap().to_owned());
    let [tsdb, alerts] = [format!("--storage.tsdb.path={tsdb}"), format!("--storage.path={alerts}")];
    let programs = [
        ("prometheus", &[empty.as_str(), &tsdb][..]),
        ("prometheus-alertmanager", &[&routes, &alerts, "--cluster.listen-address="]),
        ("prometheus-node-exporter", &["--collector.disable-defaults"]),
    ];
    let exporter = Exporter::start(&[]);
    let ours = of_process(exporter.address());
    for (program, flags) in programs {
        let (_running, address) = start(program, flags);
        assert_has(&ours, program, &of_process(address));
    }
}

/// Two machines that are connected by a cable: the exporter's, and that of its clients.
struct Cable {
    exporter: Namespace,
    client: Namespace,
}

impl Cable {
    fn new() -> Self {
        let client = Namespace::new("ip link set lo up");
        let exporter = Namespace::new(&format!(
            "ip link set lo up; ip link add eth0 type veth peer name eth0 netns {}
             ip address add 10.0.0.1/24 dev eth0; ip -6 address add fd00::1/64 dev eth0 nodad; ip link set eth0 up",
            client.pid()
        ));
        client.must_run(
            "ip address add 10.0.0.2/24 dev eth0; ip -6 address add fd00::2/64 dev eth0 nodad; ip link set eth0 up",
        );
        Self { exporter, client }
    }

    /// The bytes that the exporter says were received and sent. Asked over IPv6, which changes neither.
    fn octets(&self) -> [f64; 2] {
        let url = format!("http://[fd00::1]:10006/metrics?name[]={}&name[]={}", OCTETS[0], OCTETS[1]);
        let samples = Samples::parse(&self.client.curl(&[&url]));
        OCTETS.map(|name| samples.value(name))
    }

    /// By how much both numbers rise meanwhile.
    fn rise(&self, meanwhile: impl FnOnce()) -> [f64; 2] {
        let before = self.octets();
        meanwhile();
        let after = self.octets();
        [after[0] - before[0], after[1] - before[1]]
    }

    /// Posts a file to the exporter at a host, several times.
    fn post(&self, host: &str, file: &str) {
        let (data, url) = (format!("@{file}"), format!("http://{host}:10006{GROUP_MESSAGE_PATH}"));
        for _ in 0..TIMES {
            let answer = self.client.curl(&["-H", "content-type: application/json", "--data-binary", &data, &url]);
            assert_eq!(answer, SUCCESS, "{host}");
        }
    }
}

/// Gets the metrics from a host, several times. Returns the bytes of all answers.
fn get(from: &Namespace, host: &str) -> f64 {
    let url = format!("http://{host}:10006/metrics");
    let lengths = (0..TIMES).map(|_| from.curl(&[&url]).len());
    lengths.map(|length| length as f64).sum()
}

/// How often something is sent: so often that it is much more than all other traffic.
const TIMES: usize = 20;

/// With the headers of all layers, and acknowledgements, at most this many times what is sent is counted.
const AND_A_TENTH: f64 = 1.1;

#[test]
#[ignore = "needs root, iproute2, curl"]
fn the_network_metrics_count_ipv4_of_the_whole_namespace_in_the_right_direction() {
    let cable = Cable::new();
    let _exporter = Exporter::run(&mut cable.exporter.exporter(&[]));
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("body").to_str().unwrap().to_owned();
    let body = format!(r#"{{"sendID":"u","groupID":"g","content":"{}"}}"#, "x".repeat(200_000));
    fs::write(&file, &body).unwrap();
    let posted = (TIMES * body.len()) as f64;

    let [received, sent] = cable.rise(|| cable.post("10.0.0.1", &file));
    assert!((posted..posted * AND_A_TENTH).contains(&received) && sent < posted / 10.0, "{posted}: {received} {sent}");
    let mut got = 0.0;
    let [received, sent] = cable.rise(|| got = get(&cable.client, "10.0.0.1"));
    assert!(got > 1e6 && (got..got * AND_A_TENTH).contains(&sent) && received < got / 10.0, "{got}: {received} {sent}");
    // Traffic within the machine counts as both sent and received.
    let [received, sent] = cable.rise(|| got = get(&cable.exporter, "127.0.0.1"));
    assert!(received == sent && (got..got * AND_A_TENTH).contains(&sent), "{got}: {received} {sent}");
    // IPv6 is not counted.
    let over_ipv6 = || {
        cable.post("[fd00::1]", &file);
        assert!(get(&cable.client, "[fd00::1]") > 1e6);
    };
    assert_eq!(cable.rise(over_ipv6), [0.0, 0.0]);
}
