//! The quotas of a site. One address never gets all of a quota, except that of the viewers.

use std::sync::Arc;

use crate::config;
use crate::http::base::quota::Quota;

/// Passwords of one address that may wait to be verified: a client that guesses must not delay others.
const MAX_PASSWORDS_PER_ADDRESS: usize = 4;

/// Maximum number of incomplete HTTP/2 heads. The decoded part of one takes up to 260 KiB.
const MAX_PARTIAL_HEADS: usize = 128;

/// Connections over the limit that wait for the client's request: a response before it would be an error for Go's client.
const MAX_REFUSED_CONNECTIONS: usize = 128;

/// The quotas of a site.
pub(crate) struct Quotas {
    /// Scrapes at a time.
    pub(crate) scrapes: Arc<Quota>,
    /// API answers at a time: separate, so that many pages leave room for Prometheus.
    pub(crate) answers: Arc<Quota>,
    /// Viewers of the live page.
    pub(crate) viewers: Arc<Quota>,
    /// Connections of each address.
    pub(crate) connections: Arc<Quota>,
    /// Connections over the limit that get a response to their request.
    pub(crate) refused_connections: Arc<Quota>,
    /// Passwords of each address that wait to be verified.
    pub(crate) passwords: Arc<Quota>,
    /// HTTP/2 requests of each address that are in progress.
    pub(crate) requests: Arc<Quota>,
    /// Incomplete HTTP/2 heads.
    pub(crate) partial_heads: Arc<Quota>,
    /// Bytes of bodies that do not arrive in one piece.
    pub(crate) bodies: Arc<Quota>,
}

impl Quotas {
    pub(super) fn new(config: &config::Http) -> Self {
        let quota = |most: usize, limit_per_address: usize| Arc::new(Quota::new(most, limit_per_address));
        // Half for one address leaves the others some. But one body of the largest size must fit, and a buffer that
        // grows is up to twice as large.
        let bodies_of_one = config.max_buffered_bytes.div_ceil(2).max(config.max_body_bytes.saturating_mul(2));
        Self {
            scrapes: quota(config.max_scrapes, config.max_scrapes.div_ceil(2)),
            answers: quota(config.max_scrapes, config.max_scrapes.div_ceil(2)),
            // All viewers may come through one proxy.
            viewers: quota(config.max_viewers, config.max_viewers),
            connections: quota(usize::MAX, config.max_connections_per_address),
            refused_connections: quota(MAX_REFUSED_CONNECTIONS, MAX_REFUSED_CONNECTIONS / 2),
            passwords: quota(usize::MAX, MAX_PASSWORDS_PER_ADDRESS),
            requests: quota(usize::MAX, config.max_connections.div_ceil(2)),
            partial_heads: quota(MAX_PARTIAL_HEADS, MAX_PARTIAL_HEADS / 2),
            bodies: quota(config.max_buffered_bytes, bodies_of_one),
        }
    }

    /// For the fuzz targets: whether this address has taken nothing.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn are_free(&self, address: std::net::IpAddr) -> bool {
        let Self {
            scrapes,
            answers,
            viewers,
            connections,
            refused_connections,
            passwords,
            requests,
            partial_heads,
            bodies,
        } = self;
        let all =
            [scrapes, answers, viewers, connections, refused_connections, passwords, requests, partial_heads, bodies];
        all.into_iter().all(|quota| quota.share(address).grow_to(quota.limit_per_address()))
    }
}
