//! A single server.

use openim_exporter::telemetry::ReplicasFailure;
use redis::cmd;

use crate::redis_server::Redis;
use crate::{failure, get, link, link_with, set, texts};

#[test]
#[ignore = "needs redis-server"]
fn commands_are_answered_in_their_order() {
    let redis = Redis::start(&[]);
    let mut link = link(&format!("redis://{}/3", redis.address()));
    assert_eq!(texts(link.send(&[set("a", "one"), get("a"), get("missing")]).unwrap()), ["OK", "one", ""]);
    assert_eq!(redis.cli(&["-n", "3", "GET", "{openim-exporter}:a"]), "one");
    let time = link.time().unwrap();
    let machine = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((time.0 - i64::try_from(machine.as_millis()).unwrap()).abs() < 5000, "{time:?}");
    // One connection for all of it.
    assert!(redis.cli(&["INFO", "stats"]).contains("total_connections_received:4"));
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_restarts_is_found_again_at_once() {
    let mut redis = Redis::start(&[]);
    let mut link = link(&format!("redis://{}", redis.address()));
    link.send(&[set("a", "1")]).unwrap();
    redis.kill();
    let down = failure(&mut link, ReplicasFailure::Unreachable);
    assert!(
        down.message.ends_with("Connection refused (os error 111); check that Redis runs, and --replicas.redis-url"),
        "{down}"
    );
    let again = Redis::start_at(redis.port, &[]);
    link.send(&[set("a", "2")]).unwrap();
    // Not even one exchange fails if it is back before the next one.
    drop(again);
    let _again = Redis::start_at(redis.port, &[]);
    assert_eq!(texts(link.send(&[set("a", "3"), get("a")]).unwrap()), ["OK", "3"]);
}

#[test]
#[ignore = "needs redis-server"]
fn one_failed_command_fails_the_exchange() {
    let redis = Redis::start(&[]);
    let mut link = link(&format!("redis://{}", redis.address()));
    let wrong = link.send(&[set("a", "1"), cmd("ZCARD").arg(crate::key("a")).clone(), get("a")]).unwrap_err();
    assert!(wrong.message.contains("answered ZCARD with: WRONGTYPE"), "{wrong}");
    assert_eq!(texts(link.send(&[get("a")]).unwrap()), ["1"]);
}

#[test]
#[ignore = "needs redis-server"]
fn the_password_file_is_read_for_each_connection() {
    let mut redis = Redis::start(&["--requirepass", "hunter2"]);
    redis.cli = vec!["-a".to_owned(), "hunter2".to_owned(), "--no-auth-warning".to_owned()];
    let file = redis.directory.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let url = format!("redis://{}", redis.address());
    let mut link = link_with(&["--replicas.redis-url", &url, "--replicas.redis-password-file", file.to_str().unwrap()]);
    let wrong = failure(&mut link, ReplicasFailure::Refused);
    assert!(wrong.message.contains("answered AUTH with: WRONGPASS"), "{wrong}");
    std::fs::write(&file, "hunter2\n").unwrap();
    link.send(&[set("a", "1")]).unwrap();
    // The password is changed while the connection is open.
    redis.cli(&["CONFIG", "SET", "requirepass", "hunter3"]);
    std::fs::write(&file, "hunter3\n").unwrap();
    redis.cli[1] = "hunter3".to_owned();
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    link.send(&[set("a", "2")]).unwrap();
    let none = failure(&mut crate::link(&url), ReplicasFailure::Refused);
    assert!(none.message.contains("NOAUTH") && none.message.contains("--replicas.redis-password-file"), "{none}");
}
