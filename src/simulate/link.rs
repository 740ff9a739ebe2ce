//! One connection to the server.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};

use bytes::Bytes;
use h2::Reason;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::{Tls, is_http2};
use crate::config::simulate::Target;

/// Far more than an answer needs, and little enough to hold for each connection.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024;

/// What an HTTP/2 server may send before it is told to go on, in bytes: for an answer, and for all of a connection.
/// Go's numbers.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// Where connections go.
pub(super) struct Route {
    host: String,
    port: u16,
    tls: Option<Tls>,
}

impl Route {
    /// # Errors
    /// Say which flag is wrong, and the way out.
    pub(super) fn new(target: &Target) -> Result<Self, String> {
        let tls = target.trust.as_ref().map(|trust| Tls::new(trust, &target.host)).transpose()?;
        Ok(Self { host: target.host.clone(), port: target.port, tls })
    }
}

/// What both ends speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Protocol {
    /// HTTP/1.1.
    #[serde(rename = "HTTP/1.1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "HTTP/2")]
    Http2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// A connection, and the end that requests are put into. Whoever waits for an answer does the connection's I/O
/// meanwhile, in the same task: no second task to wake for each request, and dropping the link closes it at once.
pub(super) struct Link {
    requests: Requests,
    /// `None` once it has ended.
    connection: Option<Connection>,
}

enum Requests {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(h2::client::SendRequest<Bytes>),
}

/// A connection's I/O, until its end. How it ended is told to whoever waits for an answer on it.
type Connection = Pin<Box<dyn Future<Output = ()>>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    #[error("{0}")]
    Handshake(String),
}

/// Why no answer came.
pub(super) enum Broken {
    /// The connection had ended before the server did anything with the request.
    Unsent(Box<dyn Error>),
    /// It ended later than that.
    Lost(Box<dyn Error>),
    /// The answer was longer than [`LONGEST_ANSWER`].
    TooLong,
}

impl Link {
    pub(super) async fn open(route: &Route) -> Result<Self, Unopened> {
        let stream = TcpStream::connect((route.host.as_str(), route.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &route.tls else { return Ok(Self::http1(stream).await?) };
        let stream = tls.handshake(stream).await.map_err(Unopened::Handshake)?;
        let opened = if is_http2(&stream) { Self::http2(stream).await } else { Self::http1(stream).await };
        Ok(opened?)
    }

    async fn http1<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> io::Result<Self> {
        // Go writes `User-Agent`, not `user-agent`.
        let handshake = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
        let (requests, connection) = handshake.map_err(io::Error::other)?;
        Ok(Self::new(Requests::Http1(requests), connection))
    }

    async fn http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> io::Result<Self> {
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (requests, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
        Ok(Self::new(Requests::Http2(requests), connection))
    }

    fn new<E>(requests: Requests, connection: impl Future<Output = Result<(), E>> + 'static) -> Self {
        Self { requests, connection: Some(Box::pin(async move { drop(connection.await) })) }
    }

    pub(super) const fn protocol(&self) -> Protocol {
        match self.requests {
            Requests::Http1(_) => Protocol::Http1,
            Requests::Http2(_) => Protocol::Http2,
        }
    }

    /// Sends a request and waits for its answer, whose body replaces what `answer` held.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Bytes>,
        answer: &mut Vec<u8>,
    ) -> Result<StatusCode, Broken> {
        answer.clear();
        match &mut self.requests {
            Requests::Http1(requests) => drive(&mut self.connection, over_http1(requests, request, answer)).await,
            Requests::Http2(requests) => drive(&mut self.connection, over_http2(requests, request, answer)).await,
        }
    }

    /// Waits, and meanwhile notices when the server closes the connection, as Go does between two requests.
    pub(super) async fn keep_during<T>(&mut self, wait: impl Future<Output = T>) -> T {
        drive(&mut self.connection, wait).await
    }
}

async fn over_http1(
    requests: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Bytes>,
    answer: &mut Vec<u8>,
) -> Result<StatusCode, Broken> {
    requests.ready().await.map_err(unsent)?;
    let response = requests.try_send_request(request.map(Full::new)).await.map_err(|mut failed| {
        let was_written = failed.take_message().is_none();
        let error = failed.into_error();
        if was_written { lost(error) } else { unsent(error) }
    })?;
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        append(answer, frame.map_err(lost)?.data_ref().map_or(&[], |data| data))?;
    }
    Ok(status)
}

async fn over_http2(
    requests: &mut h2::client::SendRequest<Bytes>,
    request: Request<Bytes>,
    answer: &mut Vec<u8>,
) -> Result<StatusCode, Broken> {
    poll_fn(|context| requests.poll_ready(context)).await.map_err(unsent)?;
    let (head, body) = request.into_parts();
    let (response, mut stream) = requests.send_request(Request::from_parts(head, ()), false).map_err(unsent)?;
    stream.send_data(body, true).map_err(refused_or_lost)?;
    let response = response.await.map_err(refused_or_lost)?;
    let status = response.status();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data.map_err(lost)?;
        append(answer, &data)?;
        body.flow_control().release_capacity(data.len()).map_err(lost)?;
    }
    Ok(status)
}

fn append(answer: &mut Vec<u8>, data: &[u8]) -> Result<(), Broken> {
    answer.extend_from_slice(data);
    if answer.len() > LONGEST_ANSWER { Err(Broken::TooLong) } else { Ok(()) }
}

fn unsent(error: impl Error + 'static) -> Broken {
    Broken::Unsent(Box::new(error))
}

fn lost(error: impl Error + 'static) -> Broken {
    Broken::Lost(Box::new(error))
}

/// A server that goes away says which requests it did nothing with; Go sends those again.
fn refused_or_lost(error: h2::Error) -> Broken {
    let is_refused = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && is_refused { unsent(error) } else { lost(error) }
}

async fn drive<T>(connection: &mut Option<Connection>, wait: impl Future<Output = T>) -> T {
    let mut wait = pin!(wait);
    poll_fn(|context| {
        if let Some(open) = connection
            && open.as_mut().poll(context).is_ready()
        {
            *connection = None;
        }
        wait.as_mut().poll(context)
    })
    .await
}
