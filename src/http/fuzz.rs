//! For fuzzing: connections without a socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::task::yield_now;

use super::base::caller::Caller;
use super::base::connections::Tracker;
use super::base::progress::Framing;
use super::base::role::Role;
use super::site::Site;
use super::transport::partial::{PREFACE_BYTES, Position};
use super::transport::{http1, http2};

/// Where all of them come from.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What is received to a peer that sends these pieces, one after the other, and then no more. The site has a worker.
pub async fn serve_http1(site: &Arc<Site>, role: Role, pieces: &[&[u8]]) -> Vec<u8> {
    let Some((tracker, caller)) = connect(site, role) else { return Vec::new() };
    let mut stream = Pieces { to_come: pieces.iter().copied().collect(), has_paused: true, received: Vec::new() };
    http1::serve(&mut stream, &tracker, &caller, site).await;
    stream.received
}

fn connect(site: &Site, role: Role) -> Option<(Tracker, Caller)> {
    let (worker, share) = (site.workers.all().first()?, site.quotas.connections.take_one(ADDRESS)?);
    Some((worker.track(), Caller::new(role, share, ADDRESS)))
}

/// A stream of which one piece is there at a time, and that keeps what is written.
struct Pieces<'a> {
    to_come: VecDeque<&'a [u8]>,
    has_paused: bool,
    received: Vec<u8>,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_paused, true) {
            // Nothing is there, and then there is.
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

/// What a peer of HTTP/2 does once it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It waits until nothing more is received, and then sends no more.
    WaitsForResponses,
    /// It waits for ever: time has to end it.
    StaysOpen,
    /// It sends no more, at once.
    Closes,
}

/// What has become of a connection over HTTP/2.
#[derive(Debug, Default)]
pub struct ConnectionOutcome {
    /// All that was received to the peer.
    pub received: Vec<u8>,
    /// When nothing more was received to a peer that waited, no request was under way.
    pub is_all_answered: bool,
    /// It ended, and by no panic.
    pub has_ended: bool,
    /// Nothing is left of it: no connection, request or task, and no share, permit or memory of its address' is taken.
    pub is_gone: bool,
}

/// How often everybody else is let on before something counts as never to come.
const MAX_YIELDS: usize = 10_000;

/// How often nothing must happen before nothing more counts as received.
const QUIET_YIELDS: usize = 3;

/// Speaks HTTP/2 with a peer that sends these pieces, one after the other. The site has a worker, and its limits' times
/// are 0: each sweep finds that everything takes too long.
pub async fn serve_http2(site: &Arc<Site>, role: Role, pieces: &[&[u8]], ending: Ending) -> ConnectionOutcome {
    let Some((tracker, caller)) = connect(site, role) else { return ConnectionOutcome::default() };
    let (stream, served) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn({
        let site = Arc::clone(site);
        async move { http2::serve(served, tracker, caller, &site).await }
    });
    let mut peer = Peer { stream, received: Vec::new() };
    for piece in pieces {
        // Whoever has been told to go may not be heard to the end.
        if peer.stream.write_all(piece).await.is_err() {
            break;
        }
        peer.receive().await;
    }
    if ending != Ending::Closes {
        peer.receive_all(site).await;
    }
    let is_all_answered = ending != Ending::Closes && site.workers.requests() == 0;
    if ending != Ending::StaysOpen {
        // It may have been closed from the other end.
        let _ = peer.stream.shutdown().await;
    }
    for _ in 0..MAX_YIELDS {
        if serving.is_finished() {
            break;
        }
        if ending == Ending::StaysOpen {
            site.sweep();
        }
        peer.receive().await;
    }
    peer.receive().await;
    let has_ended = serving.is_finished() && serving.await.is_ok();
    ConnectionOutcome { received: peer.received, is_all_answered, has_ended, is_gone: is_gone(site).await }
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

struct Peer {
    stream: DuplexStream,
    received: Vec<u8>,
}

impl Peer {
    /// Lets everybody else on, and hears what there is to be heard.
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

    /// WaitsForResponses until nothing more is received.
    async fn receive_all(&mut self, site: &Site) {
        let mut quiet = 0;
        while quiet < QUIET_YIELDS {
            let before = (self.received.len(), site.workers.requests());
            self.receive().await;
            quiet = if before == (self.received.len(), site.workers.requests()) { quiet + 1 } else { 0 };
        }
    }
}

/// After a piece: whether only a part of something has arrived, and whether everything was complete at some point within
/// the piece.
pub type AfterPiece = (bool, bool);

/// What is detected of TLS records, or of HTTP/2 from its preface on, after each of these pieces.
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
