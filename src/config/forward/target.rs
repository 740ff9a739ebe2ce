//! A target: a server that gets callbacks.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};

use super::breaker::Breaker;
use super::globs::{Commands, Globs};
use super::policies::Policies;
use super::signing_secret::SigningSecret;
use super::tls::ClientTls;
use super::url::Url;
use crate::config::exclusions::ContentTypes;

/// A server that gets callbacks. Its `Debug` shows no secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// A label value and the name of a directory: lower-case letters, digits, `_` and `-`, at most 63.
    pub name: String,
    /// The URL that the command is appended to.
    pub url: Url,
    /// The commands that it answers; `None` if it gets copies only.
    pub answers: Option<Commands>,
    /// The commands that it gets.
    pub commands: Commands,
    /// The content types that it gets; `None` for all, and for callbacks without a content type.
    pub content_types: Option<ContentTypes>,
    /// The groups whose callbacks it gets; `None` for all, and for callbacks without a group.
    pub groups: Option<Globs>,
    /// Headers of each request, none of which the exporter sets itself. Marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The `Authorization` header. Marked as sensitive.
    pub authorization: Option<HeaderValue>,
    /// TLS, for a URL with `https`.
    pub tls: ClientTls,
    /// The secrets that sign requests, at most two; the first signs first.
    pub secrets: Vec<SigningSecret>,
    /// Timeout for establishing a connection, including TLS.
    pub connect_timeout: Duration,
    /// Timeout for the complete answer to a passed-through callback; at most 4.5 s, because OpenIM gives up after 5 s.
    pub answer_timeout: Duration,
    /// Timeout for the answer to a delivery.
    pub delivery_timeout: Duration,
    /// Maximum number of deliveries in parallel.
    pub concurrency: usize,
    /// Maximum number of passed-through callbacks in progress.
    pub max_in_flight: usize,
    /// What OpenIM gets instead of an answer that is missing or unusable.
    pub policies: Policies,
    /// When the target counts as down.
    pub breaker: Breaker,
    /// Size of its spool, in bytes.
    pub max_bytes: u64,
    /// Age of the oldest callback in its spool.
    pub max_age: Duration,
}

impl Target {
    /// The target of `--forward.url`: it gets and answers everything, and all else is the default.
    #[must_use]
    pub fn simple(url: Url) -> Self {
        Self {
            name: "default".to_owned(),
            url,
            answers: Some(Commands::obeyed()),
            commands: Commands::all(),
            content_types: None,
            groups: None,
            headers: Vec::new(),
            authorization: None,
            tls: ClientTls::default(),
            secrets: Vec::new(),
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(3),
            delivery_timeout: Duration::from_secs(10),
            concurrency: 16,
            max_in_flight: 256,
            policies: Policies::default(),
            breaker: Breaker::default(),
            max_bytes: 1 << 30,
            max_age: Duration::from_secs(72 * 3600),
        }
    }

    /// Whether the filters need a callback's content type or group.
    #[must_use]
    pub const fn filters_by_body(&self) -> bool {
        self.content_types.is_some() || self.groups.is_some()
    }

    /// Whether the filters by content type and group admit a callback.
    #[must_use]
    pub fn admits(&self, content_type: Option<i32>, group: Option<&str>) -> bool {
        let type_fits =
            self.content_types.as_ref().is_none_or(|types| content_type.is_some_and(|found| types.contains(found)));
        let group_fits = self.groups.as_ref().is_none_or(|groups| group.is_some_and(|found| groups.matches(found)));
        type_fits && group_fits
    }

    /// Whether it answers this command, if it gets the callback at all.
    #[must_use]
    pub fn answers(&self, command: &str) -> bool {
        self.answers.as_ref().is_some_and(|commands| commands.contains(command))
    }
}
