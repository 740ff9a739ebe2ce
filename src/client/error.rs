//! Why there is no connection or no answer.

use std::error::Error;
use std::io;

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    /// What is wrong, and which flag to change.
    #[error("{0}")]
    Handshake(String),
    /// The server requires a client certificate.
    #[error("it requires a client certificate; give one with --cert-file and --key-file")]
    NoCertificate,
}

/// Why there was no answer.
pub(crate) enum ExchangeError {
    /// The connection ended before the server processed the request.
    Unsent(Box<dyn Error>),
    /// The connection ended later.
    Lost(Box<dyn Error>),
    /// The answer was larger than [`MAX_ANSWER`](super::MAX_ANSWER).
    TooLong,
}
