//! The web configuration file, in the format of Prometheus' exporter-toolkit: TLS, headers, users, a rate limit.
//!
//! A setting of the toolkit that this exporter does not support is an error. If it were ignored, a server could be
//! unprotected although its configuration protects it.

mod rate;
#[cfg(test)]
mod tests;
mod tls;

use std::path::Path;

use hyper::header::{HeaderName, HeaderValue};

use super::file::{self, FileError};
use super::users::Users;
use super::yaml::{self, Field};
pub use rate::RateLimit;
pub use tls::{ClientAuth, PemSource, Tls, TlsVersion};

/// Largest file, in bytes: enough for certificates and a thousand users.
const MAX_BYTES: u64 = 1 << 20;

/// Longest value of a header, in bytes: every response has it.
const MAX_HEADER: usize = 4096;

/// The headers that the toolkit can set, and their allowed values; an empty list allows all.
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
    /// TLS; `None` serves plain HTTP.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is offered, which needs TLS.
    pub http2: bool,
    /// Headers of every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Users that may send requests; if there are none, everyone may.
    pub users: Users,
    /// Limit of requests; `None` means no limit.
    pub rate_limit: Option<RateLimit>,
}

impl Web {
    /// Reads a file; relative paths in it start from its directory.
    ///
    /// # Errors
    /// When it cannot be read or is not valid; names the file, the line and the key, and says how to correct it.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let web = file::read(path, MAX_BYTES).and_then(|text| Self::parse(&text, directory));
        web.map_err(|error| error.in_file(path))
    }

    /// Parses a file's text; relative paths in it start from `directory`.
    ///
    /// # Errors
    /// As [`Web::read`].
    pub fn parse(text: &str, directory: &Path) -> Result<Self, FileError> {
        let root = yaml::parse(text)?;
        let known = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
        let file = Field::root(&root).mapping(&known)?;
        let tls = file.get("tls_server_config").map_or(Ok(None), |field| tls::parse(&field, directory))?;
        let (http2, headers) = file.get("http_server_config").map_or(Ok((true, Vec::new())), |field| http(&field))?;
        let users = file.get("basic_auth_users").map_or(Ok(Users::default()), |field| users(&field))?;
        let rate_limit = file.get("rate_limit").map_or(Ok(None), |field| rate::parse(&field))?;
        Ok(Self { tls, http2, headers, users, rate_limit })
    }
}

type Headers = Vec<(HeaderName, HeaderValue)>;

fn http(field: &Field) -> Result<(bool, Headers), FileError> {
    let mapping = field.mapping(&["http2", "headers"])?;
    let headers = mapping.get("headers").map_or(Ok(Vec::new()), |field| headers(&field))?;
    Ok((mapping.is_on("http2")?, headers))
}

/// The headers with their values; a header without a value is not set.
fn headers(field: &Field) -> Result<Headers, FileError> {
    let mapping = field.mapping(&HEADERS.map(|(name, _)| name))?;
    let mut headers = Vec::new();
    for (name, allowed) in HEADERS {
        let Some((field, value)) = mapping.text(name)? else { continue };
        if !allowed.is_empty() && !allowed.contains(&value) {
            return Err(field.error(format!("this value is not allowed; give {}", allowed.join(" or "))));
        }
        let parsed = HeaderValue::try_from(value).ok().filter(|_| value.is_ascii() && value.len() <= MAX_HEADER);
        let problem = || format!("give one line of at most {MAX_HEADER} printable ASCII characters");
        let value = parsed.ok_or_else(|| field.error(problem()))?;
        let name = HeaderName::try_from(name).map_err(|_| field.error("this is not a header's name"))?;
        headers.push((name, value));
    }
    Ok(headers)
}

fn users(field: &Field) -> Result<Users, FileError> {
    let mut users = Users::default();
    for (name, hash) in field.pairs()? {
        users.add(name, hash.text()?).map_err(|problem| hash.error(problem))?;
    }
    Ok(users)
}
