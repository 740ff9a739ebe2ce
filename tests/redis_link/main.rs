//! The connection to real Redis servers: a single one, Sentinel and Cluster, and everything that can go wrong with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../secure/authority.rs"]
#[allow(dead_code, reason = "it is also for the tests of our own TLS")]
mod authority;
mod cluster;
mod failing;
#[path = "../support/redis.rs"]
mod redis_server;
mod sentinel;
mod single;
mod tls;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use openim_exporter::config::{Invocation, from_args};
use openim_exporter::replicas::{Failure, Link};
use openim_exporter::telemetry::ReplicasFailure;
use redis::{Cmd, FromRedisValue, Value, cmd};

/// An exchange takes 5 s at most. Without a limit for all of it, six dead hosts would take 12 s.
const LIMIT: Duration = Duration::from_secs(10);

/// A link with these flags.
fn link_with(flags: &[&str]) -> Link {
    let arguments = ["openim-exporter"].iter().chain(flags).map(OsString::from);
    let Ok(Invocation::Serve(config)) = from_args(arguments) else { panic!("wrong flags: {flags:?}") };
    Link::new(&config.replicas).unwrap().unwrap()
}

fn link(url: &str) -> Link {
    link_with(&["--replicas.redis-url", url])
}

/// A key of ours, with the hash tag of all keys.
fn key(name: &str) -> String {
    format!("{{openim-exporter}}:{name}")
}

fn set(name: &str, value: &str) -> Cmd {
    cmd("SET").arg(key(name)).arg(value).arg("PX").arg(60_000).clone()
}

fn get(name: &str) -> Cmd {
    cmd("GETRANGE").arg(key(name)).arg(0).arg(1_000_000).clone()
}

/// The texts of answers.
fn texts(answers: Vec<Value>) -> Vec<String> {
    answers.into_iter().map(|answer| String::from_redis_value(answer).unwrap()).collect()
}

/// The failure of an exchange, which must have this reason and be within the limit.
fn failure(link: &mut Link, reason: ReplicasFailure) -> Failure {
    let begin = Instant::now();
    let failure = link.send(&[set("a", "1")]).unwrap_err();
    assert!(begin.elapsed() < LIMIT, "{:?}: {failure}", begin.elapsed());
    assert_eq!(failure.reason, reason, "{failure}");
    failure
}
