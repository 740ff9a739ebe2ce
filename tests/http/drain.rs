//! Drains of a site whose limits are hours instead of seconds.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use crate::served::{HOUR, MINUTE, Served, get, http_config, in_hours};
use crate::support::{Client, GROUP_MESSAGE_PATH, Response, Samples, eventually};

fn ask(client: &mut Client, path: &str) -> Response {
    client.send(get(path)).unwrap();
    client.answer()
}

#[test]
fn idle_connections_are_closed_after_a_second_and_are_not_counted() {
    let served = Served::new(in_hours(), 1);
    let (mut used, mut fresh, mut asking) = (served.connect(), served.connect(), served.connect());
    asking.send("GET /metrics HTTP/1.1\r\n").unwrap();
    served.post(&mut used);
    served.drain();
    served.pass(HOUR - MINUTE);
    assert!(!used.is_closed() && !fresh.is_closed());
    served.pass(MINUTE);
    eventually("their end", || used.is_closed() && fresh.is_closed());
    assert_eq!((used.rest().as_str(), fresh.rest().as_str()), ("", ""));
    asking.send("host: x\r\n\r\n").unwrap();
    let metrics = Samples::parse(&asking.answer().text());
    assert_eq!(metrics.value(r#"openim_exporter_connections_ended_total{reason="idle"}"#), 0.0);
    drop(asking);
    served.wait();
}

#[test]
fn a_callback_on_an_idle_connection_is_answered_with_close() {
    let served = Served::new(in_hours(), 1);
    let mut client = served.connect();
    assert!(!served.post(&mut client).closes());
    served.drain();
    assert!(served.post(&mut client).closes());
    assert_eq!((client.rest().as_str(), served.callbacks()), ("", 2));
    served.wait();
}

#[test]
fn requests_that_never_arrive_get_408_after_three_seconds() {
    let served = Served::new(in_hours(), 1);
    let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\n");
    let rests = ["", "content-length: 50\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n5\r\n{"];
    let mut clients = rests.map(|rest| {
        let mut client = served.connect();
        client.send(format!("{head}{rest}")).unwrap();
        client
    });
    served.post(&mut served.connect());
    let counts = || (served.refused("header_timeout"), served.refused("body_timeout"));
    served.drain();
    served.pass(3 * HOUR - MINUTE);
    assert_eq!(counts(), (0.0, 0.0));
    served.pass(MINUTE);
    for client in &mut clients {
        client.answer().refusal(408);
    }
    assert_eq!(counts(), (1.0, 2.0));
    drop(clients);
    served.wait();
}

#[test]
fn a_draining_exporter_is_healthy_but_not_ready() {
    let served = Served::new(in_hours(), 1);
    let mut clients = [served.connect(), served.connect(), served.connect()];
    for client in &mut clients {
        assert_eq!(ask(client, "/-/ready").status, 200);
    }
    served.drain();
    let [ready, healthy, metrics] = &mut clients;
    let answer = ask(ready, "/-/ready");
    assert_eq!(answer.status, 503);
    assert!(answer.closes());
    assert_eq!(ask(healthy, "/-/healthy").status, 200);
    // The last scrape of a process has its last counts.
    assert_eq!(ask(metrics, "/metrics").status, 200);
    served.wait();
}

#[test]
fn every_listen_address_drains() {
    let served = Served::with_addresses(2, 0, in_hours(), http_config(1));
    let [first, second] = served.addresses() else { panic!("{:?}", served.addresses()) };
    assert_ne!(first, second);
    let mut clients = [first, second].map(|address| Client::connect(*address).unwrap());
    for client in &mut clients {
        assert!(!served.post(client).closes());
    }
    served.drain();
    for address in [first, second] {
        let connect = || TcpStream::connect_timeout(address, Duration::from_millis(10));
        eventually("a refused connection", || {
            connect().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
        assert!(Client::connect(*address).is_err(), "{address} still accepts connections");
    }
    for client in &mut clients {
        assert!(served.post(client).closes());
    }
    assert_eq!(served.callbacks(), 4);
    served.wait();
}
