//! The URL at which clients reach the pages.

use std::fmt;

use hyper::Uri;

/// What a valid URL looks like.
const SHAPE: &str =
    "give a URL with http:// or https://, a host and at most a path, as in https://example.com/openim-exporter/";

/// The URL at which clients reach the pages, for example through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    text: String,
    /// Its path without the slash at the end, so it may be empty.
    prefix: String,
}

impl ExternalUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// When the text is not a URL, or has parts that are not allowed here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| format!("{problem}; {SHAPE}");
        let url: Uri = text.parse().map_err(|_| wrong("this is not a URL"))?;
        let Some(authority) = url.authority().filter(|_| matches!(url.scheme_str(), Some("http" | "https"))) else {
            return Err(wrong("it has no host, or does not begin with http:// or https://"));
        };
        if authority.as_str().contains('@') || url.query().is_some() || text.contains('#') {
            return Err(wrong("a user, a query or a fragment has no meaning here"));
        }
        let prefix = url.path().trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.bytes().all(is_plain);
        if !prefix.split('/').skip(1).all(is_name) {
            return Err(wrong("the names in its path can only have letters, digits and - . _ ~"));
        }
        Ok(Self { text: text.to_owned(), prefix: prefix.to_owned() })
    }

    /// Its path, with a slash at the end.
    pub(crate) fn root(&self) -> String {
        format!("{}/", self.prefix)
    }

    /// What is left of a request's path without this URL's path; `None` if the path begins differently.
    pub(crate) fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_the_url_is_stripped() {
        for (url, path, rest) in [
            ("https://example.com/exporter/", "/exporter/metrics", Some("/metrics")),
            ("http://10.0.0.1:10006/a/b", "/a/b/", Some("/")),
            ("http://h/a", "/a", Some("")),
            ("http://h/a", "/ab", None),
            ("http://h/a", "/b/a/", None),
            ("http://[::1]:80/", "/metrics", Some("/metrics")),
            ("http://h", "/metrics", Some("/metrics")),
        ] {
            let parsed = ExternalUrl::parse(url).unwrap();
            assert_eq!((parsed.strip(path), parsed.to_string().as_str()), (rest, url));
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_the_problem() {
        for (url, problem) in [
            ("", "this is not a URL"),
            ("http://", "this is not a URL"),
            ("/exporter", "it has no host, or does not begin with http:// or https://"),
            ("example.com", "it has no host, or does not begin with http:// or https://"),
            ("example.com/exporter", "this is not a URL"),
            ("ftp://example.com/x", "it has no host, or does not begin with http:// or https://"),
            ("http://user@example.com/", "a user, a query or a fragment has no meaning here"),
            ("http://example.com/?x", "a user, a query or a fragment has no meaning here"),
            ("http://example.com/a#b", "a user, a query or a fragment has no meaning here"),
            ("http://example.com/a//b", "the names in its path can only have letters"),
            ("http://example.com/a/../b", "the names in its path can only have letters"),
            ("http://example.com/a%20b", "the names in its path can only have letters"),
        ] {
            let error = ExternalUrl::parse(url).unwrap_err();
            assert!(error.starts_with(problem) && error.ends_with(SHAPE), "{url}: {error}");
        }
    }
}
