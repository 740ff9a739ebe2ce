//! A site with limits that a test can reach, with and without TLS and credentials.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openim_exporter::config::{AccessSettings, Http, Networks};
use openim_exporter::domain::Reason;
use openim_exporter::http::Limits;

use crate::authority::Authority;
use crate::callbacks::Callback;
use crate::link::{Answer, Link, Post, Protocol};
use crate::served::{Served, http_config};

pub(crate) const SECRET: &str = "0123456789abcdef-the-secret";

/// The limit of a body.
pub(crate) const MAX_BODY_BYTES: usize = 16 * 1024;

/// An `Authorization` header's value.
pub(crate) fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("openim:{password}")))
}

/// A site, and how it is asked.
pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) served: Served,
    /// It requires a secret and a password.
    pub(crate) is_locked: bool,
    pub(crate) protocols: &'static [Protocol],
}

impl Site {
    /// A site that trusts this machine as a proxy, and accepts callbacks from this machine only.
    pub(crate) fn new(tls: bool, is_locked: bool, limits: Limits, change: impl FnOnce(&mut Http)) -> Self {
        let authority = Authority::new();
        let mut access = AccessSettings::default();
        if tls {
            authority.issue("server", &["localhost"]);
            access.web_config = Some(authority.web_config("server", ""));
        }
        if is_locked {
            let hash = bcrypt::hash("right", 4).unwrap();
            access.callback_users = Some(authority.write("callers", format!("openim:{hash}\n")));
            access.callback_secret = Some(authority.write("secret", SECRET));
        }
        access.callback_networks = Some(Networks::parse("127.0.0.0/8").unwrap());
        let trusted_proxies = Some(Networks::parse("127.0.0.1").unwrap());
        let mut config = Http { access, trusted_proxies, max_body_bytes: MAX_BODY_BYTES, ..http_config(1) };
        change(&mut config);
        let served = Served::with_config(0, limits, config);
        let protocols: &[Protocol] = if tls { &[Protocol::Tls, Protocol::Http2] } else { &[Protocol::Plain] };
        Self { authority, served, is_locked, protocols }
    }

    /// All four combinations.
    pub(crate) fn all(limits: Limits, change: impl Fn(&mut Http)) -> Vec<Self> {
        let both = [false, true];
        both.into_iter().flat_map(|tls| both.map(|is_locked| Self::new(tls, is_locked, limits, &change))).collect()
    }

    pub(crate) fn open(&self, protocol: Protocol) -> Link {
        Link::open(&self.authority, self.served.address(), protocol)
    }

    /// The request of a callback with the right credentials.
    pub(crate) fn post(&self, callback: Callback) -> Post {
        let mut headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        let mut path = callback.path.to_owned();
        if self.is_locked {
            path = format!("/{SECRET}{path}");
            headers.push(("authorization", basic("right")));
        }
        Post { path: with_slash(path), headers, body: callback.body(), in_pieces: false }
    }

    pub(crate) fn refused(&self, reason: Reason) -> f64 {
        self.served.refused(reason.name())
    }

    /// All refusals so far.
    pub(crate) fn all_refused(&self) -> f64 {
        Reason::ALL.into_iter().map(|reason| self.refused(reason)).sum()
    }

    /// Sends a request over a new connection. Checks that it is refused for this reason only.
    pub(crate) fn ask_refused(&self, protocol: Protocol, post: &Post, reason: Reason) -> Answer {
        let before = (self.refused(reason), self.all_refused(), self.served.callbacks());
        let answer = self.open(protocol).ask(post);
        let after = (self.refused(reason), self.all_refused(), self.served.callbacks());
        let what = format!("{post:?} over {protocol:?}: {answer:?}");
        assert_eq!(after, (before.0 + 1.0, before.1 + 1.0, before.2), "{what}");
        answer
    }
}

/// A URL without a path is requested as `/`.
pub(crate) fn with_slash(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}
