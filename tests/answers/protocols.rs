//! Requests that are not HTTP as it should be, and unusual ones that are.

use std::time::Duration;

use openim_exporter::domain::Reason;
use openim_exporter::http::Limits;

use crate::callbacks::{CALLBACKS, check_obeyed};
use crate::limits::client;
use crate::link::{Answer, Protocol};
use crate::site::{MAX_BODY_BYTES, Site};
use crate::support::{Client, SUCCESS, post_bytes};

const BEFORE: &str = "/callbackBeforeSendGroupMsgCommand";

fn site(tls: bool) -> Site {
    Site::new(tls, false, Limits::default(), |_| ())
}

/// Sends these bytes over a new connection, and returns the answer.
fn ask(site: &Site, protocol: Protocol, bytes: &[u8]) -> Answer {
    let mut client = client(site, protocol);
    client.send(bytes).unwrap();
    client.answer().into()
}

#[test]
pub(crate) fn other_protocols() {
    let post = |head: &str| format!("POST {BEFORE} HTTP/1.1\r\n{head}\r\n\r\n{{}}").into_bytes();
    let requests = [
        // What OpenIM sends if its setting is https://.
        b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GARBAGE\r\n\r\n".to_vec(),
        post("content-length: 2"),
        post("host: x\r\nhost: x\r\ncontent-length: 2"),
        post("host: x/y\r\ncontent-length: 2"),
        post("host: x\r\ncontent-length: x"),
        post("host: x\r\ncontent-length: 2\r\ncontent-length: 3"),
        post("host: x\r\ntransfer-encoding: gzip"),
        post("host x"),
        post("host: x\r\n: x"),
        format!("POST {BEFORE} x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes(),
        format!("POST {BEFORE} HTTP/9.9\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes(),
        [b"PROXY TCP4 127.0.0.7 127.0.0.1 1 2\r\n".to_vec(), post_bytes(BEFORE, "", b"{}")].concat(),
    ];
    let plain = site(false);
    for (before, bytes) in requests.iter().enumerate() {
        let what = String::from_utf8_lossy(bytes);
        check_obeyed(&what, &ask(&plain, Protocol::Plain, bytes), Reason::MalformedRequest);
        assert_eq!(plain.all_refused(), before as f64 + 1.0, "{what}");
    }
    let secure = site(true);
    for bytes in &requests[3..] {
        let what = String::from_utf8_lossy(bytes);
        check_obeyed(&what, &ask(&secure, Protocol::Tls, bytes), Reason::MalformedRequest);
        // Plain HTTP at a port that requires TLS.
        let mut client = Client::connect(secure.served.address()).unwrap();
        client.send(bytes).unwrap();
        check_obeyed(&what, &client.answer().into(), Reason::MalformedRequest);
    }
    assert_eq!(secure.refused(Reason::MalformedRequest), 2.0 * (requests.len() - 3) as f64);
}

/// A site whose proxy is this machine.
fn behind_proxy(limits: Limits) -> Site {
    Site::new(false, false, limits, |config| {
        config.proxy_protocol = true;
        config.max_connections_per_address = 1;
    })
}

#[test]
fn wrong_proxy_headers() {
    let site = behind_proxy(Limits::default());
    for start in [
        "",
        "PROXY TCP4 nobody 127.0.0.1 1 2\r\n",
        "PROXY UDP4 127.0.0.7 127.0.0.1 1 2\r\n",
        "\r\n\r\n\0\r\nQUIT\n\u{11}\0\0\0",
    ] {
        let bytes = [start.as_bytes(), &post_bytes(BEFORE, "", b"{}")].concat();
        check_obeyed(start, &ask(&site, Protocol::Plain, &bytes), Reason::MalformedRequest);
    }
    let through = [&b"PROXY TCP4 127.0.0.7 127.0.0.1 1 2\r\n"[..], &post_bytes(BEFORE, "", b"{}")].concat();
    let mut held = client(&site, Protocol::Plain);
    held.send(&through).unwrap();
    assert_eq!(held.answer().text(), SUCCESS);
    check_obeyed("a second one", &ask(&site, Protocol::Plain, &through), Reason::TooManyConnectionsPerAddress);
}

#[test]
pub(crate) fn late_proxy_headers() {
    let site = behind_proxy(Limits { head: Duration::from_millis(300), ..Limits::default() });
    check_obeyed("half a header", &ask(&site, Protocol::Plain, b"PROXY TCP4 127"), Reason::HeaderTimeout);
}

#[test]
pub(crate) fn broken_bodies() {
    for site in Site::all(Limits::default(), |_| ()) {
        let protocol = site.protocols[0];
        for callback in CALLBACKS {
            let mut post = site.post(callback);
            post.in_pieces = true;
            let whole = String::from_utf8(post.http1()).unwrap();
            let (head, _) = whole.split_once("\r\n\r\n").unwrap();
            for chunk in ["zz\r\n", "5\r\nabcdefgh\r\n", "ffffffffffffffffff\r\n"] {
                let answer = ask(&site, protocol, format!("{head}\r\n\r\n{chunk}").as_bytes());
                callback.check(chunk, &answer, Reason::BrokenBody);
            }
            // The client ends before its body does.
            let mut client = client(&site, protocol);
            let head = head.replace("Transfer-Encoding: chunked", "Content-Length: 100");
            client.send(format!("{head}\r\n\r\n{{")).unwrap();
            if protocol == Protocol::Plain {
                client.end_of_sending();
                callback.check("half a body", &client.answer().into(), Reason::BrokenBody);
            }
        }
    }
}

#[test]
fn unusual_requests_are_accepted() {
    let site = site(false);
    let body = r#"{"callbackCommand":"callbackBeforeSendGroupMsgCommand"}"#;
    let length = body.len();
    let requests = [
        // Through an HTTP proxy, with and without a path.
        format!("POST http://x{BEFORE} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!("POST http://x HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!("POST http://x?a=b HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!("POST /?a=b HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!("POST {BEFORE} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!("POST / HTTP/1.1\r\nhost: [::1]:10006\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!(
            "\r\nPOST {BEFORE} HTTP/1.1\r\nHOST: a_b.c\r\nContent-Type:\tApplication/JSON\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
        format!("POST {BEFORE} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\noperationid:\r\n\r\n{body}"),
        format!("POST {BEFORE} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\noperationid: \u{e9}\r\n\r\n{body}"),
    ];
    for request in requests {
        let answer = ask(&site, Protocol::Plain, request.as_bytes());
        assert_eq!((answer.status, &answer.body[..]), (200, SUCCESS.as_bytes()), "{request}");
    }
    assert_eq!(site.all_refused(), 0.0);
}

#[test]
fn refusals_do_not_mix_with_the_next_request() {
    for tls in [false, true] {
        let site = site(tls);
        let (bare, before) = (post_bytes("/", "", b"{"), post_bytes(BEFORE, "", b"{}"));
        let page = post_bytes(BEFORE, "origin: https://x.example\r\n", b"{\"callbackCommand\":5}");
        let large = post_bytes(BEFORE, "", &[b' '; MAX_BODY_BYTES + 1]);
        let mut client = client(&site, site.protocols[0]);
        client.send([&bare[..], &before, &page, &before, &large].concat()).unwrap();
        check_obeyed("a wrong body", &client.answer().into(), Reason::MalformedJson);
        assert_eq!(client.answer().text(), SUCCESS);
        check_obeyed("a web page", &client.answer().into(), Reason::Forbidden);
        assert_eq!(client.answer().text(), SUCCESS);
        let last = client.answer();
        assert!(last.closes());
        check_obeyed("a large body", &last.into(), Reason::BodyTooLarge);
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_the_refusal() {
    let site = site(false);
    for (head, reason) in [
        ("content-length: 20000", Reason::BodyTooLarge),
        ("content-length: 2\r\norigin: x", Reason::Forbidden),
        ("content-length: 2\r\nx-forwarded-for: unknown", Reason::MalformedRequest),
    ] {
        let bytes = format!("POST {BEFORE} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n{head}\r\n\r\n");
        check_obeyed(head, &ask(&site, Protocol::Plain, bytes.as_bytes()), reason);
    }
}
