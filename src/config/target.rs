//! The server of `simulate` or `healthcheck`, parsed from a URL as Go parses it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;

use super::address::ipv6;

const SHAPE: &str = "write it like http://127.0.0.1:10006 or https://user:password@host:port/prefix";

/// An HTTP server, the path before the command, and the credentials. Printed as a URL without any secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address to connect to; an IPv6 address without its brackets, and with the number of its zone.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Host and port as written in the URL, without a zone, for the `Host` header.
    pub authority: String,
    /// The path before `/callbackAfterSendGroupMsgCommand`; may be empty.
    pub prefix: String,
    /// The `Authorization` header of the URL's user and password, marked as sensitive.
    pub authorization: Option<HeaderValue>,
    /// Which certificates are trusted; `None` means plain HTTP.
    pub trust: Option<CertificateTrust>,
    /// The client certificate, if the server requires one.
    pub identity: Option<IdentityFiles>,
    /// Whether each connection must begin with a PROXY header.
    pub proxy_header: bool,
}

/// The PEM files of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, and then any intermediate ones.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Which certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateTrust {
    /// Those issued by authorities that the system trusts.
    System,
    /// Those issued by the authorities in this PEM file.
    Authorities(PathBuf),
    /// Any certificate, for any name.
    Any,
}

impl FromStr for Target {
    type Err = String;

    /// # Errors
    /// Say what is wrong. They show nothing of the URL, because which part of a wrong URL is the password is unknown.
    fn from_str(url: &str) -> Result<Self, String> {
        let scheme_and_rest = url.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        let (rest, trust, default_port) = match scheme_and_rest {
            Some((scheme, rest)) if scheme == "http" => (rest, None, 80),
            Some((scheme, rest)) if scheme == "https" => (rest, Some(CertificateTrust::System), 443),
            _ => return Err(format!("must start with http:// or https://; {SHAPE}")),
        };
        let (authority, prefix) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if prefix.contains('@') {
            // Go parses what is before the path as the host: part of the password would be looked up as a name.
            return Err(
                "has an @ after its host; write / ? # of a password as %2F %3F %23, and @ of a path as %40".to_owned()
            );
        }
        if prefix.contains(['?', '#']) {
            return Err("must end with the path, because OpenIM appends the command to it; remove ? or # and the rest"
                .to_owned());
        }
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let (authority, zone) = without_zone(authority);
        let (host, port) = server(&authority, prefix, default_port)?;
        let host = if host.contains(':') { with_zone(&host, zone)? } else { host };
        let authorization = user.map(authorization).transpose()?;
        let (prefix, identity, proxy_header) = (prefix.to_owned(), None, false);
        Ok(Self { host, port, authority, prefix, authorization, trust, identity, proxy_header })
    }
}

/// Removes the zone of an IPv6 address, as Go does for the `Host` header. Returns both. A URL has `%25` before the zone (RFC
/// 6874); many programs also accept `%`.
fn without_zone(authority: &str) -> (String, &str) {
    let address_and_port = authority.split_once(']').filter(|(address, _)| address.starts_with('['));
    let parts = address_and_port.and_then(|(address, port)| Some((address.split_once('%')?, port)));
    let Some(((address, zone), port)) = parts else { return (authority.to_owned(), "") };
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    (format!("{address}]{port}"), zone)
}

/// An IPv6 address with the number of its zone, if it has one.
fn with_zone(address: &str, zone: &str) -> Result<String, String> {
    let with_name = if zone.is_empty() { address.to_owned() } else { format!("{address}%{zone}") };
    let (address, number) = ipv6(&with_name)?;
    Ok(if number == 0 { address.to_string() } else { format!("{address}%{number}") })
}

fn server(authority: &str, prefix: &str, default_port: u16) -> Result<(String, u16), String> {
    if authority.is_empty() {
        return Err(format!("has no host; {SHAPE}"));
    }
    let uri: Result<Uri, _> = format!("http://{authority}{prefix}").parse();
    let uri = uri.map_err(|error| format!("is not a URL ({error}); {SHAPE}"))?;
    let authority = uri.authority().ok_or_else(|| format!("has no host; {SHAPE}"))?;
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => default_port,
        _ => authority.port_u16().filter(|port| *port != 0).ok_or_else(|| format!("has no usable port; {SHAPE}"))?,
    };
    Ok((authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

/// The header that Go sends for `user:password` in a URL, or for a user alone.
fn authorization(user_and_password: &str) -> Result<HeaderValue, String> {
    let (user, password) = user_and_password.split_once(':').unwrap_or((user_and_password, ""));
    let plain = [decoded(user)?, b":".to_vec(), decoded(password)?].concat();
    let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain)));
    let mut value = value.map_err(|_| "has a user or password that is too long".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Decodes `%XX`; `+` is a plus. Characters that Go does not accept unencoded are an error.
fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    let is_escape = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if text.bytes().all(is_valid) && text.split('%').skip(1).all(is_escape) {
        return Ok(percent_decode_str(text).collect());
    }
    Err("has a user or password that a URL cannot hold; write each byte that is not a letter or digit as %XX"
        .to_owned())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        // The prefix may be a secret.
        let prefix = if self.prefix.len() > 1 { "/..." } else { &self.prefix };
        write!(f, "{scheme}://{}{prefix}", self.authority)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        url.parse()
    }

    #[test]
    fn a_target_is_parsed_as_openim_parses_it() {
        for (url, tls, host, port, authority, prefix) in [
            ("http://h", false, "h", 80, "h", ""),
            ("http://h/", false, "h", 80, "h", "/"),
            ("HTTPS://h", true, "h", 443, "h", ""),
            ("https://h:8443/x", true, "h", 8443, "h:8443", "/x"),
            ("http://10.0.0.1:81/secret/cb", false, "10.0.0.1", 81, "10.0.0.1:81", "/secret/cb"),
            ("http://[::1]:9/x/", false, "::1", 9, "[::1]:9", "/x/"),
            ("http://[::1]", false, "::1", 80, "[::1]", ""),
            ("https://[fe80::1%25lo]:9/x", true, "fe80::1%1", 9, "[fe80::1]:9", "/x"),
            ("http://[fe80::1%lo]/x", false, "fe80::1%1", 80, "[fe80::1]", "/x"),
            ("http://[fe80::1%1]:9", false, "fe80::1%1", 9, "[fe80::1]:9", ""),
            ("http://u:p@h:1/x", false, "h", 1, "h:1", "/x"),
        ] {
            let target = target(url).unwrap();
            let parts = (target.host.as_str(), target.port, target.authority.as_str(), target.prefix.as_str());
            assert_eq!(parts, (host, port, authority, prefix), "{url}");
            assert_eq!(target.trust, tls.then_some(CertificateTrust::System), "{url}");
        }
    }

    #[test]
    fn user_and_password_become_the_header_that_go_sends() {
        for (user, plain) in [
            ("openim:secret", "openim:secret"),
            ("openim:p%40ss%3Aw%2Frd+%25", "openim:p@ss:w/rd+%"),
            ("openim:a:b", "openim:a:b"),
            ("a@b:c", "a@b:c"),
            ("openim", "openim:"),
            ("%C3%A9:", "é:"),
            ("", ":"),
        ] {
            let target = target(&format!("http://{user}@h:1")).unwrap();
            let value = target.authorization.unwrap();
            assert_eq!(value.to_str().unwrap(), format!("Basic {}", STANDARD.encode(plain)), "{user}");
        }
        assert_eq!(target("http://h").unwrap().authorization, None);
    }

    #[test]
    fn neither_targets_nor_errors_show_a_secret() {
        let good = target("https://openim:hunter2@h:1/hunter2/cb").unwrap();
        assert_eq!((good.to_string(), format!("{good:?}")), ("https://h:1/...".into(), "https://h:1/...".into()));
        for url in [
            "openim:hunter2@h",
            "http:/openim:hunter2@h",
            "ftp://openim:hunter2@h",
            "http://openim:hunter2@h:0",
            "http://openim:hunter2@",
            "http://openim:hunter2@h/?hunter2",
            "http://openim:hunter2/x@h",
            "http://openim:12?hunter2@h",
            "http://openim:hunter2%@h",
            "http://openim:hunter2%2@h",
            "http://openim:hunter2%é@h",
            "http://openim:hunter2 @h",
            "http://openim:hunter2\u{e9}@h",
            "http://openim:p@hunter2 h",
        ] {
            let error = target(url).unwrap_err();
            assert!(!error.contains("hunter") && !error.contains("openim:"), "{url}: {error}");
        }
    }
}
