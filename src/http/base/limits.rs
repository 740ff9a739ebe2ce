//! Times after which a connection or a request is ended, and sizes of the protocols.

use std::time::Duration;

/// Times after which a connection or a request is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From a request's first byte to the end of its head. OpenIM gives up after 5 s.
    pub head: Duration,
    /// From the end of a request's head to the end of its body.
    pub body: Duration,
    /// For the client to read a response; for each piece of a long one, and each event of a live stream.
    pub answer: Duration,
    /// For the client's system to confirm what was sent, or to make room for more. Then the kernel ends the connection.
    pub confirmation: Duration,
    /// Without an event for this long, a live stream gets a comment, so that neither proxies nor [`Limits::answer`] end
    /// it.
    pub heartbeat: Duration,
    /// Between a response and the next request. Long, because OpenIM loses a callback if we close a connection just as
    /// it sends the next one. Go's client closes its idle connections itself after 90 s by default.
    pub idle: Duration,
    /// For the client to read a refusal that ends the connection. Closing while the client still sends would reset the
    /// connection, and the client might never see the refusal.
    pub linger: Duration,
    /// Replaces [`Limits::idle`] while draining.
    pub idle_draining: Duration,
    /// While draining, the most that remains of [`Limits::head`] and [`Limits::body`] from the start of the drain. It
    /// leaves time to send a refusal.
    pub request_draining: Duration,
    /// From the start of the drain to the end of the process. OpenIM gives up after 5 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            confirmation: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            idle: Duration::from_secs(600),
            linger: Duration::from_secs(1),
            idle_draining: Duration::from_secs(1),
            request_draining: Duration::from_secs(3),
            drain: Duration::from_secs(4),
        }
    }
}

/// Largest request head in bytes. Over HTTP/1 it is also hyper's buffer for reading and writing. Over HTTP/2, each
/// header counts 32 bytes more than its name and value (RFC 9113, 6.5.2).
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Headers of a request: hyper's limit for HTTP/1, which is also used for HTTP/2.
pub(crate) const MAX_HEADERS: usize = 100;

/// Largest piece of a response that hyper gets at once, and so the memory for a client that reads slowly.
pub(crate) const PIECE_BYTES: usize = 32 * 1024;

/// The ALPN name of HTTP/2 in the TLS handshake. RFC 9113, 3.2.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
