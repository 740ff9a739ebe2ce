//! HTTP/1 connections.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::farewell;
use super::handshake::HANDSHAKE;
use super::proxy_protocol::{UNEXPECTED, is_header};
use super::watched::Watched;
use crate::domain::Reason;
use crate::http::base::caller::Caller;
use crate::http::base::connections::{Overdue, Tracker, in_time_except};
use crate::http::base::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::http::base::progress::Phase;
use crate::http::service::answer;
use crate::http::site::Site;
use crate::http::site::exchange::Exchange;

enum ConnectionEnd {
    /// hyper has finished.
    Done(hyper::Result<()>),
    /// The client speaks something other than HTTP.
    OtherProtocol(&'static str),
    /// This phase took too long.
    Overdue(Phase),
}

/// Serves HTTP/1 until the connection ends.
pub(crate) async fn serve(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    tracker: &Tracker,
    caller: &Caller,
    site: &Arc<Site>,
) {
    let end = run(stream, tracker, caller, site).await;
    if matches!(end, ConnectionEnd::Overdue(Phase::Idle)) {
        site.count_idle_end();
    } else if tracker.progress().is_response_overdue() {
        site.telemetry.answer_unread();
    }
    if let Some((reason, detail)) = refusal_of(&end, tracker) {
        farewell::refuse(stream, tracker, (site, caller.address), reason, &detail).await;
    } else if matches!(end, ConnectionEnd::Done(_)) && tracker.progress().has_unread_request() {
        farewell::end(stream, tracker, &[]).await;
    } else if matches!(end, ConnectionEnd::Done(Ok(())) | ConnectionEnd::Overdue(Phase::Idle)) {
        // Not after an incomplete response: the client must not take it as complete.
        farewell::close(stream, tracker).await;
    }
}

async fn run(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    tracker: &Tracker,
    caller: &Caller,
    site: &Arc<Site>,
) -> ConnectionEnd {
    let watched = Watched { stream, tracker, telemetry: &site.telemetry };
    let service = service_fn(|request| answer(Exchange::new(site, tracker, caller), request));
    let mut connection = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        // Responses are small: copying the body behind the head is cheaper than a vectored write.
        .writev(false)
        // A client that has shut down its sending side still gets the response.
        .half_close(true)
        .serve_connection(TokioIo::new(watched), service);
    // In the service's phase, the service itself responds when its time is up.
    let end = poll_fn(|cx| Pin::new(&mut connection).poll(cx));
    match in_time_except(Some(Phase::Service), tracker.progress(), end).await {
        Ok(Err(error)) if error.is_parse() => {
            let start = connection.into_parts().read_buf;
            if start.first() == Some(&HANDSHAKE) {
                ConnectionEnd::OtherProtocol("this port does not use TLS; use http:// in the URL")
            } else if is_header(&start) {
                ConnectionEnd::OtherProtocol(UNEXPECTED)
            } else {
                ConnectionEnd::Done(Err(error))
            }
        }
        Ok(end) => ConnectionEnd::Done(end),
        Err(Overdue(phase)) => {
            // An incomplete head that arrived with the previous request is only in hyper's buffer, and one in an
            // incomplete TLS record only in that of rustls.
            let is_partial_head = phase == Phase::Idle
                && (tracker.progress().partial_since_ms().is_some() || !connection.into_parts().read_buf.is_empty());
            ConnectionEnd::Overdue(if is_partial_head { Phase::Head } else { phase })
        }
    }
}

/// The refusal to send after hyper or the sweep has ended the connection, if any.
fn refusal_of(end: &ConnectionEnd, tracker: &Tracker) -> Option<(Reason, String)> {
    match end {
        ConnectionEnd::Overdue(Phase::Head) => {
            Some((Reason::HeaderTimeout, "the request's head did not arrive in time".to_owned()))
        }
        ConnectionEnd::Overdue(_) | ConnectionEnd::Done(Ok(())) => None,
        ConnectionEnd::OtherProtocol(detail) => Some((Reason::MalformedRequest, (*detail).to_owned())),
        ConnectionEnd::Done(Err(error)) if error.is_parse_too_large() => Some((
            Reason::HeaderTooLarge,
            format!(
                "the request's head, or its Content-Length, is too large; up to {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} \
                 headers are always accepted"
            ),
        )),
        ConnectionEnd::Done(Err(error)) if error.is_parse() || tracker.progress().has_discarded_response() => {
            Some((Reason::MalformedRequest, format!("the request's head is not HTTP/1.1: {error}")))
        }
        ConnectionEnd::Done(Err(_)) => None,
    }
}
