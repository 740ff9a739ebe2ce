//! Why the exporter cannot start or has to end.

use std::io;
use std::path::PathBuf;

use crate::arena;
use crate::forward;
use crate::http::AccessError;
use crate::replicas::LinkError;

/// The step of starting, serving or stopping that failed, and how to make it work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot handle signals: {0}; raise the limit of open files (LimitNOFILE, ulimit -n)")]
    Signals(io::Error),
    #[error("{0}")]
    Access(#[from] AccessError),
    #[error("{0}")]
    Replicas(#[from] LinkError),
    #[error("--web.systemd-socket: no socket was passed on; start with a .socket unit (deploy/), or remove the flag")]
    NoSocket,
    #[error("--web.systemd-socket: cannot use a socket that was passed on: {0}; it must be a listening TCP socket")]
    Socket(io::Error),
    #[error("{0}")]
    Listen(io::Error),
    #[error(
        "--{0}: callbacks are kept in --storage.path until they are delivered, but that is empty; set it to a directory"
    )]
    NoSpool(&'static str),
    #[error("--{0}: {1}")]
    Forward(&'static str, forward::Error),
    #[error("cannot read the address of a listening socket: {0}")]
    Address(io::Error),
    #[error("cannot reserve memory for the state: {0}; lower --groups.max-tracked or --senders.max-tracked")]
    Memory(io::Error),
    #[error(
        "--record.path {path}: {1}; name a directory that only this exporter writes to, or remove the flag",
        path = .0.display()
    )]
    Record(PathBuf, io::Error),
    #[error("{0}")]
    State(#[from] arena::Error),
    #[error(
        "cannot create a runtime for each serving thread: {0}; raise the limits of open files (LimitNOFILE, ulimit -n), \
         threads (TasksMax, ulimit -u) and the address space (LimitAS, ulimit -v)"
    )]
    Runtimes(io::Error),
    #[error("cannot start the thread {0}: {1}; raise the limit of threads (TasksMax, ulimit -u)")]
    Thread(&'static str, io::Error),
    #[error("a serving thread cannot accept connections: {0}")]
    Accept(io::Error),
    #[error("a serving thread panicked")]
    Panicked,
    #[error("a serving thread ended unexpectedly")]
    ServerEnded,
}
