//! A client's connection, over each protocol.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;

use crate::authority::Authority;
use crate::http2_client::{WIDE, connect, whole};
use crate::support::{Client, PATIENCE, Response};

/// How a client speaks to the exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Plain,
    Tls,
    Http2,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        assert_eq!(response.header("content-type"), Some("application/json"), "{response:?}");
        Self { status: response.status, body: response.body }
    }
}

/// A request that posts a body.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Sends the body in two pieces, without its length before it.
    pub(crate) in_pieces: bool,
}

impl Post {
    /// Replaces a header or adds it.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers.retain(|(found, _)| *found != name);
        self.headers.push((name, value.into()));
    }

    pub(crate) fn http1(&self) -> Vec<u8> {
        let mut head = format!("POST {} HTTP/1.1\r\nHost: openim_exporter:10006\r\n", self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.in_pieces {
            return [format!("{head}Content-Length: {}\r\n\r\n", self.body.len()).as_bytes(), &self.body].concat();
        }
        let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for piece in self.halves() {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"));
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }

    fn halves(&self) -> [&[u8]; 2] {
        let (first, second) = self.body.split_at(self.body.len() / 2);
        [first, second]
    }
}

/// A connection.
pub(crate) enum Link {
    Http1(Client),
    Http2(Box<Http2>),
}

/// An HTTP/2 connection, and its requests that were not answered yet.
pub(crate) struct Http2 {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    open: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

impl Link {
    pub(crate) fn open(authority: &Authority, address: SocketAddr, protocol: Protocol) -> Self {
        match protocol {
            Protocol::Plain => Self::Http1(Client::connect(address).unwrap()),
            Protocol::Tls => Self::Http1(Client::connect_secure(address, &authority.client(None)).unwrap()),
            Protocol::Http2 => {
                let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let requests = runtime.block_on(connect(authority, address, WIDE));
                Self::Http2(Box::new(Http2 { runtime, requests, open: Vec::new() }))
            }
        }
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, post: &Post) {
        match self {
            Self::Http1(client) => client.send(post.http1()).unwrap(),
            Self::Http2(http2) => http2.send(post, true),
        }
    }

    /// Sends a request without the end of its body.
    pub(crate) fn begin(&mut self, post: &Post) {
        match self {
            Self::Http1(client) => {
                let bytes = post.http1();
                client.send(&bytes[..bytes.len() - 1]).unwrap();
            }
            Self::Http2(http2) => http2.send(post, false),
        }
    }

    /// Reads the answer to the last request.
    pub(crate) fn answer(&mut self) -> Answer {
        match self {
            Self::Http1(client) => client.answer().into(),
            Self::Http2(http2) => {
                let Http2 { runtime, open, .. } = &mut **http2;
                let (answer, _sent) = open.pop().unwrap();
                let answer = async { whole(answer.await.unwrap()).await };
                let (status, body) = runtime.block_on(async { timeout(PATIENCE, answer).await }).expect("no answer");
                Answer { status: status.as_u16(), body: body.into_bytes() }
            }
        }
    }

    pub(crate) fn ask(&mut self, post: &Post) -> Answer {
        self.send(post);
        self.answer()
    }
}

impl Http2 {
    fn send(&mut self, post: &Post, is_whole: bool) {
        let uri = format!("https://localhost{}", post.path);
        let mut request = hyper::Request::builder().method("POST").uri(uri);
        for (name, value) in &post.headers {
            request = request.header(*name, value);
        }
        let request = request.body(()).unwrap();
        let [first, second] = post.halves();
        let frames = match (is_whole, post.in_pieces) {
            (true, false) => vec![(&post.body[..], true)],
            (true, true) => vec![(first, false), (second, true)],
            (false, _) => vec![(first, false)],
        };
        self.runtime.block_on(async {
            let (answer, mut sent) = self.requests.send_request(request, false).unwrap();
            for (bytes, is_last) in frames {
                sent.send_data(Bytes::copy_from_slice(bytes), is_last).unwrap();
                // Lets the connection's task send it.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            }
            self.open.push((answer, sent));
        });
    }
}
