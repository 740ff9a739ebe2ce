//! A scrape as an answer's body: chunk by chunk, each written when the client has taken the one before it.
//!
//! A chunk is written, and compressed, on a thread for blocking work: callbacks are answered meanwhile. Who reads slowly
//! holds one chunk and a permit, but no thread and no lock.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::{JoinHandle, spawn_blocking};

use super::progress::{Handle, Open, Phase};
use super::site::{Permit, Site};
use crate::exposition::{CHUNK_BYTES, Scope, Scraper};

/// The most of a body that is handed to hyper at once: what a slow reader makes hyper hold.
pub(super) const PIECE_BYTES: usize = 32 * 1024;

/// Bytes of compressed chunks: about ten chunks' text go into one.
const COMPRESSED_BYTES: usize = PIECE_BYTES;

/// A scrape, as far as it has not been written.
pub(super) struct Unwritten {
    site: Arc<Site>,
    scraper: Scraper,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// The time that writing has taken so far.
    took: Duration,
}

/// A part of a scrape, and the rest if there is one.
struct Chunk {
    bytes: Bytes,
    rest: Option<Box<Unwritten>>,
}

impl Unwritten {
    pub(super) fn new(site: &Arc<Site>, scraper: Scraper, gzip: bool) -> Self {
        let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self { site: Arc::clone(site), scraper, gzip, took: Duration::ZERO }
    }

    fn write_chunk(mut self: Box<Self>) -> io::Result<Chunk> {
        let begin = Instant::now();
        if self.scraper.series() == 0 {
            self.site.tell_connections();
        }
        let (bytes, has_more) = match self.gzip.take() {
            None => self.plain(),
            Some(gzip) => self.compressed(gzip)?,
        };
        self.took += begin.elapsed();
        if !has_more {
            match self.scraper.scope() {
                Scope::Metrics => self.site.telemetry().scraped(self.scraper.series(), self.took),
                Scope::Groups => self.site.telemetry().groups_scraped(self.scraper.series(), self.took),
            }
        }
        Ok(Chunk { bytes: bytes.into(), rest: has_more.then_some(self) })
    }

    fn plain(&mut self) -> (Vec<u8>, bool) {
        // A full chunk is a little larger.
        let mut text = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        let has_more = self.scraper.next_chunk(&mut text);
        (text, has_more)
    }

    fn compressed(&mut self, mut gzip: GzEncoder<Vec<u8>>) -> io::Result<(Vec<u8>, bool)> {
        loop {
            let (text, has_more) = self.plain();
            gzip.write_all(&text)?;
            if !has_more {
                return Ok((gzip.finish()?, false));
            }
            if gzip.get_ref().len() >= COMPRESSED_BYTES {
                let bytes = std::mem::take(gzip.get_mut());
                self.gzip = Some(gzip);
                return Ok((bytes, true));
            }
        }
    }
}

/// A body that is taken in more than one piece.
pub(super) struct Streamed {
    /// What has been written and not been taken.
    written: Bytes,
    rest: Rest,
    /// Where to note how far it is.
    handle: Handle,
    /// Given back when all of it has been taken.
    _permit: Option<Permit>,
}

enum Rest {
    Unwritten(Box<Unwritten>),
    /// The next chunk is being written.
    Writing(JoinHandle<io::Result<Chunk>>),
    None,
}

impl Streamed {
    pub(super) fn new(scrape: Unwritten, open: &Open, permit: Permit) -> Self {
        Self {
            written: Bytes::new(),
            rest: Rest::Unwritten(Box::new(scrape)),
            handle: open.handle().clone(),
            _permit: Some(permit),
        }
    }

    /// A body that is written already.
    pub(super) fn written(bytes: Bytes, open: &Open) -> Self {
        Self { written: bytes, rest: Rest::None, handle: open.handle().clone(), _permit: None }
    }

    /// Has the next chunk written if nothing is there to be taken, and waits for it.
    pub(super) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written.is_empty() {
            self.rest = match std::mem::replace(&mut self.rest, Rest::None) {
                Rest::Unwritten(scrape) => Rest::Writing(spawn_blocking(|| scrape.write_chunk())),
                Rest::Writing(mut writing) => match Pin::new(&mut writing).poll(cx) {
                    Poll::Pending => {
                        self.rest = Rest::Writing(writing);
                        return Poll::Pending;
                    }
                    // That it panicked, or that the process is about to end.
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

    /// The next piece, or nothing after the last one. An error ends the connection, so that nobody takes a part for the
    /// whole.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Err(error) = ready!(self.poll_written(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        if self.written.is_empty() {
            return Poll::Ready(None);
        }
        // The answer is overdue: another piece would pass for progress, though only hyper's buffer has room.
        if self.handle.progress().condemned().is_some() {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        self.handle.enter(Phase::Stream);
        let len = self.written.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.written.split_to(len))))
    }

    /// How many bytes are left, once that is known: when all of it has been written.
    pub(super) const fn len(&self) -> Option<usize> {
        match self.rest {
            Rest::None => Some(self.written.len()),
            _ => None,
        }
    }
}

/// Dropped by hyper when it has taken all, or wants none, as of the answer to a `HEAD`.
impl Drop for Streamed {
    fn drop(&mut self) {
        if self.handle.progress().phase() == Phase::Stream {
            self.handle.enter(Phase::Answer);
        }
    }
}
