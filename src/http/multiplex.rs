//! A connection that carries several requests at a time: HTTP/2, which Go's client speaks over TLS.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::caller::Caller;
use super::progress::{Handle, Open, Phase};
use super::reply::Payload;
use super::scrape::PIECE_BYTES;
use super::service::{answer, refused};
use super::site::Site;
use crate::telemetry::Reason;

/// What a client asks for in the TLS handshake. RFC 9113, 3.2.
pub(super) const ALPN: &[u8] = b"h2";

/// Requests that one connection may have under way. OpenIM has two workers.
const MAX_STREAMS: u32 = 64;

/// Largest request head, as it counts in HTTP/2 (RFC 9113, 6.5.2: 32 bytes more for each header than it has).
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Beyond this, `h2` itself answers 431, without a word: so that up to there it is we who do.
const MAX_DECODED_HEAD_BYTES: u32 = 256 * 1024;

/// What a peer may send before it is read: of one request, and of all.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    open: Open,
    caller: Caller,
    site: &Arc<Site>,
) {
    let shared = Arc::new(Shared { open, caller, site: Arc::clone(site), under_way: AtomicUsize::new(0) });
    let spawner = Spawner::default();
    let service = service_fn(|request| {
        let request = Underway::begin(&shared, &spawner, request);
        async move { Ok::<_, Infallible>(request.answer().await) }
    });
    let connection = http2::Builder::new(spawner.clone())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_DECODED_HEAD_BYTES)
        .max_send_buf_size(PIECE_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let open = &shared.open;
    let mut told = false;
    let end = poll_fn(|cx| {
        open.progress().belongs_to(cx.waker());
        loop {
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(end));
            }
            match open.progress().condemned() {
                // It was told to end, and does not.
                Some(Phase::Linger) => return Poll::Ready(None),
                // Silent for too long, or draining: what is under way is still answered.
                Some(_) if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                    if shared.under_way.load(Ordering::Relaxed) == 0 {
                        open.enter(Phase::Linger);
                    }
                }
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    if let Some(Err(error)) = end
        && is_protocol(&error)
    {
        site.telemetry().request_rejected(Reason::MalformedRequest, &format!("HTTP/2: {error}"), site.now().0);
    }
}

/// Whether the peer broke HTTP/2's rules, rather than the connection.
fn is_protocol(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| error.is_library() && !error.is_io())
}

fn head_bytes(request: &Request<Incoming>) -> usize {
    let each = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 32;
    request.uri().path().len() + request.headers().iter().map(each).sum::<usize>()
}

/// What the requests of a connection share.
struct Shared {
    open: Open,
    caller: Caller,
    site: Arc<Site>,
    under_way: AtomicUsize,
}

/// A request under way, until all of its answer has been taken.
struct Underway {
    shared: Arc<Shared>,
    open: Open,
    /// Or why it is refused.
    request: Result<Request<Incoming>, (Reason, String)>,
}

impl Underway {
    fn begin(shared: &Arc<Shared>, spawner: &Spawner, request: Request<Incoming>) -> Self {
        let open = shared.open.request();
        *spawner.next.lock() = Some(open.handle().clone());
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        shared.open.enter(Phase::Multiplexed);
        let site = &shared.site;
        let most = site.limits.requests;
        let request = if site.requests() > most {
            Err((Reason::Overloaded, format!("{most} requests are under way; --web.max-connections sets the limit")))
        } else if head_bytes(&request) > MAX_HEAD_BYTES {
            Err((Reason::HeaderTooLarge, format!("the request's head is over {MAX_HEAD_BYTES} bytes")))
        } else {
            Ok(request)
        };
        Self { shared: Arc::clone(shared), open, request }
    }

    async fn answer(mut self) -> Response<Answer> {
        let site = Arc::clone(&self.shared.site);
        let gone = Err((Reason::Internal, String::new()));
        let reply = match std::mem::replace(&mut self.request, gone) {
            Ok(request) => match answer(&site, &self.open, &self.shared.caller, request).await {
                Ok(reply) => reply,
                Err(never) => match never {},
            },
            Err((reason, detail)) => refused(&site, reason, &detail),
        };
        reply.map(|payload| Answer { payload, _of: self })
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some(took) = self.open.progress().callback_ends() {
            self.shared.site.telemetry().callback_answered(took);
        }
        if self.shared.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.open.enter(Phase::Idle);
        }
    }
}

/// An answer's body, and the request that it is of.
struct Answer {
    payload: Payload,
    _of: Underway,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.payload).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.payload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.payload.size_hint()
    }
}

/// Starts the task of each request, which ends early if the sweep condemns the request: its client does not read.
///
/// hyper asks the service for a request's future, and then has it spawned: the request that a task is of is the one that
/// the service was asked for last.
#[derive(Clone, Debug, Default)]
struct Spawner {
    next: Arc<Mutex<Option<Handle>>>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        let request = self.next.lock().take();
        tokio::spawn(async move {
            let mut task = pin!(task);
            poll_fn(|cx| {
                let poll = task.as_mut().poll(cx);
                let Some(request) = &request else { return poll };
                request.progress().belongs_to(cx.waker());
                match request.progress().condemned() {
                    // The service ends its own phase: with an answer.
                    None | Some(Phase::Service) => poll,
                    Some(_) => Poll::Ready(()),
                }
            })
            .await;
        });
    }
}
