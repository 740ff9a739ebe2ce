//! A stream under rustls or `h2`, watched for what these keep to themselves: half a TLS record and half a head of HTTP/2,
//! with which a connection looks idle, and requests that `h2` refuses by itself.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

use super::budget::Share;
use super::multiplex::MAX_STREAMS;
use super::progress::{Handle, Layer};
use super::site::Site;
use crate::telemetry::Reason;

/// What a client of HTTP/2 begins with. RFC 9113, 3.4.
pub(super) const PREFACE_BYTES: usize = 24;

/// Of a TLS record: its type, a version, its length. RFC 8446, 5.1.
const RECORD_HEAD_BYTES: usize = 5;

/// Of a frame of HTTP/2: its length, type, flags and stream. RFC 9113, 4.1.
const FRAME_HEAD_BYTES: usize = 9;

// Types of frames, flags and errors. RFC 9113, 6 and 7.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const STREAM_CLOSED: u32 = 5;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// What a connection hands to `h2` before others have their turn: it reads all that there is, and frames may be so small
/// that this keeps the thread for milliseconds.
const TURN_BYTES: usize = 16 * 1024;

/// A frame that has passed; of a TLS record nothing is known but that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Of an `RST_STREAM`.
    pub(super) error: u32,
}

/// How far into a record or a frame a stream is.
#[derive(Debug)]
pub(super) struct Position {
    layer: Layer,
    /// Its head, as far as it has come.
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    /// What is still to come behind the head.
    left: usize,
    /// Of an `RST_STREAM`, as far as it has come.
    error: u32,
    /// A request's head has begun, and frames of it are still to come.
    is_in_headers: bool,
}

impl Position {
    pub(super) const fn new(layer: Layer, left: usize) -> Self {
        Self { layer, head: [0; FRAME_HEAD_BYTES], head_bytes: 0, left, error: 0, is_in_headers: false }
    }

    /// Whether a part has come of which more must come, and which is none of a body: that has a time of its own.
    pub(super) const fn is_midway(&self) -> bool {
        let is_body = matches!(self.layer, Layer::Http2) && self.left > 0 && self.frame().kind == DATA;
        self.is_in_headers || !is_body && (self.head_bytes > 0 || self.left > 0)
    }

    /// Goes on by these bytes, and tells of each frame that they end. Returns whether there was a moment at which nothing
    /// more had to come.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut done: impl FnMut(Frame)) -> bool {
        let mut has_rested = false;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let (payload, behind) = bytes.split_at(self.left.min(bytes.len()));
                if self.frame().kind == RST_STREAM {
                    self.error = payload.iter().fold(self.error, |error, byte| error << 8 | u32::from(*byte));
                }
                self.left -= payload.len();
                bytes = behind;
            } else {
                if let Some(place) = self.head.get_mut(self.head_bytes) {
                    *place = *first;
                }
                self.head_bytes += 1;
                bytes = rest;
                if self.head_bytes < self.layer_head_bytes() {
                    continue;
                }
                self.left = self.payload_bytes();
            }
            if self.left == 0 {
                done(self.end());
                has_rested |= !self.is_midway();
            }
        }
        has_rested
    }

    const fn layer_head_bytes(&self) -> usize {
        match self.layer {
            Layer::Tls => RECORD_HEAD_BYTES,
            Layer::Http2 => FRAME_HEAD_BYTES,
        }
    }

    fn payload_bytes(&self) -> usize {
        let [a, b, c, d, e, ..] = self.head;
        match self.layer {
            Layer::Tls => usize::from(u16::from_be_bytes([d, e])),
            Layer::Http2 => usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX),
        }
    }

    /// The frame whose head has come as a whole.
    const fn frame(&self) -> Frame {
        let [_, _, _, kind, flags, a, b, c, d] = self.head;
        if self.head_bytes < FRAME_HEAD_BYTES {
            return Frame { kind: u8::MAX, flags: 0, stream: 0, error: 0 };
        }
        Frame { kind, flags, stream: u32::from_be_bytes([a, b, c, d]), error: self.error }
    }

    fn end(&mut self) -> Frame {
        let frame = self.frame();
        if matches!(frame.kind, HEADERS | CONTINUATION) {
            self.is_in_headers = frame.flags & END_HEADERS == 0;
        }
        (self.head_bytes, self.error) = (0, 0);
        frame
    }
}

/// Counts what `h2` refuses without asking the service.
struct Refusals {
    site: Arc<Site>,
    written: Position,
    /// Those answered last because their heads are too large; `h2` may reset them after that. There are no more at once.
    too_large: VecDeque<u32>,
}

impl Refusals {
    fn pass(&mut self, bytes: &[u8]) {
        let Self { site, written, too_large } = self;
        written.pass(bytes, |frame| {
            let (reason, detail) = match (frame.kind, frame.error) {
                // Each answer of ours has a body; only that of `h2` to a head beyond its limit has none.
                (HEADERS, _) if frame.flags & END_STREAM != 0 => {
                    too_large.truncate(MAX_STREAMS as usize - 1);
                    too_large.push_front(frame.stream);
                    (Reason::HeaderTooLarge, "the request's head is over 64 KiB")
                }
                (RST_STREAM, REFUSED_STREAM) => (Reason::Overloaded, "too many requests of one connection over HTTP/2"),
                // A stream that is closed has been answered, or reset and counted: the peer was still sending.
                (RST_STREAM, NO_ERROR | INTERNAL_ERROR | STREAM_CLOSED | CANCEL) => return,
                (RST_STREAM, _) if !too_large.contains(&frame.stream) => {
                    (Reason::MalformedRequest, "HTTP/2: a request breaks the rules")
                }
                _ => return,
            };
            site.telemetry().request_rejected(reason, detail, site.now().0);
        });
    }
}

/// A stream that notes since when a part of something has been there.
pub(super) struct Framed<S> {
    stream: S,
    handle: Handle,
    read: Position,
    /// What has come since others had their turn.
    turn_bytes: usize,
    refusals: Option<Refusals>,
    /// The peer's address, and the place of the head that it has begun and that is to go on in another frame.
    half_head: Option<(IpAddr, Option<Share>)>,
}

impl<S> Framed<S> {
    /// The stream under TLS.
    pub(super) const fn records(stream: S, handle: Handle) -> Self {
        Self { stream, handle, read: Position::new(Layer::Tls, 0), turn_bytes: 0, refusals: None, half_head: None }
    }

    /// The stream under HTTP/2.
    pub(super) fn frames(stream: S, handle: Handle, site: &Arc<Site>, peer: IpAddr) -> Self {
        let written = Position::new(Layer::Http2, 0);
        let refusals = Some(Refusals { site: Arc::clone(site), written, too_large: VecDeque::new() });
        let read = Position::new(Layer::Http2, PREFACE_BYTES);
        Self { stream, handle, read, turn_bytes: 0, refusals, half_head: Some((peer, None)) }
    }

    /// `h2` keeps what it has decoded of a head that goes on in another frame, which few clients ever send: of these there
    /// is a number, beyond which the connection ends.
    fn hold_half_head(&mut self) -> io::Result<()> {
        let (Some((peer, place)), Some(Refusals { site, .. })) = (&mut self.half_head, &self.refusals) else {
            return Ok(());
        };
        if !self.read.is_in_headers {
            *place = None;
        } else if place.is_none() {
            *place = site.half_heads.one(*peer);
            if place.is_none() {
                let detail = "too many heads of requests over HTTP/2 have come in part";
                site.telemetry().request_rejected(Reason::Overloaded, detail, site.now().0);
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.refusals.is_some() && self.turn_bytes >= TURN_BYTES {
            self.turn_bytes = 0;
            // Goes on when the runtime has looked at what came for others; waking up by itself would come before that.
            let _ = pin!(yield_now()).poll(cx);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        self.turn_bytes = self.turn_bytes.saturating_add(came.len());
        let has_rested = self.read.pass(came, |_| ());
        self.handle.is_midway(self.read.layer, self.read.is_midway(), has_rested);
        Poll::Ready(self.hold_half_head())
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if let Some(refusals) = &mut self.refusals {
            refusals.pass(bytes.get(..len).unwrap_or_default());
        }
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        if let Some(refusals) = &mut self.refusals {
            let mut left = len;
            for slice in slices {
                let written = left.min(slice.len());
                refusals.pass(slice.get(..written).unwrap_or_default());
                left -= written;
            }
        }
        Poll::Ready(Ok(len))
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

    /// How often a task was woken.
    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All at once and byte by byte: the frames, and after which bytes nothing more has to come.
    fn passed(layer: Layer, preface: usize, bytes: &[u8]) -> (Vec<Frame>, Vec<usize>) {
        let mut whole = Vec::new();
        Position::new(layer, preface).pass(bytes, |frame| whole.push(frame));
        let (mut position, mut frames, mut rests) = (Position::new(layer, preface), Vec::new(), Vec::new());
        for (at, byte) in bytes.iter().enumerate() {
            let has_rested = position.pass(&[*byte], |frame| frames.push(frame));
            // Within a frame of data it neither rests nor is in the middle of something.
            let in_data = layer == Layer::Http2 && position.left > 0 && position.frame().kind == DATA;
            assert_eq!(has_rested, !position.is_midway() && !in_data);
            assert!(!in_data || !position.is_midway());
            rests.extend(has_rested.then_some(at + 1));
        }
        assert_eq!(whole, frames);
        (frames, rests)
    }

    #[test]
    fn a_connection_that_always_has_frames_lets_others_have_their_turn_and_goes_on() {
        let site = crate::http::scrape::tests::site();
        let open = site.workers()[0].open();
        // Pings, without an end.
        let mut framed =
            Framed::frames(tokio::io::repeat(6), open.handle().clone(), &site, std::net::Ipv4Addr::LOCALHOST.into());
        let told = Arc::new(Told::default());
        let waker = Waker::from(Arc::clone(&told));
        let mut cx = Context::from_waker(&waker);
        for turn in 1..=3 {
            let mut came = 0;
            let mut memory = [0; 1000];
            loop {
                let mut buffer = ReadBuf::new(&mut memory);
                if Pin::new(&mut framed).poll_read(&mut cx, &mut buffer).is_pending() {
                    break;
                }
                came += buffer.filled().len();
            }
            assert!((TURN_BYTES..TURN_BYTES + 1000).contains(&came), "{came}");
            assert_eq!(told.0.load(Ordering::Relaxed), turn);
        }
    }

    #[test]
    fn tls_rests_behind_each_record() {
        let bytes = [&[22, 3, 1, 0, 2, 7, 7][..], &[23, 3, 3, 1, 0], &[0; 256], &[20, 3, 3, 0]].concat();
        assert_eq!(passed(Layer::Tls, 0, &bytes).1, [7, 268]);
    }

    #[test]
    fn http_2_rests_behind_the_preface_and_each_frame_but_not_within_a_head() {
        let head = |len: u8, kind: u8, flags: u8, stream: u8| [0, 0, len, kind, flags, 0, 0, 0, stream];
        let bytes = [
            &[b'x'; PREFACE_BYTES][..],
            &head(0, 4, 0, 0),
            &head(2, HEADERS, END_STREAM, 1),
            &[1, 2],
            &head(1, CONTINUATION, 0, 1),
            &[3],
            &head(0, CONTINUATION, END_HEADERS, 1),
            &head(4, RST_STREAM, 0, 3),
            &[0, 0, 1, 11],
            &head(1, 0, 0, 5),
        ]
        .concat();
        let (frames, rests) = passed(Layer::Http2, PREFACE_BYTES, &bytes);
        assert_eq!(rests, [24, 33, 24 + 9 + 11 + 10 + 9, 24 + 9 + 11 + 10 + 9 + 13]);
        let kinds: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.stream, frame.error)).collect();
        let none = (u8::MAX, 0, 0);
        assert_eq!(
            kinds,
            [none, (4, 0, 0), (HEADERS, 1, 0), (CONTINUATION, 1, 0), (CONTINUATION, 1, 0), (RST_STREAM, 3, 267)]
        );
    }
}
