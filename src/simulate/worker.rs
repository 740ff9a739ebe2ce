//! The connection loop: take a turn, send, wait for the answer, count it.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri, http};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::compose::Letter;
use super::generator::Generator;
use super::link::{Broken, LONGEST_ANSWER, Link, Protocol, Route};
use super::schedule::Schedule;
use super::tally::{Counts, Failure, FailureKind};
use super::{ANSWER_TIMEOUT, Error};
use crate::config::simulate::Target;
use crate::domain::{Clock, SystemClock};
use crate::wire::{GROUP_MESSAGE, OPERATION_ID_HEADER, is_success};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const CONTENT_TYPE: &str = "application/json; charset=utf-8";
/// How much of an unexpected answer the report shows.
const SHOWN: usize = 200;

/// What all connections share. They run on one thread and hold it only between two waits.
pub(super) struct Feed {
    pub(super) generator: Generator,
    pub(super) schedule: Schedule,
    pub(super) counts: Counts,
}

/// The part of each request that is always the same.
pub(super) struct Envelope {
    pub(super) route: Route,
    operation_id: HeaderName,
    http1: Cover,
    http2: Cover,
}

/// Every header in Go's order; length and operation ID are put in place for each request.
struct Cover {
    uri: Uri,
    headers: HeaderMap,
}

impl Envelope {
    pub(super) fn new(target: &Target) -> Result<Self, Error> {
        let route = Route::new(target).map_err(Error::Trust)?;
        let operation_id = HeaderName::from_static(OPERATION_ID_HEADER);
        let path = format!("{}/{GROUP_MESSAGE}", target.prefix);
        // In HTTP/2 the host is part of the URI.
        let absolute = format!("https://{}{path}", target.authority);
        let http1 = Cover { uri: uri(path)?, headers: http1_headers(target, &operation_id)? };
        let http2 = Cover { uri: uri(absolute)?, headers: http2_headers(target, &operation_id) };
        Ok(Self { route, operation_id, http1, http2 })
    }

    fn request(&self, letter: &Letter, protocol: Protocol) -> Result<Request<Bytes>, http::Error> {
        let Cover { uri, headers } = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let mut request = Request::new(Bytes::copy_from_slice(&letter.body));
        let mut headers = headers.clone();
        headers.insert(header::CONTENT_LENGTH, letter.body.len().into());
        headers.insert(self.operation_id.clone(), HeaderValue::from_str(&letter.operation_id)?);
        *request.headers_mut() = headers;
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        Ok(request)
    }
}

fn uri(text: String) -> Result<Uri, http::Error> {
    Ok(Uri::try_from(text)?)
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
        // Go lets its header compression keep it: from the second request on it is one byte.
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

/// One connection, opened again whenever it has ended.
pub(super) struct Worker {
    envelope: Rc<Envelope>,
    feed: Rc<RefCell<Feed>>,
    halted: watch::Receiver<bool>,
    link: Option<Link>,
    letter: Letter,
    answer: Vec<u8>,
    /// How long to rest after the next failure to connect.
    pause: Duration,
}

impl Worker {
    pub(super) fn new(
        envelope: Rc<Envelope>,
        feed: Rc<RefCell<Feed>>,
        halted: watch::Receiver<bool>,
        link: Option<Link>,
    ) -> Self {
        Self { envelope, feed, halted, link, letter: Letter::default(), answer: Vec::new(), pause: FIRST_PAUSE }
    }

    pub(super) async fn run(mut self) -> Result<(), Error> {
        loop {
            let turn = self.feed.borrow_mut().schedule.take(Instant::now());
            let Some(due) = turn else { return Ok(()) };
            if !self.wait_until(due).await {
                return Ok(());
            }
            let begun = Instant::now();
            let drawn = self.feed.borrow_mut().generator.draw(SystemClock.now(), &mut self.letter)?;
            let outcome = self.deliver(begun + ANSWER_TIMEOUT).await?;
            let could_connect = outcome.as_ref().err().is_none_or(|failure| failure.kind != FailureKind::NotConnected);
            self.feed.borrow_mut().counts.record(&drawn, outcome, begun.elapsed());
            self.rest(could_connect).await;
        }
    }

    /// False if the run was ended meanwhile.
    async fn wait_until(&mut self, due: Instant) -> bool {
        if due <= Instant::now() {
            return true;
        }
        let wait = async {
            tokio::select! {
                () = sleep_until(due) => true,
                _ = self.halted.wait_for(|halted| *halted) => false,
            }
        };
        match &mut self.link {
            Some(link) => link.keep_during(wait).await,
            None => wait.await,
        }
    }

    /// Sends the letter once. As in Go, it is no failure to find that an open connection had ended before the server
    /// did anything with the letter: it goes over a new one.
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
            let request = self.envelope.request(&self.letter, link.protocol())?;
            let (kind, text) = match timeout_at(deadline, link.exchange(request, &mut self.answer)).await {
                Ok(Ok(status)) => {
                    self.link = Some(link);
                    return Ok(judge(status, &self.answer));
                }
                Ok(Err(Broken::Unsent(_))) if !is_new => continue,
                Ok(Err(Broken::Unsent(error) | Broken::Lost(error))) => {
                    (FailureKind::Closed, with_causes(error.as_ref()))
                }
                Ok(Err(Broken::TooLong)) => {
                    (FailureKind::Refused, format!("the answer is longer than {LONGEST_ANSWER} bytes"))
                }
                Err(_) => (FailureKind::Timeout, format!("no answer within {ANSWER_TIMEOUT:?}")),
            };
            return Ok(Err(Failure { kind, text }));
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Link, String> {
        match timeout_at(deadline, Link::open(&self.envelope.route)).await {
            Ok(opened) => opened.map_err(|error| format!("cannot connect: {error}")),
            Err(_) => Err(format!("cannot connect: nothing within {ANSWER_TIMEOUT:?}")),
        }
    }

    /// Rests longer after each failure to connect, so that an absent server does not cost a whole core.
    async fn rest(&mut self, could_connect: bool) {
        if could_connect {
            self.pause = FIRST_PAUSE;
            return;
        }
        let wake = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.wait_until(wake).await;
    }
}

fn judge(status: StatusCode, answer: &[u8]) -> Result<(), Failure> {
    let shown = || String::from_utf8_lossy(answer.get(..SHOWN).unwrap_or(answer)).trim_end().to_owned();
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
