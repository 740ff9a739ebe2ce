//! The pages for Prometheus, health checks and people.

use std::future::poll_fn;

use hyper::http::request::Parts;
use hyper::{Method, header};

use super::negotiation;
use super::router::groups_path;
use super::scrape::Scrape;
use crate::domain::Reason;
use crate::exposition::Scope;
use crate::http::site::Site;
use crate::http::site::exchange::{Exchange, unavailable};
use crate::http::site::response::{Reply, page, streamed, with_header};
use crate::http::site::streamed::Streamed;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// A line of text.
pub(super) fn text(line: &'static str) -> Reply {
    page(PLAIN, line)
}

/// The process is alive.
pub(super) fn healthy() -> Reply {
    page(PLAIN, "openim-exporter is healthy.\n")
}

/// The process accepts callbacks; 503 while it is draining.
pub(super) fn ready(site: &Site) -> Reply {
    if site.drain.is_draining() {
        return unavailable(page(PLAIN, "openim-exporter is draining.\n"));
    }
    page(PLAIN, "openim-exporter is ready.\n")
}

/// An empty icon, which browsers cache, instead of a refusal.
pub(super) fn no_icon() -> Reply {
    with_header(page("image/x-icon", ""), header::CACHE_CONTROL, "max-age=86400")
}

/// Names the program and links to its pages.
pub(super) fn landing(site: &Site) -> Reply {
    page(
        HTML,
        format!(
            include_str!("landing.html"),
            version = env!("CARGO_PKG_VERSION"),
            metrics = site.config.telemetry_path,
            groups = groups_path(&site.config.telemetry_path)
        ),
    )
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
