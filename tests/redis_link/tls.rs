//! TLS, and an ACL user.

use std::time::Duration;

use openim_exporter::telemetry::ReplicasFailure;
use redis::cmd;

use crate::authority::Authority;
use crate::redis_server::Redis;
use crate::{failure, get, key, link_with, set, texts};

/// What the exporter's user needs, as in docs/replicas.md.
const ACL: &str = "~{openim-exporter}:* resetchannels -@all +time +getrange +set +exists +pexpire +zadd +zcard \
                   +zrevrangebyscore +zremrangebyscore";

fn path(authority: &Authority, name: &str) -> String {
    authority.path(name).to_str().unwrap().to_owned()
}

/// A server that accepts only TLS with a client certificate.
fn secure_server(authority: &Authority) -> Redis {
    authority.issue("redis", &["localhost", "127.0.0.1"]);
    authority.issue("exporter", &["exporter"]);
    let path = |name| path(authority, name);
    let files = [
        "--tls-cert-file",
        &path("redis.pem"),
        "--tls-key-file",
        &path("redis.key"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
    ];
    Redis::start_with_tls(&files)
}

#[test]
#[ignore = "needs redis-server"]
fn tls_with_a_client_certificate() {
    let authority = Authority::new();
    let redis = secure_server(&authority);
    let path = |name| path(&authority, name);
    let (ca, certificate, key) = (path("ca.pem"), path("exporter.pem"), path("exporter.key"));
    let trusted = ["--replicas.redis-ca-file", &ca];
    let identified = ["--replicas.redis-cert-file", &certificate, "--replicas.redis-key-file", &key];
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("rediss://{host}:{}", redis.port);
        let flags = [&["--replicas.redis-url", &url], &trusted[..], &identified].concat();
        assert_eq!(texts(link_with(&flags).send(&[set("a", "1"), get("a")]).unwrap()), ["OK", "1"]);
    }
    let url = format!("rediss://127.0.0.1:{}", redis.port);
    let url = ["--replicas.redis-url", url.as_str()];
    let anonymous = failure(&mut link_with(&[&url, &trusted[..]].concat()), ReplicasFailure::Refused);
    assert!(anonymous.message.contains("check --replicas.redis-cert-file"), "{anonymous}");
    let unknown = failure(&mut link_with(&[&url, &identified[..]].concat()), ReplicasFailure::Unreachable);
    assert!(unknown.message.contains("UnknownIssuer; give the certificate of its CA, or its own"), "{unknown}");
    let plain = format!("redis://127.0.0.1:{}", redis.port);
    let plain = failure(&mut crate::link(&plain), ReplicasFailure::Unreachable);
    assert!(plain.message.contains("check that the URL has rediss://"), "{plain}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_new_certificate_is_used_for_the_next_connection() {
    let authority = Authority::new();
    let redis = secure_server(&authority);
    let stranger = Authority::new();
    stranger.issue("exporter", &["exporter"]);
    let copy = |from: &Authority| {
        for name in ["exporter.pem", "exporter.key"] {
            authority.write(&format!("used-{name}"), std::fs::read(from.path(name)).unwrap());
        }
    };
    copy(&stranger);
    let path = |name| path(&authority, name);
    let mut link = link_with(&[
        "--replicas.redis-url",
        &format!("rediss://localhost:{}", redis.port),
        "--replicas.redis-ca-file",
        &path("ca.pem"),
        "--replicas.redis-cert-file",
        &path("used-exporter.pem"),
        "--replicas.redis-key-file",
        &path("used-exporter.key"),
    ]);
    failure(&mut link, ReplicasFailure::Refused);
    copy(&authority);
    link.send(&[set("a", "1")]).unwrap();
    // A file that is missing for a moment is a failure like any other.
    let renamed = authority.path("used-exporter.away");
    std::fs::rename(authority.path("used-exporter.pem"), &renamed).unwrap();
    let kill = cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("no").clone();
    link.send(&[kill]).unwrap();
    let missing = failure(&mut link, ReplicasFailure::Other);
    assert!(
        missing.message.starts_with("--replicas.redis-cert-file /") && missing.message.contains("give a readable file"),
        "{missing}"
    );
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_without_tls_is_told_apart() {
    let redis = Redis::start(&[]);
    // Redis waits for the end of what it takes for a command.
    let waiting = failure(&mut crate::link(&format!("rediss://127.0.0.1:{}", redis.port)), ReplicasFailure::Timeout);
    assert!(waiting.message.contains("that this port has TLS if the URL has rediss://"), "{waiting}");
    let http = crate::failing::server(b"HTTP/1.1 400 Bad Request\r\n\r\n", Duration::ZERO);
    let plain = failure(&mut crate::link(&http.replace("redis:", "rediss:")), ReplicasFailure::Unreachable);
    assert!(plain.message.contains("if Redis has no TLS at this port, use redis://"), "{plain}");
}

#[test]
#[ignore = "needs redis-server"]
fn an_acl_user_needs_no_more_rights_than_documented() {
    let redis = Redis::start(&[]);
    let set_user = |rights: &str| {
        let rights: Vec<_> = ["ACL", "SETUSER", "exporter", "reset", "on", ">hunter2"]
            .into_iter()
            .chain(rights.split_whitespace())
            .collect();
        assert_eq!(redis.cli(&rights), "OK");
    };
    set_user(ACL);
    let mut link = crate::link(&format!("redis://exporter:hunter2@{}", redis.address()));
    let names =
        cmd("ZREVRANGEBYSCORE").arg(key("replicas")).arg("+inf").arg("-inf").arg("LIMIT").arg(0).arg(10).clone();
    let added = cmd("ZADD").arg(key("replicas")).arg(1).arg("one").clone();
    let removed = cmd("ZREMRANGEBYSCORE").arg(key("replicas")).arg("-inf").arg(0).clone();
    link.send(&[cmd("TIME"), set("a", "1"), get("a"), added, names, removed]).unwrap();
    link.time().unwrap();
    for outside in [cmd("SET").arg("other").arg("1").clone(), cmd("KEYS").arg("*").clone(), cmd("FLUSHALL")] {
        let outside = link.send(&[outside]).unwrap_err();
        assert_eq!(outside.reason, ReplicasFailure::Refused, "{outside}");
        assert!(outside.message.contains("NOPERM") && outside.message.contains("docs/replicas.md"), "{outside}");
    }
    let wrong =
        failure(&mut crate::link(&format!("redis://exporter:hunter3@{}", redis.address())), ReplicasFailure::Refused);
    assert!(
        wrong.message.contains("correct the user in --replicas.redis-url") && !wrong.message.contains("hunter"),
        "{wrong}"
    );
}
