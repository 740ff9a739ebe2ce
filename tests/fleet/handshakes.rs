//! The moment between a connection's first packet and its acceptance.

use std::process::{Child, Output, Stdio};

use crate::network::{Machine, Network};
use crate::support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, message};

/// Connections during whose handshake the exporter got a signal.
const HITS: usize = 3;

/// On a busy machine, a connection may be established before the test sees that it begins, or only after the exporter has
/// stopped waiting for it.
const TRIES: usize = 30;

/// curl could not connect.
const REFUSED: i32 = 7;

struct Scene {
    server: Machine,
    client: Machine,
    _network: Network,
}

impl Scene {
    fn new() -> Self {
        let network = Network::new();
        Self { server: network.machine(1), client: network.machine(2), _network: network }
    }

    /// An exporter. The machines know each other from here on.
    fn start(&self) -> Exporter {
        let exporter = Exporter::run(&mut self.server.exporter(&[]));
        assert!(self.client.curl(&[&format!("http://{}:10006/-/ready", self.server.address)]).contains("is ready"));
        exporter
    }

    /// Posts a message while the client's machine sends only this many bits a second.
    fn post_slowly(&self, rate: usize) -> Child {
        let Self { server, client, .. } = self;
        client.must_run(&format!(
            "tc qdisc replace dev eth0 root tbf rate {rate}bit burst 600 limit 20000
             # 600 bytes may go at once. These are the last ones for now.
             head -c 530 /dev/zero > /dev/udp/{}/9",
            server.address
        ));
        let json = "Content-Type: application/json";
        let mut curl = client.command(&["curl", "-s", "-H", json, "-d", &message("g", "u")]);
        let curl = curl.arg(format!("http://{}:10006{GROUP_MESSAGE_PATH}", server.address));
        curl.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// What curl printed. The client's machine is fast again.
    fn end(&self, curl: Child) -> Output {
        let output = curl.wait_with_output().unwrap();
        self.client.must_run("tc qdisc delete dev eth0 root");
        output
    }

    /// Posts a message, and signals the exporter as soon as its system has the first packet. The next packet comes 50 ms
    /// later. Returns whether the first one was seen, and whether the message was answered.
    fn signal_at_first_packet(&self, exporter: &Exporter) -> (bool, bool) {
        let mut curl = self.post_slowly(10_500);
        let is_seen = loop {
            if self.server.must_run("ss -Htn state syn-recv").contains(":10006") {
                exporter.signal("TERM");
                break true;
            }
            if curl.try_wait().unwrap().is_some() {
                break false;
            }
        };
        (is_seen, self.end(curl).stdout == SUCCESS.as_bytes())
    }
}

#[test]
#[ignore = "needs root, iproute2, curl"]
fn a_connection_that_is_being_made_when_the_drain_begins_is_served() {
    let scene = Scene::new();
    let (mut exporter, mut hits) = (scene.start(), 0);
    for _ in 0..TRIES {
        let (is_seen, is_answered) = scene.signal_at_first_packet(&exporter);
        if is_seen {
            assert!(exporter.wait().0.success());
            exporter = scene.start();
            hits += usize::from(is_answered);
        }
        if hits == HITS {
            return;
        }
    }
    panic!("only {hits} connections that were being made were served");
}

#[test]
#[ignore = "needs root, iproute2, curl"]
fn a_connection_that_begins_during_the_drain_is_refused_and_not_reset() {
    let scene = Scene::new();
    for _ in 0..HITS {
        let exporter = scene.start();
        // The first packet leaves after 50 ms, and the second one 70 ms later, when the socket is closed.
        let curl = scene.post_slowly(7500);
        exporter.signal("TERM");
        let output = scene.end(curl);
        let is_served = output.stdout == SUCCESS.as_bytes();
        assert!(is_served || output.status.code() == Some(REFUSED), "{output:?}");
        assert!(exporter.wait().0.success());
    }
}
