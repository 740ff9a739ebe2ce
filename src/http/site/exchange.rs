//! A request in progress, and refusals of it.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::StatusCode;

use super::Site;
use super::response::{Reply, refusal};
use crate::domain::{AnswerUse, Reason};
use crate::http::base::caller::Caller;
use crate::http::base::connections::Tracker;
use crate::telemetry::Refusal;

/// A request in progress: its site, its connection and its client.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) site: &'a Arc<Site>,
    pub(crate) tracker: &'a Tracker,
    pub(crate) caller: &'a Caller,
    /// The client's address: that of the connection, or the one that a trusted proxy reported.
    pub(crate) client: IpAddr,
    /// What OpenIM does with the answer: until this is known, [`AnswerUse::Obeyed`] to be safe.
    pub(crate) answer_use: AnswerUse,
    /// Whether it may be a callback: false once it is known not to be a `POST`.
    pub(crate) may_be_callback: bool,
}

impl<'a> Exchange<'a> {
    /// A request on a connection, from the connection's client.
    pub(crate) const fn new(site: &'a Arc<Site>, tracker: &'a Tracker, caller: &'a Caller) -> Self {
        Self { site, tracker, caller, client: caller.address, answer_use: AnswerUse::Obeyed, may_be_callback: true }
    }

    /// The same request, after it is known what OpenIM does with the answer.
    pub(crate) const fn with_answer_use(self, answer_use: AnswerUse) -> Self {
        Self { answer_use, ..self }
    }

    /// Counts and logs a refusal, and returns the response.
    pub(crate) fn refuse(self, reason: Reason, detail: &str) -> Reply {
        count(self.site, (self.client, self.may_be_callback), reason, detail);
        refusal(reason, detail, self.answer_use)
    }

    /// Refuses because too many scrapes or API answers are in progress. `what` names them.
    pub(crate) fn refuse_busy(self, what: &str) -> Reply {
        let (most, per_address) = (self.site.config.max_scrapes, self.site.quotas.scrapes.limit_per_address());
        let detail = format!(
            "{most} {what}, or {per_address} from one address, are in progress; --web.max-requests sets the limit"
        );
        self.refuse(Reason::TooManyScrapes, &detail)
    }
}

/// Counts and logs a refusal of a client.
pub(crate) fn count_refusal(site: &Site, client: IpAddr, reason: Reason, detail: &str) {
    count(site, (client, true), reason, detail);
}

fn count(site: &Site, (client, may_be_callback): (IpAddr, bool), reason: Reason, detail: &str) {
    let total = site.stats.record_refusal(reason);
    let refusal = Refusal { reason, detail: detail.to_owned(), client, may_be_callback, at: site.now() };
    site.telemetry.request_refused(refusal, total);
}

/// The same response with status 503.
pub(crate) fn unavailable(mut reply: Reply) -> Reply {
    *reply.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    reply
}
