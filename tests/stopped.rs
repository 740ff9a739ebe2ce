//! A process that is stopped (SIGSTOP, a frozen virtual machine): what arrived meanwhile is not late.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::thread;
use std::time::Duration;

use support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, message, post_bytes};

/// Longer than every time limit, except the one for idle connections.
const STOP: Duration = Duration::from_secs(7);

#[test]
fn a_request_whose_rest_arrives_during_a_stop_is_answered() {
    let exporter = Exporter::start(&[]);
    let request = post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes());
    let body = request.len() - message("g", "u").len();
    // Cut within the head, at its end, and within the body.
    let mut clients: Vec<(Client, &[u8])> = [10, body - 1, body, body + 5]
        .map(|at| {
            let mut client = exporter.connect();
            client.send(&request[..at]).unwrap();
            (client, &request[at..])
        })
        .into();
    thread::sleep(Duration::from_millis(300));
    exporter.signal("STOP");
    for (client, rest) in &mut clients {
        client.send(rest).unwrap();
    }
    thread::sleep(STOP);
    exporter.signal("CONT");
    for (client, _) in &mut clients {
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS));
    }
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 4.0);
}

#[test]
fn a_request_that_is_still_incomplete_after_a_stop_gets_its_whole_time() {
    let exporter = Exporter::start(&[]);
    let request = post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes());
    let (first, rest) = request.split_at(request.len() - 5);
    let mut client = exporter.connect();
    client.send(first).unwrap();
    thread::sleep(Duration::from_millis(300));
    exporter.signal("STOP");
    thread::sleep(STOP);
    exporter.signal("CONT");
    thread::sleep(Duration::from_secs(1));
    client.send(rest).unwrap();
    assert_eq!(client.answer().status, 200);
}
