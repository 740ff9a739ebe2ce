//! Trusted proxies name the client: real proxies, configured as in docs/deploy.md, and clients that pretend to be one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, eventually, free_port, message, post_bytes};

/// Trusts the proxies on 127.0.0.9, and accepts callbacks only from 127.0.0.7.
const TRUST: &[&str] = &["--web.trusted-proxies", "127.0.0.9", "--callback.allowed-networks", "127.0.0.7"];

fn exporter(more: &[&str]) -> Exporter {
    Exporter::start(&[TRUST, more].concat())
}

fn connect(server: SocketAddr, source: &str) -> Client {
    Client::connect_from(server, source.parse().unwrap()).unwrap()
}

/// The status of a callback with these headers.
fn status(client: &mut Client, headers: &str) -> u16 {
    client.send(post_bytes(GROUP_MESSAGE_PATH, headers, message("g", "u").as_bytes())).unwrap();
    client.answer().status
}

/// Reason and client of the last refusals, newest first.
fn refused(exporter: &Exporter) -> Vec<(String, String)> {
    let summary = exporter.get("/api/v1/summary").json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let refusals = summary["callbacks"]["last_rejected"].as_array().unwrap();
    refusals.iter().map(|refusal| (text(&refusal["reason"]), text(&refusal["client"]))).collect()
}

fn forbidden(client: &str) -> Vec<(String, String)> {
    vec![("forbidden".to_owned(), client.to_owned())]
}

#[test]
fn the_headers_of_a_trusted_proxy_name_the_client() {
    let exporter = exporter(&[]);
    let mut proxy = connect(exporter.address(), "127.0.0.9");
    assert_eq!(status(&mut proxy, "X-Forwarded-For: 127.0.0.7\r\n"), 200);
    assert_eq!(status(&mut proxy, "Forwarded: for=\"127.0.0.7:1234\"\r\n"), 200);
    assert_eq!(status(&mut proxy, "X-Forwarded-For: 127.0.0.7, 127.0.0.8\r\n"), 403);
    assert_eq!(refused(&exporter), forbidden("127.0.0.8"));
    assert_eq!(status(&mut proxy, "X-Forwarded-For: 127.0.0.7\r\nForwarded: for=127.0.0.8\r\n"), 400);
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 2.0);
}

#[test]
fn the_headers_of_any_other_client_are_ignored() {
    let exporter = exporter(&[]);
    assert_eq!(status(&mut connect(exporter.address(), "127.0.0.8"), "X-Forwarded-For: 127.0.0.7\r\n"), 403);
    assert_eq!(refused(&exporter), forbidden("127.0.0.8"));
    assert_eq!(status(&mut connect(exporter.address(), "127.0.0.7"), "X-Forwarded-For: 127.0.0.8\r\n"), 200);
}

#[test]
fn connections_of_a_trusted_proxy_are_limited_by_client() {
    let exporter = exporter(&["--web.max-connections-per-address", "2", "--web.proxy-protocol"]);
    let through_proxy = |client: &str| {
        let mut proxy = connect(exporter.address(), "127.0.0.9");
        proxy.send(format!("PROXY TCP4 {client} 127.0.0.1 5678 10006\r\n")).unwrap();
        proxy
    };
    let mut held = [through_proxy("127.0.0.7"), through_proxy("127.0.0.7")];
    assert!(held.iter_mut().all(|client| status(client, "") == 200));
    assert_eq!(through_proxy("127.0.0.7").answer().status, 503);
    assert_eq!(refused(&exporter)[0].1, "127.0.0.7");
    assert_eq!(status(&mut through_proxy("127.0.0.8"), ""), 403);
    drop(held);
    eventually("a place for the client", || {
        let mut client = through_proxy("127.0.0.7");
        client.send(post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes())).is_ok()
            && client.try_answer().is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_wrong_proxy_header_is_refused_and_explained() {
    let exporter = exporter(&["--web.proxy-protocol"]);
    let mut without = connect(exporter.address(), "127.0.0.9");
    without.send(post_bytes(GROUP_MESSAGE_PATH, "", b"{}")).unwrap();
    let (_, detail) = without.answer().refusal(400);
    assert!(detail.contains("send-proxy-v2"), "{detail}");
    for header in
        [&b"PROXY TCP4 127.0.0.7 127.0.0.1 5678 10006\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\n"]
    {
        let mut untrusted = connect(exporter.address(), "127.0.0.7");
        untrusted.send(header).unwrap();
        let (_, detail) = untrusted.answer().refusal(400);
        assert!(detail.contains("--web.trusted-proxies"), "{detail}");
    }
    let mut invalid = connect(exporter.address(), "127.0.0.9");
    invalid.send("PROXY TCP4 nobody 127.0.0.1 5678 10006\r\n").unwrap();
    let (_, detail) = invalid.answer().refusal(400);
    assert!(detail.contains("the PROXY header is not valid"), "{detail}");
    // A health check, which does not count as a failure.
    drop(connect(exporter.address(), "127.0.0.9"));
    let series = r#"openim_exporter_callbacks_rejected_total{reason="malformed_request"}"#;
    assert_eq!(exporter.scrape().value(series), 4.0);
}

#[test]
fn a_silent_connection_of_a_proxy_is_idle_and_does_not_delay_the_end() {
    let exporter = exporter(&["--web.proxy-protocol"]);
    let mut silent = connect(exporter.address(), "127.0.0.9");
    std::thread::sleep(Duration::from_millis(100));
    exporter.signal("TERM");
    // It gets no refusal, unlike at the time limit of a head.
    assert_eq!(silent.rest(), "");
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}");
    // It was not cut off.
    assert!(log.iter().all(|line| !line.contains("level=warn")), "{log:#?}");
}

#[test]
fn a_proxy_header_needs_trusted_proxies() {
    let output = support::command(&["--web.proxy-protocol"]).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("set --web.trusted-proxies"), "{printed}");
}

/// A proxy that runs until dropped.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example of a configuration in docs/deploy.md: listens on 127.0.0.1:`port` and connects from 127.0.0.9.
fn example(language: &str, exporter: SocketAddr, port: u16) -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy.md")).unwrap();
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert!(example.contains("127.0.0.1:10006") && example.contains("10080"), "{example}");
    let listen = format!("127.0.0.1:{port}");
    example.replace("127.0.0.1:10006", &exporter.to_string()).replace(":10080", "10080").replace("10080", &listen)
}

/// Starts a proxy with a configuration, and waits until it listens.
fn start(mut command: Command, port: u16) -> Proxy {
    let proxy = Proxy(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the proxy is not installed"));
    eventually("the proxy to listen", || Client::connect(([127, 0, 0, 1], port).into()).is_ok());
    proxy
}

/// nginx with this in its `http` block, and with its files in this folder.
fn nginx(folder: &Path, http: &str, port: u16) -> Proxy {
    let at = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|kind| format!("{kind}_temp_path {at}/{kind};")).collect();
    let config = format!(
        "pid {at}/pid; error_log {at}/error.log; daemon off; master_process off; events {{}}\n\
         http {{ access_log off; {temporary}\n{http}}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(path).arg("-e").arg(folder.join("start.log"));
    start(command, port)
}

/// Callbacks through a proxy from the allowed address and another one.
fn check_through(exporter: &Exporter, port: u16) {
    let proxy = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(connect(proxy, "127.0.0.7").post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    // What a client writes itself does not count.
    for forged in [
        "X-Forwarded-For: 127.0.0.7\r\nForwarded: for=127.0.0.7",
        "X-Forwarded-For: \"",
        "X-Forwarded-For: 127.0.0.7\"",
        "X-Forwarded-For: \u{e9}",
        "X-Forwarded-For: ,",
        "X-Forwarded-For: 127.0.0.7\r\nX-Forwarded-For: \"",
        "Forwarded: for=127.0.0.7;x=\"",
    ] {
        assert_eq!(status(&mut connect(proxy, "127.0.0.8"), &format!("{forged}\r\n")), 403, "{forged}");
    }
    assert_eq!(refused(exporter)[..1], forbidden("127.0.0.8"));
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 1.0);
}

#[test]
#[ignore = "needs nginx"]
fn nginx_names_the_client_as_documented() {
    let (exporter, port, folder) = (exporter(&[]), free_port(), tempfile::tempdir().unwrap());
    let example = example("nginx", exporter.address(), port).replace("proxy_pass", "proxy_bind 127.0.0.9; proxy_pass");
    let _nginx = nginx(folder.path(), &example, port);
    check_through(&exporter, port);
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_names_the_client_as_documented_in_both_versions() {
    for option in ["send-proxy-v2", "send-proxy"] {
        let (exporter, port, folder) = (exporter(&["--web.proxy-protocol"]), free_port(), tempfile::tempdir().unwrap());
        let example = example("haproxy", exporter.address(), port).replace("send-proxy-v2", option);
        let example = example.replace(option, &format!("{option} source 127.0.0.9"));
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(
            &path,
            format!("defaults\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n{example}"),
        )
        .unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-q").arg("-f").arg(path);
        let _haproxy = start(command, port);
        check_through(&exporter, port);
    }
}

/// The business server of the next tests: its answers have the URL.
const BUSINESS_ANSWER: &str = r#"{"actionCode":1,"errCode":5001,"errMsg":"$request_uri","errDlt":"","nextCode":1}"#;

/// In a header of its answers: the request's headers, and the number of requests on its connection so far.
const RECEIVED: &str =
    "$http_host|$http_x_forwarded_for|$http_forwarded|$http_connection|$http_operationid|$connection_requests";

/// deploy/nginx-mirror.conf between OpenIM and two servers on this machine, and the business server, which is nginx too.
fn mirror(folder: &Path, exporter: SocketAddr, edit: impl Fn(String) -> String) -> (Proxy, SocketAddr) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx-mirror.conf")).unwrap();
    let (port, business) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let mut text = edit(text);
    let drops = format!("127.0.0.1:{}", free_port());
    text = text.replace("127.0.0.1:10081", &drops);
    for (old, new) in [
        ("192.0.2.1:8080", business.clone()),
        ("192.0.2.2:10006", exporter.to_string()),
        ("listen 10080;", format!("listen 127.0.0.1:{port};")),
        ("    listen [::]:10080;\n", String::new()),
    ] {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, &new);
    }
    let server = format!(
        "server {{ listen {business}; default_type application/json; add_header Received '{RECEIVED}'; \
         return 200 '{BUSINESS_ANSWER}'; }}"
    );
    (nginx(folder, &format!("{text}\n{server}"), port), ([127, 0, 0, 1], port).into())
}

/// Sends callbacks over a connection, each of which must get the business server's answer.
fn send(client: &mut Client, callbacks: usize) {
    for number in 0..callbacks {
        let path = format!("/callback{GROUP_MESSAGE_PATH}?contenttype=101&number={number}");
        let answer = client.post(&path, message("g", "u"));
        assert_eq!((answer.status, answer.text()), (200, BUSINESS_ANSWER.replace("$request_uri", &path)));
    }
}

fn counted(exporter: &Exporter) -> f64 {
    exporter.scrape().sum("openim_group_messages_total")
}

#[test]
#[ignore = "needs nginx"]
fn nginx_s_copies_are_all_counted_and_name_the_client() {
    let (exporter, folder) = (Exporter::start(&["--web.trusted-proxies", "127.0.0.1"]), tempfile::tempdir().unwrap());
    // No copy may fail because this machine is busy.
    let (_nginx, server) = mirror(folder.path(), exporter.address(), |text| text.replace("00ms;", "0000ms;"));
    let (mut client, mut other) = (connect(server, "127.0.0.7"), connect(server, "127.0.0.8"));
    send(&mut client, 40);
    send(&mut other, 10);
    eventually("all copies", || counted(&exporter) == 50.0);
    // The exporter's refusals are not OpenIM's business.
    assert_eq!(client.post(GROUP_MESSAGE_PATH, "not JSON").status, 200);
    eventually("the refusal", || !refused(&exporter).is_empty());
    assert_eq!(refused(&exporter)[0].1, "127.0.0.7");
    // Nobody can ask for the copy's location.
    assert_eq!(client.post("/copy-for-the-exporter", message("g", "u")).status, 404);
    assert_eq!(counted(&exporter), 50.0);
}

#[test]
#[ignore = "needs nginx"]
fn nginx_reuses_connections_to_the_business_server_and_names_the_client() {
    let (exporter, folder) = (Exporter::start(&["--web.trusted-proxies", "127.0.0.1"]), tempfile::tempdir().unwrap());
    let (_nginx, server) = mirror(folder.path(), exporter.address(), |text| text);
    let mut client = connect(server, "127.0.0.7");
    // nginx adds the client to another proxy's header, and removes the header that it does not write.
    let sent = "X-Forwarded-For: 192.0.2.9\r\nForwarded: for=192.0.2.9\r\n";
    let expected = "127.0.0.1:10006|192.0.2.9, 127.0.0.7|||op-1|";
    eventually("a second callback on a connection", || {
        client.send(post_bytes(GROUP_MESSAGE_PATH, sent, message("g", "u").as_bytes())).unwrap();
        let answer = client.answer();
        let received = answer.header("received").unwrap();
        let callbacks = received.strip_prefix(expected).unwrap_or_else(|| panic!("{received}, not {expected}"));
        callbacks.parse::<u32>().unwrap() > 1
    });
}

#[test]
#[ignore = "needs nginx"]
fn nginx_answers_while_the_exporter_hangs_or_is_stopped() {
    let address = format!("127.0.0.1:{}", free_port());
    let start = || Exporter::run(&mut support::command(&["--web.listen-address", &address]));
    let (exporter, folder) = (start(), tempfile::tempdir().unwrap());
    let (_nginx, server) = mirror(folder.path(), exporter.address(), |text| text);
    let mut client = connect(server, "127.0.0.7");
    // Until one has been counted.
    let recover = |client: &mut Client, exporter: &Exporter| {
        let before = counted(exporter);
        eventually("a copy", || {
            send(client, 1);
            counted(exporter) > before
        });
    };
    recover(&mut client, &exporter);
    exporter.signal("STOP");
    let begin = Instant::now();
    send(&mut client, 100);
    // If nginx waited for each copy, it would take 50 s.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    exporter.signal("CONT");
    recover(&mut client, &exporter);
    exporter.signal("TERM");
    send(&mut client, 100);
    exporter.wait();
    send(&mut client, 100);
    recover(&mut client, &start());
}
