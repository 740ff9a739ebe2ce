//! A request in progress, and refusals of it.

use std::sync::Arc;

use hyper::StatusCode;

use super::Site;
use super::response::{Reply, refusal};
use crate::domain::Reason;
use crate::http::base::caller::Caller;
use crate::http::base::connections::Tracker;

/// A request in progress: its site, its connection and its client.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) site: &'a Arc<Site>,
    pub(crate) tracker: &'a Tracker,
    pub(crate) caller: &'a Caller,
}

/// Counts and logs a refusal, and returns the response.
pub(crate) fn refuse(site: &Site, reason: Reason, detail: &str) -> Reply {
    count_refusal(site, reason, detail);
    refusal(reason, detail)
}

/// Counts and logs a refusal.
pub(crate) fn count_refusal(site: &Site, reason: Reason, detail: &str) {
    let total = site.stats.record_refusal(reason);
    site.telemetry.request_refused(reason, detail, total, site.now().0);
}

/// Refuses because too many scrapes and API answers are in progress. `what` names them.
pub(crate) fn refuse_busy(site: &Site, what: &str) -> Reply {
    let (most, per_address) = (site.config.max_scrapes, site.quotas.scrapes.limit_per_address());
    let detail =
        format!("{most} {what}, or {per_address} from one address, are in progress; --web.max-requests sets the limit");
    refuse(site, Reason::TooManyScrapes, &detail)
}

/// The same response with status 503.
pub(crate) fn unavailable(mut reply: Reply) -> Reply {
    *reply.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    reply
}
