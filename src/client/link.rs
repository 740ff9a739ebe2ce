//! One connection to the server.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};

use bytes::Bytes;
use h2::Reason;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::{ConnectError, ExchangeError};
use super::tls::{TlsClient, is_http2};
use crate::config::simulate::Target;

/// Largest answer, in bytes: much larger than an answer needs to be, and small enough to hold for each connection.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

/// Flow-control windows of HTTP/2, in bytes, as in Go's client.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// A PROXY header of a connection that is the client's own, in version 1.
const OWN_CONNECTION: &[u8] = b"PROXY UNKNOWN\r\n";

/// The server to connect to.
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    tls: Option<TlsClient>,
    /// What a connection begins with, before TLS.
    preface: &'static [u8],
}

impl Endpoint {
    /// The server of a target that this flag gives.
    ///
    /// # Errors
    /// Name the flag and say how to correct it.
    pub(crate) fn new(target: &Target, flag: &'static str) -> Result<Self, String> {
        let tls = target.trust.as_ref().map(|trust| TlsClient::new(trust, target, flag)).transpose()?;
        let preface = if target.proxy_header { OWN_CONNECTION } else { &[] };
        Ok(Self { host: target.host.clone(), port: target.port, tls, preface })
    }

    /// Whether the server has asked for a client certificate and got none.
    pub(crate) fn lacks_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(TlsClient::lacks_certificate)
    }
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A connection and the handle that sends requests on it. Waiting for an answer also does the connection's I/O, in the
/// same task: no second task has to be woken for each request, and dropping the link closes the connection at once.
pub(crate) struct Link {
    requests: Requests,
    /// `None` after its end.
    connection: Option<Connection>,
}

enum Requests {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(h2::client::SendRequest<Bytes>),
}

/// A connection's I/O, until its end. The pending request gets the error, if there is one.
type Connection = Pin<Box<dyn Future<Output = ()>>>;

impl Link {
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(endpoint.preface).await?;
        let Some(tls) = &endpoint.tls else { return Ok(Self::http1(stream).await?) };
        let stream = tls.handshake(stream).await?;
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

    pub(crate) const fn protocol(&self) -> Protocol {
        match self.requests {
            Requests::Http1(_) => Protocol::Http1,
            Requests::Http2(_) => Protocol::Http2,
        }
    }

    /// Sends a request, waits for its answer, and replaces `answer` with its body.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Bytes>,
        answer: &mut Vec<u8>,
    ) -> Result<StatusCode, ExchangeError> {
        answer.clear();
        match &mut self.requests {
            Requests::Http1(requests) => drive(&mut self.connection, over_http1(requests, request, answer)).await,
            Requests::Http2(requests) => drive(&mut self.connection, over_http2(requests, request, answer)).await,
        }
    }

    /// Waits, and notices meanwhile if the server closes the connection, as Go does between two requests.
    pub(crate) async fn wait_open<T>(&mut self, wait: impl Future<Output = T>) -> T {
        drive(&mut self.connection, wait).await
    }
}

async fn over_http1(
    requests: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Bytes>,
    answer: &mut Vec<u8>,
) -> Result<StatusCode, ExchangeError> {
    requests.ready().await.map_err(unsent)?;
    let response = requests.try_send_request(request.map(Full::new)).await.map_err(|mut failed| {
        let was_sent = failed.take_message().is_none();
        let error = failed.into_error();
        if was_sent { lost(error) } else { unsent(error) }
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
) -> Result<StatusCode, ExchangeError> {
    poll_fn(|context| requests.poll_ready(context)).await.map_err(unsent)?;
    let (head, body) = request.into_parts();
    let (response, mut stream) = requests.send_request(Request::from_parts(head, ()), false).map_err(unsent)?;
    stream.send_data(body, true).map_err(unsent_or_lost)?;
    let response = response.await.map_err(unsent_or_lost)?;
    let status = response.status();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data.map_err(lost)?;
        append(answer, &data)?;
        body.flow_control().release_capacity(data.len()).map_err(lost)?;
    }
    Ok(status)
}

fn append(answer: &mut Vec<u8>, data: &[u8]) -> Result<(), ExchangeError> {
    answer.extend_from_slice(data);
    if answer.len() > MAX_ANSWER { Err(ExchangeError::TooLong) } else { Ok(()) }
}

fn unsent(error: impl Error + 'static) -> ExchangeError {
    ExchangeError::Unsent(Box::new(error))
}

fn lost(error: impl Error + 'static) -> ExchangeError {
    ExchangeError::Lost(Box::new(error))
}

/// GOAWAY and REFUSED_STREAM say that the server did not process the request; Go sends it again.
fn unsent_or_lost(error: h2::Error) -> ExchangeError {
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
