//! Admission: finds the route of a request, and checks whether the client may use it.

use std::sync::Arc;

use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Version};

use super::headers::HeaderFacts;
use super::router::{Route, Served, route};
use crate::domain::Reason;
use crate::http::access::{Access, Passwords, Verdict, strip};
use crate::http::base::connections::in_time;
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Reply, closing, with_header};

/// The realms of the passwords: for callbacks, and for everything else. RFC 7617, 2.
const CALLBACKS: &str = "Basic realm=\"openim-exporter callbacks\", charset=\"UTF-8\"";
const PAGES: &str = "Basic realm=\"openim-exporter\", charset=\"UTF-8\"";

/// A 401 must name a scheme (RFC 9110, 11.6.1). For a secret in the path, none is registered.
const PATH_SECRET: &str = "Path-Secret realm=\"openim-exporter callbacks\"";

/// Whether a request is admitted to its route.
pub(super) enum Admission {
    Granted(Route),
    Refused(Box<Reply>),
    /// These credentials must be verified first.
    Unproven(Route, Proof, HeaderValue),
}

/// Decides as far as this is possible without waiting. Also returns the exchange with what the route says about it.
pub(super) fn admit<'a>(
    exchange: Exchange<'a>,
    access: &Access,
    head: &Parts,
    facts: HeaderFacts,
) -> (Exchange<'a>, Admission) {
    let (route, has_secret) = find_route(exchange, access, head);
    let exchange = exchange.with_answer_use(route.answer_use(head));
    let exchange = Exchange { may_be_callback: head.method == Method::POST, ..exchange };
    (exchange, admit_to(exchange, access, (route, has_secret), (head, facts)))
}

fn admit_to(
    exchange: Exchange<'_>,
    access: &Access,
    (route, has_secret): (Route, bool),
    (head, facts): (&Parts, HeaderFacts),
) -> Admission {
    if let Some(detail) = ambiguous_framing(head.version, facts) {
        return Admission::Refused(Box::new(closing(exchange.refuse(Reason::MalformedRequest, detail))));
    }
    let (route, proof) = match check_all_but_password(exchange, access, (route, has_secret), facts) {
        Ok((route, Some(proof))) => (route, proof),
        Ok((route, None)) => return Admission::Granted(route),
        Err(refusal) => return Admission::Refused(refusal),
    };
    let decide =
        |verdict| apply_verdict(exchange, route, verdict, &proof).map_or_else(Admission::Refused, Admission::Granted);
    match credentials(head) {
        None => decide(Verdict::Wrong),
        Some(credentials) => match proof.passwords.cached(credentials) {
            Some(verdict) => decide(verdict),
            None => Admission::Unproven(route, proof, credentials.clone()),
        },
    }
}

/// Verifies the credentials if [`admit`] could not decide.
pub(super) async fn verify(exchange: Exchange<'_>, admission: Admission) -> Result<Route, Box<Reply>> {
    match admission {
        Admission::Granted(route) => Ok(route),
        Admission::Refused(refusal) => Err(refusal),
        Admission::Unproven(route, proof, credentials) => {
            let verdict = verify_password(exchange, &proof.passwords, &credentials).await;
            apply_verdict(exchange, route, verdict, &proof)
        }
    }
}

/// The credentials of a request. `None` if there are two: a proxy in front may have checked the other ones.
fn credentials(head: &Parts) -> Option<&HeaderValue> {
    let mut values = head.headers.get_all(header::AUTHORIZATION).iter();
    values.next().filter(|_| values.next().is_none())
}

fn apply_verdict(exchange: Exchange<'_>, route: Route, verdict: Verdict, proof: &Proof) -> Result<Route, Box<Reply>> {
    match verdict {
        Verdict::Right => Ok(route),
        Verdict::Wrong => {
            let reply = exchange.refuse(Reason::Unauthorized, "user or password is missing or wrong");
            Err(Box::new(with_header(reply, header::WWW_AUTHENTICATE, proof.realm)))
        }
        Verdict::Busy => {
            let detail = "too many passwords are waiting to be verified; try again";
            Err(Box::new(exchange.refuse(Reason::Overloaded, detail)))
        }
    }
}

async fn verify_password(
    Exchange { site, tracker, client, .. }: Exchange<'_>,
    passwords: &Passwords,
    credentials: &HeaderValue,
) -> Verdict {
    let verdict = passwords.check(credentials, || site.quotas.passwords.take_one(client));
    // The sweep ends this if it takes too long.
    in_time(tracker.progress(), verdict).await.unwrap_or(Verdict::Busy)
}

/// Finds what a proxy in front might read differently: the proxy and this server could then disagree on where the next
/// request begins, on its host, or on its client. hyper refuses the other cases, and closes the connection after a body
/// that has both Content-Length and chunks.
fn ambiguous_framing(version: Version, facts: HeaderFacts) -> Option<&'static str> {
    match version {
        _ if facts.client_problem.is_some() => facts.client_problem,
        Version::HTTP_2 => None,
        // RFC 9112, 3.2.
        _ if facts.host_count > 1 || facts.host_count == 0 && version == Version::HTTP_11 => {
            Some("the request must have exactly one Host header")
        }
        _ if facts.has_invalid_host => Some("Host must be a host name or address, with or without a port"),
        // RFC 9112, 6.1: an unknown coding, or chunked twice.
        _ if facts.has_other_coding => Some("Transfer-Encoding must be chunked or absent; send the body unencoded"),
        _ => None,
    }
}

/// A password that a request must have.
pub(super) struct Proof {
    passwords: Arc<Passwords>,
    realm: &'static str,
}

/// Checks everything except the password, for which the request may have to wait.
fn check_all_but_password(
    exchange: Exchange<'_>,
    access: &Access,
    (route, has_secret): (Route, bool),
    facts: HeaderFacts,
) -> Result<(Route, Option<Proof>), Box<Reply>> {
    let (users, realm) = match route {
        Route::Healthy | Route::Ready | Route::Icon => return Ok((route, None)),
        // No web page needs these, not even one of this host: with DNS rebinding, another site can use our address.
        Route::Callback(_) | Route::Reload | Route::Quit | Route::Erase(_) if facts.has_origin => {
            return Err(Box::new(exchange.refuse(Reason::Forbidden, "requests from a web page are not allowed here")));
        }
        Route::Callback(_) => {
            check_callback(exchange, has_secret)?;
            (&access.callback_users, CALLBACKS)
        }
        // This socket serves no pages, so there is nothing to protect.
        _ if !exchange.caller.role.has_pages() => return Ok((route, None)),
        _ => {
            if access.rate.as_ref().is_some_and(|rate| !rate.allows()) {
                let detail = "rate_limit in --web.config.file is exceeded";
                return Err(Box::new(exchange.refuse(Reason::RateLimited, detail)));
            }
            (&access.users, PAGES)
        }
    };
    Ok((route, users.as_ref().map(|users| Proof { passwords: Arc::clone(users), realm })))
}

/// The route of a request, and whether it has the secret; true if no secret is set. The secret may follow the path of
/// the external URL.
fn find_route(Exchange { site, caller, .. }: Exchange<'_>, access: &Access, head: &Parts) -> (Route, bool) {
    let (path, query) = (head.uri.path(), head.uri.query());
    let external_url = site.config.external_url.as_ref();
    let served = Served::new(caller.role, &site.config.telemetry_path, external_url);
    let Some(secret) = access.secret.as_ref().filter(|_| served.callbacks) else {
        return (route(&head.method, path, query, served), true);
    };
    let below_prefix = || strip(secret, external_url?.strip(path)?);
    match strip(secret, path).or_else(below_prefix) {
        Some(rest) => (route(&head.method, rest, query, served.behind_secret()), true),
        None => (route(&head.method, path, query, served), false),
    }
}

/// Checks the network and the secret of a callback.
fn check_callback(exchange: Exchange<'_>, has_secret: bool) -> Result<(), Box<Reply>> {
    let networks = &exchange.site.config.access.callback_networks;
    if networks.as_ref().is_some_and(|networks| !networks.contains(exchange.client)) {
        let detail = "callbacks from this address are not allowed; see --callback.allowed-networks";
        return Err(Box::new(exchange.refuse(Reason::Forbidden, detail)));
    }
    if !has_secret {
        let detail = "the secret in the path is missing or wrong; see --callback.secret-file";
        let reply = exchange.refuse(Reason::Unauthorized, detail);
        return Err(Box::new(with_header(reply, header::WWW_AUTHENTICATE, PATH_SECRET)));
    }
    Ok(())
}
