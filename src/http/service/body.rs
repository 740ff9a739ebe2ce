//! Reading a request's body, within limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};

use super::headers::HeaderFacts;
use crate::http::base::connections::{Overdue, in_time};
use crate::http::base::progress::Progress;
use crate::http::base::quota::Share;

/// How much of an unused body is read and discarded, as a multiple of the limit. A longer body ends the connection.
const DISCARDED_PER_LIMIT: usize = 4;

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It is over the limit.
    TooLarge,
    /// Other bodies use all the memory for bodies.
    NoMemory,
    /// It did not arrive in time.
    Overdue,
    /// It ended early, or its framing is invalid.
    Broken(hyper::Error),
}

/// A request's body while it is read.
pub(super) struct RequestBody {
    incoming: Incoming,
    /// A frame, or the end, that was polled and not read yet.
    polled: Option<Option<hyper::Result<Frame<Bytes>>>>,
    /// The client sends the body only after `100 Continue` (`Expect: 100-continue`). Reading the body sends that.
    on_demand: bool,
}

impl RequestBody {
    /// Asks hyper for the body, unless it may be refused unread: then the client should not send it.
    ///
    /// hyper takes the body out of its buffer only once it is polled. If the service's future polled it first, hyper
    /// would have to poll the connection a second time for every callback. Polled here, hyper does everything in one
    /// pass.
    pub(super) fn begin(mut incoming: Incoming, facts: HeaderFacts, limit: usize) -> Self {
        let on_demand = facts.expects_continue;
        if on_demand || announced_length(&incoming) > limit {
            return Self { incoming, polled: None, on_demand };
        }
        let mut nobody = Context::from_waker(Waker::noop());
        let polled = match Pin::new(&mut incoming).poll_frame(&mut nobody) {
            Poll::Ready(polled) => Some(polled),
            Poll::Pending => None,
        };
        Self { incoming, polled, on_demand }
    }

    /// The whole body, if it has arrived in one piece, as a callback's nearly always does. It is not copied. Otherwise,
    /// what has arrived is kept for [`read`].
    pub(super) fn take_whole(&mut self, limit: usize, cx: &mut Context<'_>) -> Option<Bytes> {
        if self.on_demand || announced_length(&self.incoming) > limit {
            return None;
        }
        let frame = match self.polled.take() {
            Some(polled) => polled,
            None => match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return None,
            },
        };
        let is_last = self.incoming.is_end_stream();
        match frame {
            Some(Ok(frame)) if is_last && frame.data_ref().is_some_and(|data| data.len() <= limit) => {
                frame.into_data().ok()
            }
            frame => {
                self.polled = Some(frame);
                None
            }
        }
    }

    /// The next piece of data, or `None` at the end.
    async fn next_piece(&mut self, progress: &Progress) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = match self.polled.take() {
                Some(polled) => polled,
                None => {
                    self.on_demand = false;
                    let next = poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx));
                    in_time(progress, next).await.map_err(|Overdue(_)| BodyError::Overdue)?
                }
            };
            match frame.transpose().map_err(BodyError::Broken)?.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers are ignored.
                Some(Err(_)) => {}
            }
        }
    }

    /// Reads and discards the rest, so that the client can read the response instead of a reset. Returns whether all of
    /// it was read. If not, because of an error or `Expect: 100-continue`, the connection must be closed.
    pub(super) async fn discard(mut self, limit: usize, progress: &Progress) -> Result<bool, BodyError> {
        let mut discarded = 0;
        let result = loop {
            if self.on_demand {
                break Ok(false);
            }
            if discarded > limit.saturating_mul(DISCARDED_PER_LIMIT) {
                break Err(BodyError::TooLarge);
            }
            match self.next_piece(progress).await {
                Ok(Some(bytes)) => discarded += bytes.len(),
                Ok(None) => return Ok(true),
                Err(error) => break Err(error),
            }
        };
        progress.leave_request_unread();
        result
    }
}

/// The `Content-Length` of a body; 0 if it has none.
fn announced_length(incoming: &Incoming) -> usize {
    usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX)
}

/// Reads a whole body. `share` is its share of the memory for bodies. A body that arrives in one piece, as a callback's
/// nearly always does, is not copied and takes none.
pub(super) async fn read(
    mut body: RequestBody,
    limit: usize,
    share: &mut Share,
    progress: &Progress,
) -> Result<Bytes, BodyError> {
    let announced_length = announced_length(&body.incoming);
    if announced_length > limit {
        // Other errors do not matter: it is too large anyway.
        let _ = body.discard(limit, progress).await;
        return Err(BodyError::TooLarge);
    }
    let first = body.next_piece(progress).await?.unwrap_or_default();
    if body.incoming.is_end_stream() && first.len() <= limit {
        return Ok(first);
    }
    let mut whole = Vec::new();
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        let len = whole.len() + bytes.len();
        // Only bytes that have arrived count. A growing buffer may be twice as large as its content.
        let refused = if len > limit {
            Some(BodyError::TooLarge)
        } else {
            let has_memory = share.grow_to(2 * len) && whole.try_reserve(bytes.len()).is_ok();
            (!has_memory).then_some(BodyError::NoMemory)
        };
        if let Some(error) = refused {
            drop(whole);
            share.clear();
            let _ = body.discard(limit, progress).await;
            return Err(error);
        }
        whole.extend_from_slice(&bytes);
        piece = body.next_piece(progress).await?;
    }
    Ok(whole.into())
}
