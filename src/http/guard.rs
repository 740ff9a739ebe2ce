//! Who is let in: what a request wants, and whether it may.

use std::sync::Arc;

use hyper::Version;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;

use super::access::Access;
use super::auth::{Passwords, Verdict, strip};
use super::caller::Caller;
use super::progress::{Open, in_time};
use super::reply::{Reply, closing, with_header};
use super::router::{Route, Served, route};
use super::service::refused;
use super::site::Site;
use crate::telemetry::Reason;

/// The realms that passwords are asked for: that of callbacks, that of everything else. RFC 7617, 2.
const CALLBACKS: &str = "Basic realm=\"openim-exporter callbacks\", charset=\"UTF-8\"";
const PAGES: &str = "Basic realm=\"openim-exporter\", charset=\"UTF-8\"";

/// A 401 must say what is wanted (RFC 9110, 11.6.1); for a secret in the path there is no registered word.
const PATH_SECRET: &str = "Path-Secret realm=\"openim-exporter callbacks\"";

/// What a request wants, if it may have it; else the refusal.
pub(super) async fn admit(site: &Site, open: &Open, caller: &Caller, head: &Parts) -> Result<Route, Box<Reply>> {
    if let Some(detail) = ambiguity(head) {
        return Err(Box::new(closing(refused(site, Reason::MalformedRequest, detail))));
    }
    let (route, passwords) = examine(site, caller, head)?;
    let Some((passwords, realm)) = passwords else { return Ok(route) };
    let mut given = head.headers.get_all(header::AUTHORIZATION).iter();
    let verdict = match (given.next(), given.next()) {
        (Some(given), None) => match passwords.known(given) {
            Some(verdict) => verdict,
            None => prove(site, open, caller, &passwords, given).await,
        },
        // Of two, a proxy in front may have looked at the other.
        _ => Verdict::Wrong,
    };
    match verdict {
        Verdict::Right => Ok(route),
        Verdict::Wrong => {
            let detail = "user and password are absent or wrong";
            Err(Box::new(with_header(refused(site, Reason::Unauthorized, detail), header::WWW_AUTHENTICATE, realm)))
        }
        Verdict::Busy => {
            let detail = "too many passwords are waiting to be checked; ask again";
            Err(Box::new(refused(site, Reason::Overloaded, detail)))
        }
    }
}

async fn prove(site: &Site, open: &Open, caller: &Caller, passwords: &Passwords, given: &HeaderValue) -> Verdict {
    let Some(_place) = site.proving.one(caller.address) else { return Verdict::Busy };
    // A sweep that finds the request waiting for too long ends that.
    in_time(open, passwords.check(given)).await.unwrap_or(Verdict::Busy)
}

/// What a proxy in front might read in another way than we do, so that it and we would disagree on where the next
/// request begins, or on whose it is. hyper refuses the rest of these, and closes after a body that has both a length
/// and chunks.
fn ambiguity(head: &Parts) -> Option<&'static str> {
    if head.version == Version::HTTP_2 {
        return None;
    }
    let hosts = head.headers.get_all(header::HOST).iter().take(2).count();
    // RFC 9112, 3.2.
    if hosts > 1 || hosts == 0 && head.version == Version::HTTP_11 {
        return Some("there is not exactly one Host");
    }
    // RFC 9112, 6.1: a coding that we do not know, or chunks within chunks.
    let codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut unknown =
        codings.enumerate().filter(|(at, coding)| *at > 0 || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    unknown.next().map(|_| "Transfer-Encoding is not chunked and nothing else; send the body as it is")
}

/// The passwords of which a request must know one, and their realm.
type Asked = Option<(Arc<Passwords>, &'static str)>;

/// All but the password, which may have to be waited for.
fn examine(site: &Site, caller: &Caller, head: &Parts) -> Result<(Route, Asked), Box<Reply>> {
    let access = site.access();
    let (route, knows_secret) = wanted(site, &access, caller, head);
    let (users, realm) = match route {
        Route::Healthy | Route::Ready => return Ok((route, None)),
        Route::Callback(_) => {
            check_callback(site, caller, knows_secret)?;
            (&access.callback_users, CALLBACKS)
        }
        // A browser says on whose behalf it posts; nobody else does. No page has any business here, not even ours.
        Route::Reload | Route::Quit if head.headers.contains_key(header::ORIGIN) => {
            return Err(Box::new(refused(site, Reason::Forbidden, "a web page may not ask for this")));
        }
        // Nothing is there to be guarded.
        _ if !caller.role.has_pages() => return Ok((route, None)),
        _ => {
            if access.rate.as_ref().is_some_and(|rate| !rate.allows()) {
                let detail = "more requests come than rate_limit in --web.config.file allows";
                return Err(Box::new(refused(site, Reason::RateLimited, detail)));
            }
            (&access.users, PAGES)
        }
    };
    Ok((route, users.as_ref().map(|users| (Arc::clone(users), realm))))
}

/// What a request wants, and whether it knows the secret, if there is one.
fn wanted(site: &Site, access: &Access, caller: &Caller, head: &Parts) -> (Route, bool) {
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
fn check_callback(site: &Site, caller: &Caller, knows_secret: bool) -> Result<(), Box<Reply>> {
    let networks = &site.config.access.callback_networks;
    if networks.as_ref().is_some_and(|networks| !networks.contains(caller.address)) {
        let detail = "callbacks are not taken from this address; see --callback.allowed-networks";
        return Err(Box::new(refused(site, Reason::Forbidden, detail)));
    }
    if !knows_secret {
        let detail = "the secret in the path is absent or wrong; see --callback.secret-file";
        let reply = refused(site, Reason::Unauthorized, detail);
        return Err(Box::new(with_header(reply, header::WWW_AUTHENTICATE, PATH_SECRET)));
    }
    Ok(())
}
