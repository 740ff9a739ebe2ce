//! One request to a target, and its answer.

use std::fmt::Display;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};

use super::policy::Answer;
use crate::forward::client::{Client, causes};
use crate::telemetry::AnswerFailure;

/// Why there is no answer, and what happened.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: AnswerFailure,
    pub(super) what: String,
}

impl Failure {
    pub(super) fn new(kind: AnswerFailure, what: impl Display) -> Self {
        Self { kind, what: what.to_string() }
    }
}

/// Sends a request and reads the answer, of which the body has at most this many bytes.
///
/// The client repeats the request if the pooled connection was already closed by the target, so that nothing was sent.
/// If no connection could be established, it is retried once. Nothing is sent twice.
pub(super) async fn ask(client: &Client, request: Request<Full<Bytes>>, limit: usize) -> Result<Answer, Failure> {
    let again = request.clone();
    let response = match client.send(request).await {
        Err(error) if error.is_unsent => client.send(again).await,
        first => first,
    };
    read(response.map_err(|error| Failure::new(AnswerFailure::Unreachable, error))?, limit).await
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<Answer, Failure> {
    let (mut head, body) = response.into_parts();
    let body = read_body(body, limit).await?;
    // 101 would switch to another protocol.
    let status = if head.status.is_informational() { StatusCode::BAD_GATEWAY } else { head.status };
    Ok(Answer { status, content_type: head.headers.remove(CONTENT_TYPE), body })
}

/// Reads a body. If it arrives in one piece, it is not copied. Pieces are not kept, because many small ones need much more
/// memory than their bytes.
async fn read_body(mut body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(AnswerFailure::TooLarge, format_args!("the answer is over {limit} bytes"));
    let announced = usize::try_from(body.size_hint().lower()).ok().filter(|announced| *announced <= limit);
    let announced = announced.ok_or_else(too_large)?;
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::new(AnswerFailure::Unreachable, causes(&error)))?;
        // Trailers are ignored.
        let Ok(piece) = frame.into_data() else { continue };
        if first.len() + whole.len() + piece.len() > limit {
            return Err(too_large());
        }
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced);
        }
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}
