//! The HTTP client of a target.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::uri::Authority;
use hyper::{Request, Response};
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::ClientConfig;

use crate::certificates::{authorities, client_config, system};
use crate::config::forward::{Target, Trust};

/// How long an idle connection stays open. Less than the 5 s after which Node.js servers close theirs, because a
/// request that is sent at that moment fails.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// Longest head of an answer, in bytes.
const MAX_ANSWER_HEAD: usize = 64 * 1024;

/// A client with a pool of connections. It works in the runtime of the thread that sends with it.
pub(crate) struct Client {
    pool: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Host and port of the target.
    authority: Authority,
}

/// Why a request got no head of an answer.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct SendError {
    what: String,
    /// There was no connection, so nothing was sent.
    pub(crate) is_unsent: bool,
}

impl Client {
    /// A client for a target, with the TLS of [`tls`].
    pub(crate) fn new(target: &Target, tls: &Arc<ClientConfig>) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(target.connect_timeout));
        let name: Arc<dyn ResolveServerName + Send + Sync> = match &target.tls.server_name {
            Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        let connector = HttpsConnector::new(connector, Arc::clone(tls), target.url.is_https(), name);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(MAX_IDLE).pool_timer(TokioTimer::new());
        // As Go's client writes header names.
        builder.http1_title_case_headers(true).http1_max_buf_size(MAX_ANSWER_HEAD);
        Self { pool: builder.build(connector), authority: target.url.authority().clone() }
    }

    /// Sends a request, and waits for the head of the answer. Only what was never sent is sent again: over another
    /// connection, if one from the pool was closed.
    ///
    /// # Errors
    /// Say why there is no answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        self.pool.request(request).await.map_err(|error| self.problem(&error))
    }

    fn problem(&self, error: &legacy::Error) -> SendError {
        let what = match error.source() {
            Some(cause) if error.is_connect() => {
                let causes = causes(cause);
                let cause = causes.strip_prefix("tcp connect error: ").unwrap_or(&causes);
                format!("connecting to {}: {cause}", self.authority)
            }
            _ => causes(error),
        };
        SendError { what, is_unsent: error.is_connect() }
    }
}

/// An error and what caused it.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail. Some errors repeat their cause.
        let added = error.to_string();
        if !text.ends_with(&added) {
            let _ = write!(text, ": {added}");
        }
        cause = error.source();
    }
    text
}

/// The TLS of a target. HTTP/2 is not offered: its deliveries need few connections, and with one request on each, a
/// connection that is lost affects only one.
///
/// # Errors
/// Say what is wrong, and how to correct it.
pub(crate) fn tls(target: &Target) -> Result<Arc<ClientConfig>, String> {
    let trusted = match &target.tls.trust {
        // TLS is not used.
        _ if !target.url.is_https() => None,
        Trust::System => Some(system().map_err(|problem| format!("{problem}, or set ca_file"))?),
        Trust::Authorities(listed) => Some((authorities(listed)?, listed.clone())),
        Trust::Any => None,
    };
    let identity = target.tls.identity.as_ref();
    let identity = identity.map(|identity| (identity.certificates.clone(), identity.key.clone_key()));
    Ok(Arc::new(client_config(trusted, identity)?))
}
