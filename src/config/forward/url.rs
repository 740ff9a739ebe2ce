//! The URL of a target.

use std::fmt;

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};

const SHAPE: &str = "write it like http://10.0.0.5:8080/callback or https://business.example.com/callback";

/// An `http` or `https` URL with a host, a port, and perhaps a path and a query. It is printed without its path and query,
/// which may have a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    authority: Authority,
    /// As written; begins with a slash.
    path: String,
    /// Without its question mark; may be empty.
    query: String,
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// Say what is wrong. They show nothing of the URL, because which part of a wrong URL is a password is unknown.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| format!("this is not a URL; {SHAPE}"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(format!("it must start with http:// or https:// and a host; {SHAPE}"));
        };
        let (path, query) = parts.path_and_query.map_or_else(
            || ("/".to_owned(), String::new()),
            |rest| (rest.path().to_owned(), rest.query().unwrap_or_default().to_owned()),
        );
        Ok(Self { scheme, authority, path, query })
    }

    /// Whether it is reached with TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Host and port, as written.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The URL of one callback, as OpenIM makes it: the command `tail` is appended to the path, and the callback's own
    /// `query` to the query. Both may be empty, and are percent-encoded as they came.
    ///
    /// # Errors
    /// When the tail or the query cannot be part of a URL.
    pub fn of_callback(&self, tail: &str, query: &str) -> Result<Uri, hyper::http::Error> {
        let path = if tail.is_empty() { &self.path } else { self.path.trim_end_matches('/') };
        let slash = if tail.is_empty() { "" } else { "/" };
        let (mark, and) = match (self.query.is_empty(), query.is_empty()) {
            (true, true) => ("", ""),
            (false, false) => ("?", "&"),
            _ => ("?", ""),
        };
        let rest = format!("{path}{slash}{tail}{mark}{}{and}{query}", self.query);
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(rest).build()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.path == "/" && self.query.is_empty() { "/" } else { "/..." };
        write!(f, "{}://{}{rest}", self.scheme, self.authority)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
