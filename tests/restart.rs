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
use support::{Exporter, GROUP_MESSAGE_PATH, command, eventually, go_client, message, signal};

const RESTARTS: usize = 50;
const CONNECTIONS: &str = "16";

/// At least this many messages are counted between two restarts.
const BETWEEN: f64 = 100.0;

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

    /// Restarts the exporter repeatedly while a sender sends, and ends the sender with this signal. Returns the last
    /// exporter and the sender's report.
    fn restart_while(&self, sender: &mut Command, end: &str) -> (Exporter, Value) {
        let mut exporter = self.start();
        let mut sender = Sender(sender.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        for _ in 0..RESTARTS {
            let before = messages(&exporter);
            eventually("messages", || messages(&exporter) >= before + BETWEEN);
            exporter.signal("TERM");
            let (status, log) = exporter.wait();
            assert!(status.success(), "{status}: {log:#?}");
            exporter = self.start();
        }
        signal(sender.0.id(), end);
        let report = serde_json::from_reader(sender.0.stdout.take().unwrap()).unwrap();
        let status = sender.0.wait().unwrap();
        assert!(status.success(), "{status}: {report}");
        (exporter, report)
    }
}

/// A sender. It is killed when dropped.
struct Sender(Child);

impl Drop for Sender {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn messages(exporter: &Exporter) -> f64 {
    exporter.scrape().sum("openim_group_messages_total")
}

#[test]
fn fifty_restarts_under_load_lose_no_callback_of_simulate() {
    let manager = Manager::new();
    let target = format!("http://{}", manager.address());
    let flags = ["simulate", "--target", &target, "--connections", CONNECTIONS, "--duration", "1h", "--report", "-"];
    let (exporter, report) = manager.restart_while(&mut command(&flags), "INT");
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
    let mut sender = Command::new(go_client::built());
    let (exporter, result) = manager.restart_while(sender.args([&url, CONNECTIONS, "1h"]), "TERM");
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
