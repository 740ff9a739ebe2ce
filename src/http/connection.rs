//! One connection, from its acceptance to its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::caller::Caller;
use super::multiplex;
use super::progress::{Open, Phase, in_time};
use super::secured::{HANDSHAKE, secure};
use super::service::{Exchange, answer};
use super::site::Site;
use super::stream::Watched;
use crate::telemetry::Reason;
use crate::wire;

/// Largest request head in bytes. It is also hyper's buffer for reading and writing.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// After a refusal that ends the connection, the most that is read and dropped of what the peer still sends.
const MAX_LINGER_BYTES: usize = 256 * 1024;

/// What is read of that at once.
const LINGER_PIECE_BYTES: usize = 4096;

enum End {
    /// hyper is done with it.
    Done(hyper::Result<()>),
    /// The peer speaks TLS.
    Tls,
    /// This phase took too long.
    Overdue(Phase),
}

/// Serves a connection until it ends.
pub(super) async fn converse(mut stream: TcpStream, open: Open, caller: Caller, site: &Arc<Site>) {
    // A small answer must not wait for the acknowledgement of the one before it. Where it cannot be set, it may.
    let _ = stream.set_nodelay(true);
    let Some(tls) = site.access().tls.clone() else { return talk(&mut stream, &open, &caller, site).await };
    let Some(mut stream) = secure(stream, tls, &open, site).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(multiplex::ALPN) {
        multiplex::serve(stream, open, caller, site).await;
    } else {
        talk(&mut stream, &open, &caller, site).await;
    }
}

/// Speaks HTTP/1 until the connection ends.
pub(super) async fn talk(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    open: &Open,
    caller: &Caller,
    site: &Arc<Site>,
) {
    let end = exchange(stream, open, caller, site).await;
    if matches!(end, End::Overdue(Phase::Idle)) {
        site.ends_idle();
    }
    if let Some((reason, detail)) = refusal_of(&end, open) {
        refuse(stream, open, site, reason, &detail).await;
    } else if matches!(end, End::Done(_)) && open.progress().has_left_unread() {
        say_goodbye(stream, open, &[]).await;
    } else if matches!(end, End::Done(Ok(())) | End::Overdue(Phase::Idle)) {
        // Over TLS, what ends with the connection is whole only if it is said that this is the end. Of an answer that was
        // cut off, it must not be said.
        part(open, stream.shutdown()).await;
    }
}

async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    open: &Open,
    caller: &Caller,
    site: &Arc<Site>,
) -> End {
    let watched = Watched { stream, open, telemetry: site.telemetry() };
    let service = service_fn(|request| answer(Exchange { site, open, caller }, request));
    let mut connection = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        // One small answer: copying its body behind its head is cheaper than a vectored write.
        .writev(false)
        // A peer that is done with sending still gets its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(watched), service);
    loop {
        let end = poll_fn(|cx| {
            open.progress().belongs_to(cx.waker());
            match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if overdue(open).is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match end {
            Some(Err(error)) if error.is_parse() => {
                let is_tls = connection.into_parts().read_buf.first() == Some(&HANDSHAKE);
                return if is_tls { End::Tls } else { End::Done(Err(error)) };
            }
            Some(end) => return End::Done(end),
            None => {}
        }
        // The kernel may hold a request that the runtime has not seen yet; ending here would lose it. Let it look.
        tokio::task::yield_now().await;
        if let Poll::Ready(end) = poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx))).await {
            return End::Done(end);
        }
        if let Some(phase) = overdue(open) {
            // Half a head that came behind the request before it is in hyper's buffer only; half a TLS record of one is in
            // that of rustls.
            let half_a_head = phase == Phase::Idle
                && (open.progress().midway_since_ms().is_some() || !connection.into_parts().read_buf.is_empty());
            return End::Overdue(if half_a_head { Phase::Head } else { phase });
        }
    }
}

/// The phase in which the connection is to be ended. The service ends its own phase: with an answer.
fn overdue(open: &Open) -> Option<Phase> {
    open.progress().condemned().filter(|phase| *phase != Phase::Service)
}

/// What is still to be answered when hyper or the sweep has ended the connection.
fn refusal_of(end: &End, open: &Open) -> Option<(Reason, String)> {
    match end {
        End::Overdue(Phase::Head) => {
            Some((Reason::HeaderTimeout, "the request's head did not arrive in time".to_owned()))
        }
        End::Overdue(_) | End::Done(Ok(())) => None,
        End::Tls => Some((Reason::MalformedRequest, "this port speaks plain HTTP; use http:// in the URL".to_owned())),
        End::Done(Err(error)) if error.is_parse_too_large() => Some((
            Reason::HeaderTooLarge,
            format!(
                "the request's head, or the length that it announces, is too large; {MAX_HEAD_BYTES} bytes and 100 \
                 headers are always taken"
            ),
        )),
        End::Done(Err(error)) if error.is_parse() || open.progress().has_swallowed() => {
            Some((Reason::MalformedRequest, format!("the request's head is not HTTP/1.1: {error}")))
        }
        End::Done(Err(_)) => None,
    }
}

/// Answers in hyper's place, and lets the peer read it.
pub(super) async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    open: &Open,
    site: &Site,
    reason: Reason,
    detail: &str,
) {
    site.telemetry().request_rejected(reason, detail, site.now().0);
    say_goodbye(stream, open, &raw_answer(reason, detail)).await;
}

/// Says the last thing, and lets the peer read what was said: closed while it still sends, the connection would be reset,
/// and what is on its way lost.
async fn say_goodbye(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), open: &Open, last: &[u8]) {
    part(open, say_and_linger(stream, last)).await;
}

/// Parts from the peer, who has little time for that. Whether it reads what was said or not, there is nothing more to say.
async fn part(open: &Open, farewell: impl Future<Output = std::io::Result<()>>) {
    open.enter(Phase::Linger);
    let _ = in_time(open, farewell).await;
}

async fn say_and_linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), last: &[u8]) -> std::io::Result<()> {
    stream.write_all(last).await?;
    stream.shutdown().await?;
    let mut dropped = 0;
    // Not in the connection's future, of which each open connection has one.
    let mut buffer = vec![0; LINGER_PIECE_BYTES];
    while dropped < MAX_LINGER_BYTES {
        match stream.read(&mut buffer).await? {
            0 => break,
            len => dropped += len,
        }
    }
    Ok(())
}

/// A whole answer, for where hyper does not write one.
pub(super) fn raw_answer(reason: Reason, detail: &str) -> Vec<u8> {
    let status = hyper::StatusCode::from_u16(reason.status()).unwrap_or_default();
    let body = wire::refusal(reason.status(), reason.message(), detail);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}
