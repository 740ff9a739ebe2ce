//! The API: what a script or a page asks, answered in JSON.

mod groups;
mod query;
mod summary;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header;
use serde::Serialize;

use super::budget::Share;
use super::reply::{Reply, page, with_header};
use super::service::{Exchange, busy, refused};
use super::site::Site;
use crate::domain::UnixMillis;
use crate::telemetry::Reason;

/// All statistics, and what the exporter says about itself.
pub(super) async fn summary(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    match query::none(query.unwrap_or_default()) {
        Ok(()) => answer(exchange, summary::read).await,
        Err(detail) => refused(exchange.site, Reason::BadQuery, &detail),
    }
}

/// A page of the tracked groups.
pub(super) async fn groups(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    match query::groups(query.unwrap_or_default()) {
        Ok(query) => answer(exchange, move |site| groups::read(&site.stats, &query)).await,
        Err(detail) => refused(exchange.site, Reason::BadQuery, &detail),
    }
}

/// An answer's bytes, and the permit to hold them: it is given back when they have been taken, or when the work for a
/// client that has hung up is done.
struct Held {
    body: Vec<u8>,
    _permit: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Makes an answer off the serving thread, as one of the scrapes that are allowed at once.
async fn answer<T: Serialize>(
    Exchange { site, caller, .. }: Exchange<'_>,
    read: impl FnOnce(&Site) -> T + Send + 'static,
) -> Reply {
    let Some(permit) = site.scrapes.one(caller.address) else { return busy(site, "scrapes or API answers") };
    let from = Arc::clone(site);
    let made = move || serde_json::to_vec(&read(&from)).map(|body| Held { body, _permit: permit });
    match tokio::task::spawn_blocking(made).await {
        Ok(Ok(held)) => {
            with_header(page("application/json", Bytes::from_owner(held)), header::CACHE_CONTROL, "no-store")
        }
        Ok(Err(error)) => refused(site, Reason::Internal, &error.to_string()),
        Err(error) => refused(site, Reason::Internal, &error.to_string()),
    }
}

/// A time as every answer shows it and as Prometheus has it: in seconds since the epoch.
const fn seconds(time: UnixMillis) -> f64 {
    time.0 as f64 / 1000.0
}
