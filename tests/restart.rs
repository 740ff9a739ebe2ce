//! Restarts under load: the listening socket outlives the process, so no connection is refused, and requests that are
//! in progress at the signal are answered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{Exporter, GROUP_MESSAGE_PATH, command, go_client, message};

const RESTARTS: usize = 50;
const CONNECTIONS: &str = "16";

/// A socket that a service manager holds, and the exporter's directory.
struct Manager {
    socket: TcpListener,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        Self { socket: TcpListener::bind("127.0.0.1:0").unwrap(), directory: tempfile::tempdir().unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn start(&self) -> Exporter {
        self.start_with(&[])
    }

    /// Starts the exporter like systemd: the socket is file descriptor 3, as the variables say.
    fn start_with(&self, flags: &[&str]) -> Exporter {
        let path = self.directory.path().to_str().unwrap();
        let exporter = command(&[&["--web.systemd-socket", "--storage.path", path], flags].concat());
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#]);
        shell.arg(exporter.get_program()).args(exporter.get_args());
        shell.stdin(Stdio::from(OwnedFd::from(self.socket.try_clone().unwrap())));
        Exporter::run(&mut shell)
    }

    /// Restarts the exporter repeatedly while a sender sends, and returns the last one.
    fn restart_while(&self, sender: &mut Child) -> Exporter {
        let mut exporter = self.start();
        let mut restarts = 0;
        while sender.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(100));
            if restarts < RESTARTS {
                exporter.signal("TERM");
                let (status, log) = exporter.wait();
                assert!(status.success(), "{status}: {log:#?}");
                exporter = self.start();
                restarts += 1;
            }
        }
        assert_eq!(restarts, RESTARTS, "the sender ended too early");
        exporter
    }
}

fn messages(exporter: &Exporter) -> f64 {
    exporter.scrape().sum("openim_group_messages_total")
}

#[test]
fn fifty_restarts_under_load_lose_no_callback_of_simulate() {
    let manager = Manager::new();
    let report = manager.directory.path().join("report.json");
    let target = format!("http://{}", manager.address());
    let flags = ["simulate", "--target", &target, "--connections", CONNECTIONS, "--duration", "25s", "--report"];
    let mut sender = command(&flags).arg(&report).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let exporter = manager.restart_while(&mut sender);
    assert!(sender.wait().unwrap().success());
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["failed"]["total"], &report["sent"]), (&0.into(), &report["answered"]), "{report}");
    assert_eq!(messages(&exporter), report["answered"].as_f64().unwrap());
    let samples = exporter.scrape();
    for (kind, count) in report["by_content_type"].as_object().unwrap() {
        let counted = samples.sum_of("openim_group_messages_total", "content_type", kind);
        assert_eq!(counted, count["answered"].as_f64().unwrap(), "{kind}");
    }
}

#[test]
#[ignore = "needs go"]
fn fifty_restarts_under_load_lose_no_callback_of_go_s_client() {
    let manager = Manager::new();
    let url = format!("http://{}{GROUP_MESSAGE_PATH}", manager.address());
    let mut sender =
        Command::new(go_client::built()).args([&url, CONNECTIONS, "25s"]).stdout(Stdio::piped()).spawn().unwrap();
    let exporter = manager.restart_while(&mut sender);
    let output = sender.wait_with_output().unwrap();
    assert!(output.status.success());
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["failures"].is_null(), "{result}");
    assert!(result["sent"].as_u64().unwrap() > 1000 && result["sent"] == result["answered"], "{result}");
    assert_eq!(messages(&exporter), result["answered"].as_f64().unwrap());
}

#[test]
fn connections_waiting_in_a_passed_socket_are_served_by_the_next_process() {
    let manager = Manager::new();
    let exporter = manager.start();
    exporter.signal("TERM");
    exporter.wait_for_log("that it drains", |lines| lines.iter().any(|line| line.contains("SIGTERM")));
    thread::sleep(Duration::from_millis(100));
    let mut waiting = support::Client::connect(manager.address()).unwrap();
    waiting.send(support::post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes())).unwrap();
    assert!(exporter.wait().0.success());
    assert!(!waiting.is_closed());
    let next = manager.start();
    assert_eq!(waiting.answer().status, 200);
    assert_eq!(messages(&next), 1.0);
}

#[test]
fn an_address_beside_a_passed_socket_causes_a_warning() {
    let manager = Manager::new();
    for flags in [&[][..], &["--web.listen-address", ":10006"]] {
        let exporter = manager.start_with(flags);
        assert_eq!(exporter.addresses(), [manager.address()]);
        let is_warning = |line: &&String| line.contains("--web.listen-address is ignored");
        let warnings: Vec<_> = exporter.log().into_iter().filter(|line| is_warning(&line)).collect();
        assert_eq!(warnings.len(), flags.len() / 2, "{warnings:?}");
        assert!(warnings.iter().all(|line| line.contains(&manager.address().to_string())), "{warnings:?}");
    }
}

#[test]
fn systemd_socket_without_a_socket_is_an_error() {
    let output = command(&["--web.systemd-socket"]).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("--web.systemd-socket") && printed.contains("no socket was passed on"), "{printed}");
}
