//! The pages for Prometheus, health checks and people.

use std::future::poll_fn;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::scrape::Scrape;
use super::{form, negotiation};
use crate::domain::Reason;
use crate::exposition::{Names, Scope};
use crate::http::site::Site;
use crate::http::site::exchange::{Exchange, unavailable};
use crate::http::site::response::{Reply, empty, page, streamed, with_header};
use crate::http::site::streamed::Streamed;
use crate::page::Variant;

/// The parameter that names a family.
const NAME: &str = "name[]";

/// How many families a scrape can name. The limit is needed because a scrape that waits for a thread keeps the names.
const MAX_NAMES: usize = 200;

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

/// A scrape, in the format that the client asks for, of all families or of those that it names.
pub(super) async fn metrics(exchange: Exchange<'_>, scope: Scope, request: &Parts) -> Reply {
    let Exchange { site, tracker, client, .. } = exchange;
    let names = match names(request.uri.query().unwrap_or_default()) {
        Ok(names) => names,
        Err(detail) => return exchange.refuse(Reason::BadQuery, &detail),
    };
    let Some(share) = site.quotas.scrapes.take_one(client) else { return exchange.refuse_busy("scrapes") };
    let (format, escaping) = negotiation::format(&request.headers);
    let gzip = negotiation::accepts_gzip(&request.headers);
    let scraper = site.scraper(scope, format).escape(escaping).only(names);
    let mut scrape = Streamed::new(Box::new(Scrape::new(site, scraper, gzip, share)), tracker);
    // Write the first chunk before the head: until the head is sent, an error can still be answered with 500.
    if request.method != Method::HEAD
        && let Err(error) = poll_fn(|cx| scrape.poll_written(cx)).await
    {
        return exchange.refuse(Reason::Internal, &error.to_string());
    }
    let reply = streamed(format.content_type(escaping), scrape);
    let reply = with_header(reply, header::VARY, "Accept, Accept-Encoding");
    if gzip { with_header(reply, header::CONTENT_ENCODING, "gzip") } else { reply }
}

/// The families that a query names with `name[]`, as in Go's client library. Other parameters are ignored, because a
/// Prometheus can be configured to send any.
///
/// # Errors
/// The detail of the refusal.
fn names(query: &str) -> Result<Names, String> {
    let named = form::pairs(query).filter(|(name, _)| form::decode(name).is_ok_and(|name| name == NAME));
    // No family has a name that is not UTF-8.
    let names: Vec<_> = named.map(|(_, value)| form::decode(value).unwrap_or_default().into_owned()).collect();
    match names.len() {
        0 => Ok(Names::default()),
        1..=MAX_NAMES => Ok(Names::only(names)),
        given => Err(format!("{NAME}: given {given} times; the maximum is {MAX_NAMES}")),
    }
}
