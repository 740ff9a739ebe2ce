//! An HTTP/2 client over TLS.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use hyper::{Request, Response, StatusCode};
use tokio::runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::authority::Authority;
use crate::support::PATIENCE;

/// A connection with this flow-control window per stream.
pub(crate) async fn connect(authority: &Authority, address: SocketAddr, window: u32) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(authority.client_of(None, &[b"h2"]));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (requests, connection) = Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    tokio::spawn(async move {
        // The requests get the connection's error.
        let _ = connection.await;
    });
    requests.ready().await.unwrap()
}

pub(crate) const WIDE: u32 = 1 << 20;

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("https://localhost{path}");
    Request::builder().method(method).uri(uri).header("content-type", "application/json").body(()).unwrap()
}

pub(crate) async fn whole(answer: Response<RecvStream>) -> (StatusCode, String) {
    let (head, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        bytes.extend(piece);
    }
    (head.status, String::from_utf8(bytes).unwrap())
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(2 * PATIENCE, test).await.expect("the test takes too long") })
}
