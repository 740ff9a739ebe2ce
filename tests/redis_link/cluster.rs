//! Redis Cluster.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::redis_server::{Redis, until};
use crate::{get, link, set, texts};

/// Nodes, and the position of the one that has our slot.
struct Scene {
    nodes: Vec<Redis>,
    owner: usize,
}

impl Scene {
    /// Three primaries, with this many replicas each.
    fn start(replicas: usize) -> Self {
        let settings =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"];
        let nodes: Vec<_> = (0..3 * (1 + replicas)).map(|_| Redis::start(&settings)).collect();
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(nodes.iter().map(Redis::address))
            .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&created.stdout).into_owned();
        assert!(said.contains("[OK] All 16384 slots covered."), "{said}");
        let is_up = |node: &Redis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        until("the Cluster", || nodes.iter().all(is_up));
        let mut scene = Self { nodes, owner: 0 };
        scene.owner = scene.position_of_owner().unwrap();
        scene
    }

    /// The node that answers a question about our keys.
    fn position_of_owner(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.cli(&["EXISTS", "{openim-exporter}:a"]).parse::<u64>().is_ok())
    }

    /// Whether the owner's replica has confirmed everything.
    fn is_replicated(&self) -> bool {
        let info = self.nodes[self.owner].cli(&["INFO", "replication"]);
        let number = |name: &str| info.split(name).nth(1).and_then(|rest| rest.split([',', '\r', '\n']).next());
        number("offset=").is_some_and(|confirmed| Some(confirmed) == number("master_repl_offset:"))
    }

    fn hosts_without_owner(&self) -> String {
        let others = self.nodes.iter().enumerate().filter(|(position, _)| *position != self.owner);
        others.map(|(_, node)| node.address()).collect::<Vec<_>>().join(",")
    }

    fn id(&self, position: usize) -> String {
        self.nodes[position].cli(&["CLUSTER", "MYID"])
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_failover_is_followed() {
    let mut scene = Scene::start(1);
    let mut link = link(&format!("redis://{}?cluster=true", scene.hosts_without_owner()));
    assert_eq!(texts(link.send(&[set("a", "1"), set("b", "2"), get("a")]).unwrap()), ["OK", "OK", "1"]);
    link.time().unwrap();
    assert_eq!(scene.nodes[scene.owner].cli(&["GET", "{openim-exporter}:b"]), "2");
    let replicas = scene.nodes[scene.owner].cli(&["ROLE"]);
    assert!(replicas.starts_with("master"), "{replicas}");
    until("the replica has both", || scene.is_replicated());
    let owner = scene.owner;
    scene.nodes[owner].kill();
    let begin = Instant::now();
    let mut failures = Vec::new();
    while let Err(failure) = link.send(&[set("a", "3")]) {
        failures.push(failure.to_string());
        assert!(begin.elapsed() < Duration::from_secs(20), "{failures:#?}");
        sleep(Duration::from_millis(200));
    }
    assert!(!failures.is_empty());
    let new = scene.position_of_owner().unwrap();
    assert_eq!(scene.nodes[new].cli(&["GET", "{openim-exporter}:a"]), "3");
    assert_eq!(texts(link.send(&[get("b")]).unwrap()), ["2"]);
}

#[test]
#[ignore = "needs redis-server"]
fn our_slot_can_be_moved_to_another_node() {
    let scene = Scene::start(0);
    // As behind NAT: the nodes then name only the port of another node.
    for node in &scene.nodes {
        assert_eq!(node.cli(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint"]), "OK");
    }
    let mut link = link(&format!("redis://{}?cluster=true", scene.hosts_without_owner()));
    link.send(&[set("a", "1"), set("b", "1")]).unwrap();
    let slot = scene.nodes[0].cli(&["CLUSTER", "KEYSLOT", "{openim-exporter}:a"]);
    let target = (scene.owner + 1) % 3;
    let (from, to) = (&scene.nodes[scene.owner], &scene.nodes[target]);
    let (from_id, to_id) = (scene.id(scene.owner), scene.id(target));
    assert_eq!(to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]), "OK");
    assert_eq!(from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]), "OK");
    assert_eq!(from.cli(&["MIGRATE", "127.0.0.1", &to.port.to_string(), "{openim-exporter}:a", "0", "1000"]), "OK");
    // In the middle of the move, each key is on one of the two nodes, and new ones go to the new node.
    let commands = [get("a"), get("b"), set("c", "2"), set("a", "2"), set("b", "2"), get("a"), get("b"), get("c")];
    assert_eq!(texts(link.send(&commands).unwrap()), ["1", "1", "OK", "OK", "OK", "2", "2", "2"]);
    assert_eq!(from.cli(&["MIGRATE", "127.0.0.1", &to.port.to_string(), "{openim-exporter}:b", "0", "1000"]), "OK");
    for node in [to, from].into_iter().chain(&scene.nodes) {
        assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]), "OK");
    }
    // The next exchange follows, without a failure.
    assert_eq!(texts(link.send(&[get("a"), get("b"), get("c"), set("c", "3")]).unwrap()), ["2", "2", "2", "OK"]);
    assert_eq!(to.cli(&["GET", "{openim-exporter}:c"]), "3");
    // Without ?cluster=true, the error says what is missing.
    let plain = crate::link(&format!("redis://{}", from.address())).send(&[get("a")]).unwrap_err();
    assert!(plain.message.contains("add ?cluster=true to --replicas.redis-url"), "{plain}");
}
