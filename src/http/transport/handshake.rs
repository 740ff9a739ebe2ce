//! The TLS handshake of a connection.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::farewell::refuse;
use super::partial::Partial;
use super::proxy_protocol::{UNEXPECTED, is_header};
use crate::domain::Reason;
use crate::http::base::connections::{Overdue, Tracker, in_time};
use crate::http::base::progress::Phase;
use crate::http::site::Site;

/// The first byte of a TLS connection: the type of its first record, a handshake's. RFC 8446, 5.1.
pub(super) const HANDSHAKE: u8 = 22;

/// Completes the TLS handshake. `None` if it failed; a plain-HTTP client has got a refusal.
pub(super) async fn secure(
    mut stream: TcpStream,
    tls: Arc<ServerConfig>,
    tracker: &Tracker,
    client: IpAddr,
    site: &Site,
) -> Option<TlsStream<Partial<TcpStream>>> {
    tracker.enter(Phase::Handshake);
    let mut start = [HANDSHAKE; 12];
    // rustls would answer with an alert, which a client that speaks plain HTTP cannot read.
    let peeked = in_time(tracker.progress(), stream.peek(&mut start)).await;
    if matches!(peeked, Ok(Ok(1..))) && start.first() != Some(&HANDSHAKE) {
        let detail = if is_header(&start) { UNEXPECTED } else { "this port requires TLS; use https:// in the URL" };
        refuse(&mut stream, tracker, (site, client), Reason::MalformedRequest, detail).await;
        return None;
    }
    let agreed = match peeked {
        // Closed without sending anything, as a port probe does: not a failure.
        Ok(Ok(0)) => return None,
        Ok(Ok(_)) => {
            in_time(
                tracker.progress(),
                TlsAcceptor::from(tls).accept(Partial::records(stream, tracker.handle().clone())),
            )
            .await
        }
        Ok(Err(error)) => Ok(Err(error)),
        Err(overdue) => Err(overdue),
    };
    let failure = match agreed {
        Ok(Ok(stream)) => {
            tracker.enter(Phase::Idle);
            return Some(stream);
        }
        Ok(Err(error)) => error,
        Err(Overdue(_)) => io::Error::new(io::ErrorKind::TimedOut, "the handshake was not completed in time"),
    };
    site.telemetry.tls_handshake_failed(client, &failure, site.now().0);
    None
}
