//! Incomplete TLS records and HTTP/2 frames, and requests that `h2` refuses itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use openim_exporter::http::Limits;
use tokio_rustls::rustls::{ClientConnection, Stream};

use crate::authority::Authority;
use crate::multiplex::{frame, literal, served};
use crate::served::{HOUR, MINUTE, Served, in_hours};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, PATIENCE, eventually, message, post_bytes};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: u8 = 1;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// In the head of a response on stream 1. Its first field is `:status: 200`.
const OK: &[u8] = &[0, 0, 0, 1, 0x88, 0x5f];

fn contains(came: &[u8], part: &[u8]) -> bool {
    came.windows(part.len()).any(|bytes| bytes == part)
}

fn connect(authority: &Authority, served: &Served, protocol: &[u8]) -> Client {
    Client::connect_secure(served.address(), &authority.client_of(None, &[protocol])).unwrap()
}

/// A client that has sent the HTTP/2 preface.
fn connect_http2(authority: &Authority, served: &Served) -> Client {
    let mut client = connect(authority, served, b"h2");
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    client
}

fn head(method: &str, path: &str) -> Vec<u8> {
    [literal(":method", method), literal(":scheme", "https"), literal(":path", path), literal(":authority", "x")]
        .concat()
}

/// Checks that the unfinished requests of these clients are ended at the time limit of a head, and not before.
fn end_in_time(authority: &Authority, served: &Served, clients: &mut [Client]) {
    served.post(&mut connect(authority, served, b"http/1.1"));
    served.pass(5 * HOUR - MINUTE);
    assert_eq!(served.refused("header_timeout"), 0.0);
    served.pass(MINUTE);
    eventually("the refusals", || served.refused("header_timeout") == clients.len() as f64);
    eventually("the end of all", || {
        // The clients do not close their connections, so these linger.
        served.pass(HOUR);
        clients.iter_mut().all(Client::is_closed)
    });
    assert_eq!(served.refused("header_timeout"), clients.len() as f64);
}

#[test]
fn an_incomplete_tls_record_counts_as_an_incomplete_head() {
    let (authority, served) = served(in_hours(), 1, 0);
    let mut client = connect(&authority, &served, b"http/1.1");
    served.post(&mut client);
    // An idle connection has no incomplete record.
    served.pass(6 * HOUR);
    served.post(&mut client);
    client.send_below(&[&[23, 3, 3, 1, 0][..], &[7; 100]].concat());
    end_in_time(&authority, &served, std::slice::from_mut(&mut client));
    client.answer().refusal(408);
}

/// The answer to the only callback on a connection.
fn answer(tls: &mut ClientConnection, socket: &mut TcpStream) -> String {
    let mut answer = String::new();
    while !answer.contains("\r\n\r\n{") || !answer.ends_with('}') {
        let mut some = [0; 1024];
        let len = Stream::new(tls, socket).read(&mut some).unwrap();
        assert!(len > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&some[..len]).unwrap());
    }
    answer
}

#[test]
fn while_draining_an_incomplete_tls_record_has_the_time_limit_of_a_head() {
    let (authority, served) = served(in_hours(), 1, 0);
    let request = post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes());
    let mut socket = TcpStream::connect(served.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tls = ClientConnection::new(authority.client(None), "localhost".try_into().unwrap()).unwrap();
    Stream::new(&mut tls, &mut socket).write_all(&request).unwrap();
    assert!(answer(&mut tls, &mut socket).starts_with("HTTP/1.1 200"));
    tls.writer().write_all(&request).unwrap();
    let mut record = Vec::new();
    tls.write_tls(&mut record).unwrap();
    let (half, rest) = record.split_at(60);
    socket.write_all(half).unwrap();
    let mut never = connect(&authority, &served, b"http/1.1");
    never.send_below(half);
    served.post(&mut connect(&authority, &served, b"http/1.1"));
    served.drain();
    // Longer than the limit of an idle connection.
    served.pass(3 * HOUR - MINUTE);
    socket.write_all(rest).unwrap();
    let answered = answer(&mut tls, &mut socket);
    assert!(answered.starts_with("HTTP/1.1 200") && answered.contains("connection: close"), "{answered}");
    assert_eq!((served.callbacks(), served.refused("header_timeout")), (3, 0.0));
    served.pass(MINUTE);
    never.answer().refusal(408);
    drop((never, socket));
    served.wait();
}

#[test]
fn incomplete_http2_heads_and_frames_have_the_time_limit_of_a_head() {
    let (authority, served) = served(in_hours(), 1, 0);
    let open = frame(HEADERS, END_STREAM, 1, &head("GET", "/-/healthy"));
    let more = frame(CONTINUATION, 0, 1, &literal("x-more", "1"));
    let halves = [
        PREFACE[..10].to_vec(),
        [PREFACE, &frame(SETTINGS, 0, 0, &[])[..4]].concat(),
        [PREFACE, &frame(SETTINGS, 0, 0, &[]), &open].concat(),
        [PREFACE, &frame(SETTINGS, 0, 0, &[]), &open, &more].concat(),
        [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(PING, 0, 0, &[1; 8])[..12]].concat(),
    ];
    let mut clients: Vec<_> = halves
        .iter()
        .map(|half| {
            let mut client = connect(&authority, &served, b"h2");
            client.send(half).unwrap();
            client
        })
        .collect();
    end_in_time(&authority, &served, &mut clients);
}

#[test]
fn the_rest_of_an_http2_head_that_arrives_during_a_stop_is_not_late() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let config = authority.web_config("server", "");
    let exporter = Exporter::start(&["--web.config.file", config.to_str().unwrap()]);
    let open = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("GET", "/-/healthy"));
    let (half, rest) = open.split_at(20);
    let mut client = Client::connect_secure(exporter.address(), &authority.client_of(None, &[b"h2"])).unwrap();
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[]), half].concat()).unwrap();
    thread::sleep(Duration::from_millis(300));
    exporter.signal("STOP");
    client.send(rest).unwrap();
    // Longer than the limit of a head.
    thread::sleep(Duration::from_secs(7));
    exporter.signal("CONT");
    // The end of the answer.
    client.read_until(|came| contains(came, b"healthy."));
}

#[test]
fn complete_frames_have_no_time_limit_and_a_head_in_two_frames_is_answered() {
    let (authority, served) = served(in_hours(), 1, 0);
    let mut client = connect_http2(&authority, &served);
    client.send(frame(PING, 0, 0, &[1; 8])).unwrap();
    client.read_until(|came| contains(came, &frame(PING, ACK, 0, &[1; 8])));
    served.pass(6 * HOUR);
    let whole = head("HEAD", "/-/healthy");
    let (first, second) = whole.split_at(20);
    client.send(frame(HEADERS, END_STREAM, 1, first)).unwrap();
    thread::sleep(Duration::from_millis(300));
    client.send(frame(CONTINUATION, END_HEADERS, 1, second)).unwrap();
    client.read_until(|came| contains(came, OK));
    for reason in ["header_timeout", "header_too_large", "malformed_request", "overloaded"] {
        assert_eq!(served.refused(reason), 0.0, "{reason}");
    }
}

#[test]
fn invalid_http2_requests_do_not_end_the_connection() {
    let (authority, served) = served(Limits::default(), 1, 0);
    let mut client = connect_http2(&authority, &served);
    // A control character in the path: `h2` resets the stream, and the exporter does not see the request.
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("GET", "/\u{7f}"))).unwrap();
    client.read_until(|came| contains(came, &frame(RST_STREAM, 0, 1, &[0, 0, 0, PROTOCOL_ERROR])));
    // A body longer than its content-length.
    let announced = [head("POST", GROUP_MESSAGE_PATH), literal("content-length", "1")].concat();
    client.send(frame(HEADERS, END_HEADERS, 3, &announced)).unwrap();
    client.send(frame(DATA, END_STREAM, 3, b"{}")).unwrap();
    eventually("the broken body to be counted", || served.refused("broken_body") == 1.0);
    // The same for a path that does not exist, and for a method that is not allowed.
    for (stream, method, path) in [(201, "GET", "/nothing"), (203, "PUT", "/metrics")] {
        client
            .send(frame(HEADERS, END_HEADERS, stream, &[head(method, path), literal("content-length", "1")].concat()))
            .unwrap();
        client.send(frame(DATA, END_STREAM, stream, b"{}")).unwrap();
    }
    let counts = || (served.refused("not_found"), served.refused("method_not_allowed"));
    eventually("both to be counted", || counts() == (1.0, 1.0));
    // The limit is 64 streams. `h2` refuses the others.
    for stream in 0..70 {
        client.send(frame(HEADERS, END_HEADERS, 301 + 2 * stream, &head("POST", GROUP_MESSAGE_PATH))).unwrap();
    }
    // REFUSED_STREAM in an RST_STREAM.
    let is_refusal = |bytes: &&[u8]| bytes[..5] == [0, 0, 4, 3, 0] && bytes[9..] == [0, 0, 0, 7];
    let resets = |came: &[u8]| came.windows(13).filter(is_refusal).count();
    let came = client.read_until(|came| resets(came) >= 6);
    // The accepted requests can still be completed.
    client.send(frame(DATA, END_STREAM, 301, message("g", "u").as_bytes())).unwrap();
    eventually("a request to be answered", || served.callbacks() == 1);
    assert_eq!((resets(&came), counts()), (6, (1.0, 1.0)));
    assert_eq!((served.refused("header_too_large"), served.refused("broken_body")), (0.0, 1.0));
}

#[test]
fn data_sent_after_the_answer_is_not_a_broken_request() {
    let (authority, served) = served(Limits::default(), 1, 0);
    let mut client = connect_http2(&authority, &served);
    // Answered before the body has arrived.
    let waiting = [head("POST", "/metrics"), literal("expect", "100-continue")].concat();
    // More than `h2` remembers.
    let streams = (0..60).map(|number| 1 + 2 * number);
    for stream in streams.clone() {
        client.send(frame(HEADERS, END_HEADERS, stream, &waiting)).unwrap();
    }
    eventually("the answers", || served.refused("method_not_allowed") == 60.0);
    thread::sleep(Duration::from_millis(200));
    for stream in streams {
        client.send(frame(DATA, 0, stream, b"late")).unwrap();
    }
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 121, &head("DELETE", "/metrics"))).unwrap();
    eventually("the next answer", || served.refused("method_not_allowed") == 61.0);
    assert_eq!(served.refused("malformed_request"), 0.0);
}

/// Reads until this many responses with status 431 have arrived. `h2` sends them itself.
fn expect_too_large(client: &mut Client, times: usize) {
    // `:status: 431` as a literal that HPACK then remembers; the next ones refer to it.
    let (first, next) = ([0x48, 0x83, 0x69, 0x90, 0xff].as_slice(), [0xbe].as_slice());
    let is_head = |bytes: &[u8], block: &[u8]| {
        bytes[..2] == [0, 0]
            && usize::from(bytes[2]) == block.len()
            && bytes[3] == HEADERS
            && bytes[9..].starts_with(block)
    };
    let count = |came: &[u8], block: &[u8]| came.windows(9 + block.len()).filter(|bytes| is_head(bytes, block)).count();
    let received = client.read_until(|came| count(came, first) + count(came, next) >= times);
    assert_eq!((count(&received, first), count(&received, next)), (1, times - 1), "{received:?}");
}

#[test]
fn a_head_over_the_limit_of_h2_is_refused_and_the_connection_continues() {
    let (authority, served) = served(Limits::default(), 1, 0);
    let mut client = connect_http2(&authority, &served);
    for (end, stream) in [(END_STREAM, 1), (0, 3)] {
        client.send(frame(HEADERS, end, stream, &head("POST", GROUP_MESSAGE_PATH))).unwrap();
        let fields = literal("x-large", &"y".repeat(100)).repeat(140);
        for flags in [0, 0, 0, END_HEADERS] {
            client.send(frame(CONTINUATION, flags, stream, &fields)).unwrap();
        }
    }
    expect_too_large(&mut client, 2);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, &head("DELETE", "/metrics"))).unwrap();
    eventually("the next answer", || served.refused("method_not_allowed") == 1.0);
    assert_eq!((served.refused("header_too_large"), served.refused("malformed_request")), (0.0, 0.0));
}

#[test]
fn several_heads_over_the_limit_of_h2_may_arrive_at_once() {
    let (authority, served) = served(Limits::default(), 1, 0);
    let mut client = connect_http2(&authority, &served);
    // HPACK stores the first field in its table, and each head refers to it twenty times.
    let large = [&[0x40, 1, b'a', 0x7f, 0xbd, 0x1d][..], &[b'v'; 3900]].concat();
    let bytes: Vec<_> = (0..5).map(|number| 1 + 2 * number).fold(Vec::new(), |mut bytes, stream| {
        let first: &[u8] = if stream == 1 { &large } else { &[] };
        let fields = [&head("POST", GROUP_MESSAGE_PATH), first, &[0xbe; 20]].concat();
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &fields));
        bytes.extend(frame(DATA, END_STREAM, stream, b"{}"));
        bytes
    });
    client.send(bytes).unwrap();
    expect_too_large(&mut client, 5);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 11, &head("DELETE", "/metrics"))).unwrap();
    eventually("the next answer", || served.refused("method_not_allowed") == 1.0);
    assert_eq!((served.refused("header_too_large"), served.refused("malformed_request")), (0.0, 0.0));
}

#[test]
fn the_number_of_incomplete_http2_heads_is_limited() {
    let (authority, served) = served(Limits::default(), 1, 0);
    let half = frame(HEADERS, END_STREAM, 1, &head("GET", "/-/healthy"));
    let mut held: Vec<_> = (0..64).map(|_| connect_http2(&authority, &served)).collect();
    for client in &mut held {
        client.send(&half).unwrap();
    }
    // They have arrived.
    thread::sleep(Duration::from_millis(200));
    let mut another = connect_http2(&authority, &served);
    another.send(&half).unwrap();
    eventually("one too many to be refused", || served.refused("overloaded") == 1.0);
    another.rest();
    // A completed head returns its share to the quota.
    for client in &mut held {
        client.send(frame(CONTINUATION, END_HEADERS, 1, &[])).unwrap();
    }
    thread::sleep(Duration::from_millis(200));
    let mut next = connect_http2(&authority, &served);
    next.send(&half).unwrap();
    next.send(frame(CONTINUATION, END_HEADERS, 1, &literal("x-more", "1"))).unwrap();
    next.read_until(|came| contains(came, OK));
    assert_eq!((served.refused("overloaded"), served.refused("header_timeout")), (1.0, 0.0));
}
