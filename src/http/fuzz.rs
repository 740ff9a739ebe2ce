//! For fuzzing and tests: connections without sockets, and the gauges.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::task::yield_now;

use super::base::caller::{Caller, Role};
use super::base::connections::Tracker;
use super::base::progress::Framing;
use super::site::Site;
use super::transport::partial::{PREFACE_BYTES, Position};
use super::transport::{http1, http2};

/// The address of every client.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Serves HTTP/1 to a client that sends these pieces, one after another, and then closes. Returns what the client
/// receives. The site must have a worker.
pub async fn serve_http1(site: &Arc<Site>, role: Role, pieces: &[&[u8]]) -> Vec<u8> {
    let Some((tracker, caller)) = connect(site, role) else { return Vec::new() };
    let mut stream = Pieces { to_come: pieces.iter().copied().collect(), has_paused: true, received: Vec::new() };
    http1::serve(&mut stream, &tracker, &caller, site).await;
    stream.received
}

fn connect(site: &Site, role: Role) -> Option<(Tracker, Caller)> {
    let (worker, share) = (site.workers.all().first()?, site.quotas.connections.take_one(ADDRESS)?);
    Some((worker.track(), Caller::new(role, Some(share), ADDRESS)))
}

/// The open connections of a site, and its callbacks in flight.
#[must_use]
pub fn in_progress(site: &Site) -> (usize, usize) {
    (site.workers.open_connections(), site.workers.callbacks_in_flight())
}

/// A stream that delivers one piece at a time, and keeps what is written.
struct Pieces<'a> {
    to_come: VecDeque<&'a [u8]>,
    has_paused: bool,
    received: Vec<u8>,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_paused, true) {
            // Pending once before each further piece.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(piece) = self.to_come.pop_front() {
            let (now, later) = piece.split_at(piece.len().min(buffer.remaining()));
            buffer.put_slice(now);
            if later.is_empty() {
                self.has_paused = false;
            } else {
                self.to_come.push_front(later);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.received.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What an HTTP/2 client does after it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It waits for all responses, and then closes.
    WaitsForResponses,
    /// It stays open until a time limit ends the connection.
    StaysOpen,
    /// It closes at once.
    Closes,
}

/// The outcome of an HTTP/2 connection.
#[derive(Debug, Default)]
pub struct ConnectionOutcome {
    /// All bytes that the client received.
    pub received: Vec<u8>,
    /// The client waited, and then no request was in progress.
    pub is_all_answered: bool,
    /// It ended without a panic.
    pub has_ended: bool,
    /// Nothing is left of it: no connection, request, task, or share of a quota.
    pub is_gone: bool,
}

/// How many times to yield to other tasks before giving up.
const MAX_YIELDS: usize = 10_000;

/// How many yields without any progress mean that no more responses follow.
const QUIET_YIELDS: usize = 3;

/// Serves HTTP/2 to a client that sends these pieces, one after another. The site must have a worker, and time limits
/// of 0: then each sweep finds that everything takes too long.
pub async fn serve_http2(site: &Arc<Site>, role: Role, pieces: &[&[u8]], ending: Ending) -> ConnectionOutcome {
    let Some((tracker, caller)) = connect(site, role) else { return ConnectionOutcome::default() };
    let (stream, served) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn({
        let site = Arc::clone(site);
        async move { http2::serve(served, tracker, caller, &site).await }
    });
    let mut client = Client { stream, received: Vec::new() };
    for piece in pieces {
        // The server may have closed the connection.
        if client.stream.write_all(piece).await.is_err() {
            break;
        }
        client.receive().await;
    }
    if ending != Ending::Closes {
        client.receive_all(site).await;
    }
    let is_all_answered = ending != Ending::Closes && site.workers.requests() == 0;
    if ending != Ending::StaysOpen {
        // The server may have closed it already.
        let _ = client.stream.shutdown().await;
    }
    for _ in 0..MAX_YIELDS {
        if serving.is_finished() {
            break;
        }
        if ending == Ending::StaysOpen {
            site.sweep();
        }
        client.receive().await;
    }
    client.receive().await;
    let has_ended = serving.is_finished() && serving.await.is_ok();
    ConnectionOutcome { received: client.received, is_all_answered, has_ended, is_gone: is_gone(site).await }
}

async fn is_gone(site: &Arc<Site>) -> bool {
    let tasks = tokio::runtime::Handle::current().metrics();
    for _ in 0..MAX_YIELDS {
        if site.workers.requests() == 0 && tasks.num_alive_tasks() == 0 {
            break;
        }
        yield_now().await;
    }
    site.workers.requests() == 0
        && site.workers.open_connections() == 0
        && tasks.num_alive_tasks() == 0
        && site.quotas.are_free(ADDRESS)
}

struct Client {
    stream: DuplexStream,
    received: Vec<u8>,
}

impl Client {
    /// Yields to other tasks, and receives what is available.
    async fn receive(&mut self) {
        yield_now().await;
        poll_fn(|cx| {
            let mut buffer = [0; 4096];
            loop {
                let mut buffer = ReadBuf::new(&mut buffer);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                        self.received.extend_from_slice(buffer.filled())
                    }
                    _ => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    /// Receives until no more responses follow.
    async fn receive_all(&mut self, site: &Site) {
        let mut quiet = 0;
        while quiet < QUIET_YIELDS {
            let before = (self.received.len(), site.workers.requests());
            self.receive().await;
            quiet = if before == (self.received.len(), site.workers.requests()) { quiet + 1 } else { 0 };
        }
    }
}

/// After a piece: whether only a part of something has arrived, and whether everything was complete at some point
/// within the piece.
pub type AfterPiece = (bool, bool);

/// Detects incomplete TLS records, or HTTP/2 heads and frames (the pieces begin with the preface), after each piece.
#[must_use]
pub fn detect_partial(is_http_2: bool, pieces: &[&[u8]]) -> Vec<AfterPiece> {
    let (framing, preface) = if is_http_2 { (Framing::Http2, PREFACE_BYTES) } else { (Framing::Tls, 0) };
    let mut position = Position::new(framing, preface);
    let after = |piece: &&[u8]| {
        let was_complete = position.advance(piece);
        (position.is_partial(), was_complete)
    };
    pieces.iter().map(after).collect()
}
