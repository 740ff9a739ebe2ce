//! Connections: framing, split and incomplete requests, and the gauges.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, Samples, eventually, message, post_bytes};

const REFUSED: &str = "openim_exporter_callbacks_rejected_total";

fn messages(exporter: &Exporter) -> f64 {
    exporter.scrape().sum("openim_group_messages_total")
}

#[test]
fn one_connection_serves_many_requests() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    for _ in 0..200 {
        let response = client.post(GROUP_MESSAGE_PATH, message("g", "u"));
        assert_eq!((response.status, response.text().as_str()), (200, SUCCESS));
        assert!(!response.closes());
    }
    assert_eq!(client.post(GROUP_MESSAGE_PATH, "{").status, 400);
    // A refusal does not close the connection: that could lose the next callback.
    assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    assert_eq!(messages(&exporter), 201.0);
}

#[test]
fn a_request_with_connection_close_is_answered_first() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    client.send(post_bytes(GROUP_MESSAGE_PATH, "Connection: close\r\n", message("g", "u").as_bytes())).unwrap();
    let response = client.answer();
    assert_eq!((response.status, response.text().as_str()), (200, SUCCESS));
    assert!(response.closes());
    assert_eq!(client.rest(), "");
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    let body = message("g", "u");
    client.send(format!("POST {GROUP_MESSAGE_PATH} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())).unwrap();
    assert_eq!(client.answer().text(), SUCCESS);
    assert_eq!(client.rest(), "");
    assert_eq!(messages(&exporter), 1.0);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let exporter = Exporter::start(&[]);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
    let post = |body: &str| post_bytes(GROUP_MESSAGE_PATH, "", body.as_bytes());
    let mut bytes = [
        post(&message("g", "u")),
        get("/nothing"),
        post("{"),
        get("/-/healthy"),
        get("/metrics"),
        post(&message("g", "u")),
        get("/-/ready"),
    ]
    .concat();
    // The last request is sent in two parts.
    let end = bytes.split_off(bytes.len() - 5);
    let mut client = exporter.connect();
    client.send(bytes).unwrap();
    let statuses = [200, 404, 400, 200, 200, 200].map(|_| client.answer().status);
    assert_eq!(statuses, [200, 404, 400, 200, 200, 200]);
    client.send(end).unwrap();
    assert_eq!(client.answer().text(), "openim-exporter is ready.\n");
    assert_eq!(messages(&exporter), 2.0);
}

#[test]
fn a_chunked_body_is_reassembled() {
    let exporter = Exporter::start(&[]);
    let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut client = exporter.connect();
    let chunks = "7;extension=1\r\n{\"sendI\r\n1\r\nD\r\n15\r\n\":\"u\",\"groupID\":\"g\"} \r\n0\r\nTrailer: x\r\n\r\n";
    client.send(format!("{head}{chunks}")).unwrap();
    assert_eq!(client.answer().text(), SUCCESS);
    // The next request on the connection is answered.
    assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    assert_eq!(exporter.scrape().value(r#"openim_group_messages_by_group_total{group_id="g"}"#), 2.0);
}

#[test]
fn a_request_sent_byte_by_byte_is_counted_once() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    for byte in post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes()) {
        client.send([byte]).unwrap();
        thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(client.answer().text(), SUCCESS);
    assert_eq!(messages(&exporter), 1.0);
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let exporter = Exporter::start(&[]);
    let body = message("g", "u");
    let request = post_bytes(GROUP_MESSAGE_PATH, "Expect: 100-continue\r\n", body.as_bytes());
    let (head, body) = request.split_at(request.len() - body.len());
    let mut client = exporter.connect();
    client.send(head).unwrap();
    assert_eq!(client.answer().status, 100);
    client.send(body).unwrap();
    assert_eq!(client.answer().text(), SUCCESS);
    assert_eq!(messages(&exporter), 1.0);
}

#[test]
fn a_client_that_shuts_down_its_sending_side_gets_its_answer() {
    let exporter = Exporter::start(&[]);
    let scrape = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
    for request in [post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes()), scrape] {
        let mut client = exporter.connect();
        client.send(request).unwrap();
        client.end_of_sending();
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn an_incomplete_request_of_a_disconnected_client_counts_nothing() {
    let exporter = Exporter::start(&[]);
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    let before = exporter.scrape();
    let whole = post_bytes(GROUP_MESSAGE_PATH, "", message("another", "u").as_bytes());
    let cuts = [1, 30, whole.len() - 40, whole.len() - 1];
    for cut in cuts {
        let mut client = exporter.connect();
        client.send(&whole[..cut]).unwrap();
        // The exporter must read the bytes before the end.
        thread::sleep(Duration::from_millis(20));
    }
    eventually("the gauges to fall back", || {
        let now = exporter.scrape();
        // The connection of the scrape is always open.
        (now.value("openim_exporter_callbacks_in_flight"), now.value("openim_exporter_connections")) == (0.0, 1.0)
    });
    let after = exporter.scrape();
    assert_eq!(after.statistics(), before.statistics());
    assert_eq!(after.sum("openim_exporter_callbacks_total"), 1.0);
}

#[test]
fn the_gauges_count_open_connections_and_callbacks_in_flight() {
    let exporter = Exporter::start(&[]);
    let gauges = || {
        let now = exporter.scrape();
        (now.value("openim_exporter_connections"), now.value("openim_exporter_callbacks_in_flight"))
    };
    assert_eq!(gauges(), (1.0, 0.0));
    let mut clients = [exporter.connect(), exporter.connect(), exporter.connect()];
    eventually("three more connections", || gauges() == (4.0, 0.0));
    let request = post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes());
    let (first, rest) = request.split_at(request.len() - 10);
    clients[0].send(first).unwrap();
    clients[1].send(first).unwrap();
    eventually("two callbacks in flight", || gauges() == (4.0, 2.0));
    clients[1].send(rest).unwrap();
    assert_eq!(clients[1].answer().status, 200);
    eventually("one of them to end", || gauges() == (4.0, 1.0));
    clients[0].send(rest).unwrap();
    assert_eq!(clients[0].answer().status, 200);
    eventually("both to end", || gauges() == (4.0, 0.0));
    drop(clients);
    eventually("the connections to close", || gauges() == (1.0, 0.0));
}

#[test]
fn the_duration_is_observed_once_per_answered_callback() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    for _ in 0..20 {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    }
    assert_eq!(client.post("/callbackUserOnlineCommand", "{}").status, 200);
    assert_eq!(client.post(GROUP_MESSAGE_PATH, "{").status, 400);
    // Not a callback.
    assert_eq!(exporter.get("/nothing").status, 404);
    let count = "openim_exporter_callback_duration_seconds_count";
    eventually("22 durations", || exporter.scrape().value(count) == 22.0);
    let samples = exporter.scrape();
    assert_eq!(samples.value(r#"openim_exporter_callback_duration_seconds_bucket{le="5"}"#), 22.0);
    let sum = samples.value("openim_exporter_callback_duration_seconds_sum");
    assert!(sum > 0.0 && sum < 20.0, "{sum}");
}

#[test]
fn the_time_in_which_a_callback_arrives_is_not_the_exporter_s() {
    let exporter = Exporter::start(&[]);
    let request = post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes());
    let body = request.len() - message("g", "u").len();
    let [own, receive] = ["openim_exporter_callback_duration_seconds", "openim_exporter_callback_receive_seconds"]
        .map(|name| move |samples: &Samples, part: &str| samples.value(&format!("{name}_{part}")));
    let [mut waited, mut after, mut all] = [Duration::ZERO; 3];
    // Cut within the head, at its end, and within the body.
    for at in [10, body, request.len() - 10] {
        let mut client = exporter.connect();
        let begin = Instant::now();
        client.send(&request[..at]).unwrap();
        // When this is answered, the exporter has read that part.
        exporter.scrape();
        let first = Instant::now();
        thread::sleep(Duration::from_secs(1));
        waited += first.elapsed();
        let rest = Instant::now();
        client.send(&request[at..]).unwrap();
        assert_eq!(client.answer().status, 200);
        // Two requests at once: the second one has no time of its own in which it arrives.
        client.send([&request[..], &request[..]].concat()).unwrap();
        assert_eq!([client.answer().status, client.answer().status], [200, 200]);
        // When the next request is answered, the exporter has ended those.
        client.send("GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert_eq!(client.answer().status, 200);
        after += rest.elapsed();
        all += begin.elapsed();
    }
    let samples = exporter.scrape();
    assert_eq!((own(&samples, "count"), receive(&samples, "count")), (9.0, 9.0));
    let [waited, after, all] = [waited, after, all].map(|time| time.as_secs_f64());
    let [own, receive] = [own(&samples, "sum"), receive(&samples, "sum")];
    assert!(waited <= receive && own <= after && own + receive <= all, "{own} {receive}: {waited} {after} {all}");
}

#[test]
fn the_time_of_the_last_callback_is_shown() {
    let exporter = Exporter::start(&[]);
    let last = || exporter.scrape().value("openim_exporter_last_callback_timestamp_seconds");
    assert_eq!(last(), 0.0);
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    // The value is in whole milliseconds.
    let begin = now() - 0.001;
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    assert!((begin..=now()).contains(&last()), "{}", last());
}

#[test]
fn an_incomplete_request_gets_408_after_five_seconds() {
    let exporter = Exporter::start(&[]);
    let start = |request: String| {
        let mut client = exporter.connect();
        client.send(request).unwrap();
        client
    };
    let head = start(format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\n"));
    let body = start(format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\nContent-Length: 30\r\n\r\n{{"));
    for (mut client, reason) in [(head, "header_timeout"), (body, "body_timeout")] {
        let response = client.answer();
        // tests/http/limits.rs tests when the answer comes.
        let (_, detail) = response.refusal(408);
        assert!(reason == "header_timeout" || detail.contains("within 5 s"), "{detail}");
        assert!(response.closes(), "{reason}");
        assert_eq!(exporter.scrape().value(&format!(r#"{REFUSED}{{reason="{reason}"}}"#)), 1.0);
    }
    assert_eq!(messages(&exporter), 0.0);
}

#[test]
fn an_idle_connection_stays_open() {
    let exporter = Exporter::start(&[]);
    let mut fresh = exporter.connect();
    let mut used = exporter.connect();
    assert_eq!(used.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    thread::sleep(Duration::from_secs(8));
    for client in [&mut fresh, &mut used] {
        assert!(!client.is_closed());
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    }
}
