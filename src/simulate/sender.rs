//! The loop of one connection: take a turn, send, wait for the answer, count it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri, http};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::counts::{Counts, Failure, FailureKind};
use super::error::Error;
use super::message::EncodedCallback;
use super::mix::{CallbackSource, Drawn};
use super::replay::Replay;
use super::schedule::Schedule;
use crate::client::{Endpoint, ExchangeError, Link, MAX_ANSWER, Protocol};
use crate::config::simulate::Target;
use crate::domain::{COMMANDS, Clock, SystemClock};
use crate::wire::{OPERATION_ID_HEADER, is_success};

/// How long OpenIM waits for an answer, including the time to connect.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses after failures to connect.
const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// The flag that has the server's URL.
pub(super) const TARGET_FLAG: &str = "--target";
const CONTENT_TYPE: &str = "application/json; charset=utf-8";
/// How many callbacks whose order matters can be on their way at once.
const ORDERS: usize = 256;
/// Bytes of an unexpected answer in the report.
const SHOWN_BYTES: usize = 200;

/// The state of a run, which all connections share. They run on one thread and borrow it only between two waits.
pub(super) struct RunState {
    pub(super) source: CallbackSource,
    pub(super) schedule: Schedule,
    pub(super) counts: Counts,
}

/// Locks for callbacks that must be sent one after the other: see [`Drawn::order`](super::mix::Drawn::order). They are
/// taken in the order in which they are asked for.
pub(super) struct Orders([Mutex<()>; ORDERS]);

impl Orders {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }

    fn lock(&self, order: usize) -> Option<&Mutex<()>> {
        self.0.get(order % ORDERS)
    }
}

/// The constant part of the requests.
pub(super) struct RequestTemplate {
    pub(super) endpoint: Endpoint,
    operation_id: HeaderName,
    http1: RequestHead,
    http2: RequestHead,
}

/// The headers in Go's order; each request replaces the values of length and operation ID. The URIs are by command.
struct RequestHead {
    /// What a recorded callback's path and query are appended to.
    base: String,
    uris: HashMap<&'static str, Uri, FixedState>,
    headers: HeaderMap,
}

impl RequestTemplate {
    pub(super) fn new(target: &Target) -> Result<Self, Error> {
        let endpoint = Endpoint::new(target, TARGET_FLAG).map_err(Error::Trust)?;
        let operation_id = HeaderName::from_static(OPERATION_ID_HEADER);
        // In HTTP/2 the host is part of the URI.
        let absolute = format!("https://{}{}", target.authority, target.prefix);
        let http1 = RequestHead {
            base: target.prefix.clone(),
            uris: uris(&target.prefix)?,
            headers: http1_headers(target, &operation_id)?,
        };
        let uris = uris(&absolute)?;
        let http2 = RequestHead { base: absolute, uris, headers: http2_headers(target, &operation_id) };
        Ok(Self { endpoint, operation_id, http1, http2 })
    }

    fn request(&self, callback: &EncodedCallback, protocol: Protocol) -> Result<Request<Bytes>, http::Error> {
        let RequestHead { base, uris, headers } = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let mut request = Request::new(Bytes::copy_from_slice(&callback.body));
        let mut headers = headers.clone();
        headers.insert(header::CONTENT_LENGTH, callback.body.len().into());
        headers.insert(self.operation_id.clone(), HeaderValue::from_str(&callback.operation_id)?);
        *request.headers_mut() = headers;
        *request.method_mut() = Method::POST;
        *request.uri_mut() = match &callback.recorded_url {
            Some(url) => recorded_uri(base, url)?,
            None => uris.get(callback.command).cloned().unwrap_or_default(),
        };
        Ok(request)
    }
}

/// The URI of a recorded callback with this end.
fn recorded_uri(base: &str, end: &str) -> Result<Uri, http::Error> {
    // Like Go, which sends a slash where there is no path.
    let slash = if base.is_empty() && !end.starts_with('/') { "/" } else { "" };
    Ok(Uri::try_from(format!("{base}{slash}{end}"))?)
}

/// The URI of each command.
fn uris(prefix: &str) -> Result<HashMap<&'static str, Uri, FixedState>, http::Error> {
    let uri = |name: &'static str| Ok((name, Uri::try_from(format!("{prefix}/{name}"))?));
    COMMANDS.iter().map(|known| uri(known.name)).collect()
}

fn http1_headers(target: &Target, operation_id: &HeaderName) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::HOST, HeaderValue::from_str(&target.authority)?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Go-http-client/1.1"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    if let Some(authorization) = &target.authorization {
        headers.insert(header::AUTHORIZATION, authorization.clone());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(operation_id.clone(), HeaderValue::from_static(""));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(headers)
}

fn http2_headers(target: &Target, operation_id: &HeaderName) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    if let Some(authorization) = &target.authorization {
        let mut authorization = authorization.clone();
        // Go lets HPACK index it: from the second request on, it takes one byte.
        authorization.set_sensitive(false);
        headers.insert(header::AUTHORIZATION, authorization);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(operation_id.clone(), HeaderValue::from_static(""));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Go-http-client/2.0"));
    headers
}

/// Sends callbacks over one connection, and opens it again after its end.
pub(super) struct CallbackSender {
    template: Rc<RequestTemplate>,
    shared: Rc<RefCell<RunState>>,
    orders: Rc<Orders>,
    /// The records to send, instead of what the run's source draws.
    replay: Option<Rc<Replay>>,
    halted: watch::Receiver<bool>,
    link: Option<Link>,
    callback: EncodedCallback,
    answer: Vec<u8>,
    /// How long to wait after the next failure to connect.
    pause: Duration,
}

impl CallbackSender {
    pub(super) fn new(
        template: Rc<RequestTemplate>,
        (shared, orders, replay): (Rc<RefCell<RunState>>, Rc<Orders>, Option<Rc<Replay>>),
        halted: watch::Receiver<bool>,
        link: Option<Link>,
    ) -> Self {
        Self {
            template,
            shared,
            orders,
            replay,
            halted,
            link,
            callback: EncodedCallback::default(),
            answer: Vec::new(),
            pause: MIN_PAUSE,
        }
    }

    pub(super) async fn run(mut self) -> Result<(), Error> {
        let (orders, replay) = (Rc::clone(&self.orders), self.replay.clone());
        loop {
            let next = match &replay {
                Some(replay) => self.next_recorded(replay, &orders).await,
                None => self.next_drawn(&orders).await?,
            };
            let Some((drawn, order)) = next else { return Ok(()) };
            let start = Instant::now();
            let result = self.deliver(start + ANSWER_TIMEOUT).await?;
            let could_connect = result.as_ref().err().is_none_or(|failure| failure.kind != FailureKind::NotConnected);
            self.shared.borrow_mut().counts.record((self.callback.command, &drawn), result, start.elapsed());
            drop(order);
            self.pause_unless(could_connect).await;
        }
    }

    /// Waits for the next turn and draws a callback. Also returns its lock, if its order matters; `None` at the end.
    async fn next_drawn<'o>(
        &mut self,
        orders: &'o Orders,
    ) -> Result<Option<(Drawn, Option<MutexGuard<'o, ()>>)>, Error> {
        let turn = self.shared.borrow_mut().schedule.take(Instant::now());
        let Some(due) = turn else { return Ok(None) };
        if !self.wait_until(due).await {
            return Ok(None);
        }
        let drawn = self.shared.borrow_mut().source.draw(SystemClock.now(), &mut self.callback);
        let drawn = drawn.map_err(Error::Callback)?;
        let order = match drawn.order().and_then(|order| orders.lock(order)) {
            // Asked for at once, in the order in which the callbacks were drawn.
            Some(order) => Some(unconstrained(order.lock()).await),
            None => None,
        };
        Ok(Some((drawn, order)))
    }

    /// The same for a recorded callback, whose lock is held while it waits: others of its group are due later.
    async fn next_recorded<'o>(
        &mut self,
        replay: &Replay,
        orders: &'o Orders,
    ) -> Option<(Drawn, Option<MutexGuard<'o, ()>>)> {
        let Some(recorded) = self.unless_halted(replay.next()).await? else {
            self.shared.borrow_mut().schedule.exhaust();
            return None;
        };
        let due = self.shared.borrow_mut().schedule.take_recorded(recorded.time, Instant::now())?;
        let order = match orders.lock(recorded.order) {
            // Asked for at once, in the order in which the records were read.
            Some(order) => Some(unconstrained(order.lock()).await),
            None => None,
        };
        self.callback = recorded.callback;
        self.wait_until(due).await.then_some((Drawn::Nothing, order))
    }

    /// Returns false if the run ends meanwhile.
    async fn wait_until(&mut self, due: Instant) -> bool {
        due <= Instant::now() || self.unless_halted(sleep_until(due)).await.is_some()
    }

    /// Waits, unless the run ends meanwhile.
    async fn unless_halted<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        let wait = async {
            tokio::select! {
                waited = wait => Some(waited),
                _ = self.halted.wait_for(|halted| *halted) => None,
            }
        };
        match &mut self.link {
            Some(link) => link.wait_open(wait).await,
            None => wait.await,
        }
    }

    /// Sends the callback once. As in Go, it is sent over a new connection if the open one ended before the server
    /// processed the request; that is not a failure.
    async fn deliver(&mut self, deadline: Instant) -> Result<Result<(), Failure>, Error> {
        loop {
            let (mut link, is_new) = match self.link.take() {
                Some(link) => (link, false),
                None => match self.connect(deadline).await {
                    Ok(link) => (link, true),
                    Err(text) => {
                        return Ok(Err(Failure { kind: FailureKind::NotConnected, text }));
                    }
                },
            };
            let request = self.template.request(&self.callback, link.protocol())?;
            let (kind, text) = match timeout_at(deadline, link.exchange(request, &mut self.answer)).await {
                Ok(Ok(status)) => {
                    self.link = Some(link);
                    return Ok(check_answer(status, &self.answer));
                }
                Ok(Err(ExchangeError::Unsent(_))) if !is_new => continue,
                Ok(Err(ExchangeError::Unsent(error) | ExchangeError::Lost(error))) => {
                    (FailureKind::Closed, with_causes(error.as_ref()))
                }
                Ok(Err(ExchangeError::TooLong)) => {
                    (FailureKind::Refused, format!("the answer is larger than {MAX_ANSWER} bytes"))
                }
                Err(_) => (FailureKind::Timeout, format!("no answer within {ANSWER_TIMEOUT:?}")),
            };
            return Ok(Err(Failure { kind, text }));
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Link, String> {
        match timeout_at(deadline, Link::open(&self.template.endpoint)).await {
            Ok(opened) => opened.map_err(|error| format!("cannot connect: {error}")),
            Err(_) => Err(format!("cannot connect: timeout after {ANSWER_TIMEOUT:?}")),
        }
    }

    /// Pauses longer after each failure to connect, so that a missing server does not cost a whole core.
    async fn pause_unless(&mut self, could_connect: bool) {
        if could_connect {
            self.pause = MIN_PAUSE;
            return;
        }
        let wake = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        self.wait_until(wake).await;
    }
}

fn check_answer(status: StatusCode, answer: &[u8]) -> Result<(), Failure> {
    let shown = || String::from_utf8_lossy(answer.get(..SHOWN_BYTES).unwrap_or(answer)).trim_end().to_owned();
    if status != StatusCode::OK {
        return Err(Failure { kind: FailureKind::Status, text: format!("status {status}: {}", shown()) });
    }
    if !is_success(answer) {
        return Err(Failure {
            kind: FailureKind::Refused,
            text: if answer.is_empty() { "an empty answer".to_owned() } else { format!("not a success: {}", shown()) },
        });
    }
    Ok(())
}

fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
