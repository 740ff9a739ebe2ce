//! Killed exporters and killed targets.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::scene::{Scene, assert_in_order, by_group, post};
use crate::support::{Running, eventually, free_port};
use crate::target::{Target, accepts, after};

#[test]
fn a_killed_exporter_delivers_the_rest_after_its_next_start() {
    let target = Target::start(after(Duration::from_millis(10), accepts()));
    let mut scene = Scene::start(&target.url(), &["concurrency: 3"]);
    let (rounds, of_each) = (4, 30);
    for round in 0..rounds {
        let mut client = scene.exporter().connect();
        for number in round * of_each..(round + 1) * of_each {
            ["a", "b", "c", "d", "e"].iter().for_each(|group| post(&mut client, group, number));
        }
        scene.kill();
        scene.start_again();
    }
    let all = rounds * of_each;
    eventually("all callbacks", || {
        let groups = by_group(&target.got(), true);
        groups.len() == 5 && groups.values().all(|numbers| numbers.len() == all)
    });
    let got = target.got();
    assert_in_order(&got, true, 5, all);
    // At each kill, at most those in progress.
    assert!(got.len() <= 5 * all + rounds * 3, "{} of {}", got.len(), 5 * all);
}

#[test]
#[ignore = "needs nginx"]
fn a_killed_nginx_gets_the_rest_after_its_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let scene = Scene::start(&format!("http://127.0.0.1:{port}/callback"), &["breaker: {open_for: 500ms}"]);
    let mut client = scene.exporter().connect();
    for round in 0..3 {
        let nginx = nginx(directory.path(), port);
        for number in round * 20..(round + 1) * 20 {
            ["a", "b", "c"].iter().for_each(|group| post(&mut client, group, number));
        }
        if round < 2 {
            drop(nginx);
        } else {
            scene.wait_until_delivered();
        }
    }
    let log = std::fs::read_to_string(directory.path().join("access.log")).unwrap();
    for group in ["a", "b", "c"] {
        let id = format!("callbackAfterSendGroupMsgCommand_{group}-");
        let numbers =
            log.lines().filter_map(|line| line.strip_prefix(&*id)?.strip_suffix(" 200")?.parse::<usize>().ok());
        let mut numbers: Vec<_> = numbers.collect();
        numbers.dedup();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "{group}");
    }
}

/// An nginx that writes down the ID of each request, with the status. It is killed when dropped.
fn nginx(directory: &Path, port: u16) -> Running {
    let path = directory.join("nginx.conf");
    let directory = directory.display();
    let settings = format!(
        "daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log {directory}/error.log;\nevents {{}}\nhttp {{\n\
         log_format ids '$http_webhook_id $status';\naccess_log {directory}/access.log ids;\n\
         client_body_temp_path {directory}/body;\nproxy_temp_path {directory}/proxy;\n\
         fastcgi_temp_path {directory}/fastcgi;\nuwsgi_temp_path {directory}/uwsgi;\nscgi_temp_path {directory}/scgi;\n\
         server {{\nlisten 127.0.0.1:{port};\nlocation / {{\nreturn 200 '{{}}';\n}}\n}}\n}}\n"
    );
    std::fs::write(&path, settings).unwrap();
    let nginx = Running::start(Command::new("nginx").arg("-c").arg(&path).stdin(Stdio::null()));
    eventually("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    nginx
}
