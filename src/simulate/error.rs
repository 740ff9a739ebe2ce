//! Why a simulation cannot run.

use std::io;
use std::path::PathBuf;

use hyper::http;
use tokio::task::JoinError;

/// Why a simulation could not run. Callbacks that fail are not errors: the [`Report`](super::Report) counts them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime could not be created.
    #[error("cannot create a runtime: {0}; raise the limit of open files (ulimit -n)")]
    Runtime(io::Error),
    /// Nothing listens at the target.
    #[error("cannot connect to {0}: {1}; is the exporter running, and does it receive callbacks at this address?")]
    Unreachable(String, io::Error),
    /// The trusted certificates cannot be read; names the flag.
    #[error("{0}")]
    Trust(String),
    /// The target does not speak TLS, or is not trusted.
    #[error("the TLS handshake with {0} failed: {1}")]
    Handshake(String, String),
    /// The target already has messages, and nobody can be asked.
    #[error("{0} {1}; nothing was sent. Messages cannot be removed afterwards; to add some anyway, give --yes")]
    NotConfirmed(String, String),
    /// The target already has messages, and no more are wanted.
    #[error("nothing was sent; --yes answers the question in advance")]
    Declined,
    /// The question could not be asked.
    #[error("cannot ask in the terminal: {0}; --yes answers the question in advance")]
    Question(io::Error),
    /// The parameters of a distribution are not valid.
    #[error("cannot draw random messages: {0}")]
    Distribution(String),
    /// A callback could not be encoded.
    #[error("cannot encode a callback: {0}")]
    Callback(io::Error),
    /// A request could not be built.
    #[error("cannot build a request: {0}")]
    Request(#[from] http::Error),
    /// A file of records cannot be read.
    #[error("--replay: cannot read {path}: {error}", path = .0.display(), error = .1)]
    Replay(PathBuf, io::Error),
    /// The thread that reads records could not be started.
    #[error("cannot start a thread: {0}; raise the limit of threads (ulimit -u)")]
    Thread(io::Error),
    /// A connection's task panicked.
    #[error("a connection's task failed: {0}")]
    Task(#[from] JoinError),
    /// The report could not be written to its file.
    #[error("--report: cannot write {path}: {error}", path = .0.display(), error = .1)]
    Report(PathBuf, io::Error),
    /// The summary or the report could not be printed.
    #[error("cannot print the report: {0}")]
    Print(io::Error),
}
