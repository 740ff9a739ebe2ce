//! One request, one answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::header;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};

use super::access::Access;
use super::body::RequestBody;
use super::caller::Caller;
use super::guard::Admission;
use super::noted::Noted;
use super::progress::{Open, Phase};
use super::reply::{Reply, begin, closing, refusal, with_header};
use super::router::Route;
use super::site::Site;
use super::{actions, api, callback, guard, pages};
use crate::telemetry::Reason;

/// Of whom a request comes, at which point of the exchange, and to which site.
#[derive(Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) site: &'a Arc<Site>,
    pub(super) open: &'a Open,
    pub(super) caller: &'a Caller,
}

/// An answer to come.
///
/// Nearly every request is a callback whose body is there as a whole when the answer is first asked for: it is answered
/// then, without a state machine being moved about for what it might have had to wait for. Only what must wait gets one.
pub(super) struct Answering<'a> {
    exchange: Exchange<'a>,
    noted: Noted,
    begun: Option<(Parts, RequestBody)>,
    rest: Option<Pin<Box<dyn Future<Output = Reply> + Send + 'a>>>,
}

/// Begins to answer a request.
pub(super) fn answer(exchange: Exchange<'_>, request: Request<Incoming>) -> Answering<'_> {
    exchange.open.enter(Phase::Service);
    let (head, body) = request.into_parts();
    let noted = Noted::of(&head.headers);
    let body = RequestBody::begin(body, noted, exchange.site.config.max_body_bytes);
    Answering { exchange, noted, begun: Some((head, body)), rest: None }
}

impl Future for Answering<'_> {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { exchange, noted, begun, rest } = &mut *self;
        let (exchange, noted) = (*exchange, *noted);
        if let Some((head, body)) = begun {
            let access = exchange.site.access();
            let admission = guard::admit(exchange, &access, head, noted);
            if let Admission::Granted(Route::Callback(command)) = admission
                && let Some(whole) = body.whole(exchange.site.config.max_body_bytes, cx)
            {
                let headers = std::mem::take(&mut head.headers);
                *begun = None;
                let reply = callback::take(exchange, (command, noted), headers, &whole);
                return Poll::Ready(Ok(ready(reply, exchange, &access)));
            }
            *rest = begun.take().map(|begun| Box::pin(later((exchange, noted), begun, admission)) as _);
        }
        match rest {
            Some(rest) => rest.as_mut().poll(cx).map(Ok),
            // Answered already; nobody asks twice.
            None => Poll::Pending,
        }
    }
}

/// Answers what may have to wait.
async fn later(
    (exchange, noted): (Exchange<'_>, Noted),
    (head, body): (Parts, RequestBody),
    admission: Admission,
) -> Reply {
    let (site, progress) = (exchange.site, exchange.open.progress());
    let reply = match guard::decide(exchange, admission).await {
        Ok(Route::Callback(command)) => callback::receive(exchange, (command, noted), head.headers, body).await,
        admitted => {
            // A body that came is read all the same: so that the next request is found behind it, and because a client
            // that is still sending may not look at its answer.
            let dropped = body.drop_rest(site.config.max_body_bytes, progress).await;
            let all_read = matches!(dropped, Ok(true));
            let reply = match (admitted, dropped) {
                (Err(refusal), _) => *refusal,
                // What is there is not given to who sends a body without an end; what is not there is missing whatever comes.
                // Who was reset over HTTP/2 for its body has been counted, and reads nothing any more.
                (Ok(route), Err(error)) if route.is_served(site.config.lifecycle) || error.is_counted() => {
                    callback::unread(site, &error)
                }
                (Ok(route), _) => bodyless(exchange, route, &head).await,
            };
            if all_read { reply } else { closing(reply) }
        }
    };
    ready(reply, exchange, &site.access())
}

/// What every answer is given, and its begin.
fn ready(reply: Reply, Exchange { site, open, .. }: Exchange<'_>, access: &Access) -> Reply {
    let mut reply = begin(reply, open);
    for (name, value) in &access.headers {
        reply.headers_mut().insert(name, value.clone());
    }
    if site.is_draining() { closing(reply) } else { reply }
}

/// Answers what needs no body.
async fn bodyless(exchange: Exchange<'_>, route: Route, head: &Parts) -> Reply {
    let site = exchange.site;
    match route {
        Route::Metrics(scope) => pages::metrics(exchange, scope, head).await,
        Route::Healthy => pages::healthy(),
        Route::Ready => pages::ready(site),
        Route::Landing => pages::landing(site),
        Route::Summary => api::summary(exchange, head.uri.query()).await,
        Route::Groups => api::groups(exchange, head.uri.query()).await,
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
