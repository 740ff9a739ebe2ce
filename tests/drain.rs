//! Draining: OpenIM never sends a callback twice, so each one sent on an open connection must be answered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use support::{
    Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, eventually, free_port, logfmt_value, message, post_bytes,
};

/// Number of connections that send concurrently.
const CONNECTIONS: usize = 16;

/// Time after which a load loop ends, should the exporter never end it.
const LONGEST_LOAD: Duration = Duration::from_secs(10);

/// Longest time from the signal to the exit, with a margin for a busy machine.
const LONGEST_END: Duration = Duration::from_millis(4800);

/// The results of one connection.
#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    /// Requests that were completely written on an accepted connection and got no complete answer.
    lost: Vec<String>,
    told_to_close: bool,
}

fn request() -> Vec<u8> {
    post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes())
}

/// Posts without pause until an answer closes the connection. The first answer shows that the connection is accepted.
fn post_until_close(mut client: Client, all_accepted: &Barrier) -> Seen {
    let mut seen = Seen::default();
    let begin = Instant::now();
    while begin.elapsed() < LONGEST_LOAD {
        if let Err(error) = client.send(request()) {
            // A connection is closed only after an answer with `Connection: close`.
            seen.lost.push(format!("could not be sent: {error}"));
            break;
        }
        match client.try_answer() {
            Ok(answer) => {
                assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS));
                seen.answered += 1;
                seen.told_to_close = answer.closes();
            }
            Err(error) => seen.lost.push(error.to_string()),
        }
        if seen.told_to_close || !seen.lost.is_empty() {
            break;
        }
        if seen.answered == 1 {
            all_accepted.wait();
        }
    }
    seen
}

/// The total in the last line of the log.
fn stopped_messages(log: &[String]) -> u64 {
    let last = log.last().unwrap();
    assert!(last.contains("message=stopped "), "{log:#?}");
    logfmt_value(last, "messages").unwrap().parse().unwrap()
}

fn drain_under_load(signal: &str, after: Duration) {
    let exporter = Exporter::start(&[]);
    let all_accepted = Barrier::new(CONNECTIONS + 1);
    let (seen, signalled) = thread::scope(|scope| {
        let load = |_| {
            let client = exporter.connect();
            let all_accepted = &all_accepted;
            scope.spawn(move || post_until_close(client, all_accepted))
        };
        let loads: Vec<_> = (0..CONNECTIONS).map(load).collect();
        all_accepted.wait();
        thread::sleep(after);
        exporter.signal(signal);
        let signalled = Instant::now();
        (loads.into_iter().map(|load| load.join().unwrap()).collect::<Vec<_>>(), signalled)
    });
    let (status, log) = exporter.wait();
    let lost: Vec<_> = seen.iter().flat_map(|seen| &seen.lost).collect();
    assert!(lost.is_empty(), "{signal} after {after:?}: {} lost: {lost:?}", lost.len());
    assert!(seen.iter().all(|seen| seen.told_to_close), "{seen:?}");
    assert!(status.success(), "{status}");
    assert!(signalled.elapsed() < LONGEST_END, "{:?}", signalled.elapsed());
    assert_eq!(stopped_messages(&log), seen.iter().map(|seen| seen.answered).sum::<u64>());
    assert!(log.iter().any(|line| logfmt_value(line, "signal") == Some(&format!("SIG{signal}"))), "{log:#?}");
}

#[test]
fn a_drain_loses_no_request_on_an_open_connection() {
    for round in 0..20 {
        drain_under_load(if round % 4 == 0 { "INT" } else { "TERM" }, Duration::from_millis(round * 3));
    }
}

/// Opens a connection for each request, until none can be opened. Returns how many were answered.
fn post_one_by_one(exporter: &Exporter) -> u64 {
    let begin = Instant::now();
    let mut answered = 0;
    while begin.elapsed() < LONGEST_LOAD {
        let Ok(mut client) = Client::connect(exporter.address()) else {
            break;
        };
        client.send(post_bytes(GROUP_MESSAGE_PATH, "Connection: close\r\n", message("g", "u").as_bytes())).unwrap();
        assert_eq!(client.answer().status, 200);
        answered += 1;
    }
    answered
}

#[test]
fn every_connection_that_is_made_is_served_to_its_end() {
    for round in 0..5 {
        let exporter = Exporter::start(&[]);
        let answered: u64 = thread::scope(|scope| {
            let exporter = &exporter;
            let loads: Vec<_> = (0..4).map(|_| scope.spawn(move || post_one_by_one(exporter))).collect();
            thread::sleep(Duration::from_millis(30 + round * 7));
            exporter.signal("TERM");
            loads.into_iter().map(|load| load.join().unwrap()).sum()
        });
        let (status, log) = exporter.wait();
        assert!(status.success(), "{status}");
        assert!(answered > 0);
        assert_eq!(stopped_messages(&log), answered, "round {round}");
    }
}

/// Sends SIGTERM, and waits until the exporter refuses connections. Returns when the signal was sent.
fn begin_to_drain(exporter: &Exporter) -> Instant {
    let begin = Instant::now();
    exporter.signal("TERM");
    eventually("a refused connection", || exporter.refuses());
    begin
}

fn assert_none_cut_off(log: &[String]) {
    assert!(!log.iter().any(|line| line.contains("cut off")), "{log:#?}");
}

#[test]
fn a_drain_closes_idle_connections_after_a_second_and_refuses_new_ones() {
    let exporter = Exporter::start(&[]);
    let mut used = exporter.connect();
    assert_eq!(used.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    let mut fresh = exporter.connect();
    let begin = begin_to_drain(&exporter);
    assert!(exporter.refuses(), "a new connection was accepted");
    assert_eq!((used.rest().as_str(), fresh.rest().as_str()), ("", ""));
    // The exporter measures whole milliseconds. tests/http/drain.rs tests that it takes no longer.
    assert!(begin.elapsed() >= Duration::from_millis(999), "{:?}", begin.elapsed());
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}");
    assert_none_cut_off(&log);
    assert_eq!(stopped_messages(&log), 1);
}

#[test]
fn a_body_incomplete_at_the_signal_is_received_and_answered() {
    let request = request();
    for cut in [20, request.len() - 10] {
        let exporter = Exporter::start(&[]);
        let mut client = exporter.connect();
        client.send(&request[..cut]).unwrap();
        thread::sleep(Duration::from_millis(50));
        begin_to_drain(&exporter);
        thread::sleep(Duration::from_millis(500));
        client.send(&request[cut..]).unwrap();
        let response = client.answer();
        assert_eq!((response.status, response.text().as_str()), (200, SUCCESS), "cut at {cut}");
        assert!(response.closes(), "cut at {cut}");
        let (status, log) = exporter.wait();
        assert!(status.success(), "{status}");
        assert_eq!(stopped_messages(&log), 1);
    }
}

#[test]
fn a_client_that_never_finishes_does_not_delay_the_exit() {
    let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\n");
    for (request, reason) in [
        (head.clone(), "header_timeout"),
        (format!("{head}content-length: 50\r\n\r\n{{"), "body_timeout"),
        (format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{"), "body_timeout"),
    ] {
        let exporter = Exporter::start(&[]);
        let mut client = exporter.connect();
        client.send(request).unwrap();
        thread::sleep(Duration::from_millis(50));
        let begin = begin_to_drain(&exporter);
        let (_, detail) = client.answer().refusal(408);
        assert!(!detail.contains("5 s"), "{detail}");
        assert!(begin.elapsed() >= Duration::from_millis(2999), "{reason}: {:?}", begin.elapsed());
        drop(client);
        let (status, log) = exporter.wait();
        assert!(status.success(), "{status}");
        assert_eq!(stopped_messages(&log), 0);
        let refused = log.iter().find(|line| logfmt_value(line, "reason") == Some(reason));
        assert_eq!(logfmt_value(refused.unwrap(), "total"), Some("1"), "{log:#?}");
        assert_none_cut_off(&log);
    }
}

#[test]
fn an_incomplete_pipelined_request_gets_408() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    client.send([request(), request()[..40].to_vec()].concat()).unwrap();
    assert_eq!(client.answer().status, 200);
    begin_to_drain(&exporter);
    client.answer().refusal(408);
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}");
    assert_eq!(stopped_messages(&log), 1);
}

/// Connects as soon as something listens at the port.
fn connect_at_once(port: u16) -> Client {
    let begin = Instant::now();
    loop {
        match Client::connect(([127, 0, 0, 1], port).into()) {
            Ok(client) => return client,
            Err(error) => assert!(begin.elapsed() < LONGEST_LOAD, "{error}"),
        }
    }
}

#[test]
fn a_signal_directly_after_the_start_drains() {
    for round in 0..20 {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut child = support::command(&["--web.listen-address", &address]).stderr(Stdio::null()).spawn().unwrap();
        let mut client = connect_at_once(port);
        client.send(request()).unwrap();
        let signal = if round % 2 == 0 { "TERM" } else { "INT" };
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        let answer = client.try_answer();
        let status = child.wait().unwrap();
        assert!(status.success(), "round {round}, {signal}: {status}");
        assert_eq!(answer.unwrap().status, 200, "round {round}, {signal}");
    }
}

#[test]
fn every_listen_address_serves() {
    // The flag that every test gives, and one more.
    let exporter = Exporter::start(&["--web.listen-address", "127.0.0.1:0"]);
    let [first, second] = exporter.addresses() else {
        panic!("{:?}", exporter.addresses());
    };
    assert_ne!(first, second);
    for address in [first, second] {
        let mut client = Client::connect(*address).unwrap();
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    }
    exporter.signal("TERM");
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}");
    assert_eq!(stopped_messages(&log), 2);
}

#[test]
fn live_streams_end() {
    let exporter = Exporter::start(&[]);
    let mut viewers: Vec<_> = (0..20).map(|_| exporter.connect()).collect();
    for viewer in &mut viewers {
        viewer.send("GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert_eq!(viewer.answer_to_head().status, 200);
        assert!(!viewer.chunk().unwrap().is_empty());
    }
    begin_to_drain(&exporter);
    for viewer in &mut viewers {
        while !viewer.chunk().unwrap().is_empty() {}
    }
    drop(viewers);
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}");
    assert_none_cut_off(&log);
}
