//! The request that a target gets, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::scene::Scene;
use crate::support::post_bytes;
use crate::target::{Target, accepts};

/// A body as Go writes it, with escapes, spaces and a newline at its end.
const BODY: &str = "{\"callbackCommand\":\"callbackAfterSendGroupMsgCommand\", \"sendID\":\"u\\u003c1\",\"groupID\":\"g\",\
                    \"serverMsgID\":\"m1\",\"content\":\"{\\\"content\\\":\\\"\u{1f44b}\\\"}\",\"later\":[1.50,null]}\n";

const SECRET: &[u8] = b"012345678901234567890123456789012345";

#[test]
fn a_target_gets_what_openim_sent_and_headers_of_the_exporter() {
    let target = Target::start(accepts());
    let secrets = tempfile::tempdir().unwrap();
    let (secret, token) = (secrets.path().join("secret"), secrets.path().join("token"));
    std::fs::write(&secret, format!("whsec_{}\n", STANDARD.encode(SECRET))).unwrap();
    std::fs::write(&token, "t0ken\n").unwrap();
    let scene = Scene::start(
        &format!("{}/?a=1", target.url()),
        &[
            &format!("signing_secret_files: [{}]", secret.display()),
            &format!("bearer_token_file: {}", token.display()),
            "headers: {X-Team: chat}",
        ],
    );
    let headers =
        "Authorization: Basic b3VyczpvdXJz\r\nCookie: a=b\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n";
    let path = "/some/prefix/callbackAfterSendGroup%4dsgCommand?contenttype=json&key=eyJ%2F";
    assert_eq!(scene.exporter().ask(&post_bytes(path, headers, BODY.as_bytes())).status, 200);
    let got = target.wait_for(1).remove(0);
    assert_eq!(String::from_utf8(got.body.clone()).unwrap(), BODY);
    let header = |name: &str| got.header(name).unwrap_or_else(|| panic!("no {name}: {}", got.head)).to_owned();
    let [via, timestamp, signature] = ["Via", "Webhook-Timestamp", "Webhook-Signature"].map(header);
    let version = env!("CARGO_PKG_VERSION");
    let mut lines: Vec<_> = got.head.trim_end().lines().collect();
    lines[1..].sort_unstable();
    let expected = format!(
        "POST /callback/callbackAfterSendGroup%4dsgCommand?a=1&contenttype=json&key=eyJ%2F HTTP/1.1\n\
         Authorization: Bearer t0ken\nContent-Length: {}\nContent-Type: application/json; charset=utf-8\nHost: {}\n\
         Operationid: op-1\nUser-Agent: openim-exporter/{version}\nVia: {via}\nWebhook-Id: {}\n\
         Webhook-Signature: {signature}\nWebhook-Timestamp: {timestamp}\nX-Forwarded-For: 127.0.0.1\nX-Team: chat",
        BODY.len(),
        target.address,
        "callbackAfterSendGroupMsgCommand_m1",
    );
    assert_eq!(lines.join("\n"), expected);
    let signed = format!("callbackAfterSendGroupMsgCommand_m1.{timestamp}.{BODY}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    assert_eq!(signature, format!("v1,{}", STANDARD.encode(tag)));
}

#[test]
fn a_callback_that_cannot_be_counted_is_forwarded_and_anything_else_is_not() {
    let target = Target::start(accepts());
    let scene = Scene::start(&target.url(), &[]);
    let post = |path: &str, body: &str| scene.exporter().post(path, body).status;
    assert_eq!(post("/callbackAfterSendGroupMsgCommand", r#"{"sendID":7}"#), 400);
    assert_eq!(post("/callbackAfterSomethingNewCommand", r#"{"a":1}"#), 200);
    assert_eq!(post("/", r#"{"callbackCommand":"callbackAfterSomethingNewCommand"}"#), 200);
    assert_eq!(post("/else", r#"{"a":1}"#), 404);
    let form = b"POST /callbackAfterX HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(scene.exporter().ask(form).status, 415);
    scene.wait_until_delivered();
    let lines = target.got().iter().map(|got| got.head.lines().next().unwrap().to_owned()).collect::<Vec<_>>();
    let mut sorted = lines.clone();
    sorted.sort();
    let first = "POST /callback HTTP/1.1";
    let [second, third] =
        ["SendGroupMsg", "SomethingNew"].map(|name| format!("POST /callback/callbackAfter{name}Command HTTP/1.1"));
    assert_eq!(sorted, [first, &second, &third]);
}

#[test]
fn forwarding_needs_a_directory() {
    let mut command =
        crate::support::command(&["--web.listen-address", "127.0.0.1:0", "--forward.url", "http://127.0.0.1:1/"]);
    let ended = command.output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && log.contains("--forward.url") && log.contains("--storage.path"), "{log}");
}
