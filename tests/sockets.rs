//! Listening and accepting: which addresses go together, and what happens when there are no open files left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::{Client, Exporter, GROUP_MESSAGE_PATH, Samples, command, eventually, free_port, message};

const ACCEPT_FAILURES: &str = "openim_exporter_accept_failures_total";

/// The exporter's command behind a limit of open files, as `ulimit` takes it.
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
fn a_low_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let exporter = Exporter::run(&mut limited("-Sn 64"));
    let mut clients: Vec<_> = (0..200).map(|_| exporter.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    }
    assert_eq!(scrape(&mut clients[0]).value(ACCEPT_FAILURES), 0.0);
}

#[test]
fn without_open_files_connections_wait_and_it_is_counted_and_logged_once() {
    let exporter = Exporter::run(&mut limited("-n 40"));
    assert!(exporter.log().iter().any(|line| line.contains("LimitNOFILE")), "{:#?}", exporter.log());
    let mut first = exporter.connect();
    assert_eq!(first.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    let mut others: Vec<_> = (0..40).map(|_| exporter.connect()).collect();
    eventually("failures of accepting", || scrape(&mut first).value(ACCEPT_FAILURES) >= 4.0);
    let warned = |line: &&String| line.contains("cannot be accepted");
    assert_eq!(exporter.log().iter().filter(warned).count(), 1, "{:#?}", exporter.log());
    let mut last = others.pop().unwrap();
    drop(others);
    // It was let in at last.
    assert_eq!(last.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
}

fn answers(address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    Client::connect(address).is_ok_and(|mut client| client.post(GROUP_MESSAGE_PATH, message("g", "u")).status == 200)
}

#[test]
fn the_same_port_may_be_taken_on_every_address_of_both_families() {
    let port = free_port();
    let flags = ["--web.listen-address", &format!("0.0.0.0:{port}"), "--web.listen-address", &format!("[::]:{port}")];
    let exporter = Exporter::run(&mut command(&flags));
    assert_eq!(exporter.addresses().len(), 2);
    assert!(answers(&format!("127.0.0.1:{port}")) && answers(&format!("[::1]:{port}")));
}

#[test]
fn every_ipv6_address_alone_takes_ipv4_too() {
    let port = free_port();
    let _exporter = Exporter::run(&mut command(&["--web.listen-address", &format!("[::]:{port}")]));
    assert!(answers(&format!("127.0.0.1:{port}")) && answers(&format!("[::1]:{port}")));
}
