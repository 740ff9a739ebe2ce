//! A connection's stream under hyper, which records the progress of the exchange.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::base::connections::Tracker;
use crate::http::base::progress::Phase;
use crate::telemetry::Telemetry;

/// A stream that records its progress in the connection's [`Tracker`].
pub(super) struct Watched<'a, S> {
    pub(super) stream: S,
    pub(super) tracker: &'a Tracker,
    pub(super) telemetry: &'a Telemetry,
}

impl<S> Watched<'_, S> {
    /// Whether hyper is writing its own response to a head that it refuses. It has no body, so it is discarded and a
    /// refusal in OpenIM's format is sent instead.
    fn is_response_of_hyper(&self) -> bool {
        matches!(self.tracker.progress().phase(), Phase::Idle | Phase::Head)
    }

    fn discard(&self, len: usize) -> Poll<io::Result<usize>> {
        self.tracker.progress().discard_response();
        Poll::Ready(Ok(len))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before && self.tracker.progress().phase() == Phase::Idle {
            self.tracker.enter(Phase::Head);
            self.tracker.progress().begin_request();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_response_of_hyper() {
            return self.discard(bytes.len());
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_response_of_hyper() {
            return self.discard(slices.iter().map(|slice| slice.len()).sum());
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written everything: the response, or the event of a live stream, is then complete.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        match self.tracker.progress().phase() {
            Phase::Answer => {
                self.tracker.enter(Phase::Idle);
                self.tracker.progress().end_request();
                if let Some(took) = self.tracker.progress().end_callback() {
                    self.telemetry.callback_answered(took);
                }
            }
            Phase::Event => self.tracker.enter(Phase::Live),
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    /// The connection shuts the stream down itself, after its own last response.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
