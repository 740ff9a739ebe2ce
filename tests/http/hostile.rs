//! Malicious requests: ambiguous framing, foreign targets, invalid heads.

use crate::support::{Exporter, GROUP_MESSAGE_PATH, Response, SUCCESS, message};

const REJECTED: &str = "openim_exporter_callbacks_rejected_total";

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Counted, and the connection stays open.
    Counted,
    /// Counted, and the rest of the connection is not read, because a proxy might frame it differently.
    CountedAndClosed,
    /// Refused, and the connection is closed, because it is unclear where the next request begins.
    Refused(u16, &'static str),
}
use Outcome::{Counted, CountedAndClosed, Refused};

const MALFORMED: Outcome = Refused(400, "malformed_request");
const BROKEN: Outcome = Refused(400, "broken_body");

fn check(exporter: &Exporter, what: &str, request: &[u8], outcome: Outcome) -> Response {
    let before = exporter.scrape();
    let mut client = exporter.connect();
    // A second request follows. It must not be lost, and no bytes of the first may become a part of it.
    client.send(request).unwrap();
    let answer = client.answer();
    let (status, counted, closed) = match outcome {
        Counted => (200, 1.0, false),
        CountedAndClosed => (200, 1.0, true),
        Refused(status, _) => (status, 0.0, true),
    };
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    if status == 200 {
        assert_eq!(answer.text(), SUCCESS, "{what}");
    } else {
        answer.refusal(status);
    }
    assert_eq!(answer.closes(), closed, "{what}: {answer:?}");
    if closed {
        assert_eq!(client.rest(), "", "{what}: there is another answer");
    } else {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("after", "u")).text(), SUCCESS, "{what}");
    }
    let after = exporter.scrape();
    let rise = |name: &str| after.sum(name) - before.sum(name);
    assert_eq!(rise("openim_group_messages_total"), counted + f64::from(u8::from(!closed)), "{what}");
    if let Refused(_, reason) = outcome {
        let series = format!(r#"{REJECTED}{{reason="{reason}"}}"#);
        assert_eq!(after.value(&series) - before.value(&series), 1.0, "{what}: {reason}");
        assert_eq!(rise(REJECTED), 1.0, "{what}");
    } else {
        assert_eq!(rise(REJECTED), 0.0, "{what}");
    }
    answer
}

/// A callback with these framing headers, and these bytes after its head.
fn framed(lines: &str, rest: &str) -> Vec<u8> {
    let lines = lines.replace('|', "\r\n");
    format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}\r\n\r\n{rest}")
        .into()
}

fn chunks(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

#[test]
fn ambiguous_lengths_and_encodings_smuggle_no_request() {
    let exporter = Exporter::start(&[]);
    let body = message("g", "u");
    let (len, chunked) = (body.len(), chunks(&body));
    let cases = [
        // RFC 9112, 6.3: the chunks take precedence, and the connection is closed after the answer.
        (format!("Content-Length: {len}|{CHUNKED}"), &chunked, CountedAndClosed),
        (format!("{CHUNKED}|Content-Length: 5"), &chunked, CountedAndClosed),
        (format!("Content-Length: {len}|Content-Length: {len}"), &body, Counted),
        (format!("Content-Length: {len}|Content-Length: 3"), &body, MALFORMED),
        (format!("Content-Length: {len}, {len}"), &body, MALFORMED),
        (format!("Content-Length: +{len}"), &body, MALFORMED),
        ("Content-Length: -1".to_owned(), &body, MALFORMED),
        (format!("Content-Length: {len:#x}"), &body, MALFORMED),
        ("Content-Length: 99999999999999999999".to_owned(), &body, MALFORMED),
        (format!("Content-Length : {len}"), &body, MALFORMED),
        ("Transfer-Encoding: identity".to_owned(), &body, MALFORMED),
        ("Transfer-Encoding: gzip, chunked".to_owned(), &chunked, MALFORMED),
        ("Transfer-Encoding: chunked, chunked".to_owned(), &chunked, MALFORMED),
        (format!("{CHUNKED}|{CHUNKED}"), &chunked, MALFORMED),
        ("Transfer-Encoding: xchunked".to_owned(), &chunked, MALFORMED),
        ("Transfer-Encoding: chunked, identity".to_owned(), &chunked, MALFORMED),
        ("Transfer-Encoding : chunked".to_owned(), &chunked, MALFORMED),
        ("Transfer-Encoding: \u{b}chunked".to_owned(), &chunked, MALFORMED),
        ("X: y|Transfer-Encoding:|\tchunked".to_owned(), &chunked, MALFORMED),
        ("Transfer-Encoding: CHUNKED".to_owned(), &chunked, Counted),
        // A parser that takes a bare line feed as part of the value sees only the length.
        (format!("Content-Length: {len}|X: y\n{CHUNKED}"), &chunked, CountedAndClosed),
    ];
    for (lines, rest, outcome) in cases {
        check(&exporter, &lines, &framed(&lines, rest), outcome);
    }
    // Bytes hidden after an early end are not read as a request.
    let hidden = format!("0\r\n\r\n{}", String::from_utf8(framed(&format!("Content-Length: {len}"), &body)).unwrap());
    let lines = format!("Content-Length: {}|{CHUNKED}", hidden.len());
    check(&exporter, "hidden", &framed(&lines, &hidden), Refused(400, "empty_body"));
    let old = String::from_utf8(framed(CHUNKED, &chunked)).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    check(&exporter, "chunks in HTTP/1.0", old.as_bytes(), MALFORMED);
}

#[test]
fn invalid_chunks_are_a_broken_body() {
    let exporter = Exporter::start(&[]);
    let body = message("g", "u");
    let len = body.len();
    for rest in [
        format!("zz\r\n{body}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{body}"),
        format!("-{len:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("{len:x};{}\r\n{body}\r\n0\r\n\r\n", "a".repeat(20_000)),
        format!("{len:x}\n{body}\n0\n\n"),
        format!("{len:x}\r\n{body}XX0\r\n\r\n"),
        format!("\r\n{body}\r\n0\r\n\r\n"),
    ] {
        check(&exporter, &rest[..12], &framed(CHUNKED, &rest), BROKEN);
    }
    let trailers = format!("{len:x}\r\n{body}\r\n0\r\nX-Trailer: 1\r\n\r\n");
    check(&exporter, "trailers", &framed(CHUNKED, &trailers), Counted);
    let extension = format!("{len:x};name=value\r\n{body}\r\n0\r\n\r\n");
    check(&exporter, "an extension", &framed(CHUNKED, &extension), Counted);
}

#[test]
fn invalid_heads_are_refused() {
    let exporter = Exporter::start(&[]);
    let healthy = "GET /-/healthy HTTP/1.1";
    let cases = [
        "GE T /metrics HTTP/1.1|Host: x".to_owned(),
        "GET /metrics".to_owned(),
        "GET /-/healthy HTTP/1.2|Host: x".to_owned(),
        "GET /-/healthy HTTP/3.0|Host: x".to_owned(),
        "PRI * HTTP/2.0||SM".to_owned(),
        format!("{healthy}|Host: x|X: a| b"),
        format!("{healthy}|Host: x|X: a\0b"),
        format!("{healthy}|Host: x|X: a\rb"),
        format!("{healthy}|Host: x|X Y: a"),
        format!("{healthy}|Host: x|: a"),
        format!("{healthy}\rHost: x"),
        healthy.to_owned(),
        format!("{healthy}|Host: a|Host: b"),
        "GET /\u{e9} HTTP/1.1|Host: x|X: ".to_owned() + "\u{1}",
    ];
    for head in cases {
        check(&exporter, &head, format!("{}\r\n\r\n", head.replace('|', "\r\n")).as_bytes(), MALFORMED);
    }
    let many: String = (0..101).map(|number| format!("X-{number}: 1|")).collect();
    for head in [
        format!("{healthy}|{many}Host: x"),
        format!("{healthy}|X: {}", "a".repeat(100_000)),
        format!("GET /{} HTTP/1.1", "a".repeat(70_000)),
    ] {
        let bytes = format!("{}\r\n\r\n", head.replace('|', "\r\n"));
        check(&exporter, &head[..30], bytes.as_bytes(), Refused(431, "header_too_large"));
    }
}

#[test]
fn a_request_of_a_web_page_is_not_a_callback() {
    let exporter = Exporter::start(&[]);
    let body = message("g", "u");
    for origin in ["http://elsewhere.example", "null", ""] {
        let before = exporter.scrape();
        let request = framed(&format!("Origin: {origin}|Content-Length: {}", body.len()), &body);
        let (_, detail) = exporter.ask(&request).refusal(403);
        assert!(detail.contains("web page"), "{detail}");
        let after = exporter.scrape();
        let rise = |name: &str| after.sum(name) - before.sum(name);
        assert_eq!((rise("openim_group_messages_total"), rise(REJECTED)), (0.0, 1.0), "{origin}");
        let forbidden = format!(r#"{REJECTED}{{reason="forbidden"}}"#);
        assert_eq!(after.value(&forbidden) - before.value(&forbidden), 1.0, "{origin}");
    }
}

#[test]
fn unusual_but_unambiguous_requests_are_accepted() {
    let exporter = Exporter::start(&[]);
    let body = message("g", "u");
    let usual = String::from_utf8(framed(&format!("Content-Length: {}", body.len()), &body)).unwrap();
    let path = GROUP_MESSAGE_PATH;
    for (what, request) in [
        ("absolute form", usual.replace(path, &format!("http://elsewhere.example{path}"))),
        ("leading empty lines", format!("\r\n\r\n{usual}")),
        // RFC 9112, 2.2.
        ("lines that end with a bare line feed", usual.replace("\r\n", "\n")),
        ("names in capitals", usual.replace("Content-Length", "CONTENT-LENGTH")),
        ("an offered upgrade", usual.replace("Host: x", "Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c")),
    ] {
        check(&exporter, what, request.as_bytes(), Counted);
    }
    for (request, status) in [("OPTIONS *", 405), ("CONNECT a:80", 405), ("TRACE /metrics", 405), ("get /metrics", 405)]
    {
        let answer = exporter.ask(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        answer.refusal(status);
    }
}

#[test]
fn a_client_that_keeps_sending_a_broken_body_can_read_the_refusal() {
    let exporter = Exporter::start(&[]);
    for round in 0..10 {
        let mut client = exporter.connect();
        let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send([head.as_bytes(), b"1\r\n{XX", &[b' '; 100_000]].concat()).unwrap();
        client.answer().refusal(400);
        // The connection ends without a reset: a reset could have discarded the answer.
        let end = client.some(1);
        assert!(end.as_ref().is_ok_and(Vec::is_empty), "round {round}: {end:?}");
    }
}
