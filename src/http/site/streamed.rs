//! A response's body that is written in chunks. Each chunk is written when the client has read the previous one.
//!
//! Chunks are written on a thread for blocking work, so callbacks are answered meanwhile. A client that reads slowly
//! holds one chunk, but no thread and no lock. If a client hangs up, at most one chunk is still written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::http::base::connections::{ProgressHandle, Tracker};
use crate::http::base::limits::PIECE_BYTES;
use crate::http::base::progress::Phase;

/// The part of a body that is not written yet.
pub(crate) trait Unwritten: Send {
    /// Writes the next chunk.
    ///
    /// # Errors
    /// When it cannot be compressed. That ends the connection.
    fn write_chunk(self: Box<Self>) -> io::Result<Chunk>;
}

/// A part of a body, and what follows it.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) rest: Option<Box<dyn Unwritten>>,
}

/// A body that the client takes in more than one piece.
pub(crate) struct Streamed {
    /// Bytes that are written and not taken yet.
    written: Bytes,
    rest: Rest,
    /// Where the progress is recorded.
    handle: ProgressHandle,
}

enum Rest {
    Unwritten(Box<dyn Unwritten>),
    /// The next chunk is being written.
    Writing(JoinHandle<io::Result<Chunk>>),
    None,
}

impl Streamed {
    pub(crate) fn new(unwritten: Box<dyn Unwritten>, tracker: &Tracker) -> Self {
        Self { written: Bytes::new(), rest: Rest::Unwritten(unwritten), handle: tracker.handle().clone() }
    }

    /// A body that is written already.
    pub(crate) fn from_bytes(bytes: Bytes, tracker: &Tracker) -> Self {
        Self { written: bytes, rest: Rest::None, handle: tracker.handle().clone() }
    }

    /// Waits until some bytes are written or the body is complete.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written.is_empty() {
            self.rest = match std::mem::replace(&mut self.rest, Rest::None) {
                Rest::Unwritten(unwritten) => Rest::Writing(spawn_blocking(|| unwritten.write_chunk())),
                Rest::Writing(mut writing) => match Pin::new(&mut writing).poll(cx) {
                    Poll::Pending => {
                        self.rest = Rest::Writing(writing);
                        return Poll::Pending;
                    }
                    // The outer error: the thread panicked, or the process is about to end.
                    Poll::Ready(written) => {
                        let chunk = written.map_err(io::Error::other)??;
                        self.written = chunk.bytes;
                        chunk.rest.map_or(Rest::None, Rest::Unwritten)
                    }
                },
                Rest::None => break,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// The next piece; `None` after the last one. An error ends the connection, so that no client takes a part for the
    /// whole.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Err(error) = ready!(self.poll_written(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        if self.written.is_empty() {
            return Poll::Ready(None);
        }
        // The response is overdue. Another piece would count as progress, although only hyper's buffer has space for
        // it.
        if self.handle.progress().overdue().is_some() {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        self.handle.enter(Phase::Stream);
        let len = self.written.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.written.split_to(len))))
    }

    /// Bytes left, once all of the body is written; before that, `None`.
    pub(crate) const fn len(&self) -> Option<usize> {
        match self.rest {
            Rest::None => Some(self.written.len()),
            _ => None,
        }
    }
}

/// hyper drops it after the last piece, for a `HEAD`, or when the client has hung up.
impl Drop for Streamed {
    fn drop(&mut self) {
        if let Rest::Writing(writing) = &self.rest {
            // Prevents a chunk that waits for a thread. A chunk that is being written is written to its end.
            writing.abort();
        }
        let progress = self.handle.progress();
        // A response that took too long ends here.
        if progress.phase() == Phase::Stream && progress.overdue().is_none() {
            self.handle.enter(Phase::Answer);
        }
    }
}
