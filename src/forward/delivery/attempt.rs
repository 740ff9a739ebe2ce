//! One attempt to deliver a callback.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use jiff::fmt::rfc2822;
use tokio::time::timeout;

use crate::domain::UnixMillis;
use crate::forward::client::Client;
use crate::telemetry::Outcome;

/// The longest delay that a target can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How much of an answer is read, so that the connection can be used again, and how long that may take.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const MAX_ANSWER_TIME: Duration = Duration::from_secs(1);

/// How much of a rejection is kept with the dead letter, in bytes.
const MAX_REASON_BYTES: usize = 300;

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Attempt {
    Delivered,
    /// The target will never accept it.
    Rejected {
        status: u16,
        reason: String,
    },
    /// It must be retried: after `retry_after`, if the target said so.
    Failed {
        outcome: Outcome,
        problem: String,
        retry_after: Option<Duration>,
    },
}

impl Attempt {
    const fn failed(outcome: Outcome, problem: String) -> Self {
        Self::Failed { outcome, problem, retry_after: None }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Delivered => Outcome::Success,
            Self::Rejected { .. } => Outcome::Rejected,
            Self::Failed { outcome, .. } => *outcome,
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Rejected { status, .. } => write!(f, "the answer has status {status}"),
            Self::Failed { problem, .. } => f.write_str(problem),
        }
    }
}

/// Sends a request. Returns how the attempt ended, after this time at the latest, and how long the target took.
pub(super) async fn attempt(
    client: Arc<Client>,
    request: Request<Full<Bytes>>,
    limit: Duration,
    now: UnixMillis,
) -> (Attempt, Duration) {
    let began = Instant::now();
    let answer = timeout(limit, client.send(request)).await;
    let took = began.elapsed();
    let ended = match answer {
        Err(_) => Attempt::failed(Outcome::Timeout, format!("no answer within delivery_timeout ({limit:?})")),
        Ok(Err(error)) => Attempt::failed(Outcome::Unreachable, error.to_string()),
        Ok(Ok(response)) => {
            let (head, body) = response.into_parts();
            let start = read_rest(body, head.status).await;
            judge(&Response::from_parts(head, start), now)
        }
    };
    (ended, took)
}

/// Waits for an attempt, and takes a panic for a failure: otherwise its key would be busy for ever.
pub(super) async fn caught(attempt: impl Future<Output = (Attempt, Duration)>) -> (Attempt, Duration) {
    let (mut attempt, began) = (pin!(attempt), Instant::now());
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| {
            let problem = "a defect of the exporter: it panicked; see the log".to_owned();
            Poll::Ready((Attempt::failed(Outcome::Failed, problem), began.elapsed()))
        })
    })
    .await
}

/// What the answer's head says. `start` is the start of its body, if that is of interest.
fn judge(response: &Response<Vec<u8>>, now: UnixMillis) -> Attempt {
    let status = response.status();
    if status.is_success() {
        return Attempt::Delivered;
    }
    let is_temporary = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    );
    if status.is_client_error() && !is_temporary {
        let reason = format!("{status}: {}", String::from_utf8_lossy(response.body()));
        return Attempt::Rejected { status: status.as_u16(), reason };
    }
    Attempt::Failed {
        outcome: Outcome::Failed,
        problem: format!("the answer has status {status}"),
        retry_after: retry_after(response.headers(), now),
    }
}

/// Reads the rest of an answer, so that its connection can be used again; but not a long or a slow one, whose connection
/// closes. Returns the start of a rejection.
async fn read_rest(mut body: Incoming, status: StatusCode) -> Vec<u8> {
    let (mut start, mut read) = (Vec::new(), 0);
    let rest = async {
        while read < MAX_ANSWER_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            let data = frame.data_ref().map_or(&[][..], |data| data);
            read += data.len();
            if status.is_client_error() {
                start.extend(data.iter().take(MAX_REASON_BYTES.saturating_sub(start.len())));
            }
        }
    };
    // If the body is late: the head has already decided the outcome.
    let _ = timeout(MAX_ANSWER_TIME, rest).await;
    start
}

/// The delay that the target asked for with `Retry-After`: seconds or a date. RFC 9110, 10.2.3.
fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::from_millis(date.as_millisecond().saturating_sub(now.0).max(0).unsigned_abs())
        }
    };
    Some(pause.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, retry: &str) -> Attempt {
        let mut response = Response::new(b"because".to_vec());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if !retry.is_empty() {
            response.headers_mut().insert(RETRY_AFTER, retry.parse().unwrap());
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        judge(&response, UnixMillis(784_111_777_000))
    }

    #[test]
    fn the_status_decides_what_happens_next() {
        for status in [200, 201, 202, 204, 299] {
            assert!(matches!(judged(status, ""), Attempt::Delivered), "{status}");
        }
        for status in [400, 401, 404, 410, 413, 422, 499] {
            let Attempt::Rejected { status: found, reason } = judged(status, "5") else { panic!("{status}") };
            assert!(found == status && reason.ends_with(": because"), "{reason}");
        }
        for status in [301, 302, 304, 408, 409, 425, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(judged(status, ""), Attempt::Failed { retry_after: None, .. }), "{status}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let (attempt, _) = caught(async { panic!("a defect") }).await;
        assert!(matches!(attempt, Attempt::Failed { outcome: Outcome::Failed, .. }), "{attempt:?}");
    }

    #[test]
    fn a_pause_is_seconds_or_a_date_and_bounded() {
        let pause = |text: &str| match judged(503, text) {
            Attempt::Failed { retry_after, .. } => retry_after.map(|pause| pause.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(pause("7"), Some(7));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:17 GMT"), Some(0));
        assert_eq!(pause("99999999"), Some(3600));
        assert_eq!(pause("soon"), None);
        assert_eq!(pause("-1"), None);
    }
}
