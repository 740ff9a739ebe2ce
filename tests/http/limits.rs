//! Limits of time and number, on a site like the exporter's with limits that a test can reach.

use std::thread;
use std::time::{Duration, Instant};

use openim_exporter::config::Http;
use openim_exporter::http::Limits;

use crate::served::{HOUR, MINUTE, Served, get, http_config, in_hours};
use crate::support::{GROUP_MESSAGE_PATH, SUCCESS, Samples, eventually, message};

#[test]
fn too_many_scrapes_get_503_and_callbacks_are_answered() {
    // The limit is 0, so the first scrape is refused at any time.
    let served = Served::new(Limits::default(), 0);
    let mut client = served.connect();
    for (before, path) in ["/metrics", "/api/v1/summary", "/api/v1/groups"].into_iter().enumerate() {
        client.send(get(path)).unwrap();
        let (_, detail) = client.answer().refusal(503);
        assert!(detail.contains("--web.max-requests"), "{path}: {detail}");
        assert_eq!(served.refused("too_many_scrapes"), before as f64 + 1.0, "{path}");
    }
    assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
}

#[test]
fn a_share_of_the_scrapes_is_returned() {
    let served = Served::new(Limits::default(), 1);
    let mut client = served.connect();
    for _ in 0..5 {
        for path in ["/api/v1/summary", "/api/v1/groups"] {
            client.send(get(path)).unwrap();
            assert_eq!(client.answer().status, 200, "{path}");
            client.send(get(path).replace("GET", "HEAD")).unwrap();
            assert_eq!(client.answer_to_head().status, 200, "{path}");
        }
        // This page is not limited.
        client.send(get("/api/v1/groups?limit=0")).unwrap();
        client.answer().refusal(400);
        client.send(get("/metrics")).unwrap();
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        let refused = r#"openim_exporter_callbacks_rejected_total{reason="too_many_scrapes"}"#;
        assert_eq!(Samples::parse(&answer.text()).value(refused), 0.0);
    }
}

#[test]
fn a_connection_beyond_the_limit_is_refused_until_another_closes() {
    let served = Served::with_config(0, Limits::default(), Http { max_connections: 2, ..http_config(1) });
    let mut open = [served.connect(), served.connect()];
    for client in &mut open {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    }
    let mut third = served.connect();
    third.answer().refusal(503);
    assert_eq!(third.rest(), "");
    assert_eq!(served.refused("too_many_connections"), 1.0);
    let [first, mut second] = open;
    drop(first);
    eventually("another connection to be accepted", || {
        let mut another = served.connect();
        another.send(get("/-/healthy")).is_ok() && another.try_answer().is_ok_and(|answer| answer.status == 200)
    });
    assert_eq!(second.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
}

#[test]
fn a_body_that_does_not_arrive_in_time_gets_408() {
    let served = Served::new(in_hours(), 1);
    let own = || served.observed("openim_exporter_callback_duration_seconds");
    let mut most = Duration::ZERO;
    for (number, rest) in
        ["content-length: 100\r\n\r\n{", "content-length: 5000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n5\r\n{"]
            .into_iter()
            .enumerate()
    {
        let counts = || [served.refused("body_timeout"), served.refused("body_too_large")];
        let before = counts();
        let mut client = served.connect();
        client.send(format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\n{rest}")).unwrap();
        eventually("the head to be read", || served.in_progress().1 == 1);
        thread::sleep(Duration::from_millis(300));
        served.pass(5 * HOUR - MINUTE);
        assert_eq!(counts(), before, "{rest}");
        let expired = Instant::now();
        served.pass(MINUTE);
        let answer = client.answer();
        // Too long and too late: both answers are right.
        let is_too_large = rest.contains("5000");
        answer.refusal(if is_too_large { 413 } else { 408 });
        assert!(answer.closes(), "{rest}");
        let rise = f64::from(u8::from(is_too_large));
        assert_eq!(counts(), [before[0] + 1.0 - rise, before[1] + rise], "{rest}");
        eventually("its end", || own().0 == number as u64 + 1);
        most += expired.elapsed();
    }
    // A client that sends slowly cannot raise the exporter's own time.
    assert!(own().1 <= most.as_secs_f64(), "{:?} {most:?}", own());
    assert_eq!(served.observed("openim_exporter_callback_receive_seconds").0, 0);
}

#[test]
fn a_body_over_the_limit_with_expect_is_refused_before_it_is_sent() {
    // If the exporter waited for the body, it would refuse it only at the time limit, hours later.
    let served = Served::new(in_hours(), 1);
    let mut client = served.connect();
    let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    client.send(format!("{head}Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n")).unwrap();
    client.answer().refusal(413);
}

#[test]
fn a_request_for_a_page_with_an_endless_body_is_refused_and_counted() {
    let served = Served::new(Limits { body: Duration::from_secs(1), ..Limits::default() }, 1);
    let endless = format!("content-length: 10000000\r\n\r\n{}", "x".repeat(40_000));
    let cases = [
        ("content-length: 100\r\n\r\n{", 408, "body_timeout"),
        ("transfer-encoding: chunked\r\n\r\n5\r\n{", 408, "body_timeout"),
        ("transfer-encoding: chunked\r\n\r\nzz\r\n", 400, "broken_body"),
        (&endless, 413, "body_too_large"),
    ];
    for (rest, status, reason) in cases {
        for path in ["/metrics", "/-/healthy"] {
            let before = served.refused(reason);
            let mut client = served.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{rest}")).unwrap();
            let answer = client.answer();
            answer.refusal(status);
            assert!(answer.closes(), "{path} {reason}");
            assert_eq!(served.refused(reason) - before, 1.0, "{path} {reason}");
        }
        // A missing page is 404 with any body.
        for (line, status, why) in [
            ("GET /nothing", 404, "not_found"),
            ("PUT /metrics", 405, "method_not_allowed"),
            // Disabled.
            ("POST /-/quit", 404, "not_found"),
            ("POST /-/reload", 404, "not_found"),
        ] {
            let before = (served.refused(why), served.refused(reason));
            let mut client = served.connect();
            client.send(format!("{line} HTTP/1.1\r\nhost: x\r\n{rest}")).unwrap();
            let answer = client.answer();
            answer.refusal(status);
            assert!(answer.closes(), "{line} {reason}");
            assert_eq!(
                (served.refused(why) - before.0, served.refused(reason) - before.1),
                (1.0, 0.0),
                "{line} {reason}"
            );
        }
    }
    let mut client = served.connect();
    client.send("GET /-/healthy HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nxx").unwrap();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_head_that_does_not_arrive_in_time_gets_408_even_if_it_trickles() {
    let served = Served::new(in_hours(), 1);
    let (mut client, mut other) = (served.connect(), served.connect());
    // A limit that restarts with each byte would never be reached.
    for byte in get("/metrics").bytes().take(10) {
        client.send([byte]).unwrap();
        served.post(&mut other);
        assert_eq!(served.refused("header_timeout"), 0.0);
        served.pass(HOUR / 2);
    }
    let answer = client.answer();
    answer.refusal(408);
    assert!(answer.closes());
    assert_eq!((served.refused("header_timeout"), served.ended("idle")), (1.0, 0.0));
}

#[test]
fn an_idle_connection_is_closed_without_a_response_at_the_limit() {
    let served = Served::new(in_hours(), 1);
    let mut client = served.connect();
    for _ in 0..4 {
        assert!(!served.post(&mut client).closes());
        served.pass(599 * HOUR);
    }
    assert!(!client.is_closed());
    served.pass(HOUR);
    assert_eq!(client.rest(), "");
    eventually("its end", || (served.ended("idle"), served.ended("unread")) == (1.0, 0.0));
}

#[test]
fn a_client_that_does_not_read_its_answers_is_disconnected() {
    let served = Served::new(Limits { answer: Duration::from_secs(1), ..Limits::default() }, 1);
    let connections = || {
        let mut other = served.connect();
        other.send(get("/metrics")).unwrap();
        match other.answer() {
            // The scrape of the client that does not read may be in progress.
            busy if busy.status == 503 => f64::NAN,
            answer => Samples::parse(&answer.text()).value("openim_exporter_connections"),
        }
    };
    let mut deaf = served.connect();
    deaf.send(get("/-/healthy")).unwrap();
    assert_eq!(deaf.answer().status, 200);
    // Far more answers than the kernel buffers for a client.
    deaf.send(get("/metrics").repeat(500)).unwrap();
    eventually("its connection to be closed", || connections() == 1.0);
    let answers = deaf.rest().matches("HTTP/1.1 ").count();
    assert!((1..500).contains(&answers), "{answers}");
    assert_eq!((served.ended("idle"), served.ended("unread")), (0.0, 1.0));
}
