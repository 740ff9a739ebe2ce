//! `openim-exporter healthcheck`: asks an exporter whether it is alive or ready, as a container's health check.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::client::{ConnectError, Endpoint, ExchangeError, Link, get};
use crate::config::healthcheck::Healthcheck;
use crate::config::simulate::Target;

/// The pages, which every address of an exporter serves without a password, and what their text begins with.
const HEALTHY: &str = "/-/healthy";
const READY: &str = "/-/ready";
const ANSWER: &str = "openim-exporter is ";

/// Bytes of an unexpected answer in an error.
const SHOWN_BYTES: usize = 200;

/// Why an exporter is not healthy, or why that is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Settings(String),
    #[error("cannot create a runtime: {0}; raise the limit of open files (ulimit -n)")]
    Runtime(io::Error),
    #[error("cannot connect to {0}: {1}; is the exporter running? If it listens elsewhere, give --url")]
    Unreachable(String, io::Error),
    #[error("the TLS handshake with {0} failed: {1}")]
    Handshake(String, String),
    #[error("{0} requires a client certificate; give one with --cert-file and --key-file")]
    NoCertificate(String),
    #[error("no answer from {0} within {1:?}; look at the exporter's log, or raise --timeout if it is only slow")]
    Timeout(String, Duration),
    #[error("{0} closed the connection without an answer: {1}")]
    Lost(String, Box<dyn StdError>),
    #[error("{0} answered {1}: {2}")]
    Refused(String, StatusCode, String),
    #[error("{0} answered {1}, but not as an openim-exporter does; give the exporter's address with --url")]
    Other(String, StatusCode),
}

/// Asks until one of the exporter's addresses answers. Returns what it says, in one line.
///
/// # Errors
/// When the exporter is not healthy, or does not answer in time.
pub(crate) async fn check(settings: &Healthcheck) -> Result<String, Error> {
    let targets = settings.targets().map_err(Error::Settings)?;
    let deadline = Instant::now() + settings.timeout;
    let mut last = Error::Settings("the exporter has no address; give --url".to_owned());
    for target in &targets {
        let asked = timeout_at(deadline, ask(target, settings.is_about_readiness)).await;
        last = match asked.unwrap_or_else(|_| Err(Error::Timeout(target.to_string(), settings.timeout))) {
            // Perhaps the machine does not have this address, or not IPv4 or IPv6 at all.
            Err(Error::Unreachable(_, error)) => Error::Unreachable(listed(&targets), error),
            answer => return answer,
        };
    }
    Err(last)
}

fn listed(targets: &[Target]) -> String {
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(" or ")
}

async fn ask(target: &Target, is_about_readiness: bool) -> Result<String, Error> {
    let path = if is_about_readiness { READY } else { HEALTHY };
    let (name, mut answer) = (target.to_string(), Vec::new());
    let status = match page(target, path, &mut answer).await {
        Err(Error::NoCertificate(_)) if !is_about_readiness => {
            // One of its serving threads has read and answered the handshake.
            return Ok(format!("{name} is alive: it requires a client certificate (--cert-file)"));
        }
        asked => asked?,
    };
    let text = String::from_utf8_lossy(answer.get(..SHOWN_BYTES).unwrap_or(&answer));
    // The text is the server's: control characters must not reach the terminal.
    let line = text.lines().next().unwrap_or_default().replace(char::is_control, " ");
    match status {
        StatusCode::OK if line.starts_with(ANSWER) => Ok(format!("{name}: {line}")),
        StatusCode::OK => Err(Error::Other(name, status)),
        _ => Err(Error::Refused(format!("{}{path}", name.trim_end_matches('/')), status, line)),
    }
}

async fn page(target: &Target, path: &str, answer: &mut Vec<u8>) -> Result<StatusCode, Error> {
    let name = || target.to_string();
    let endpoint = Endpoint::new(target, "--url").map_err(Error::Settings)?;
    // The connection ended, and this can be the reason.
    let ended = |error| if endpoint.lacks_certificate() { Error::NoCertificate(name()) } else { error };
    let mut link = Link::open(&endpoint).await.map_err(|error| match error {
        ConnectError::Unreachable(error) => ended(Error::Unreachable(name(), error)),
        ConnectError::NoCertificate => Error::NoCertificate(name()),
        ConnectError::Handshake(problem) => Error::Handshake(name(), problem),
    })?;
    let path = format!("{}{path}", target.prefix.trim_end_matches('/'));
    get(&mut link, target, &path, answer).await.map_err(|error| match error {
        ExchangeError::Unsent(error) | ExchangeError::Lost(error) => ended(Error::Lost(name(), error)),
        ExchangeError::TooLong => Error::Other(name(), StatusCode::OK),
    })
}
