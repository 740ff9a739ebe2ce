//! HTTP/2 connections. Go's client uses HTTP/2 over TLS.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::partial::Partial;
use crate::domain::Reason;
use crate::http::base::caller::Caller;
use crate::http::base::connections::{ProgressHandle, Tracker};
use crate::http::base::limits::{MAX_HEAD_BYTES, MAX_HEADERS, PIECE_BYTES};
use crate::http::base::progress::Phase;
use crate::http::base::quota::Share;
use crate::http::service::{answer, client};
use crate::http::site::Site;
use crate::http::site::exchange::{Exchange, count_refusal};
use crate::http::site::response::{Payload, Reply, start_sending};

/// Concurrent requests of one connection. OpenIM has two workers.
pub(super) const MAX_STREAMS: u32 = 64;

/// Largest decoded head. Beyond it, `h2` itself answers 431 with an empty body; up to it, we answer. It limits the
/// memory for an incomplete head, in which a single byte may refer to a long earlier header.
const MAX_DECODED_HEAD_BYTES: u32 = 64 * 1024;

/// Bytes that a client may send before they are read: of one request, and of all requests of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Serves a connection until it ends.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    tracker: Tracker,
    caller: Caller,
    site: &Arc<Site>,
) {
    let shared = Arc::new(Http2Connection {
        tracker,
        caller,
        site: Arc::clone(site),
        under_way: AtomicUsize::new(0),
        is_stuck: AtomicBool::new(false),
    });
    let stream = Partial::frames(stream, shared.tracker.handle().clone(), site, shared.caller.address);
    let service = service_fn(|request| {
        let (active, request) = ActiveRequest::begin(&shared, request);
        async move { Ok::<_, Infallible>(active.answer(request).await) }
    });
    let connection = http2::Builder::new(Spawner)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_DECODED_HEAD_BYTES)
        .max_send_buf_size(PIECE_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let tracker = &shared.tracker;
    let mut is_shutting_down = false;
    let end = poll_fn(|cx| {
        tracker.progress().set_task(cx.waker());
        loop {
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(end));
            }
            if shared.is_stuck.load(Ordering::Relaxed) {
                return Poll::Ready(None);
            }
            match tracker.progress().overdue() {
                // The client did not close the connection after the shutdown.
                Some(Phase::Linger) => return Poll::Ready(None),
                // The shutdown has begun, and no request is in progress any more.
                Some(Phase::Idle) if is_shutting_down => tracker.enter(Phase::Linger),
                // Idle for too long, or draining. Requests in progress are still answered.
                Some(_) if !is_shutting_down => {
                    is_shutting_down = true;
                    if tracker.progress().partial_since_ms().is_none() {
                        site.count_idle_end();
                    } else if !site.drain.is_draining() {
                        let detail = "HTTP/2: the rest of a request's head or of a frame did not arrive in time";
                        count_refusal(site, shared.caller.address, Reason::HeaderTimeout, detail);
                    }
                    connection.as_mut().graceful_shutdown();
                }
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    if let Some(Err(error)) = end
        && is_protocol(&error)
    {
        count_refusal(site, shared.caller.address, Reason::MalformedRequest, &format!("HTTP/2: {error}"));
    }
}

/// Whether the client violated HTTP/2, rather than the connection being lost.
fn is_protocol(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| error.is_library() && !error.is_io())
}

fn head_bytes(request: &Request<Incoming>) -> usize {
    let each = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 32;
    request.uri().path().len() + request.headers().iter().map(each).sum::<usize>()
}

/// Removes the content of a response to `HEAD`, which hyper would send over HTTP/2. RFC 9110, 9.3.2.
fn without_content(mut reply: Reply) -> Reply {
    if let Some(length) = reply.body().size_hint().exact() {
        reply.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    reply.map(|_| Payload::Whole(Bytes::new()))
}

/// A connection, shared by its requests.
struct Http2Connection {
    tracker: Tracker,
    caller: Caller,
    site: Arc<Site>,
    under_way: AtomicUsize,
    /// The client does not read a response that hyper has passed to `h2`. Only closing the connection drops it.
    is_stuck: AtomicBool,
}

/// A request in progress, until the last byte of its response has been written.
struct ActiveRequest {
    shared: Arc<Http2Connection>,
    tracker: Tracker,
    client: IpAddr,
    /// Its share of the quota of requests.
    _share: Option<Share>,
}

impl ActiveRequest {
    /// Begins a request. Returns the request, or why it is refused.
    fn begin(
        shared: &Arc<Http2Connection>,
        request: Request<Incoming>,
    ) -> (Self, Result<Request<Incoming>, (Reason, String)>) {
        let tracker = shared.tracker.track_request();
        tracker.progress().begin_request();
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        shared.tracker.enter(Phase::Multiplexed);
        let (site, most) = (&shared.site, shared.site.config.max_connections);
        // If its headers contradict each other, the service refuses it.
        let client = client(site, &shared.caller, request.headers()).unwrap_or(shared.caller.address);
        let share = site.quotas.requests.take_one(client);
        // Every connection may always have one request, so that many requests of others cannot block OpenIM.
        let is_one_of_many = shared.under_way.load(Ordering::Relaxed) > 1;
        let request = if is_one_of_many && (site.workers.requests() > most || share.is_none()) {
            let detail = format!("{most} HTTP/2 requests, or half as many from one address, are in progress");
            Err((Reason::Overloaded, format!("{detail}; --web.max-connections sets the limit")))
        } else if head_bytes(&request) > MAX_HEAD_BYTES {
            Err((Reason::HeaderTooLarge, format!("the request's head is over {MAX_HEAD_BYTES} bytes")))
        } else if request.headers().len() > MAX_HEADERS {
            Err((Reason::HeaderTooLarge, format!("the request's head has over {MAX_HEADERS} headers")))
        } else {
            Ok(request)
        };
        (Self { shared: Arc::clone(shared), tracker, client, _share: share }, request)
    }

    async fn answer(self, request: Result<Request<Incoming>, (Reason, String)>) -> Response<ResponseBody> {
        // Each task answers one request.
        let _ = REQUEST.try_with(|request| request.set((self.tracker.handle().clone(), Arc::clone(&self.shared))));
        let site = Arc::clone(&self.shared.site);
        let is_head = request.as_ref().is_ok_and(|request| request.method() == Method::HEAD);
        let caller = &self.shared.caller;
        let exchange = Exchange { client: self.client, ..Exchange::new(&site, &self.tracker, caller) };
        let reply = match request {
            Ok(request) => match answer(exchange, request).await {
                Ok(reply) => reply,
                Err(never) => match never {},
            },
            Err((reason, detail)) => start_sending(exchange.refuse(reason, &detail), &self.tracker),
        };
        let reply = if is_head { without_content(reply) } else { reply };
        reply.map(|payload| ResponseBody { payload, request: Arc::new(self) })
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let progress = self.tracker.progress();
        if let Some(took) = progress.end_callback() {
            self.shared.site.telemetry.callback_answered(took);
        }
        if progress.is_response_overdue() {
            self.shared.site.telemetry.answer_unread();
        }
        // Its task may be waiting for this.
        self.tracker.enter(Phase::Idle);
        progress.wake();
        if self.shared.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.tracker.enter(Phase::Idle);
        }
    }
}

/// A response's body, and its request.
struct ResponseBody {
    payload: Payload,
    request: Arc<ActiveRequest>,
}

/// A part of a response. `h2` drops it once it is written or will never be written.
struct Piece {
    bytes: Bytes,
    request: Arc<ActiveRequest>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        let tracker = &self.request.tracker;
        let progress = tracker.progress();
        // An event that took too long was not written.
        if progress.phase() == Phase::Event && progress.overdue().is_none() {
            tracker.enter(Phase::Live);
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let request = Arc::clone(&self.request);
        let held = |bytes| Bytes::from_owner(Piece { bytes, request });
        Pin::new(&mut self.payload).poll_frame(cx).map_ok(|frame| frame.map_data(held))
    }

    fn is_end_stream(&self) -> bool {
        self.payload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.payload.size_hint()
    }
}

tokio::task_local! {
    /// The request that a task answers.
    static REQUEST: OnceCell<(ProgressHandle, Arc<Http2Connection>)>;
}

/// Spawns the task of each request, and ends it when the sweep finds that the client does not read the response. While
/// hyper still has something to write, this resets only the request. After that, the connection must end.
#[derive(Clone, Copy)]
struct Spawner;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        tokio::spawn(REQUEST.scope(OnceCell::new(), until_overdue(task)));
    }
}

/// Runs hyper's task of a request until the response has been written or the request is overdue.
async fn until_overdue(task: impl Future<Output = ()>) {
    let mut task = pin!(Some(task));
    poll_fn(|cx| {
        if task.as_mut().as_pin_mut().is_some_and(|task| task.poll(cx).is_ready()) {
            // hyper has passed the whole response to `h2`.
            task.set(None);
        }
        let is_handed_over = task.is_none();
        REQUEST.with(|request| {
            let Some((request, shared)) = request.get() else {
                return if is_handed_over { Poll::Ready(()) } else { Poll::Pending };
            };
            let progress = request.progress();
            progress.set_task(cx.waker());
            match progress.overdue() {
                _ if is_handed_over && progress.phase() == Phase::Idle => Poll::Ready(()),
                // The service ends its own phase: with a response.
                None | Some(Phase::Service) => Poll::Pending,
                Some(_) if !is_handed_over => Poll::Ready(()),
                Some(_) => {
                    shared.is_stuck.store(true, Ordering::Relaxed);
                    shared.tracker.progress().wake();
                    Poll::Ready(())
                }
            }
        })
    })
    .await;
}
