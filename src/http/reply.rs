//! Answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::progress::{Handle, Open, Phase};
use crate::telemetry::Reason;
use crate::wire;

pub(super) type Reply = Response<Payload>;

/// The most of an answer's body that is handed to hyper at once: what a slow reader makes hyper hold.
const PIECE_BYTES: usize = 32 * 1024;

/// An answer's body.
#[derive(Debug)]
pub(super) struct Payload {
    rest: Bytes,
    /// Of an answer that takes more than one piece: where to note how far it is.
    long: Option<Long>,
}

#[derive(Debug)]
struct Long {
    handle: Handle,
    /// Given back when all of the answer has been taken.
    _permit: OwnedSemaphorePermit,
}

/// Dropped by hyper when it has taken all, or wants none, as of the answer to a `HEAD`.
impl Drop for Long {
    fn drop(&mut self) {
        if self.handle.progress().phase() == Phase::Stream {
            self.handle.enter(Phase::Answer);
        }
    }
}

impl Payload {
    const fn new(bytes: Bytes) -> Self {
        Self { rest: bytes, long: None }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(len);
        if let Some(long) = &self.long {
            long.handle.enter(Phase::Stream);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a callback that was taken. It takes the request's headers over, emptied: hyper keeps an answer's map
/// for the next request, so that one connection's callbacks share one map and none allocates it anew.
pub(super) fn success(mut headers: HeaderMap) -> Reply {
    headers.clear();
    headers.insert(header::CONTENT_TYPE, JSON);
    let mut reply = Response::new(Payload::new(Bytes::from_static(wire::SUCCESS.as_bytes())));
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

/// The same answer, written piece by piece as the client reads it, and holding a permit until then.
pub(super) fn streamed(mut reply: Reply, open: &Open, permit: OwnedSemaphorePermit) -> Reply {
    reply.body_mut().long = Some(Long { handle: open.handle().clone(), _permit: permit });
    reply
}

/// The phase that the connection enters with an answer.
pub(super) fn phase_of(reply: &Reply) -> Phase {
    if reply.body().long.is_some() { Phase::Stream } else { Phase::Answer }
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
    let mut reply = Response::new(Payload::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    reply
}
