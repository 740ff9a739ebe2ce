//! One connection, from its acceptance to its end.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::handshake::secure;
use super::proxy_protocol::identify;
use super::{http1, http2};
use crate::http::base::caller::Caller;
use crate::http::base::connections::Tracker;
use crate::http::base::limits::ALPN_HTTP2;
use crate::http::site::Site;

/// Serves a connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, tracker: Tracker, mut caller: Caller, site: &Arc<Site>) {
    // A small response must not wait for the acknowledgement of the one before it. If this fails, it waits.
    let _ = stream.set_nodelay(true);
    if caller.is_trusted_proxy() && site.config.proxy_protocol {
        match identify(&mut stream, &tracker, caller, site).await {
            Some(client) => caller = client,
            None => return,
        }
    }
    let tls = site.settings.access().tls.clone();
    let Some(tls) = tls else { return http1::serve(&mut stream, &tracker, &caller, site).await };
    let Some(mut stream) = secure(stream, tls, &tracker, caller.address, site).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
        http2::serve(stream, tracker, caller, site).await;
    } else {
        http1::serve(&mut stream, &tracker, &caller, site).await;
    }
}
