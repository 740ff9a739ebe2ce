//! Sentinel.

use std::time::{Duration, Instant};

use openim_exporter::telemetry::ReplicasFailure;

use crate::redis_server::{Redis, until};
use crate::{failure, get, link, set, texts};

/// A primary, a replica and three Sentinels.
struct Scene {
    primary: Redis,
    replica: Redis,
    sentinels: Vec<Redis>,
}

impl Scene {
    fn start(server: &[&str], sentinel: &[&str], set: &[[&str; 2]]) -> Self {
        let primary = Redis::start(server);
        let port = primary.port.to_string();
        let replica = Redis::start(&[&["--replicaof", "127.0.0.1", &port], server].concat());
        let sentinels: Vec<_> = (0..3).map(|_| Redis::start(&[&["--sentinel"], sentinel].concat())).collect();
        let mut scene = Self { primary, replica, sentinels };
        for server in [&mut scene.primary, &mut scene.replica].into_iter().chain(&mut scene.sentinels) {
            let has_password = server.cli(&["PING"]).contains("NOAUTH");
            server.cli =
                if has_password { vec!["-a".into(), "hunter2".into(), "--no-auth-warning".into()] } else { Vec::new() };
        }
        until("the replica", || scene.replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
        for sentinel in &scene.sentinels {
            assert_eq!(sentinel.cli(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "2"]), "OK");
            for [name, value] in [["down-after-milliseconds", "500"], ["failover-timeout", "1000"]].iter().chain(set) {
                assert_eq!(sentinel.cli(&["SENTINEL", "SET", "main", name, value]), "OK");
            }
        }
        let knows_all = |sentinel: &Redis| {
            let known = sentinel.cli(&["INFO", "sentinel"]);
            known.contains("slaves=1,sentinels=3")
        };
        until("the Sentinels", || scene.sentinels.iter().all(knows_all));
        scene
    }

    fn hosts(&self) -> String {
        self.sentinels.iter().map(Redis::address).collect::<Vec<_>>().join(",")
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_failover_is_followed() {
    let mut scene = Scene::start(&[], &[], &[]);
    let mut link = link(&format!("redis://{}/?sentinel=main", scene.hosts()));
    link.send(&[set("a", "1")]).unwrap();
    until("the copy", || scene.replica.cli(&["GET", "{openim-exporter}:a"]) == "1");
    scene.primary.kill();
    // Sentinel needs half a second to notice it, and some more if its first election is a tie.
    let (begin, mut failures) = (Instant::now(), Vec::new());
    while let Err(failure) = link.send(&[set("a", "2")]) {
        failures.push(failure.to_string());
        assert!(begin.elapsed() < Duration::from_secs(40), "{failures:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(scene.replica.cli(&["GET", "{openim-exporter}:a"]), "2", "{failures:#?}");
    assert!(!failures.is_empty());
    // A Sentinel that is frozen does not stop it.
    scene.sentinels[0].signal("STOP");
    scene.replica.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    link.send(&[set("a", "2")]).unwrap();
    scene.sentinels[0].signal("CONT");
    // An orderly failover, while both servers run: the connection to the old primary is still there.
    let (old, port) = (&scene.replica, scene.primary.port);
    let back = Redis::start_at(port, &["--replicaof", "127.0.0.1", &old.port.to_string()]);
    until("the replica", || back.cli(&["INFO", "replication"]).contains("master_link_status:up"));
    until("the failover", || scene.sentinels[1].cli(&["SENTINEL", "FAILOVER", "main"]) == "OK");
    until("the primary", || back.cli(&["ROLE"]).starts_with("master"));
    let mut failures = Vec::new();
    until("the new primary", || {
        let sent = link.send(&[set("a", "3")]);
        failures.extend(sent.as_ref().err().map(ToString::to_string));
        sent.is_ok() && back.cli(&["GET", "{openim-exporter}:a"]) == "3"
    });
    assert_eq!(texts(link.send(&[get("a")]).unwrap()), ["3"], "{failures:#?}");
}

#[test]
#[ignore = "needs redis-server"]
fn sentinels_that_ask_for_a_password_get_that_of_redis() {
    let password = &["--requirepass", "hunter2", "--masterauth", "hunter2"];
    let scene = Scene::start(password, &["--requirepass", "hunter2"], &[["auth-pass", "hunter2"]]);
    let hosts = scene.hosts();
    let mut with_password = link(&format!("redis://:hunter2@{hosts}/?sentinel=main"));
    assert_eq!(texts(with_password.send(&[set("a", "1"), get("a")]).unwrap()), ["OK", "1"]);
    let none = failure(&mut link(&format!("redis://{hosts}/?sentinel=main")), ReplicasFailure::Refused);
    assert!(none.message.contains("answered SENTINEL with: NOAUTH"), "{none}");
    let mut other = link(&format!("redis://:hunter2@{hosts}/?sentinel=other"));
    let unknown = failure(&mut other, ReplicasFailure::Other);
    assert!(unknown.message.contains("knows no primary called other; correct ?sentinel="), "{unknown}");
}

#[test]
#[ignore = "needs redis-server"]
fn sentinels_without_a_password_get_none() {
    let password = &["--requirepass", "hunter2", "--masterauth", "hunter2"];
    let scene = Scene::start(password, &[], &[["auth-pass", "hunter2"]]);
    let mut link = link(&format!("redis://:hunter2@{}/1?sentinel=main", scene.hosts()));
    assert_eq!(texts(link.send(&[set("a", "1"), get("a")]).unwrap()), ["OK", "1"]);
}
