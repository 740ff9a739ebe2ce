//! A scrape as an answer's body: chunk by chunk, each written when the client has taken the one before it.
//!
//! A chunk is written, and compressed, on a thread for blocking work: callbacks are answered meanwhile. Who reads slowly
//! holds one chunk and a permit, but no thread and no lock. Who hangs up leaves at most one chunk that is being written,
//! and the permit is not given back before that has ended.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::{JoinHandle, spawn_blocking};

use super::budget::Share;
use super::progress::{Handle, Open, Phase};
use super::site::Site;
use crate::exposition::{CHUNK_BYTES, Scope, Scraper};

/// The most of a body that is handed to hyper at once: what a slow reader makes hyper hold.
pub(super) const PIECE_BYTES: usize = 32 * 1024;

/// Bytes of compressed chunks: about ten chunks' text go into one.
const COMPRESSED_BYTES: usize = PIECE_BYTES;

/// A scrape, as far as it has not been written.
pub(super) struct Unwritten {
    site: Arc<Site>,
    scraper: Scraper,
    is_gzip: bool,
    /// Made with the first chunk: what waits for a thread is small.
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// The time that writing has taken so far.
    took: Duration,
    /// The last field, so that it is given back when the rest of this is gone.
    permit: Arc<Share>,
}

/// A part of a scrape, and the rest if there is one.
struct Chunk {
    bytes: Bytes,
    rest: Option<Box<Unwritten>>,
}

impl Unwritten {
    pub(super) fn new(site: &Arc<Site>, scraper: Scraper, is_gzip: bool, permit: Share) -> Self {
        let site = Arc::clone(site);
        Self { site, scraper, is_gzip, gzip: None, took: Duration::ZERO, permit: Arc::new(permit) }
    }

    fn write_chunk(mut self: Box<Self>) -> io::Result<Chunk> {
        let begin = Instant::now();
        if self.scraper.series() == 0 {
            self.site.tell_connections();
        }
        let (bytes, has_more) = if self.is_gzip { self.compressed()? } else { self.plain() };
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

    fn compressed(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let mut gzip = self.gzip.take().unwrap_or_else(|| GzEncoder::new(Vec::new(), Compression::fast()));
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
    /// Given back when all of it has been taken, or when the writing for a client that has hung up has ended: it is shared
    /// with what is unwritten.
    _permit: Option<Arc<Share>>,
}

enum Rest {
    Unwritten(Box<Unwritten>),
    /// The next chunk is being written.
    Writing(JoinHandle<io::Result<Chunk>>),
    None,
}

impl Streamed {
    pub(super) fn new(scrape: Unwritten, open: &Open) -> Self {
        Self {
            written: Bytes::new(),
            handle: open.handle().clone(),
            _permit: Some(Arc::clone(&scrape.permit)),
            rest: Rest::Unwritten(Box::new(scrape)),
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

/// Dropped by hyper when it has taken all, or wants none, as of the answer to a `HEAD` or for a client that has hung up.
impl Drop for Streamed {
    fn drop(&mut self) {
        if let Rest::Writing(writing) = &self.rest {
            // A chunk that no thread has begun to write is not written. One that is being written is written to its end.
            writing.abort();
        }
        if self.handle.progress().phase() == Phase::Stream {
            self.handle.enter(Phase::Answer);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::mpsc::{RecvError, Sender, channel};
    use std::task::Waker;
    use std::thread;

    use tokio::runtime::{self, Runtime};

    use super::*;
    use crate::config;
    use crate::domain::{Clock, SystemClock, UnixMillis};
    use crate::exposition::Format;
    use crate::http::{Access, Limits};
    use crate::stats::{Capacities, Stats};
    use crate::telemetry::{Samples, Telemetry};
    use crate::wire;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A site where one scrape may be written at once.
    pub(in crate::http) fn site() -> Arc<Site> {
        let capacities =
            Capacities { groups: 10, exported_groups: 10, sender_pairs: 10, dedup_window: Duration::from_secs(60) };
        let stats = Stats::in_memory(capacities, UnixMillis(0)).unwrap();
        let telemetry = Telemetry::new(wire::COMMANDS);
        let config = config::Http {
            telemetry_path: "/metrics".into(),
            max_scrapes: 1,
            max_body_bytes: 1024,
            max_connections: 1,
            max_connections_per_address: 1,
            max_buffered_bytes: 1024,
            lifecycle: true,
            access: config::Access::default(),
        };
        let parts = (Arc::new(stats), Arc::new(telemetry), Arc::new(SystemClock) as Arc<dyn Clock>);
        Arc::new(Site::new(parts, config, Access::default(), Limits::default(), 1))
    }

    /// A runtime that writes on one thread.
    pub(in crate::http) fn runtime() -> Runtime {
        runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap()
    }

    /// Has the thread of that runtime wait until the sender is dropped; and its end.
    pub(in crate::http) fn thread_held_up() -> (Sender<()>, JoinHandle<Result<(), RecvError>>) {
        let (release, held) = channel();
        (release, spawn_blocking(move || held.recv()))
    }

    /// A scrape whose first chunk has been asked for.
    fn begun(site: &Arc<Site>, open: &Open) -> Streamed {
        let permit = site.scrapes.one(CLIENT).unwrap();
        let scraper = site.scraper(Scope::Metrics, Format::Text);
        let mut body = Streamed::new(Unwritten::new(site, scraper, true, permit), open);
        assert!(body.poll_written(&mut Context::from_waker(Waker::noop())).is_pending());
        body
    }

    fn is_place_free(site: &Site) -> bool {
        site.scrapes.one(CLIENT).is_some()
    }

    fn wait_for_a_free_place(site: &Site) {
        let begin = Instant::now();
        while !is_place_free(site) {
            assert!(begin.elapsed() < Duration::from_secs(20), "the place is never given back");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn written(site: &Site) -> u64 {
        let families = site.telemetry().samples();
        let (_, samples) =
            families.iter().find(|(family, _)| family.name == "openim_exporter_scrape_duration_seconds").unwrap();
        let Samples::Histogram { count, .. } = samples else { panic!("{samples:?}") };
        *count
    }

    #[test]
    fn a_chunk_that_waits_for_a_thread_when_its_client_hangs_up_has_its_place_and_is_not_written() {
        let (site, runtime) = (site(), runtime());
        let _within = runtime.enter();
        let (release, busy) = thread_held_up();
        let open = site.workers()[0].open();
        drop(begun(&site, &open));
        assert!(!is_place_free(&site));
        drop(release);
        assert!(runtime.block_on(busy).unwrap().is_err());
        wait_for_a_free_place(&site);
        assert_eq!((written(&site), Arc::strong_count(&site)), (0, 1));
    }

    #[test]
    fn a_chunk_that_is_being_written_when_its_client_hangs_up_has_its_place_until_it_has_been() {
        let (site, runtime) = (site(), runtime());
        let _within = runtime.enter();
        let open = site.workers()[0].open();
        thread::scope(|scope| {
            let (tell, told) = channel();
            let (release, held) = channel::<()>();
            let connections = &site.workers()[0];
            scope.spawn(move || {
                // Who writes a scrape looks at the connections first, and has to wait for this.
                connections.sweep(0, |_| {
                    tell.send(()).unwrap();
                    assert!(held.recv().is_err());
                });
            });
            told.recv().unwrap();
            let body = begun(&site, &open);
            // Until it is being written. On a very busy machine it may still wait for a thread, and then be dropped at any
            // moment: so its place may be free, but only once nothing of it is left.
            thread::sleep(Duration::from_millis(200));
            drop(body);
            thread::sleep(Duration::from_millis(50));
            assert!(!is_place_free(&site) || Arc::strong_count(&site) == 1);
            drop(release);
        });
        wait_for_a_free_place(&site);
        assert_eq!(Arc::strong_count(&site), 1);
    }

    #[test]
    fn a_scrape_that_has_been_taken_whole_gives_its_place_back() {
        let (site, runtime) = (site(), runtime());
        let _within = runtime.enter();
        let open = site.workers()[0].open();
        let mut body = begun(&site, &open);
        runtime.block_on(std::future::poll_fn(|cx| body.poll_written(cx))).unwrap();
        assert!(body.len().is_some_and(|len| len > 0) && !is_place_free(&site));
        drop(body);
        assert!(is_place_free(&site));
        assert_eq!(written(&site), 1);
    }
}
