//! What Prometheus, probes and people read.

use std::sync::Arc;
use std::time::Instant;

use super::progress::Open;
use super::reply::{Reply, page, streamed};
use super::service::{refused, unavailable};
use super::site::Site;
use crate::exposition::{self, Scrape};
use crate::telemetry::Reason;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

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
            metrics = site.config.telemetry_path
        ),
    )
}

/// A scrape, written off the serving thread: callbacks are answered meanwhile.
pub(super) async fn metrics(site: &Arc<Site>, open: &Open) -> Reply {
    let Ok(permit) = Arc::clone(&site.scrapes).try_acquire_owned() else {
        let detail =
            format!("{} scrapes are being written; --web.max-requests sets the limit", site.config.max_scrapes);
        return refused(site, Reason::TooManyScrapes, &detail);
    };
    let writer = Arc::clone(site);
    match tokio::task::spawn_blocking(move || write_scrape(&writer)).await {
        Ok(Ok(body)) => streamed(page(exposition::CONTENT_TYPE, body), open, permit),
        Ok(Err(error)) => refused(site, Reason::Internal, &error.to_string()),
        Err(error) => refused(site, Reason::Internal, &error.to_string()),
    }
}

fn write_scrape(site: &Site) -> Result<Vec<u8>, String> {
    let begin = Instant::now();
    let telemetry = site.telemetry();
    let in_flight = site.workers().iter().map(|worker| worker.callbacks_in_flight()).sum();
    telemetry.connections_are(site.open_connections(), in_flight);
    let scrape = Scrape { stats: &site.stats, telemetry, now: site.now() };
    let mut body = Vec::new();
    let series = exposition::scrape(&scrape, &mut body).map_err(|error| error.to_string())?;
    telemetry.scraped(series, begin.elapsed());
    Ok(body)
}
