//! The headers of requests to a target, and who sends them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue};

use super::values::Files;
use crate::config::file::FileError;
use crate::config::yaml::{Field, Mapping};

/// Maximum number of headers, and maximum length of a value in bytes.
const MAX_HEADERS: usize = 32;
const MAX_VALUE: usize = 4096;

/// Headers of one connection (RFC 9110, 7.6.1), those that the exporter sets, and those that change the answer, which
/// OpenIM gets byte for byte.
const RESERVED: [&str; 19] = [
    "accept-encoding",
    "connection",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "operationid",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "http2-settings",
];

/// The starts of names of headers that the exporter sets.
const RESERVED_STARTS: [&str; 2] = ["content-", "webhook-"];

/// The keys of `basic_auth`.
pub(super) const BASIC_KEYS: [&str; 2] = ["username", "password_file"];

/// The headers with their values.
pub(super) fn headers(field: &Field) -> Result<Vec<(HeaderName, HeaderValue)>, FileError> {
    let pairs = field.pairs()?;
    if pairs.len() > MAX_HEADERS {
        return Err(field.error(format!("{} headers are too many; give at most {MAX_HEADERS}", pairs.len())));
    }
    let mut headers = Vec::new();
    for (name, value) in pairs {
        let name = HeaderName::try_from(name)
            .map_err(|_| value.error("this is not a header's name; give letters, digits and -"))?;
        check_name(name.as_str()).map_err(|problem| value.error(problem))?;
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(value.error("this header is given twice, in another case; remove one"));
        }
        let problem = format!("give one line of at most {MAX_VALUE} printable ASCII characters");
        headers.push((name, sensitive(value.text()?).ok_or_else(|| value.error(problem))?));
    }
    Ok(headers)
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name == "authorization" {
        return Err("a password does not belong here; give basic_auth or bearer_token_file");
    }
    if RESERVED.contains(&name) || RESERVED_STARTS.iter().any(|start| name.starts_with(start)) {
        return Err("this header belongs to the connection, or the exporter sets it; remove it");
    }
    Ok(())
}

/// A header's value, which is neither logged nor kept in an index of HTTP/2.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok().filter(|_| text.is_ascii() && text.len() <= MAX_VALUE)?;
    value.set_sensitive(true);
    Some(value)
}

/// The `Authorization` header of `basic_auth` or `bearer_token_file`.
pub(super) fn authorization(target: &Mapping, files: &mut Files) -> Result<Option<HeaderValue>, FileError> {
    match (target.get("basic_auth"), target.get("bearer_token_file")) {
        (Some(_), Some(token)) => Err(token.error("basic_auth is given too; remove one of them")),
        (Some(field), None) => basic(&field, files).map(Some),
        (None, Some(field)) => {
            let problem = "a token is one line of printable ASCII characters without spaces";
            let is_token = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic());
            let parse = |line: &str| sensitive(&format!("Bearer {line}")).filter(|_| is_token(line)).ok_or(problem);
            files.secret(&field, parse).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn basic(field: &Field, files: &mut Files) -> Result<HeaderValue, FileError> {
    let mapping = field.mapping(&BASIC_KEYS)?;
    let missing = |key: &str| field.error(format!("{key} is missing"));
    let (name_field, name) = mapping.text("username")?.ok_or_else(|| missing("username"))?;
    if name.contains(':') || name.chars().any(char::is_control) {
        return Err(name_field.error("a user's name has no colon and no control characters (RFC 7617)"));
    }
    let (password, _) = mapping.text("password_file")?.ok_or_else(|| missing("password_file"))?;
    files.secret(&password, |line| {
        let is_password = !line.is_empty() && !line.chars().any(char::is_control);
        let value = sensitive(&format!("Basic {}", STANDARD.encode(format!("{name}:{line}"))));
        value.filter(|_| is_password).ok_or("a password is one line without control characters, of at most 2000 bytes")
    })
}
