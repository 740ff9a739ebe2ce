//! One request to a target, and its answer.

use std::fmt::Display;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
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
/// The client sends the request again if it took a connection that the target had closed, and so did not send any of it.
/// If no connection could be established, there is one more try. Nothing is sent twice.
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
    let too_large = || Failure::new(AnswerFailure::TooLarge, format_args!("the answer is over {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    // A body that arrives in one piece is not copied.
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
        Err(error) => return Err(Failure::new(AnswerFailure::Unreachable, causes(error.as_ref()))),
    };
    // It would begin another protocol.
    let status = if head.status.is_informational() { StatusCode::BAD_GATEWAY } else { head.status };
    Ok(Answer { status, content_type: head.headers.remove(CONTENT_TYPE), body })
}
