//! Answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::telemetry::Reason;
use crate::wire;

pub(super) type Reply = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a callback that was taken. It takes the request's headers over, emptied: hyper keeps an answer's map
/// for the next request, so that one connection's callbacks share one map and none allocates it anew.
pub(super) fn success(mut headers: HeaderMap) -> Reply {
    headers.clear();
    headers.insert(header::CONTENT_TYPE, JSON);
    let mut reply = Response::new(Full::new(Bytes::from_static(wire::SUCCESS.as_bytes())));
    *reply.headers_mut() = headers;
    reply
}

/// A refusal in the form that the sender reads.
pub(super) fn refusal(reason: Reason, detail: &str) -> Reply {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply(status, JSON, wire::refusal(reason.status(), reason.message(), detail).into())
}

/// An answer of a kind of its own.
pub(super) fn page(content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, HeaderValue::from_static(content_type), body.into())
}

/// The same answer with one more header.
pub(super) fn with_header(mut reply: Reply, name: HeaderName, value: &'static str) -> Reply {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
    reply
}

/// The same answer, after which the connection closes.
pub(super) fn closing(reply: Reply) -> Reply {
    with_header(reply, header::CONNECTION, "close")
}

fn reply(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    reply
}
