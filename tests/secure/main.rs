//! Access: TLS, passwords, secrets, networks and listeners, tested on an exporter that runs as in production.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../http/served.rs"]
mod served;
#[path = "../support/mod.rs"]
mod support;

mod authority;
mod certificates;
mod halves;
mod healthcheck;
mod http2_client;
mod lifecycle;
mod limits;
mod live;
mod multiplex;
mod page;
mod rotation;
mod simulate;
mod sslscan;
mod table;
mod tls;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::rustls::ClientConfig;

use support::{Client, Exporter, Samples};

/// An `Authorization` header's value.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A hash that is cheap to check.
pub(crate) fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// The metrics, for a client that trusts the server and sends these headers.
pub(crate) fn scraped(exporter: &Exporter, config: &Arc<ClientConfig>, headers: &str) -> Samples {
    let mut client = Client::connect_secure(exporter.address(), config).unwrap();
    client.send(get("/metrics", headers)).unwrap();
    Samples::parse(&client.answer().text())
}

/// A request with these headers; each ends with a line break.
pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}
