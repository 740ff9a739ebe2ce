//! Listening and accepting: combinations of addresses, and the limit of open files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::{Client, Exporter, GROUP_MESSAGE_PATH, Samples, command, eventually, free_port, message};

const ACCEPT_FAILURES: &str = "openim_exporter_accept_failures_total";

/// The exporter's command with a limit of open files, in the notation of `ulimit`.
fn limited(limit: &str) -> Command {
    let exporter = command(&["--web.listen-address", "127.0.0.1:0"]);
    let mut shell = Command::new("sh");
    shell.env("OPENIM_EXPORTER_STORAGE_PATH", "");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
    shell.arg(exporter.get_program()).args(exporter.get_args());
    shell
}

fn scrape(client: &mut Client) -> Samples {
    client.send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    Samples::parse(&client.answer().text())
}

#[test]
fn a_low_limit_of_open_files_is_raised_to_the_hard_limit() {
    let exporter = Exporter::run(&mut limited("-Sn 64"));
    let mut clients: Vec<_> = (0..200).map(|_| exporter.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    }
    assert_eq!(scrape(&mut clients[0]).value(ACCEPT_FAILURES), 0.0);
}

#[test]
fn without_open_files_connections_wait_and_a_warning_is_logged_once() {
    let exporter = Exporter::run(&mut limited("-n 40"));
    assert!(exporter.log().iter().any(|line| line.contains("LimitNOFILE")), "{:#?}", exporter.log());
    let mut first = exporter.connect();
    assert_eq!(first.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    let mut others: Vec<_> = (0..40).map(|_| exporter.connect()).collect();
    eventually("failures to accept a connection", || scrape(&mut first).value(ACCEPT_FAILURES) >= 4.0);
    let warned = |line: &&String| line.contains("cannot accept connections");
    assert_eq!(exporter.log().iter().filter(warned).count(), 1, "{:#?}", exporter.log());
    let mut last = others.pop().unwrap();
    drop(others);
    // It is accepted in the end.
    assert_eq!(last.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
}

fn answers(address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    Client::connect(address).is_ok_and(|mut client| client.post(GROUP_MESSAGE_PATH, message("g", "u")).status == 200)
}

#[test]
fn ipv4_and_ipv6_may_use_the_same_port() {
    let port = free_port();
    let flags = ["--web.listen-address", &format!("0.0.0.0:{port}"), "--web.listen-address", &format!("[::]:{port}")];
    let exporter = Exporter::run(&mut command(&flags));
    assert_eq!(exporter.addresses().len(), 2);
    assert!(answers(&format!("127.0.0.1:{port}")) && answers(&format!("[::1]:{port}")));
}

#[test]
fn the_ipv6_wildcard_alone_accepts_ipv4_too() {
    let port = free_port();
    let _exporter = Exporter::run(&mut command(&["--web.listen-address", &format!("[::]:{port}")]));
    assert!(answers(&format!("127.0.0.1:{port}")) && answers(&format!("[::1]:{port}")));
}
