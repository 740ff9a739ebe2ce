//! The API, for scripts and pages. Answers in JSON.

mod groups;
mod query;
mod summary;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header;
use serde::Serialize;

use crate::domain::Reason;
use crate::http::base::quota::QuotaBytes;
use crate::http::site::Site;
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Reply, page, with_header};

/// All statistics, and the state of the exporter.
pub(super) async fn summary(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    match query::parse_none(query.unwrap_or_default()) {
        Ok(()) => answer_json(exchange, summary::read).await,
        Err(detail) => exchange.refuse(Reason::BadQuery, &detail),
    }
}

/// A page of the tracked groups.
pub(super) async fn groups(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    match query::parse_groups(query.unwrap_or_default()) {
        Ok(query) => answer_json(exchange, move |site| groups::read(&site.stats, &query)).await,
        Err(detail) => exchange.refuse(Reason::BadQuery, &detail),
    }
}

/// Writes an answer off the serving thread. It counts as a scrape.
async fn answer_json<T: Serialize>(exchange: Exchange<'_>, read: impl FnOnce(&Site) -> T + Send + 'static) -> Reply {
    let Exchange { site, client, .. } = exchange;
    let Some(share) = site.quotas.scrapes.take_one(client) else {
        return exchange.refuse_busy("scrapes or API answers");
    };
    let from = Arc::clone(site);
    let write = move || serde_json::to_vec(&read(&from)).map(|bytes| QuotaBytes::new(bytes, Arc::new(share)));
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(held)) => {
            with_header(page("application/json", Bytes::from_owner(held)), header::CACHE_CONTROL, "no-store")
        }
        Ok(Err(error)) => exchange.refuse(Reason::Internal, &error.to_string()),
        Err(error) => exchange.refuse(Reason::Internal, &error.to_string()),
    }
}
