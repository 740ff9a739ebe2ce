//! One connection, from its acceptance to its end.

use std::sync::Arc;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;

use super::handshake::secure;
use super::proxy_protocol::identify;
use super::{http1, http2};
use crate::http::base::caller::Caller;
use crate::http::base::connections::Tracker;
use crate::http::base::limits::{ALPN_HTTP2, Limits};
use crate::http::site::Site;

/// Serves a connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, tracker: Tracker, mut caller: Caller, site: &Arc<Site>) {
    set_options(&stream, &site.limits);
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

fn set_options(stream: &TcpStream, limits: &Limits) {
    // A small response must not wait for the acknowledgement of the one before it. If this fails, it waits.
    let _ = stream.set_nodelay(true);
    // Small events for a viewer that has vanished look as if they were sent. Without this, the kernel gives it up only
    // after a quarter of an hour.
    let _ = set_tcp_user_timeout(stream, u32::try_from(limits.confirmation.as_millis()).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::tcp_user_timeout;
    use tokio::net::TcpListener;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn the_kernel_soon_gives_up_a_client_that_has_vanished() {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            set_options(&stream, &Limits::default());
            assert_eq!(tcp_user_timeout(&stream).unwrap(), 60_000);
        });
    }
}
