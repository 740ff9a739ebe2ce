//! Every refusal: status, body, reason.

use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, Response, SUCCESS, post_bytes};

const MESSAGE: &[u8] = br#"{"sendID":"u1","groupID":"g1"}"#;

/// Sends these bytes over a new connection. Checks that the answer is a refusal with this status, and that it is
/// counted only for this reason.
pub(crate) fn assert_refused(exporter: &Exporter, what: &str, bytes: &[u8], status: u16, reason: &str) -> Response {
    const REFUSED: &str = "openim_exporter_callbacks_rejected_total";
    let before = exporter.scrape();
    let response = exporter.ask(bytes);
    assert_eq!(response.status, status, "{what}: {}", response.text());
    response.refusal(status);
    let after = exporter.scrape();
    let rises = after.rose_since(&before);
    let refused: Vec<_> = rises.iter().filter(|(series, _)| series.starts_with(REFUSED)).collect();
    assert_eq!(refused, [(&format!(r#"{REFUSED}{{reason="{reason}"}}"#), &1.0)], "{what}");
    assert_eq!(after.statistics(), before.statistics(), "{what}");
    let taken = "openim_exporter_callbacks_total";
    assert_eq!(after.sum(taken), before.sum(taken), "{what}");
    response
}

fn request(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

#[test]
fn a_path_that_serves_nothing_is_not_found() {
    let exporter = Exporter::start(&[]);
    for path in ["/nothing", "/metrics/", "/-/nothing", "/api/v1/nothing", "/api/v1/groups/"] {
        assert_refused(&exporter, path, &request("GET", path), 404, "not_found");
    }
}

#[test]
fn a_post_without_a_command_is_refused_with_a_hint() {
    let exporter = Exporter::start(&[]);
    for body in
        ["{}", r#"{"sendID":"u1","groupID":"g1"}"#, r#"{"callbackCommand":"hello"}"#, r#"{"callbackCommand":null}"#]
    {
        let bytes = post_bytes("/hook", "", body.as_bytes());
        let response = assert_refused(&exporter, body, &bytes, 404, "unknown_command");
        let (_, detail) = response.refusal(404);
        assert!(detail.contains("callbackAfterSendGroupMsgCommand"), "{detail}");
    }
    for (body, reason) in
        [("", "empty_body"), ("[1]", "wrong_type"), ("{", "malformed_json"), (r#"{"callbackCommand":5}"#, "wrong_type")]
    {
        assert_refused(&exporter, body, &post_bytes("/hook", "", body.as_bytes()), 400, reason);
    }
}

#[test]
fn a_wrong_method_is_refused_with_the_supported_ones() {
    let exporter = Exporter::start(&[]);
    for (method, path, allowed) in [
        ("GET", GROUP_MESSAGE_PATH, "POST"),
        ("HEAD", "/x?command=callbackAfterSendGroupMsgCommand", "POST"),
        ("PUT", GROUP_MESSAGE_PATH, "POST"),
        ("DELETE", "/nothing", "POST"),
        ("OPTIONS", GROUP_MESSAGE_PATH, "POST"),
        ("POST", "/metrics", "GET, HEAD"),
        ("POST", "/-/healthy", "GET, HEAD"),
        ("PUT", "/-/ready", "GET, HEAD"),
        ("POST", "/api/v1/summary", "GET, HEAD"),
        ("DELETE", "/api/v1/groups?limit=5", "GET, HEAD"),
    ] {
        let what = format!("{method} {path}");
        let response = match method {
            "HEAD" => {
                let mut client = exporter.connect();
                client.send(request(method, path)).unwrap();
                client.answer_to_head()
            }
            _ => assert_refused(&exporter, &what, &request(method, path), 405, "method_not_allowed"),
        };
        assert_eq!((response.status, response.header("allow")), (405, Some(allowed)), "{what}");
    }
}

#[test]
fn a_request_to_the_wrong_address_or_path_is_refused_with_the_right_one() {
    let (all, separate) = (Exporter::start(&[]), Exporter::start(&["--web.telemetry-address", "127.0.0.1:0"]));
    let [callbacks, telemetry] = separate.addresses() else { panic!("{:?}", separate.addresses()) };
    for (address, method, path, status, hint) in [
        (all.address(), "GET", "/callback", 404, "callbacks need POST"),
        (all.address(), "POST", "/metrics", 405, "post callbacks to another path, such as /callback"),
        (*callbacks, "GET", "/metrics", 404, "the pages are at --web.telemetry-address"),
        (*telemetry, "POST", GROUP_MESSAGE_PATH, 404, "callbacks go to --web.listen-address"),
    ] {
        let mut client = Client::connect(address).unwrap();
        client.send(request(method, path)).unwrap();
        let (_, detail) = client.answer().refusal(status);
        assert!(detail.contains(hint), "{method} {path}: {detail}");
    }
    for (method, path) in [("PUT", "/"), ("GET", GROUP_MESSAGE_PATH)] {
        let (_, detail) = all.ask(&request(method, path)).refusal(405);
        assert!(!detail.contains("post callbacks"), "{method} {path}: {detail}");
    }
}

#[test]
fn an_unknown_query_of_the_api_is_refused() {
    let exporter = Exporter::start(&[]);
    for (path, named) in [
        ("/api/v1/summary?verbose=1", "\"verbose\""),
        ("/api/v1/groups?Sort=rate", "\"Sort\""),
        ("/api/v1/groups?sort=name", "sort: \"name\""),
        ("/api/v1/groups?limit=0", "limit: \"0\""),
        ("/api/v1/groups?limit=1001", "limit: \"1001\""),
        ("/api/v1/groups?offset=100001", "offset: \"100001\""),
        ("/api/v1/groups?q=a&q=b", "q: repeated, with the value \"b\""),
        ("/api/v1/groups?q=%C3%28", "q: \"%C3%28\" is not percent-encoded UTF-8"),
        (&format!("/api/v1/groups?q={}", "x".repeat(257)), "q: \"xxxxx"),
    ] {
        let response = assert_refused(&exporter, path, &request("GET", path), 400, "bad_query");
        let (message, detail) = response.refusal(400);
        assert_eq!(message, "bad query", "{path}");
        assert!(detail.starts_with(named) && detail.len() < 150, "{path}: {detail}");
    }
}

#[test]
fn a_client_that_sends_a_large_body_to_a_wrong_path_can_read_the_answer() {
    let exporter = Exporter::start(&[]);
    let body = vec![b'x'; 2 << 20];
    for round in 0..5 {
        for (line, status) in [("PUT /metrics", 405), ("GET /nothing", 404), ("POST /-/ready", 405)] {
            let mut client = exporter.connect();
            let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
            client.send([head.as_bytes(), &body].concat()).unwrap();
            client.try_answer().unwrap_or_else(|error| panic!("round {round}, {line}: {error}")).refusal(status);
            // The whole body was read, so the next bytes are a request.
            assert_eq!(client.post(GROUP_MESSAGE_PATH, MESSAGE).text(), SUCCESS, "round {round}, {line}");
        }
    }
}

#[test]
fn an_endless_body_to_a_wrong_path_closes_the_connection() {
    let exporter = Exporter::start(&["--callback.max-body-bytes", "1000"]);
    let mut client = exporter.connect();
    client.send("PUT /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n").unwrap();
    client.send(vec![b'x'; 50_000]).unwrap();
    let answer = client.answer();
    answer.refusal(405);
    assert!(answer.closes());
}

#[test]
fn a_body_declared_as_another_type_is_refused() {
    let exporter = Exporter::start(&[]);
    for header in [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: ",
        "Content-Encoding: gzip",
        // With two types, one of them may be right.
        "Content-Type: application/json\r\nContent-Type: text/plain",
        "Content-Encoding: identity\r\nContent-Encoding: gzip",
    ] {
        let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n{header}\r\n\r\n");
        let bytes = [head.as_bytes(), MESSAGE].concat();
        assert_refused(&exporter, header, &bytes, 415, "unsupported_media_type");
    }
}

#[test]
fn a_body_without_a_type_is_taken_as_json() {
    let exporter = Exporter::start(&[]);
    for header in [
        "",
        "Content-Type: application/json\r\n",
        "content-type: Application/Json;charset=UTF-8\r\n",
        "Content-Encoding: identity\r\n",
    ] {
        let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n{header}\r\n");
        let response = exporter.ask(&[head.as_bytes(), MESSAGE].concat());
        assert_eq!((response.status, response.text().as_str()), (200, SUCCESS), "{header}");
    }
}

/// A valid message of exactly this many bytes.
fn message_of(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"sendID":"u1","groupID":"g1","content":""#.to_vec();
    body.resize(bytes - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(100) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[test]
fn a_body_over_the_limit_gets_a_refusal_that_the_client_can_read() {
    let exporter = Exporter::start(&["--callback.max-body-bytes", "1KiB"]);
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message_of(1024)).status, 200);
    assert_eq!(exporter.ask(&chunked(&message_of(1024))).status, 200);
    for over in [1025, 2000, 4096] {
        for bytes in [post_bytes(GROUP_MESSAGE_PATH, "", &message_of(over)), chunked(&message_of(over))] {
            let response = assert_refused(&exporter, &over.to_string(), &bytes, 413, "body_too_large");
            let (_, detail) = response.refusal(413);
            assert!(detail.contains("1024") && detail.contains("--callback.max-body-bytes"), "{detail}");
            assert!(response.closes(), "{over}");
        }
    }
}

#[test]
fn the_default_limit_of_a_body_is_1_mib() {
    let exporter = Exporter::start(&[]);
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message_of(1 << 20)).status, 200);
    let over = post_bytes(GROUP_MESSAGE_PATH, "", &message_of((1 << 20) + 1));
    assert_refused(&exporter, "one byte more", &over, 413, "body_too_large");
}

#[test]
fn a_body_with_invalid_framing_is_broken() {
    let exporter = Exporter::start(&[]);
    let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    for chunk in ["zz\r\n", "5\r\nabcdefgh\r\n", "ffffffffffffffffff\r\n"] {
        let bytes = format!("{head}{chunk}");
        assert_refused(&exporter, chunk, bytes.as_bytes(), 400, "broken_body");
    }
}

#[test]
fn a_head_over_the_limit_gets_a_refusal_that_the_client_can_read() {
    let exporter = Exporter::start(&[]);
    let head = |headers: &str| format!("GET /metrics HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    assert_eq!(exporter.ask(head(&format!("x: {}\r\n", "y".repeat(30_000))).as_bytes()).status, 200);
    assert_eq!(exporter.ask(head(&"x: y\r\n".repeat(99)).as_bytes()).status, 200);
    // A head of up to twice the limit may still be accepted: the last read before the check may exceed the limit.
    for (what, bytes) in [
        ("a long header", head(&format!("x: {}\r\n", "y".repeat(64 * 1024)))),
        ("a very long header", head(&format!("x: {}\r\n", "y".repeat(200 * 1024)))),
        ("a long path", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(64 * 1024))),
        ("many headers", head(&"x: y\r\n".repeat(100))),
    ] {
        let response = assert_refused(&exporter, what, bytes.as_bytes(), 431, "header_too_large");
        assert!(response.closes(), "{what}");
    }
}

#[test]
fn other_protocols_get_a_refusal_in_openim_s_format() {
    let exporter = Exporter::start(&[]);
    let requests: [(&str, &[u8]); 7] = [
        ("garbage", b"GARBAGE\r\n\r\n"),
        ("only line breaks", b"\r\n\r\n \r\n\r\n"),
        ("a version that does not exist", b"GET / HTTP/9.9\r\n\r\n"),
        ("HTTP/2 without negotiation", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        // What OpenIM sends if its setting is https://host:10006.
        ("a TLS hello", b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03"),
        ("an invalid length", b"POST /callbackAfterSendGroupMsgCommand HTTP/1.1\r\ncontent-length: x\r\n\r\n"),
        ("a header without a colon", b"GET /metrics HTTP/1.1\r\nhost x\r\n\r\n"),
    ];
    for (what, bytes) in requests {
        let response = assert_refused(&exporter, what, bytes, 400, "malformed_request");
        assert!(response.closes(), "{what}");
    }
}

#[test]
fn an_answer_quotes_the_invalid_value_and_is_short() {
    let exporter = Exporter::start(&[]);
    let body = format!(r#"{{"sendID":"u1","groupID":"g1","contentType":"{}"}}"#, "\u{7fa4}\\n\\\"".repeat(10_000));
    let (_, detail) = exporter.post(GROUP_MESSAGE_PATH, body).refusal(400);
    assert!(detail.starts_with("contentType: ") && detail.len() <= 400, "{detail}");
}
