//! One request, one answer.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};

use super::body::RequestBody;
use super::caller::Caller;
use super::progress::{Open, Phase};
use super::reply::{Reply, begin, closing, refusal, with_header};
use super::router::Route;
use super::site::Site;
use super::{actions, api, callback, guard, pages};
use crate::telemetry::Reason;

/// Answers a request: begins at once, and ends in the future.
pub(super) fn answer<'a>(
    site: &'a Arc<Site>,
    open: &'a Open,
    caller: &'a Caller,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Reply, Infallible>> + 'a {
    open.enter(Phase::Service);
    let (head, body) = request.into_parts();
    let body = RequestBody::begin(body, &head.headers, site.config.max_body_bytes);
    async move {
        let reply = match guard::admit(site, open, caller, &head).await {
            Ok(Route::Callback(command)) => {
                callback::take((site, caller), open.progress(), command, head.headers, body).await
            }
            admitted => {
                // A body that came is read all the same: so that the next request is found behind it, and because a
                // client that is still sending may not look at its answer.
                let all_read = body.drop_rest(site.config.max_body_bytes, open.progress()).await;
                let reply = match admitted {
                    Ok(route) => bodyless((site, caller), open, route, &head).await,
                    Err(refusal) => *refusal,
                };
                if all_read { reply } else { closing(reply) }
            }
        };
        let mut reply = begin(reply, open);
        for (name, value) in &site.access().headers {
            reply.headers_mut().insert(name, value.clone());
        }
        Ok(if site.is_draining() { closing(reply) } else { reply })
    }
}

/// Answers what needs no body.
async fn bodyless((site, caller): (&Arc<Site>, &Caller), open: &Open, route: Route, head: &Parts) -> Reply {
    match route {
        Route::Metrics(scope) => pages::metrics((site, caller), open, scope, head).await,
        Route::Healthy => pages::healthy(),
        Route::Ready => pages::ready(site),
        Route::Landing => pages::landing(site),
        Route::Summary => api::summary((site, caller), head.uri.query()).await,
        Route::Groups => api::groups((site, caller), head.uri.query()).await,
        Route::Reload => actions::reload(site).await,
        Route::Quit => actions::quit(site),
        Route::WrongMethod(allowed) => with_header(wrong_method(site, allowed), header::ALLOW, allowed),
        Route::NotFound | Route::Callback(_) => {
            refused(site, Reason::NotFound, "nothing is served at this path; see /")
        }
    }
}

fn wrong_method(site: &Site, allowed: &str) -> Reply {
    refused(site, Reason::MethodNotAllowed, &format!("this path takes {allowed}"))
}

pub(super) fn refused(site: &Site, reason: Reason, detail: &str) -> Reply {
    site.telemetry().request_rejected(reason, detail, site.now().0);
    refusal(reason, detail)
}

/// As many scrapes and API answers as allowed are being written; `what` names them.
pub(super) fn busy(site: &Site, what: &str) -> Reply {
    let (most, of_one) = (site.config.max_scrapes, site.scrapes.most_of_one());
    let detail =
        format!("{most} {what}, or {of_one} of one address, are being written; --web.max-requests sets the limit");
    refused(site, Reason::TooManyScrapes, &detail)
}

/// Marks a page as not available now.
pub(super) fn unavailable(mut reply: Reply) -> Reply {
    *reply.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    reply
}
