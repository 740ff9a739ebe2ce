//! Reading a request's body, within limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming};

use super::headers::HeaderFacts;
use crate::http::base::progress::Progress;
use crate::http::base::quota::Share;

/// What is read and discarded of a body that nobody wants, in multiples of the limit. One that goes on after that is cut
/// off.
const DISCARDED_PER_LIMIT: usize = 4;

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It is over the limit.
    TooLarge,
    /// The bodies that are being received have all the memory that there is for them.
    NoMemory,
    /// It did not arrive in time.
    Overdue,
    /// It ended polled, or is wrongly framed.
    Broken(hyper::Error),
}

/// A request's body, begun to be read.
pub(super) struct RequestBody {
    incoming: Incoming,
    /// What has come already and is still to be read, if anything: a piece, or the end.
    polled: Option<Option<hyper::Result<Frame<Bytes>>>>,
    /// The client sends the body only when told to go ahead (`Expect: 100-continue`), which reading it does.
    on_demand: bool,
}

impl RequestBody {
    /// Tells hyper that the body is wanted, unless that would have the client send one that may be refused unread.
    ///
    /// hyper asks the service for a future, and takes the body out of its buffer only once somebody wants it. Were that
    /// the future, in its first poll, the connection would have to be scheduled and polled a second time, at every
    /// callback; told at once, hyper does it all in one.
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

    /// The whole body if it is there, in one piece, as a callback's nearly always is: it is not copied. Whatever else has
    /// come is kept for who reads it piece by piece.
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
            let frame = poll_fn(|cx| {
                if let Some(polled) = self.polled.take() {
                    return Poll::Ready(Ok(polled));
                }
                if progress.overdue().is_some() {
                    return Poll::Ready(Err(BodyError::Overdue));
                }
                self.on_demand = false;
                Pin::new(&mut self.incoming).poll_frame(cx).map(Ok)
            });
            match frame.await?.transpose().map_err(BodyError::Broken)?.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers: nothing that is looked at.
                Some(Err(_)) => {}
            }
        }
    }

    /// Reads what there is and drops it, so that its sender gets to read the answer instead of a reset. Returns whether
    /// that was all of it: if not, be it an error or a body that was never asked for, the connection must be closed.
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

/// The length that a body is announced_length to have; 0 where it is not.
fn announced_length(incoming: &Incoming) -> usize {
    usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX)
}

/// Reads a whole body into a share of the memory for bodies. One that comes in a single piece, as a callback's nearly
/// always does, is not copied, and takes none.
pub(super) async fn read(
    mut body: RequestBody,
    limit: usize,
    share: &mut Share,
    progress: &Progress,
) -> Result<Bytes, BodyError> {
    let announced_length = announced_length(&body.incoming);
    if announced_length > limit {
        // It is too large, whatever else is wrong with it.
        let _ = body.discard(limit, progress).await;
        return Err(BodyError::TooLarge);
    }
    let first = body.next_piece(progress).await?.unwrap_or_default();
    if body.incoming.is_end_stream() && first.len() <= limit {
        return Ok(first);
    }
    let mut whole = BytesMut::new();
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        let len = whole.len() + bytes.len();
        // What is announced_length and never comes takes nothing. A buffer that grows may be twice as large as what is in it.
        let refused = if len > limit {
            Some(BodyError::TooLarge)
        } else {
            (!share.grow_to(2 * len)).then_some(BodyError::NoMemory)
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
    Ok(whole.freeze())
}
