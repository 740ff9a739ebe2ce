//! What Prometheus, probes and people read.

use std::future::poll_fn;

use hyper::http::request::Parts;
use hyper::{Method, header};

use super::negotiation;
use super::reply::{Reply, page, streamed, with_header};
use super::router::groups_path;
use super::scrape::{Streamed, Unwritten};
use super::service::{Exchange, busy, refused, unavailable};
use super::site::Site;
use crate::exposition::Scope;
use crate::telemetry::Reason;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// A line for a person.
pub(super) fn said(line: &'static str) -> Reply {
    page(PLAIN, line)
}

/// The process lives: it answers.
pub(super) fn healthy() -> Reply {
    page(PLAIN, "openim-exporter is healthy.\n")
}

/// The process takes callbacks, unless it is draining.
pub(super) fn ready(site: &Site) -> Reply {
    if site.is_draining() {
        return unavailable(page(PLAIN, "openim-exporter is draining.\n"));
    }
    page(PLAIN, "openim-exporter is ready.\n")
}

/// What this is, and where to go from here.
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

/// A scrape, in the form that the client asks for.
pub(super) async fn metrics(exchange: Exchange<'_>, scope: Scope, request: &Parts) -> Reply {
    let Exchange { site, open, caller } = exchange;
    let Some(permit) = site.scrapes.one(caller.address) else { return busy(site, "scrapes") };
    let (format, gzip) = (negotiation::format(&request.headers), negotiation::takes_gzip(&request.headers));
    let mut scrape = Streamed::new(Unwritten::new(site, site.scraper(scope, format), gzip, permit), open);
    // The first chunk before the head: until the head is written, a failure can still be told as one.
    if request.method != Method::HEAD
        && let Err(error) = poll_fn(|cx| scrape.poll_written(cx)).await
    {
        return refused(site, Reason::Internal, &error.to_string());
    }
    let reply = streamed(format.content_type(), scrape);
    let reply = with_header(reply, header::VARY, "Accept, Accept-Encoding");
    if gzip { with_header(reply, header::CONTENT_ENCODING, "gzip") } else { reply }
}
