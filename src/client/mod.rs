//! The client of `simulate` and `healthcheck`: one connection to a server, with TLS like Go's client.

mod error;
mod link;
mod page;
mod tls;

pub(crate) use error::{ConnectError, ExchangeError};
pub(crate) use link::{Endpoint, Link, MAX_ANSWER, Protocol};
pub(crate) use page::get;
