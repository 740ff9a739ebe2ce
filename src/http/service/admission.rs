//! Who is let in: what a request wants, and whether it may.

use std::sync::Arc;

use hyper::Version;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;

use super::headers::HeaderFacts;
use super::router::{Route, Served, route};
use crate::http::access::{Access, Passwords, Verdict, strip};
use crate::http::base::caller::Caller;
use crate::http::base::connections::in_time;
use crate::http::site::Site;
use crate::http::site::exchange::{Exchange, refuse};
use crate::http::site::response::{Reply, closing, with_header};
use crate::telemetry::Reason;

/// The realms that passwords are asked for: that of callbacks, that of everything else. RFC 7617, 2.
const CALLBACKS: &str = "Basic realm=\"openim-exporter callbacks\", charset=\"UTF-8\"";
const PAGES: &str = "Basic realm=\"openim-exporter\", charset=\"UTF-8\"";

/// A 401 must say what is wanted (RFC 9110, 11.6.1); for a secret in the path there is no registered word.
const PATH_SECRET: &str = "Path-Secret realm=\"openim-exporter callbacks\"";

/// Whether a request may have what it wants.
pub(super) enum Admission {
    Granted(Route),
    Refused(Box<Reply>),
    /// That depends on a password of which nothing is known yet: the one given.
    Unproven(Route, Proof, HeaderValue),
}

/// Whether a request may have what it wants, as far as that can be told without waiting.
pub(super) fn admit(
    Exchange { site, caller, .. }: Exchange<'_>,
    access: &Access,
    head: &Parts,
    facts: HeaderFacts,
) -> Admission {
    if let Some(detail) = ambiguous_framing(head.version, facts) {
        return Admission::Refused(Box::new(closing(refuse(site, Reason::MalformedRequest, detail))));
    }
    let (route, proof) = match check_all_but_password((site, access), caller, head, facts) {
        Ok((route, Some(proof))) => (route, proof),
        Ok((route, None)) => return Admission::Granted(route),
        Err(refusal) => return Admission::Refused(refusal),
    };
    let decide =
        |verdict| apply_verdict(site, route, verdict, &proof).map_or_else(Admission::Refused, Admission::Granted);
    match credentials(head) {
        None => decide(Verdict::Wrong),
        Some(credentials) => match proof.passwords.cached(credentials) {
            Some(verdict) => decide(verdict),
            None => Admission::Unproven(route, proof, credentials.clone()),
        },
    }
}

/// Decides what could not be told without waiting.
pub(super) async fn verify(exchange: Exchange<'_>, admission: Admission) -> Result<Route, Box<Reply>> {
    match admission {
        Admission::Granted(route) => Ok(route),
        Admission::Refused(refusal) => Err(refusal),
        Admission::Unproven(route, proof, credentials) => {
            let verdict = verify_password(exchange, &proof.passwords, &credentials).await;
            apply_verdict(exchange.site, route, verdict, &proof)
        }
    }
}

/// The credentials that a request gives. Of two, a proxy in front may have looked at the other: that is none.
fn credentials(head: &Parts) -> Option<&HeaderValue> {
    let mut values = head.headers.get_all(header::AUTHORIZATION).iter();
    values.next().filter(|_| values.next().is_none())
}

fn apply_verdict(site: &Site, route: Route, verdict: Verdict, proof: &Proof) -> Result<Route, Box<Reply>> {
    match verdict {
        Verdict::Right => Ok(route),
        Verdict::Wrong => {
            let reply = refuse(site, Reason::Unauthorized, "user and password are absent or wrong");
            Err(Box::new(with_header(reply, header::WWW_AUTHENTICATE, proof.realm)))
        }
        Verdict::Busy => {
            let detail = "too many passwords are waiting to be checked; ask again";
            Err(Box::new(refuse(site, Reason::Overloaded, detail)))
        }
    }
}

async fn verify_password(
    Exchange { site, tracker, caller }: Exchange<'_>,
    passwords: &Passwords,
    credentials: &HeaderValue,
) -> Verdict {
    let Some(_share) = site.quotas.passwords.take_one(caller.address) else { return Verdict::Busy };
    // A sweep that finds the request waiting for too long ends that.
    in_time(tracker, passwords.check(credentials)).await.unwrap_or(Verdict::Busy)
}

/// What a proxy in front might read in another way than we do, so that it and we would disagree on where the next
/// request begins, or on whose it is. hyper refuses the rest of these, and closes after a body that has both a length
/// and chunks.
fn ambiguous_framing(version: Version, facts: HeaderFacts) -> Option<&'static str> {
    match version {
        Version::HTTP_2 => None,
        // RFC 9112, 3.2.
        _ if facts.host_count > 1 || facts.host_count == 0 && version == Version::HTTP_11 => {
            Some("there is not exactly one Host")
        }
        // RFC 9112, 6.1: a coding that we do not know, or chunks within chunks.
        _ if facts.has_other_coding => {
            Some("Transfer-Encoding is not chunked and nothing else; send the body as it is")
        }
        _ => None,
    }
}

/// What a request must verify_password: that it knows one of these passwords.
pub(super) struct Proof {
    passwords: Arc<Passwords>,
    realm: &'static str,
}

/// All but the password, which may have to be waited for.
fn check_all_but_password(
    (site, access): (&Site, &Access),
    caller: &Caller,
    head: &Parts,
    facts: HeaderFacts,
) -> Result<(Route, Option<Proof>), Box<Reply>> {
    let (route, has_secret) = find_route(site, access, caller, head);
    let (users, realm) = match route {
        Route::Healthy | Route::Ready => return Ok((route, None)),
        // No page has any business there, not even ours. The name of another may lead to this address.
        Route::Callback(_) | Route::Reload | Route::Quit if facts.has_origin => {
            return Err(Box::new(refuse(site, Reason::Forbidden, "a web page may not ask for this")));
        }
        Route::Callback(_) => {
            check_callback(site, caller, has_secret)?;
            (&access.callback_users, CALLBACKS)
        }
        // Nothing is there to be guarded.
        _ if !caller.role.has_pages() => return Ok((route, None)),
        _ => {
            if access.rate.as_ref().is_some_and(|rate| !rate.allows()) {
                let detail = "more requests come than rate_limit in --web.config.file allows";
                return Err(Box::new(refuse(site, Reason::RateLimited, detail)));
            }
            (&access.users, PAGES)
        }
    };
    Ok((route, users.as_ref().map(|users| Proof { passwords: Arc::clone(users), realm })))
}

/// What a request wants, and whether it knows the secret, if there is one.
fn find_route(site: &Site, access: &Access, caller: &Caller, head: &Parts) -> (Route, bool) {
    let (path, query) = (head.uri.path(), head.uri.query());
    let served = Served::at(caller.role, &site.config.telemetry_path);
    let Some(secret) = access.secret.as_ref().filter(|_| served.callbacks) else {
        return (route(&head.method, path, query, served), true);
    };
    match strip(secret, path) {
        Some(rest) => (route(&head.method, rest, query, served.behind_secret()), true),
        None => (route(&head.method, path, query, served), false),
    }
}

/// Whether a callback may come from there, and knows the secret.
fn check_callback(site: &Site, caller: &Caller, has_secret: bool) -> Result<(), Box<Reply>> {
    let networks = &site.config.access.callback_networks;
    if networks.as_ref().is_some_and(|networks| !networks.contains(caller.address)) {
        let detail = "callbacks are not taken from this address; see --callback.allowed-networks";
        return Err(Box::new(refuse(site, Reason::Forbidden, detail)));
    }
    if !has_secret {
        let detail = "the secret in the path is absent or wrong; see --callback.secret-file";
        let reply = refuse(site, Reason::Unauthorized, detail);
        return Err(Box::new(with_header(reply, header::WWW_AUTHENTICATE, PATH_SECRET)));
    }
    Ok(())
}
