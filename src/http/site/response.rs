//! Responses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::streamed::Streamed;
use super::viewer::Viewer;
use crate::domain::{AnswerUse, Reason};
use crate::http::base::connections::Tracker;
use crate::http::base::limits::PIECE_BYTES;
use crate::http::base::progress::Phase;
use crate::wire;

pub(crate) type Reply = Response<Payload>;

/// A response's body.
pub(crate) enum Payload {
    /// Sent at once. Empty after that.
    Whole(Bytes),
    Streamed(Box<Streamed>),
    /// It ends only with the drain.
    Live(Box<Viewer>),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(body) => body.poll_piece(cx).map_ok(Frame::data),
            Self::Live(viewer) => viewer.poll_event(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(body) => body.len() == Some(0),
            Self::Live(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(body) => body.len().map_or_else(SizeHint::default, |len| SizeHint::with_exact(len as u64)),
            Self::Live(_) => SizeHint::default(),
        }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The response to a callback that was counted. It reuses the map of the request's headers: hyper keeps a response's
/// map for the next request, so the callbacks of a connection share one map and none allocates another.
pub(crate) fn success(mut headers: HeaderMap) -> Reply {
    headers.clear();
    headers.insert(header::CONTENT_TYPE, JSON);
    let mut reply = Response::new(Payload::Whole(Bytes::from_static(wire::SUCCESS.as_bytes())));
    *reply.headers_mut() = headers;
    reply
}

/// The response to a callback whose answer has fields that OpenIM copies.
pub(crate) fn echo(answer: String) -> Reply {
    reply(StatusCode::OK, JSON, Payload::Whole(answer.into()))
}

/// A refusal, in OpenIM's format.
pub(crate) fn refusal(reason: Reason, detail: &str, answer_use: AnswerUse) -> Reply {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = wire::refusal(reason.status(), reason.message(), detail, answer_use);
    reply(status, JSON, Payload::Whole(body.into()))
}

/// A response of this media type.
pub(crate) fn page(content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, HeaderValue::from_static(content_type), Payload::Whole(body.into()))
}

/// A response that is written as the client reads it.
pub(crate) fn streamed(content_type: &'static str, body: Streamed) -> Reply {
    reply(StatusCode::OK, HeaderValue::from_static(content_type), Payload::Streamed(Box::new(body)))
}

/// A response of this status, without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Payload::Whole(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

/// A stream of server-sent events.
pub(crate) fn events(viewer: Viewer) -> Reply {
    reply(StatusCode::OK, HeaderValue::from_static("text/event-stream"), Payload::Live(Box::new(viewer)))
}

/// Starts to send a response. A long one is sent in pieces.
pub(crate) fn start_sending(mut reply: Reply, tracker: &Tracker) -> Reply {
    if let Payload::Whole(bytes) = reply.body_mut()
        && bytes.len() > PIECE_BYTES
    {
        let body = Streamed::from_bytes(std::mem::take(bytes), tracker);
        *reply.body_mut() = Payload::Streamed(Box::new(body));
    }
    tracker.enter(match reply.body() {
        Payload::Whole(_) => Phase::Answer,
        Payload::Streamed(_) => Phase::Stream,
        Payload::Live(_) => Phase::Live,
    });
    reply
}

/// The same response with one more header.
pub(crate) fn with_header(mut reply: Reply, name: HeaderName, value: &'static str) -> Reply {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
    reply
}

/// The same response, after which the connection closes.
pub(crate) fn closing(reply: Reply) -> Reply {
    with_header(reply, header::CONNECTION, "close")
}

fn reply(status: StatusCode, content_type: HeaderValue, body: Payload) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    reply
}
