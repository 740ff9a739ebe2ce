//! Answers requests.

mod actions;
mod admission;
mod api;
mod body;
mod callback;
mod erasure;
mod form;
mod forwarded;
mod forwarding;
mod headers;
mod lists;
mod named;
mod negotiation;
mod pages;
mod router;
mod scrape;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};

use crate::domain::Reason;
use crate::forward::Waiting;
use crate::http::access::Access;
use crate::http::base::caller::{Caller, Role};
use crate::http::base::progress::Phase;
use crate::http::site::Site;
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Reply, closing, start_sending, with_header};
use admission::Admission;
use body::RequestBody;
use callback::Answered;
use headers::HeaderFacts;
use router::Route;

/// The future of a response.
///
/// Nearly every request is a callback whose whole body has arrived at the first poll. It is answered at once, without
/// an async state machine. Only requests that must wait get one, on the heap.
pub(crate) struct ResponseFuture<'a> {
    exchange: Exchange<'a>,
    facts: HeaderFacts,
    request: Option<(Parts, RequestBody)>,
    waiting: Option<Pin<Box<dyn Future<Output = Reply> + Send + 'a>>>,
}

/// Begins to answer a request.
pub(crate) fn answer(exchange: Exchange<'_>, request: Request<Incoming>) -> ResponseFuture<'_> {
    exchange.tracker.enter(Phase::Service);
    let (head, body) = request.into_parts();
    let mut facts = HeaderFacts::of(&head.headers);
    let exchange = match client(exchange.site, exchange.caller, &head.headers) {
        Ok(client) => Exchange { client, ..exchange },
        Err(problem) => {
            facts.client_problem = Some(problem);
            exchange
        }
    };
    let body = RequestBody::begin(body, facts, exchange.site.config.max_body_bytes);
    ResponseFuture { exchange, facts, request: Some((head, body)), waiting: None }
}

/// The client of a request.
///
/// # Errors
/// When the headers of a trusted proxy contradict each other.
pub(crate) fn client(site: &Site, caller: &Caller, headers: &HeaderMap) -> Result<IpAddr, &'static str> {
    if caller.is_trusted_proxy() {
        forwarded::client(headers, caller.address, &site.config)
    } else {
        Ok(caller.address)
    }
}

impl Future for ResponseFuture<'_> {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { exchange, facts, request, waiting } = &mut *self;
        let (exchange, facts) = (*exchange, *facts);
        if let Some((head, body)) = request {
            let access = exchange.site.settings.access();
            let (exchange, admission) = admission::admit(exchange, &access, head, facts);
            if let Admission::Granted(Route::Callback(command)) = admission
                && let Some(whole) = body.take_whole(exchange.site.config.max_body_bytes, cx)
            {
                let answered = callback::answer(exchange, (command, facts), head, &whole);
                *request = None;
                match answered {
                    Answered::Now(reply) => return Poll::Ready(Ok(finish(reply, exchange, &access))),
                    Answered::Waits(target) => *waiting = Some(Box::pin(answer_after_target(exchange, target))),
                }
            } else {
                *waiting = request
                    .take()
                    .map(|request| Box::pin(answer_after_waiting((exchange, facts), request, admission)) as _);
            }
        }
        match waiting {
            Some(waiting) => waiting.as_mut().poll(cx).map(Ok),
            // Already answered; a finished future is not polled again.
            None => Poll::Pending,
        }
    }
}

/// Answers a callback as soon as its target has.
async fn answer_after_target(exchange: Exchange<'_>, target: Waiting) -> Reply {
    finish(forwarding::reply_after(exchange, target).await, exchange, &exchange.site.settings.access())
}

/// Answers a request that may have to wait.
async fn answer_after_waiting(
    (exchange, facts): (Exchange<'_>, HeaderFacts),
    (head, body): (Parts, RequestBody),
    admission: Admission,
) -> Reply {
    let (site, progress) = (exchange.site, exchange.tracker.progress());
    let reply = match admission::verify(exchange, admission).await {
        Ok(Route::Callback(command)) => callback::read_and_answer(exchange, (command, facts), head, body).await,
        admitted => {
            // Read the unused body anyway: the next request follows it, and a client that is still sending may not read
            // the response.
            let discarded = body.discard(site.config.max_body_bytes, progress).await;
            let all_read = matches!(discarded, Ok(true));
            let mut reply = match (admitted, discarded) {
                (Err(refusal), _) => *refusal,
                // A client that sends an endless body gets no page. For a page that does not exist, 404 comes first.
                (Ok(route), Err(error)) if route.is_served(&site.config) => callback::refuse_body(exchange, &error),
                (Ok(route), _) => answer_without_body(exchange, route, &head).await,
            };
            // Over HTTP/1.0, only the end of the connection ends a body of unknown length.
            if head.version == Version::HTTP_10 && reply.body().size_hint().exact().is_none() {
                // hyper promises to keep the connection unless the response has this version too.
                *reply.version_mut() = Version::HTTP_10;
            }
            if all_read { reply } else { closing(reply) }
        }
    };
    finish(reply, exchange, &site.settings.access())
}

/// Adds the headers of every response, and starts to send it.
fn finish(reply: Reply, Exchange { site, tracker, .. }: Exchange<'_>, access: &Access) -> Reply {
    let mut reply = start_sending(reply, tracker);
    for (name, value) in &access.headers {
        reply.headers_mut().insert(name, value.clone());
    }
    if site.drain.is_leaving() { closing(reply) } else { reply }
}

/// Answers a request that needs no body.
async fn answer_without_body(exchange: Exchange<'_>, route: Route, head: &Parts) -> Reply {
    let site = exchange.site;
    match route {
        Route::Metrics(scope) => pages::metrics(exchange, scope, head).await,
        Route::Healthy => pages::healthy(),
        Route::Ready => pages::ready(site),
        Route::Icon => pages::no_icon(),
        Route::Page(position) => pages::file(exchange, position, &head.headers),
        Route::PageWithoutSlash => pages::with_slash(exchange),
        Route::Summary => api::summary(exchange, head.uri.query()).await,
        Route::Groups => api::groups(exchange, head.uri.query()).await,
        Route::History => api::history(exchange, head.uri.query()).await,
        Route::Days => api::days(exchange, head.uri.query()).await,
        Route::Live => api::live(exchange, head.uri.query()).await,
        Route::Erase(kind) => erasure::erase(exchange, kind, &head.uri).await,
        Route::Reload => actions::reload(exchange).await,
        Route::Quit => actions::quit(exchange),
        Route::WrongMethod(allowed) => {
            with_header(wrong_method(exchange, &head.method, allowed), header::ALLOW, allowed)
        }
        Route::NotFound | Route::Callback(_) => not_found(exchange),
    }
}

fn wrong_method(exchange: Exchange<'_>, method: &Method, allowed: &str) -> Reply {
    let is_callback = *method == Method::POST && exchange.caller.role.takes_callbacks();
    let hint = match *method {
        _ if is_callback => "; post callbacks to another path, such as /callback",
        Method::DELETE => "; DELETE is for /api/v1/groups/ID and /api/v1/users/ID where the pages are; write / as %2F",
        _ => "",
    };
    exchange.refuse(Reason::MethodNotAllowed, &format!("this path supports {allowed}{hint}"))
}

fn not_found(exchange: Exchange<'_>) -> Reply {
    let detail = match exchange.caller.role {
        Role::All => "nothing is served at this path; the page is at /, and callbacks need POST",
        Role::Callbacks => "this address is for callbacks, with POST; the pages are at --web.telemetry-address",
        Role::Telemetry => "nothing is served at this path; the page is at /, callbacks go to --web.listen-address",
    };
    exchange.refuse(Reason::NotFound, detail)
}
