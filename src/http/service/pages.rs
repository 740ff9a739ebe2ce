//! The pages for Prometheus, health checks and people.

use std::future::poll_fn;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::negotiation;
use super::scrape::Scrape;
use crate::domain::Reason;
use crate::exposition::Scope;
use crate::http::site::Site;
use crate::http::site::exchange::{Exchange, unavailable};
use crate::http::site::response::{Reply, empty, page, streamed, with_header};
use crate::http::site::streamed::Streamed;
use crate::page::Variant;

const PLAIN: &str = "text/plain; charset=utf-8";

/// The headers of the live page's files. The IDs on the page come from senders: even if one became markup, it could not
/// run scripts or load anything.
const FILE_HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::VARY, "Accept-Encoding"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// A line of text.
pub(super) fn text(line: &'static str) -> Reply {
    page(PLAIN, line)
}

/// The process is alive.
pub(super) fn healthy() -> Reply {
    page(PLAIN, "openim-exporter is healthy.\n")
}

/// The process accepts callbacks; 503 once it has been told to end.
pub(super) fn ready(site: &Site) -> Reply {
    if site.drain.is_leaving() {
        return unavailable(page(PLAIN, "openim-exporter is draining.\n"));
    }
    page(PLAIN, "openim-exporter is ready.\n")
}

/// An empty icon, which browsers cache, instead of a refusal.
pub(super) fn no_icon() -> Reply {
    with_header(page("image/x-icon", ""), header::CACHE_CONTROL, "max-age=86400")
}

/// A file of the live page. A browser asks each time whether it has changed, because the files must be of one version.
pub(super) fn file(exchange: Exchange<'_>, position: usize, headers: &HeaderMap) -> Reply {
    let Some(file) = exchange.site.page.file(position) else {
        return exchange.refuse(Reason::Internal, "the file is missing");
    };
    let is_gzip = negotiation::accepts_gzip(headers);
    let Variant { bytes, etag } = if is_gzip { &file.gzip } else { &file.plain };
    let mut reply = if negotiation::has_etag(headers, etag) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let reply = page(file.media_type, bytes.clone());
        if is_gzip { with_header(reply, header::CONTENT_ENCODING, "gzip") } else { reply }
    };
    if let Ok(etag) = HeaderValue::from_str(etag) {
        reply.headers_mut().insert(header::ETAG, etag);
    }
    for (name, value) in FILE_HEADERS {
        reply = with_header(reply, name, value);
    }
    reply
}

/// Redirects to the page, whose path ends with a slash.
pub(super) fn with_slash(exchange: Exchange<'_>) -> Reply {
    let url = exchange.site.config.external_url.as_ref();
    let mut reply = empty(StatusCode::PERMANENT_REDIRECT);
    if let Some(Ok(to)) = url.map(|url| HeaderValue::from_str(&url.root())) {
        reply.headers_mut().insert(header::LOCATION, to);
    }
    reply
}

/// A scrape, in the format that the client asks for.
pub(super) async fn metrics(exchange: Exchange<'_>, scope: Scope, request: &Parts) -> Reply {
    let Exchange { site, tracker, client, .. } = exchange;
    let Some(share) = site.quotas.scrapes.take_one(client) else { return exchange.refuse_busy("scrapes") };
    let (format, gzip) = (negotiation::format(&request.headers), negotiation::accepts_gzip(&request.headers));
    let mut scrape = Streamed::new(Box::new(Scrape::new(site, site.scraper(scope, format), gzip, share)), tracker);
    // Write the first chunk before the head: until the head is sent, an error can still be answered with 500.
    if request.method != Method::HEAD
        && let Err(error) = poll_fn(|cx| scrape.poll_written(cx)).await
    {
        return exchange.refuse(Reason::Internal, &error.to_string());
    }
    let reply = streamed(format.content_type(), scrape);
    let reply = with_header(reply, header::VARY, "Accept, Accept-Encoding");
    if gzip { with_header(reply, header::CONTENT_ENCODING, "gzip") } else { reply }
}
