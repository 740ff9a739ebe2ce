//! Why an exchange with Redis failed, and what to do about it.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use redis::ServerError;
use tokio_rustls::rustls::{CertificateError, Error as TlsError, InvalidMessage};

use crate::telemetry::ReplicasFailure::{self, Full, Other, ReadOnly, Refused, Timeout, Unreachable};

/// How much of an error is repeated, in characters.
const MAX_SAID: usize = 200;

const LOGIN: &str =
    "correct the user in --replicas.redis-url, or the password in it or in --replicas.redis-password-file";

/// The code of an error, a part of its text, the reason, and what to do.
#[rustfmt::skip]
const ADVICE: [(&str, &str, ReplicasFailure, &str); 23] = [
    ("NOAUTH", "", Refused, "give the password with --replicas.redis-password-file"),
    ("WRONGPASS", "", Refused, LOGIN),
    ("NOPERM", "", Refused, "give the ACL user the permissions listed in docs/replicas.md"),
    ("DENIED", "", Refused, "set a password in Redis (requirepass), and --replicas.redis-password-file"),
    ("OOM", "", Full, "raise maxmemory, or use another Redis; docs/replicas.md says how much memory is needed"),
    ("READONLY", "", ReadOnly, "give the URL of the primary; with Sentinel or Cluster this ends with the failover"),
    ("MISCONF", "", Other, "Redis cannot save to its disk: see its log, and free space there"),
    ("LOADING", "", Other, "it has just started; this ends by itself"),
    ("CLUSTERDOWN", "", Other, "nodes are down or in failover; if this lasts, see redis-cli CLUSTER INFO"),
    ("MASTERDOWN", "", Other, "its primary is down or in failover; if this lasts, see redis-cli INFO replication"),
    ("MOVED", "", Other, "this is a Redis Cluster: add ?cluster=true to --replicas.redis-url"),
    ("ASK", "", Other, "this is a Redis Cluster: add ?cluster=true to --replicas.redis-url"),
    ("TRYAGAIN", "", Other, "the slot of our keys is being moved to another node; this ends with the move"),
    ("NOREPLICAS", "", Other, "it has fewer replicas than min-replicas-to-write: start them"),
    ("WRONGTYPE", "", Other, "another program uses this key: remove it, or use another database"),
    ("ERR", "without any password", Refused, "Redis has no password: set one (requirepass), or remove it here"),
    ("ERR", "no password is set", Refused, "Redis has no password: set one (requirepass), or remove it here"),
    ("ERR", "invalid password", Refused, LOGIN),
    ("ERR", "arguments for 'auth'", Refused, "before version 6, Redis has no users: remove the user from the URL"),
    ("ERR", "max number of clients", Other, "raise maxclients in Redis"),
    ("ERR", "DB index is out of range", Other, "lower the database's number in the URL, or raise databases in Redis"),
    ("ERR", "SELECT is not allowed in cluster mode", Other, "this is a Redis Cluster: write ?cluster=true instead of the number"),
    ("ERR", "unknown command", Other, "check that the URL names a Redis, or Sentinels if it has ?sentinel=; or a command was renamed"),
];

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The reason, as the metrics name it.
    pub reason: ReplicasFailure,
    /// What happened, and what to do. Has no password.
    pub message: String,
}

impl Failure {
    pub(super) fn new(reason: ReplicasFailure, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// There is no connection to a server.
    pub(super) fn connecting(server: &dyn Display, error: &io::Error) -> Self {
        const SLOW: &str = "check that Redis runs, that no firewall is in between, and that this port has TLS if the URL has rediss://";
        Self::of(&format!("cannot connect to {server}"), error, SLOW)
    }

    /// A connection failed.
    pub(super) fn exchanging(server: &dyn Display, error: &io::Error) -> Self {
        Self::of(&server.to_string(), error, "check that Redis runs and is not overloaded (redis-cli SLOWLOG GET)")
    }

    fn of(failed: &str, error: &io::Error, slow: &str) -> Self {
        const CLOSED: &str =
            "if Redis did not just restart, check that the URL has rediss:// if this port has TLS, and see Redis' log";
        let (reason, what, advice) = match (tls_error(error), error.kind()) {
            (Some(tls), _) => (tls_reason(tls), tls.to_string(), tls_advice(tls)),
            (_, ErrorKind::TimedOut) => (Timeout, "no answer in time".to_owned(), slow),
            (_, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                (Unreachable, "it closed the connection".to_owned(), CLOSED)
            }
            (_, ErrorKind::FileTooLarge) => {
                (Other, "its answers are far too long".to_owned(), "check that this is Redis")
            }
            _ => (Unreachable, error.to_string(), "check that Redis runs, and --replicas.redis-url"),
        };
        Self::new(reason, format!("{failed}: {what}; {advice}"))
    }

    /// The answer is not in Redis' protocol.
    pub(super) fn garbage(server: &dyn Display) -> Self {
        let message = format!(
            "{server}: the answer is not from Redis; check the host and the port in --replicas.redis-url, and whether \
             it needs rediss://"
        );
        Self::new(Other, message)
    }

    /// Redis answered a command with an error.
    pub(super) fn refused(server: &dyn Display, command: &str, error: &ServerError) -> Self {
        let details = error.details().unwrap_or_default();
        let row = ADVICE.iter().find(|(code, part, ..)| error.code() == *code && details.contains(part));
        let (reason, advice) = row.map_or((Other, "see Redis' log"), |(_, _, reason, advice)| (*reason, *advice));
        // What follows is what was sent, which may be a password.
        let details = details.split(", with args").next().unwrap_or_default();
        let said: String = [error.code(), details].join(" ").chars().take(MAX_SAID).collect();
        Self::new(reason, format!("{server} answered {command} with: {}; {advice}", said.trim_end()))
    }
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

const fn tls_reason(error: &TlsError) -> ReplicasFailure {
    match error {
        // Redis does not accept our certificate.
        TlsError::AlertReceived(_) => Refused,
        _ => Unreachable,
    }
}

fn tls_advice(error: &TlsError) -> &'static str {
    match error {
        TlsError::AlertReceived(_) => {
            "Redis refuses this TLS client: check --replicas.redis-cert-file, or see Redis' log"
        }
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)) => {
            "give the certificate of its CA, or its own if it is self-signed, with --replicas.redis-ca-file"
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate must have the name or address in subjectAltName",
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "if Redis has no TLS at this port, use redis:// in --replicas.redis-url"
        }
        _ => "check Redis' certificate",
    }
}
