//! The web configuration file, in the format of Prometheus' exporter-toolkit: TLS, headers, users, a rate.
//!
//! What the toolkit reads and this exporter cannot do is an error, never ignored: a setting that is not kept would leave
//! a server open that its operator takes for closed.

mod rate;
mod section;
#[cfg(test)]
mod tests;
mod tls;
mod yaml;

use std::path::Path;

use hyper::header::{HeaderName, HeaderValue};

use super::file::{self, FileError};
use super::users::Users;
pub use rate::RateLimit;
use section::{Field, Section};
pub use tls::{CipherSuite, ClientAuth, Curve, Source, Tls, TlsVersion};

/// The largest file: room for certificates and a thousand users.
const MOST_BYTES: u64 = 1 << 20;

/// The longest value of a header: every answer carries it.
const LONGEST_HEADER: usize = 4096;

/// The headers that can be set, and their values if only some are allowed: as the toolkit has it.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// A checked web configuration. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// How to encrypt; `None` serves plain HTTP.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is offered; it is with TLS only.
    pub http2: bool,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may ask; without users everybody.
    pub users: Users,
    /// How many requests are answered; `None` answers all.
    pub rate_limit: Option<RateLimit>,
}

impl Web {
    /// Reads a file; relative paths in it begin at its directory.
    ///
    /// # Errors
    /// When it cannot be read or used; names the file, the line and the key, and what would do.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let web = file::read(path, MOST_BYTES).and_then(|text| Self::parse(&text, directory));
        web.map_err(|error| error.in_file(path))
    }

    /// Checks a file's text; relative paths in it begin at `directory`.
    ///
    /// # Errors
    /// As [`Web::read`].
    pub fn parse(text: &str, directory: &Path) -> Result<Self, FileError> {
        let known = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
        let mut file = Section::new("", yaml::parse(text)?, &known)?;
        let tls = file.take("tls_server_config").map(|field| tls::parse(field, directory)).transpose()?.flatten();
        let (http2, headers) = file.take("http_server_config").map_or(Ok((true, Vec::new())), http)?;
        let users = file.take("basic_auth_users").map_or(Ok(Users::default()), users)?;
        let rate_limit = file.take("rate_limit").map(rate::parse).transpose()?.flatten();
        Ok(Self { tls, http2, headers, users, rate_limit })
    }
}

fn http(field: Field) -> Result<(bool, Vec<(HeaderName, HeaderValue)>), FileError> {
    let mut http = field.section(&["http2", "headers"])?;
    let http2 = http.take("http2").map_or(Ok(true), |field| field.boolean())?;
    let headers = http.take("headers").map_or(Ok(Vec::new()), headers)?;
    Ok((http2, headers))
}

/// The headers with their values; one that is left blank is not set.
fn headers(field: Field) -> Result<Vec<(HeaderName, HeaderValue)>, FileError> {
    let mut section = field.section(&HEADERS.map(|(name, _)| name))?;
    let mut headers = Vec::new();
    for (name, allowed) in HEADERS {
        let Some((field, value)) = section.take_text(name)? else { continue };
        if !allowed.is_empty() && !allowed.contains(&value.as_str()) {
            return Err(field.refused(format!("this value cannot be used; give {}", allowed.join(" or "))));
        }
        let parsed = HeaderValue::try_from(&value).ok().filter(|_| value.is_ascii() && value.len() <= LONGEST_HEADER);
        let problem =
            || format!("a header's value is one line of at most {LONGEST_HEADER} ASCII characters that can be printed");
        let value = parsed.ok_or_else(|| field.refused(problem()))?;
        let name = HeaderName::try_from(name).map_err(|_| field.refused("the name is no header's"))?;
        headers.push((name, value));
    }
    Ok(headers)
}

fn users(field: Field) -> Result<Users, FileError> {
    let mut users = Users::default();
    for (name, hash) in field.pairs()? {
        users.add(&name, hash.text()?).map_err(|problem| hash.refused(problem))?;
    }
    Ok(users)
}
