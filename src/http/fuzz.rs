//! For fuzzing: a connection without a socket.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::caller::Caller;
use super::connection;
use super::listen::Role;
use super::site::Site;

/// What is said to a peer that sends these pieces, one after the other, and then no more. The site has a worker.
pub async fn talk(site: &Arc<Site>, role: Role, pieces: &[&[u8]]) -> Vec<u8> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (Some(worker), Some(place)) = (site.workers().first(), site.addresses.one(address)) else {
        return Vec::new();
    };
    let mut stream = Pieces { to_come: pieces.iter().copied().collect(), has_paused: true, said: Vec::new() };
    let caller = Caller::new(role, place, address);
    connection::talk(&mut stream, &worker.open(), &caller, site).await;
    stream.said
}

/// A stream of which one piece is there at a time, and that keeps what is written.
struct Pieces<'a> {
    to_come: VecDeque<&'a [u8]>,
    has_paused: bool,
    said: Vec<u8>,
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
        self.said.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
