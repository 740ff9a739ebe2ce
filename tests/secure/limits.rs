//! Limits of connections, memory and requests, and the networks that may send callbacks.

use std::time::{Duration, Instant};

use std::net::SocketAddr;

use openim_exporter::config::{self, Http};
use openim_exporter::http::Limits;

use crate::authority::Authority;
use crate::get;
use crate::served::{Served, http_config};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, eventually, message, post_bytes};

fn rejected(exporter: &Exporter, reason: &str) -> f64 {
    exporter.scrape().value(&format!(r#"openim_exporter_callbacks_rejected_total{{reason="{reason}"}}"#))
}

/// A connection from this address. All of 127.0.0.0/8 are addresses of this machine.
fn connect_from(server: SocketAddr, address: &str) -> Client {
    Client::connect_from(server, address.parse().unwrap()).unwrap()
}

#[test]
fn too_many_connections_from_one_address_do_not_affect_others() {
    let exporter = Exporter::start(&["--web.max-connections-per-address", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| connect_from(exporter.address(), "127.0.0.2")).collect();
    for client in &mut held {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    }
    let mut fourth = connect_from(exporter.address(), "127.0.0.2");
    let (_, detail) = fourth.answer().refusal(503);
    assert!(detail.contains("--web.max-connections-per-address"), "{detail}");
    assert_eq!(
        connect_from(exporter.address(), "127.0.0.3").post(GROUP_MESSAGE_PATH, message("g", "u")).text(),
        SUCCESS
    );
    assert_eq!(rejected(&exporter, "too_many_connections_per_address"), 1.0);
    held.pop();
    eventually("its share to be free", || {
        let mut client = connect_from(exporter.address(), "127.0.0.2");
        client.send(post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes())).is_ok()
            && client.try_answer().is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_full_callback_listener_does_not_block_the_telemetry_listener() {
    let flags = ["--web.max-connections", "20", "--web.telemetry-address", "127.0.0.1:0"];
    let exporter = Exporter::start(&flags);
    let telemetry = exporter.addresses()[1];
    let mut held: Vec<_> = (0..19).map(|_| exporter.connect()).collect();
    for client in &mut held {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    }
    exporter.connect().answer().refusal(503);
    let mut probe = Client::connect(telemetry).unwrap();
    probe.send(get("/-/healthy", "")).unwrap();
    assert_eq!(probe.answer().status, 200);
}

#[test]
fn guessed_passwords_do_not_delay_other_clients() {
    let authority = Authority::new();
    // The guesses that wait take a fraction of a second. On a busy machine, those of a higher cost could take so long that
    // the exporter gives up.
    let callers = authority.write("callers", format!("openim:{}\n", bcrypt::hash("right", 7).unwrap()));
    let exporter = Exporter::start(&["--callback.basic-auth-file", callers.to_str().unwrap()]);
    let post = |password: &str| {
        let headers = format!("authorization: {}\r\n", crate::basic("openim", password));
        post_bytes(GROUP_MESSAGE_PATH, &headers, message("g", "u").as_bytes())
    };
    // Far more guesses than may wait, all different.
    let mut guesses: Vec<_> = (0..100).map(|_| connect_from(exporter.address(), "127.0.0.2")).collect();
    for (number, client) in guesses.iter_mut().enumerate() {
        client.send(post(&format!("guess {number}"))).unwrap();
    }
    let mut openim = connect_from(exporter.address(), "127.0.0.3");
    openim.send(post("right")).unwrap();
    assert_eq!(openim.answer().text(), SUCCESS);
    let statuses: Vec<_> = guesses.iter_mut().map(|client| client.answer().status).collect();
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&401) && statuses.contains(&503), "{statuses:?}");
}

#[test]
fn allowed_networks_apply_to_callbacks_and_not_to_pages() {
    let exporter = Exporter::start(&["--callback.allowed-networks", "127.0.0.8/30,192.0.2.7"]);
    for (from, allowed) in [("127.0.0.8", true), ("127.0.0.11", true), ("127.0.0.12", false), ("127.0.0.1", false)] {
        let mut client = connect_from(exporter.address(), from);
        let answer = client.post(GROUP_MESSAGE_PATH, message("g", "u"));
        if allowed {
            assert_eq!(answer.text(), SUCCESS, "{from}");
        } else {
            let (_, detail) = answer.refusal(403);
            assert!(detail.contains("--callback.allowed-networks"), "{detail}");
        }
        client.send(get("/-/healthy", "")).unwrap();
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(rejected(&exporter, "forbidden"), 2.0);
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 2.0);
}

#[test]
fn bodies_share_limited_memory_and_get_503_beyond_it() {
    const BODY: usize = 60 * 1024;
    let flags = ["--callback.max-body-bytes", "64KiB", "--callback.max-buffered-bytes", "128KiB"];
    let exporter = Exporter::start(&flags);
    let whole = |fill: u8| {
        let body =
            message("g", "u").replace('{', &format!(r#"{{"ex":"{}","#, char::from(fill).to_string().repeat(BODY)));
        post_bytes(GROUP_MESSAGE_PATH, "", body.as_bytes())
    };
    let mut half = exporter.connect();
    let bytes = whole(b'a');
    let (begin, end) = bytes.split_at(bytes.len() - 100);
    half.send(begin).unwrap();
    eventually("half a body to come", || exporter.scrape().value("openim_exporter_callbacks_in_flight") == 1.0);
    // Wait until everything that was sent has arrived.
    std::thread::sleep(Duration::from_millis(500));
    let mut other = exporter.connect();
    other.send(whole(b'b')).unwrap();
    let (_, detail) = other.answer().refusal(503);
    assert!(detail.contains("--callback.max-buffered-bytes"), "{detail}");
    assert_eq!(rejected(&exporter, "overloaded"), 1.0);
    // A body that arrives in one piece needs none of this memory.
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    half.send(end).unwrap();
    assert_eq!(half.answer().text(), SUCCESS);
    let mut chunked = exporter.connect();
    let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let body = message("g", "u").replace('{', &format!(r#"{{"ex":"{}","#, "c".repeat(BODY)));
    let (first, second) = body.split_at(BODY / 2);
    chunked.send(format!("{head}{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len())).unwrap();
    assert_eq!(chunked.answer().text(), SUCCESS);
}

#[test]
fn incomplete_bodies_of_one_address_leave_memory_for_others() {
    const BODY: usize = 60 * 1024;
    let flags = ["--callback.max-body-bytes", "64KiB", "--callback.max-buffered-bytes", "256KiB"];
    let exporter = Exporter::start(&flags);
    let fill = format!(r#"{{"ex":"{}","#, "x".repeat(BODY));
    let bytes = post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").replace('{', &fill).as_bytes());
    let (begin, end) = bytes.split_at(bytes.len() - 100);
    let in_flight = |count: f64| exporter.scrape().value("openim_exporter_callbacks_in_flight") == count;
    let mut half = connect_from(exporter.address(), "127.0.0.2");
    half.send(begin).unwrap();
    eventually("half a body to come", || in_flight(1.0));
    // Wait until everything that was sent has arrived.
    std::thread::sleep(Duration::from_millis(500));
    // Half of the memory is free, but not for this address.
    let mut second = connect_from(exporter.address(), "127.0.0.2");
    second.send(&bytes).unwrap();
    let (_, detail) = second.answer().refusal(503);
    assert!(detail.contains("from one address") && detail.contains("--callback.max-buffered-bytes"), "{detail}");
    let mut other = connect_from(exporter.address(), "127.0.0.3");
    other.send(&bytes).unwrap();
    assert_eq!(other.answer().text(), SUCCESS);
    assert_eq!(rejected(&exporter, "overloaded"), 1.0);
    half.send(end).unwrap();
    assert_eq!(half.answer().text(), SUCCESS);
}

#[test]
fn unread_scrapes_of_one_address_leave_scrapes_for_others() {
    // A scrape of several megabytes, more than the kernel buffers for a client that does not read.
    let served = Served::with_groups(60_000, Limits::default(), 4);
    let mut deaf: Vec<_> = (0..2).map(|_| connect_from(served.address(), "127.0.0.2")).collect();
    for client in &mut deaf {
        client.send(get("/metrics/groups", "")).unwrap();
        // It is being written.
        assert!(!client.some(100).unwrap().is_empty());
    }
    let mut third = connect_from(served.address(), "127.0.0.2");
    third.send(get("/metrics", "")).unwrap();
    let (_, detail) = third.answer().refusal(503);
    assert!(detail.contains("2 from one address") && detail.contains("--web.max-requests"), "{detail}");
    assert_eq!(served.refused("too_many_scrapes"), 1.0);
    // Answers of the API have shares of their own.
    third.send(get("/api/v1/summary", "")).unwrap();
    assert_eq!(third.answer().status, 200);
    let mut prometheus = connect_from(served.address(), "127.0.0.3");
    prometheus.send(get("/metrics", "")).unwrap();
    assert_eq!(prometheus.answer().status, 200);
    drop(deaf);
    eventually("their shares to be free", || {
        let mut client = connect_from(served.address(), "127.0.0.2");
        client.send(get("/metrics", "")).unwrap();
        client.answer().status == 200
    });
}

/// The head of a callback with these lines and a declared length.
fn head(path: &str, lines: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{lines}\r\n"
    )
}

#[test]
fn expect_100_continue_gets_the_refusal_or_100() {
    const SECRET: &str = "0123456789abcdef-secret";
    const EXPECT: &str = "Expect: 100-continue\r\n";
    let authority = Authority::new();
    let secret = authority.write("secret", SECRET);
    let callers = authority.write("callers", format!("openim:{}\n", crate::hash("right")));
    let exporter = Exporter::start(&[
        "--callback.secret-file",
        secret.to_str().unwrap(),
        "--callback.basic-auth-file",
        callers.to_str().unwrap(),
        "--callback.allowed-networks",
        "127.0.0.1",
    ]);
    let body = message("g", "u");
    let path = format!("/{SECRET}{GROUP_MESSAGE_PATH}");
    let (wrong, right) = (crate::basic("openim", "wrong"), crate::basic("openim", "right"));
    let no_secret = head(GROUP_MESSAGE_PATH, EXPECT, 1 << 20);
    let guess = head(&path, &format!("{EXPECT}authorization: {wrong}\r\n"), 1 << 20);
    // There is only one answer.
    for (from, head, status) in
        [("127.0.0.1", no_secret.clone(), 401), ("127.0.0.1", guess.clone(), 401), ("127.0.0.2", guess.clone(), 403)]
    {
        let mut client = connect_from(exporter.address(), from);
        let begin = Instant::now();
        client.send(&head).unwrap();
        let answer = client.answer();
        answer.refusal(status);
        assert!(answer.closes(), "{head}: {answer:?}");
        assert_eq!(client.rest(), "", "{head}");
        assert!(begin.elapsed() < Duration::from_secs(3), "{head}: {:?}", begin.elapsed());
    }
    // A client that sends the body without waiting: the connection continues.
    let mut client = connect_from(exporter.address(), "127.0.0.1");
    for _ in 0..3 {
        let answer = client.post(GROUP_MESSAGE_PATH, &body);
        answer.refusal(401);
        assert!(!answer.closes(), "{answer:?}");
    }
    client.send(head(&path, &format!("{EXPECT}authorization: {right}\r\n"), body.len())).unwrap();
    assert_eq!(client.answer().status, 100);
    client.send(&body).unwrap();
    assert_eq!(client.answer().text(), SUCCESS);
    assert_eq!(rejected(&exporter, "unauthorized") + rejected(&exporter, "forbidden"), 6.0);
}

#[test]
fn a_client_that_sends_a_large_unauthorized_body_can_read_the_refusal() {
    let authority = Authority::new();
    let secret = authority.write("secret", "0123456789abcdef-secret");
    let exporter = Exporter::start(&["--callback.secret-file", secret.to_str().unwrap()]);
    for round in 0..10 {
        let mut client = exporter.connect();
        client.send(head(GROUP_MESSAGE_PATH, "", 1 << 20)).unwrap();
        client.send(vec![b' '; 1 << 20]).unwrap_or_else(|error| panic!("round {round}: {error}"));
        client.try_answer().unwrap_or_else(|error| panic!("round {round}: {error}")).refusal(401);
    }
}

#[test]
fn the_rate_limit_applies_to_pages_and_not_to_callbacks_and_health() {
    let authority = Authority::new();
    let config = authority.write("web.yml", "rate_limit:\n  interval: 1h\n  burst: 3\n");
    let exporter = Exporter::start(&["--web.config.file", config.to_str().unwrap()]);
    let statuses = [(); 5].map(|()| exporter.get("/metrics").status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    exporter.get("/api/v1/summary").refusal(429);
    for _ in 0..10 {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
        assert_eq!(exporter.get("/-/healthy").status, 200);
    }
}

#[test]
fn a_password_whose_check_takes_too_long_gets_503_and_callbacks_continue() {
    let authority = Authority::new();
    // The check takes several seconds, and the limit is one.
    let users = format!("a:{}\n", bcrypt::hash("right", 4).unwrap().replace("$2b$04$", "$2b$15$"));
    let access = config::AccessSettings {
        web_config: Some(authority.write("web.yml", format!("basic_auth_users:\n  {}", users.replace(':', ": ")))),
        ..config::AccessSettings::default()
    };
    let limits = Limits { body: Duration::from_secs(1), ..Limits::default() };
    let served = Served::with_config(0, limits, Http { access, ..http_config(1) });
    let mut client = served.connect();
    client.send(get("/metrics", &format!("authorization: {}\r\n", crate::basic("a", "wrong")))).unwrap();
    let mut other = served.connect();
    assert_eq!(other.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    client.answer().refusal(503);
    assert_eq!(served.refused("overloaded"), 1.0);
}

#[test]
fn slow_heads_and_bodies_time_out_and_do_not_delay_others() {
    const EACH: usize = 200;
    let exporter = Exporter::start(&[]);
    let heads: Vec<_> = (0..EACH).map(|_| exporter.connect()).collect();
    let bodies: Vec<_> = (0..EACH).map(|_| exporter.connect()).collect();
    let mut slow: Vec<_> =
        heads.into_iter().map(|client| (client, "GET /metrics HTTP/1.1\r\nx-a: b\r\n".to_owned())).collect();
    let body = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{{");
    slow.extend(bodies.into_iter().map(|client| (client, body.clone())));
    for (client, begin) in &mut slow {
        client.send(begin).unwrap();
    }
    let mut other = exporter.connect();
    let mut answered = 0;
    // While the slow clients are sending.
    while rejected(&exporter, "header_timeout") + rejected(&exporter, "body_timeout") < 2.0 * EACH as f64 {
        assert_eq!(other.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
        answered += 1;
        for (client, _) in &mut slow {
            // A further byte does not extend the time.
            let _ = client.send("x");
        }
    }
    assert!(answered > 1);
    assert_eq!(rejected(&exporter, "header_timeout"), EACH as f64);
    assert_eq!(rejected(&exporter, "body_timeout"), EACH as f64);
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), f64::from(answered));
    for (client, _) in &mut slow {
        client.answer().refusal(408);
    }
}
