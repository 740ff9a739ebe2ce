//! The last response of a connection, and the time for the client to read it.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::domain::{AnswerUse, Reason};
use crate::http::base::connections::{Tracker, in_time};
use crate::http::base::progress::Phase;
use crate::http::site::Site;
use crate::http::site::exchange::count_refusal;
use crate::wire;

/// Maximum number of bytes that are read and discarded after the last response.
const MAX_LINGER_BYTES: usize = 256 * 1024;

/// How many of them are read at a time.
const LINGER_PIECE_BYTES: usize = 4096;

/// Refuses a request in hyper's place, and lets the client read the response.
pub(super) async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    tracker: &Tracker,
    (site, client): (&Site, IpAddr),
    reason: Reason,
    detail: &str,
) {
    count_refusal(site, client, reason, detail);
    end(stream, tracker, &whole_response(reason, detail)).await;
}

/// Sends the last bytes and lets the client read them. If the connection were closed while the client still sends, it
/// would be reset, and bytes on their way to the client would be lost.
pub(super) async fn end(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), tracker: &Tracker, last: &[u8]) {
    linger(tracker, send_last(stream, last)).await;
}

/// The same, without a time limit.
pub(super) async fn send_last(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), last: &[u8]) -> io::Result<()> {
    stream.write_all(last).await?;
    stream.shutdown().await?;
    let mut dropped = 0;
    // On the heap, because otherwise the future of every connection would be this much larger.
    let mut buffer = vec![0; LINGER_PIECE_BYTES];
    while dropped < MAX_LINGER_BYTES {
        match stream.read(&mut buffer).await? {
            0 => break,
            len => dropped += len,
        }
    }
    Ok(())
}

/// Closes the stream without sending anything else. Over TLS this tells the client that the response is complete.
pub(super) async fn close(stream: &mut (impl AsyncWrite + Unpin), tracker: &Tracker) {
    linger(tracker, stream.shutdown()).await;
}

/// Ends the connection within a short time. Errors no longer matter.
async fn linger(tracker: &Tracker, last: impl Future<Output = io::Result<()>>) {
    tracker.enter(Phase::Linger);
    let _ = in_time(tracker.progress(), last).await;
}

/// A complete response as bytes, for connections where hyper does not write it. The request may be a callback whose
/// answer is obeyed.
pub(super) fn whole_response(reason: Reason, detail: &str) -> Vec<u8> {
    let status = hyper::StatusCode::from_u16(reason.status()).unwrap_or_default();
    let body = wire::refusal(reason.status(), reason.message(), detail, AnswerUse::Obeyed);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}
