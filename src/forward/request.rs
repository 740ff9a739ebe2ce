//! The request that passes a callback on.

use std::net::IpAddr;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue, USER_AGENT, VIA,
};
use hyper::{Method, Request};
use ring::{digest, hmac};

use crate::config::forward::{SigningSecret, Target};
use crate::domain::UnixMillis;
use crate::spool::Record;
use crate::wire::{self, OPERATION_ID_HEADER};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Characters of a digest in an ID: 132 bits.
const DIGEST_CHARACTERS: usize = 22;

/// This process in a `Via`: if a request comes back with it, there is a loop. It is random, so that a chain of two
/// exporters is not taken for a loop.
static PSEUDONYM: LazyLock<String> = LazyLock::new(|| format!("openim-exporter-{:016x}", rand::random::<u64>()));

/// The request that passes a callback on to a target at this time. `body` is the callback's.
///
/// # Errors
/// When the callback cannot be part of a request. A callback that came as a request can.
pub(crate) fn request(
    target: &Target,
    callback: &Record<'_>,
    body: Bytes,
    now: UnixMillis,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.url.of_callback(callback.tail, callback.query)?;
    let headers = request.headers_mut();
    if !callback.content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(callback.content_type)?);
    }
    if !callback.operation_id.is_empty() {
        headers.insert(OPERATION_ID, HeaderValue::from_bytes(callback.operation_id)?);
    }
    for (name, value) in &target.headers {
        headers.append(name, value.clone());
    }
    if let Some(authorization) = &target.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    headers.insert(X_FORWARDED_FOR, forwarded_for(callback.client, callback.proxy)?);
    headers.insert(VIA, via(callback.via)?);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("openim-exporter/", env!("CARGO_PKG_VERSION"))));
    sign(headers, &target.secrets, callback, now)?;
    Ok(request)
}

const OPERATION_ID: HeaderName = HeaderName::from_static(OPERATION_ID_HEADER);

/// The client, and the proxy that reported it.
fn forwarded_for(client: IpAddr, proxy: Option<IpAddr>) -> Result<HeaderValue, InvalidHeaderValue> {
    let chain = proxy.map_or_else(|| client.to_string(), |proxy| format!("{client}, {proxy}"));
    HeaderValue::try_from(chain)
}

/// The `Via` that came with a callback, and this process. RFC 9110, 7.6.3.
fn via(before: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    let separator: &[u8] = if before.is_empty() { b"" } else { b", " };
    HeaderValue::from_bytes(&[before, separator, b"1.1 ", PSEUDONYM.as_bytes()].concat())
}

/// Whether a request was forwarded by this process before.
pub(crate) fn is_own(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VIA).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b',' || *byte == b' ')).any(|word| word == PSEUDONYM.as_bytes())
}

/// Adds the ID, the time and, if there are secrets, the signatures.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
fn sign(
    headers: &mut HeaderMap,
    secrets: &[SigningSecret],
    callback: &Record<'_>,
    now: UnixMillis,
) -> Result<(), InvalidHeaderValue> {
    let (id, timestamp) = (id(callback), now.0.div_euclid(1000).to_string());
    let signatures: Vec<_> =
        secrets.iter().map(|secret| signature(secret.as_bytes(), &id, &timestamp, callback.body)).collect();
    if !signatures.is_empty() {
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signatures.join(" "))?);
    }
    headers.insert(WEBHOOK_ID, HeaderValue::try_from(id)?);
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::try_from(timestamp)?);
    Ok(())
}

/// The ID of a callback, the same for each attempt: its command, and the message's ID or else a digest.
fn id(callback: &Record<'_>) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let plain = |text: &str| !text.is_empty() && text.len() <= 128 && text.bytes().all(is_plain);
    // A name with other characters may not be in a header.
    let command = if plain(callback.command) { callback.command } else { "callback" };
    match wire::subject(callback.body).server_msg_id.filter(|id| plain(id)) {
        Some(message) => format!("{command}_{message}"),
        None => {
            let digest = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, callback.body));
            format!("{command}_{}", digest.get(..DIGEST_CHARACTERS).unwrap_or_default())
        }
    }
}

fn signature(secret: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::forward::Url;

    fn callback<'a>(command: &'a str, body: &'a [u8]) -> Record<'a> {
        Record {
            received_ms: 0,
            command,
            tail: "callbackX%41Command",
            query: "key=a%3D",
            operation_id: b"op-1",
            content_type: b"application/json; charset=utf-8",
            via: b"",
            client: [192, 0, 2, 7].into(),
            proxy: Some([10, 0, 0, 1].into()),
            body,
        }
    }

    fn built(target: &Target, callback: &Record<'_>) -> Request<Full<Bytes>> {
        request(target, callback, Bytes::copy_from_slice(callback.body), UnixMillis(1_614_265_330_999)).unwrap()
    }

    fn simple(url: &str) -> Target {
        Target::simple(Url::parse(url).unwrap())
    }

    #[test]
    fn the_request_is_the_callback_s_with_headers_of_its_own() {
        let mut target = simple("http://business:8080/callback/?a=1");
        target.headers = vec![(HeaderName::from_static("x-team"), HeaderValue::from_static("chat"))];
        target.authorization = Some(HeaderValue::from_static("Bearer t"));
        let request = built(&target, &callback("callbackXACommand", br#"{"serverMsgID":"m1"}"#));
        assert_eq!(request.method(), Method::POST);
        let url = "http://business:8080/callback/callbackX%41Command?a=1&key=a%3D";
        assert_eq!(request.uri().to_string(), url);
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        for (name, value) in [
            ("content-type", "application/json; charset=utf-8"),
            ("operationid", "op-1"),
            ("x-team", "chat"),
            ("authorization", "Bearer t"),
            ("x-forwarded-for", "192.0.2.7, 10.0.0.1"),
            ("user-agent", concat!("openim-exporter/", env!("CARGO_PKG_VERSION"))),
            ("webhook-id", "callbackXACommand_m1"),
            ("webhook-timestamp", "1614265330"),
        ] {
            assert_eq!(header(name), Some(value), "{name}");
        }
        assert!(header("via").unwrap().starts_with("1.1 openim-exporter-"));
        assert_eq!((request.headers().len(), header("webhook-signature")), (9, None));
    }

    #[test]
    fn its_own_via_is_found_in_any_line() {
        let own = built(&simple("http://a/"), &callback("callbackX", b"{}")).headers()[VIA].clone();
        let with = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            lines.iter().for_each(|line| _ = headers.append(VIA, line.parse().unwrap()));
            is_own(&headers)
        };
        let own = own.to_str().unwrap();
        assert!(with(&["1.1 proxy", &format!("1.0 x,{own} (comment), 1.1 y")]));
        assert!(!with(&["1.1 openim-exporter-0000000000000000", &format!("{own}0")]));
    }

    #[test]
    fn the_via_that_came_is_passed_on() {
        let callback = Record { via: b"1.0 fred, 1.1 p", ..callback("callbackX", b"{}") };
        let via = built(&simple("http://a/"), &callback).headers()[VIA].clone();
        assert!(via.to_str().unwrap().starts_with("1.0 fred, 1.1 p, 1.1 openim-exporter-"), "{via:?}");
    }

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        // The example of its libraries: the secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_id_has_the_message_s_or_a_digest() {
        let of = |command: &str, body: &str| id(&callback(command, body.as_bytes()));
        assert_eq!(of("callbackX", r#"{"serverMsgID":"a-B_9"}"#), "callbackX_a-B_9");
        // `printf '{}' | openssl sha256 -binary | basenc --base64url`
        assert_eq!(of("callbackX", "{}"), "callbackX_RBNvo1WzZ4oRRq0W9-hknp");
        assert!(of("callbackX", r#"{"serverMsgID":"a b"}"#).starts_with("callbackX_"));
        assert!(of("callback\n", "{}").starts_with("callback_R"));
    }
}
