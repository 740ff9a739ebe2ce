//! Requests for pages.

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode, http};

use super::error::ExchangeError;
use super::link::{Link, Protocol};
use crate::config::simulate::Target;

/// Gets a page, and replaces `answer` with its body.
///
/// # Errors
/// When there is no answer; a path that no URL can have counts as not sent.
pub(crate) async fn get(
    link: &mut Link,
    target: &Target,
    path: &str,
    answer: &mut Vec<u8>,
) -> Result<StatusCode, ExchangeError> {
    let request = request(link.protocol(), target, path).map_err(|error| ExchangeError::Unsent(Box::new(error)))?;
    link.exchange(request, answer).await
}

fn request(protocol: Protocol, target: &Target, path: &str) -> Result<Request<Bytes>, http::Error> {
    let request = match protocol {
        Protocol::Http1 => Request::get(path).header(header::HOST, &target.authority),
        // In HTTP/2 the host is part of the URI.
        Protocol::Http2 => Request::get(format!("https://{}{path}", target.authority)),
    };
    let agent = concat!("openim-exporter/", env!("CARGO_PKG_VERSION"));
    let mut request = request.header(header::USER_AGENT, HeaderValue::from_static(agent)).body(Bytes::new())?;
    if let Some(authorization) = &target.authorization {
        request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}
