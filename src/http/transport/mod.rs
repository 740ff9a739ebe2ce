//! Accepts connections, completes TLS handshakes, and serves HTTP/1 or HTTP/2.

mod connection;
mod farewell;
mod handshake;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod listen;
pub(super) mod partial;
mod proxy_protocol;
mod watched;
pub(super) mod worker;
