//! The API, for scripts and pages. Answers in JSON, some also in CSV.

mod periods;
mod query;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderName};
use serde::Serialize;

use periods::{Format, PeriodQuery};
use query::LiveFormat;

pub(super) use query::parse_none;

use crate::domain::Reason;
use crate::http::base::quota::QuotaBytes;
use crate::http::site::Site;
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Reply, events, page, with_header};
use crate::http::site::viewer::Viewer;
use crate::stats::{Stats, Step};
use crate::view::history::{Days, History, Row, csv, rows};
use crate::view::{groups, summary};

pub(super) const JSON: &str = "application/json";
/// RFC 4180, 3.
const CSV: &str = "text/csv; charset=utf-8; header=present";

/// All statistics, and the state of the exporter.
pub(super) async fn summary(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    match parse_none(query.unwrap_or_default()) {
        Ok(()) => answer_json(exchange, |site| summary::read(site.source(), site.workers.open_connections())).await,
        Err(detail) => exchange.refuse(Reason::BadQuery, &detail),
    }
}

/// A page of the tracked groups.
pub(super) async fn groups(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    match query::parse_groups(query.unwrap_or_default()) {
        Ok(query) => {
            // All pages ask for the same groups, and with a million of them an answer takes a tenth of a second.
            let write = move |site: &Site| {
                site.recent_groups.get(&query, || serde_json::to_vec(&groups::read(&site.stats, &query, site.now())))
            };
            answer(exchange, JSON, write).await
        }
        Err(detail) => exchange.refuse(Reason::BadQuery, &detail),
    }
}

/// The numbers of minutes, hours or days.
pub(super) async fn history(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    answer_periods(
        exchange,
        periods::parse_history(query.unwrap_or_default(), exchange.site.stats.calendar()),
        |stats, step, rows| serde_json::to_vec(&History::new(stats, step, rows)),
    )
    .await
}

/// The daily report.
pub(super) async fn days(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    let query = periods::parse_days(query.unwrap_or_default(), exchange.site.stats.calendar());
    answer_periods(exchange, query, |stats, _, rows| serde_json::to_vec(&Days::new(stats, rows))).await
}

async fn answer_periods(
    exchange: Exchange<'_>,
    query: Result<PeriodQuery, String>,
    to_json: fn(&Stats, Step, Vec<Row>) -> serde_json::Result<Vec<u8>>,
) -> Reply {
    let PeriodQuery { step, range, format } = match query {
        Ok(query) => query,
        Err(detail) => return exchange.refuse(Reason::BadQuery, &detail),
    };
    let media_type = if format == Format::Csv { CSV } else { JSON };
    answer(exchange, media_type, move |site| {
        let rows = rows(&site.stats, step, range, site.now());
        if format == Format::Csv {
            Ok(csv(&rows, step, site.stats.calendar()).into_bytes())
        } else {
            to_json(&site.stats, step, rows)
        }
    })
    .await
}

/// The events of the live page, or the latest one.
pub(super) async fn live(exchange: Exchange<'_>, query: Option<&str>) -> Reply {
    let Exchange { site, tracker, client, .. } = exchange;
    match query::parse_live(query.unwrap_or_default()) {
        Err(detail) => return exchange.refuse(Reason::BadQuery, &detail),
        Ok(LiveFormat::Json) => {
            return answer(exchange, JSON, |site| Ok(site.live.current(site.source())?.to_vec())).await;
        }
        Ok(LiveFormat::Events) => {}
    }
    let Some(share) = site.quotas.viewers.take_one(client) else {
        let most = site.config.max_viewers;
        let detail = format!("{most} viewers are connected; --web.max-viewers sets the limit; poll with ?format=json");
        return exchange.refuse(Reason::TooManyViewers, &detail);
    };
    let reply = events(Viewer::new(&site.live, share, tracker));
    // Otherwise nginx buffers the events.
    let reply = with_header(reply, HeaderName::from_static("x-accel-buffering"), "no");
    with_header(reply, header::CACHE_CONTROL, "no-store")
}

/// Writes an answer off the serving thread.
async fn answer_json<T: Serialize>(exchange: Exchange<'_>, read: impl FnOnce(&Site) -> T + Send + 'static) -> Reply {
    answer(exchange, JSON, move |site| serde_json::to_vec(&read(site))).await
}

/// The same for an answer of any media type. `write` returns its bytes.
async fn answer(
    exchange: Exchange<'_>,
    media_type: &'static str,
    write: impl FnOnce(&Site) -> serde_json::Result<Vec<u8>> + Send + 'static,
) -> Reply {
    let Exchange { site, client, .. } = exchange;
    let Some(share) = site.quotas.answers.take_one(client) else {
        return exchange.refuse_busy("API answers");
    };
    let from = Arc::clone(site);
    let write = move || write(&from).map(|bytes| QuotaBytes::new(bytes, Arc::new(share)));
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(held)) => not_cached(media_type, Bytes::from_owner(held)),
        Ok(Err(error)) => exchange.refuse(Reason::Internal, &error.to_string()),
        Err(error) => exchange.refuse(Reason::Internal, &error.to_string()),
    }
}

/// An answer that nobody may cache, or take for another media type.
pub(super) fn not_cached(media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let reply = with_header(page(media_type, body), header::CACHE_CONTROL, "no-store");
    with_header(reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}
