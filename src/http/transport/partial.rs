//! A stream under rustls or `h2` that detects incomplete TLS records and HTTP/2 heads. rustls and `h2` wait for the
//! rest, and meanwhile the connection looks idle.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

use crate::domain::Reason;
use crate::http::base::connections::ProgressHandle;
use crate::http::base::progress::Framing;
use crate::http::base::quota::Share;
use crate::http::site::Site;
use crate::http::site::exchange::count_refusal;

/// The client's preface of HTTP/2. RFC 9113, 3.4.
pub(crate) const PREFACE_BYTES: usize = 24;

/// The header of a TLS record: type, version, length. RFC 8446, 5.1.
const RECORD_HEADER_BYTES: usize = 5;

/// The header of an HTTP/2 frame: length, type, flags, stream. RFC 9113, 4.1.
const FRAME_HEADER_BYTES: usize = 9;

// Types of frames, and a flag. RFC 9113, 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Bytes that a connection passes to `h2` before other tasks run. `h2` reads everything that has arrived, and with very
/// small frames this takes milliseconds.
const TURN_BYTES: usize = 16 * 1024;

/// The position of a stream within a record or a frame.
#[derive(Debug)]
pub(crate) struct Position {
    framing: Framing,
    /// The header of the record or frame, as far as it has arrived.
    header: [u8; FRAME_HEADER_BYTES],
    header_len: usize,
    /// Bytes after the header that have not arrived yet.
    left: usize,
    /// A request's head has begun, and continues in another frame.
    is_in_headers: bool,
}

impl Position {
    pub(crate) const fn new(framing: Framing, left: usize) -> Self {
        Self { framing, header: [0; FRAME_HEADER_BYTES], header_len: 0, left, is_in_headers: false }
    }

    /// Whether only a part of something has arrived. A body does not count: it has its own time limit.
    pub(crate) const fn is_partial(&self) -> bool {
        self.is_in_headers || !self.is_in_body() && (self.header_len > 0 || self.left > 0)
    }

    const fn is_in_body(&self) -> bool {
        matches!(self.framing, Framing::Http2)
            && self.left > 0
            && self.header_len == FRAME_HEADER_BYTES
            && self.kind() == DATA
    }

    const fn kind(&self) -> u8 {
        let [_, _, _, kind, ..] = self.header;
        kind
    }

    /// Advances by these bytes. Returns whether everything was complete at some point within them.
    pub(crate) fn advance(&mut self, mut bytes: &[u8]) -> bool {
        let mut was_complete = false;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
            } else {
                if let Some(place) = self.header.get_mut(self.header_len) {
                    *place = *first;
                }
                self.header_len += 1;
                bytes = rest;
                if self.header_len < self.header_bytes() {
                    continue;
                }
                self.left = self.payload_bytes();
            }
            if self.left == 0 {
                self.end_frame();
                was_complete |= !self.is_partial();
            }
        }
        was_complete
    }

    const fn header_bytes(&self) -> usize {
        match self.framing {
            Framing::Tls => RECORD_HEADER_BYTES,
            Framing::Http2 => FRAME_HEADER_BYTES,
        }
    }

    fn payload_bytes(&self) -> usize {
        let [a, b, c, d, e, ..] = self.header;
        match self.framing {
            Framing::Tls => usize::from(u16::from_be_bytes([d, e])),
            Framing::Http2 => usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX),
        }
    }

    fn end_frame(&mut self) {
        // A TLS record has a shorter header, and the preface has none.
        if self.header_len == FRAME_HEADER_BYTES && matches!(self.kind(), HEADERS | CONTINUATION) {
            let [_, _, _, _, flags, ..] = self.header;
            self.is_in_headers = flags & END_HEADERS == 0;
        }
        self.header_len = 0;
    }
}

/// A stream that records since when a part of something has been waiting for the rest.
pub(super) struct Partial<S> {
    stream: S,
    handle: ProgressHandle,
    position: Position,
    http2: Option<Http2>,
}

/// State of the limits that exist only for HTTP/2.
struct Http2 {
    site: Arc<Site>,
    peer: IpAddr,
    /// Bytes that have arrived since other tasks last ran.
    turn_bytes: usize,
    /// The share of the quota for a head that continues in another frame.
    partial_head: Option<Share>,
}

impl<S> Partial<S> {
    /// A stream of TLS records.
    pub(super) const fn records(stream: S, handle: ProgressHandle) -> Self {
        Self { stream, handle, position: Position::new(Framing::Tls, 0), http2: None }
    }

    /// A stream of HTTP/2 frames.
    pub(super) fn frames(stream: S, handle: ProgressHandle, site: &Arc<Site>, peer: IpAddr) -> Self {
        let http2 = Http2 { site: Arc::clone(site), peer, turn_bytes: 0, partial_head: None };
        Self { stream, handle, position: Position::new(Framing::Http2, PREFACE_BYTES), http2: Some(http2) }
    }
}

impl Http2 {
    /// Limits the number of heads that continue in another frame, because `h2` buffers what it has decoded of them. Few
    /// clients send such heads. Beyond the limit, the connection is closed.
    fn limit_partial_heads(&mut self, is_in_headers: bool) -> io::Result<()> {
        if !is_in_headers {
            self.partial_head = None;
        } else if self.partial_head.is_none() {
            self.partial_head = self.site.quotas.partial_heads.take_one(self.peer);
            if self.partial_head.is_none() {
                count_refusal(&self.site, self.peer, Reason::Overloaded, "HTTP/2: too many incomplete request heads");
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Partial<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, handle, position, http2 } = &mut *self;
        if let Some(http2) = http2
            && http2.turn_bytes >= TURN_BYTES
        {
            http2.turn_bytes = 0;
            // Unlike waking this task directly, this lets the runtime look for other tasks' events first.
            let _ = pin!(yield_now()).poll(cx);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buffer))?;
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        let was_complete = position.advance(arrived);
        handle.record_partial(position.framing, position.is_partial(), was_complete);
        let Some(http2) = http2 else { return Poll::Ready(Ok(())) };
        http2.turn_bytes = http2.turn_bytes.saturating_add(arrived.len());
        Poll::Ready(http2.limit_partial_heads(position.is_in_headers))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Partial<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// The number of times that a task was woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The positions at which everything is complete. Checks that single bytes and all bytes at once agree.
    fn complete(framing: Framing, preface: usize, bytes: &[u8]) -> Vec<usize> {
        let (mut position, mut complete) = (Position::new(framing, preface), Vec::new());
        for (at, byte) in bytes.iter().enumerate() {
            let was_complete = position.advance(&[*byte]);
            assert_eq!(was_complete, !position.is_partial() && !position.is_in_body());
            assert!(!position.is_in_body() || !position.is_partial());
            complete.extend(was_complete.then_some(at + 1));
        }
        assert_eq!(Position::new(framing, preface).advance(bytes), !complete.is_empty());
        complete
    }

    #[test]
    fn endless_frames_let_other_tasks_run() {
        let site = crate::http::site::testing::site();
        let tracker = site.workers.all()[0].track();
        // An endless sequence of PING frames.
        let mut stream = Partial::frames(
            tokio::io::repeat(6),
            tracker.handle().clone(),
            &site,
            std::net::Ipv4Addr::LOCALHOST.into(),
        );
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        for turn in 1..=3 {
            let mut received = 0;
            let mut memory = [0; 1000];
            loop {
                let mut buffer = ReadBuf::new(&mut memory);
                if Pin::new(&mut stream).poll_read(&mut cx, &mut buffer).is_pending() {
                    break;
                }
                received += buffer.filled().len();
            }
            assert!((TURN_BYTES..TURN_BYTES + 1000).contains(&received), "{received}");
            assert_eq!(wakes.0.load(Ordering::Relaxed), turn);
        }
    }

    #[test]
    fn tls_is_complete_after_each_record() {
        let bytes = [&[22, 3, 1, 0, 2, 7, 7][..], &[23, 3, 3, 1, 0], &[0; 256], &[20, 3, 3, 0]].concat();
        assert_eq!(complete(Framing::Tls, 0, &bytes), [7, 268]);
    }

    #[test]
    fn http2_is_complete_after_the_preface_and_frames_but_not_within_a_head() {
        let head = |len: u8, kind: u8, flags: u8, stream: u8| [0, 0, len, kind, flags, 0, 0, 0, stream];
        let bytes = [
            &[b'x'; PREFACE_BYTES][..],
            &head(0, 4, 0, 0),
            &head(2, HEADERS, 1, 1),
            &[1, 2],
            &head(1, CONTINUATION, 0, 1),
            &[3],
            &head(0, CONTINUATION, END_HEADERS, 1),
            &head(4, 3, 0, 3),
            &[0, 0, 1, 11],
            &head(1, 0, 0, 5),
        ]
        .concat();
        let complete = complete(Framing::Http2, PREFACE_BYTES, &bytes);
        assert_eq!(complete, [24, 33, 24 + 9 + 11 + 10 + 9, 24 + 9 + 11 + 10 + 9 + 13]);
    }
}
