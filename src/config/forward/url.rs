//! The URL of a target.

use std::fmt;

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::flag::Shown;
use crate::domain::COMMANDS;

const SHAPE: &str = "write it like http://10.0.0.5:8080/callback or https://business.example.com/callback";

/// The name that a certificate for this host has; `None` if it cannot have one.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned()).ok()
}

/// An `http` or `https` URL with a host, a port, and perhaps a path and a query. It is printed without its path and
/// query, which may contain a secret.
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
        let wrong = |problem: &str| format!("{problem}; {SHAPE}");
        if text.contains('#') {
            return Err(wrong("it has a #, and what follows is never sent"));
        }
        let parts = text.parse::<Uri>().map_err(|_| wrong("this is not a URL"))?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong("it must start with http:// or https:// and a host"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("it must start with http:// or https:// and a host"));
        }
        if authority.as_str().contains('@') {
            return Err(
                "it has a user or an @; give a user with basic_auth in the file of --forward.config.file".into()
            );
        }
        if authority.host().contains('%') {
            return Err(wrong("its host has a %, and a link-local address cannot be a target"));
        }
        let has_port = authority.as_str() != authority.host();
        if authority.host().is_empty() || has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(wrong("it has no usable host and port"));
        }
        if scheme == Scheme::HTTPS && server_name(authority.host()).is_none() {
            return Err("a certificate cannot have this host's name; give a DNS name or an IP address".into());
        }
        let (path, query) = parts.path_and_query.map_or_else(
            || ("/".to_owned(), String::new()),
            |rest| (rest.path().to_owned(), rest.query().unwrap_or_default().to_owned()),
        );
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if let Some(known) = COMMANDS.iter().find(|known| known.name.eq_ignore_ascii_case(last)) {
            return Err(format!(
                "its path ends with a command; remove /{}, because the exporter appends it",
                known.name
            ));
        }
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

impl Shown for Url {
    fn show(&self, flag: &str, text: &mut String) {
        self.to_string().show(flag, text);
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_s_url_is_made_as_openim_makes_it() {
        for (url, tail, query, expected) in [
            ("http://h", "", "", "http://h/"),
            ("http://h", "callbackXCommand", "", "http://h/callbackXCommand"),
            ("http://h:81/cb", "", "", "http://h:81/cb"),
            ("http://h/cb/", "", "", "http://h/cb/"),
            ("http://h/cb/", "callbackXCommand", "", "http://h/cb/callbackXCommand"),
            ("https://[::1]/cb", "callback%58Command", "key=a%2Fb", "https://[::1]/cb/callback%58Command?key=a%2Fb"),
            ("http://h/cb?token=t", "callbackXCommand", "", "http://h/cb/callbackXCommand?token=t"),
            ("http://h/cb?token=t", "", "command=callbackXCommand", "http://h/cb?token=t&command=callbackXCommand"),
            ("HTTP://h/cb", "", "", "http://h/cb"),
        ] {
            let uri = Url::parse(url).unwrap().of_callback(tail, query).unwrap();
            assert_eq!(uri.to_string(), expected, "{url}");
        }
        assert!(Url::parse("http://h").unwrap().of_callback("a b", "").is_err());
    }

    #[test]
    fn a_wrong_url_is_an_error_that_says_how_to_write_one() {
        for (url, expected) in [
            ("", "this is not a URL; write it like http://10.0.0.5:8080/callback"),
            ("http://", "this is not a URL; write it like"),
            ("http://a b", "this is not a URL; write it like"),
            ("http://[fe80::1%25lo]/x", "its host has a %, and a link-local address cannot be a target; write it like"),
            ("/callback", "it must start with http:// or https:// and a host; write it like"),
            ("localhost:8080", "it must start with http:// or https:// and a host; write it like"),
            ("ftp://h/", "it must start with http:// or https:// and a host; write it like"),
            ("http://u:hunter2@h/", "it has a user or an @; give a user with basic_auth in the file of"),
            ("http://h/#hunter2", "it has a #, and what follows is never sent; write it like"),
            ("http://h:0/", "it has no usable host and port; write it like"),
            ("http://h:99999/", "it has no usable host and port; write it like"),
            ("https://a..b/", "a certificate cannot have this host's name; give a DNS name or an IP address"),
            (
                "http://h/hunter2/callbackBeforeSendGroupMsgCommand/?k=hunter2",
                "its path ends with a command; remove /callbackBeforeSendGroupMsgCommand, because the exporter appends it",
            ),
            ("http://h/CallbackBeforeSendGroupMsgCommand", "its path ends with a command; remove /callbackBeforeSend"),
        ] {
            let error = Url::parse(url).expect_err(url);
            assert!(error.starts_with(expected) && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn neither_the_path_nor_the_query_is_shown() {
        for (url, expected) in [
            ("http://h", "http://h/"),
            ("https://h:1/hunter2", "https://h:1/..."),
            ("http://h/?k=hunter2", "http://h/..."),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (expected.to_owned(), expected.to_owned()));
        }
    }
}
