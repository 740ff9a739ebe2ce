//! Servers that do not do what they should.

use std::io::{Read as _, Write as _};
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use openim_exporter::telemetry::ReplicasFailure;
use redis::cmd;

use crate::redis_server::{Redis, until};
use crate::{LIMIT, failure, get, key, link, set, texts};

#[test]
#[ignore = "needs redis-server"]
fn a_full_server_is_full() {
    let redis = Redis::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let full = failure(&mut link(&format!("redis://{}", redis.address())), ReplicasFailure::Full);
    assert!(full.message.contains("OOM") && full.message.contains("raise maxmemory"), "{full}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_replica_is_read_only() {
    let primary = Redis::start(&[]);
    let port = primary.port.to_string();
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port]);
    until("the replica", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
    let mut link = link(&format!("redis://{}", replica.address()));
    assert_eq!(texts(link.send(&[get("a")]).unwrap()), [""]);
    let refused = failure(&mut link, ReplicasFailure::ReadOnly);
    assert!(
        refused.message.contains("READONLY") && refused.message.contains("give the URL of the primary"),
        "{refused}"
    );
    // It becomes the primary: the next exchange succeeds.
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    link.send(&[set("a", "1")]).unwrap();
}

#[test]
#[ignore = "needs redis-server"]
fn a_frozen_server_is_given_up_in_time() {
    let redis = Redis::start(&[]);
    let mut link = link(&format!("redis://{}", redis.address()));
    link.send(&[set("a", "1")]).unwrap();
    redis.signal("STOP");
    let frozen = failure(&mut link, ReplicasFailure::Timeout);
    assert!(frozen.message.contains("no answer in time"), "{frozen}");
    // The kernel accepts a new connection.
    failure(&mut link, ReplicasFailure::Timeout);
    redis.signal("CONT");
    assert_eq!(texts(link.send(&[set("a", "2"), get("a")]).unwrap()), ["OK", "2"]);
}

#[test]
#[ignore = "needs redis-server"]
fn errors_of_redis_have_advice() {
    let redis = Redis::start(&["--databases", "2", "--min-replicas-to-write", "1"]);
    let mut away = link(&format!("redis://{}/5", redis.address()));
    let outside = failure(&mut away, ReplicasFailure::Other);
    assert!(outside.message.contains("lower the database's number"), "{outside}");
    let alone = failure(&mut link(&format!("redis://{}", redis.address())), ReplicasFailure::Other);
    assert!(alone.message.contains("NOREPLICAS") && alone.message.contains("min-replicas-to-write"), "{alone}");
    let needless = failure(&mut link(&format!("redis://:hunter2@{}", redis.address())), ReplicasFailure::Refused);
    assert!(needless.message.contains("Redis has no password") && !needless.message.contains("hunter2"), "{needless}");
    let no_sentinel =
        failure(&mut link(&format!("redis://{}/?sentinel=main", redis.address())), ReplicasFailure::Other);
    assert!(no_sentinel.message.contains("check that the URL names a Redis, or Sentinels"), "{no_sentinel}");
}

/// Answers each connection with these bytes, one by one if there is a pause, and leaves it open.
pub(crate) fn server(bytes: &'static [u8], pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let answer = move |mut stream: TcpStream| {
        let piece = if pause.is_zero() { bytes.len().max(1) } else { 1 };
        for piece in bytes.chunks(piece) {
            thread::sleep(pause);
            if stream.write_all(piece).is_err() {
                return;
            }
        }
        let _ = stream.read_to_end(&mut Vec::new());
    };
    thread::spawn(move || listener.incoming().for_each(|stream| drop(thread::spawn(move || answer(stream.unwrap())))));
    url
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_is_not_redis_is_given_up_in_time() {
    let silent = failure(&mut link(&server(b"", Duration::ZERO)), ReplicasFailure::Timeout);
    assert!(silent.message.contains("no answer in time"), "{silent}");
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x46\r\n",
        b"$x\r\n",
        b"*-9223372036854775808x\r\n",
        // Arrays in arrays.
        b"*1\r\n".repeat(200).leak(),
    ] {
        let garbage = failure(&mut link(&server(garbage, Duration::ZERO)), ReplicasFailure::Other);
        assert!(garbage.message.contains("the answer is not from Redis"), "{garbage}");
    }
    // Lengths that no answer has: nothing is reserved for them.
    for endless in
        [&b"*9223372036854775807\r\n"[..], b"$9223372036854775807\r\n", b"*1000000000\r\n*1000000000\r\n", b"*****"]
    {
        failure(&mut link(&server(endless, Duration::ZERO)), ReplicasFailure::Timeout);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn an_error_that_repeats_the_password_is_not_shown() {
    for said in
        [&b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n"[..], b"-ERR what is hunter2?\r\n"]
    {
        let url = server(said, Duration::ZERO).replace("//", "//:hunter2@");
        let repeated = failure(&mut link(&url), ReplicasFailure::Other);
        assert!(!repeated.message.contains("hunter2"), "{repeated}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_sends_a_byte_at_a_time_gets_no_more_time() {
    // Each byte comes within the limit for an answer, and each answer too.
    let slow = link(&server(b"+OK\r\n", Duration::from_millis(300))).send(&vec![set("a", "1"); 10]).unwrap_err();
    assert_eq!(slow.reason, ReplicasFailure::Timeout, "{slow}");
    let begin = Instant::now();
    let all = [b"+".as_slice(), &[b'o'; 1000]].concat().leak();
    let slow = link(&server(all, Duration::from_millis(100))).send(&[set("a", "1")]).unwrap_err();
    assert_eq!(slow.reason, ReplicasFailure::Timeout, "{slow}");
    // The limit of an answer is 2 s. Only that of the whole exchange is 5 s.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
#[ignore = "needs redis-server"]
fn many_dead_hosts_take_no_longer_and_a_live_one_is_found() {
    let redis = Redis::start(&[]);
    // These accept nothing: their queue is full.
    let (listener, silent) = full_listener();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let hosts = vec![address.to_string(); 6].join(",");
    let mut link = link(&format!("redis://{hosts},{}?cluster=true", redis.address()));
    let mut attempts = 0;
    loop {
        let begin = Instant::now();
        let sent = link.send(&[set("a", "1")]);
        assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
        attempts += 1;
        match sent {
            Ok(_) => break,
            Err(dead) => assert!(dead.message.contains("no answer in time"), "{dead}"),
        }
    }
    // In 5 s, three hosts are tried. Six are dead.
    assert!((3..=4).contains(&attempts), "{attempts}");
    drop(silent);
}

/// A listener whose connections are never accepted, and whose queue is full, and the connections in it.
fn full_listener() -> (socket2::Socket, Vec<TcpStream>) {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200));
    let connections = iter::from_fn(|| connect().ok()).collect();
    (listener, connections)
}

#[test]
#[ignore = "needs redis-server"]
fn a_huge_answer_is_read_and_its_memory_is_bounded() {
    let redis = Redis::start(&[]);
    let mut link = link(&format!("redis://{}", redis.address()));
    let commands: Vec<_> = (0..24).map(|number| set(&number.to_string(), &"x".repeat(64 << 10))).collect();
    link.send(&commands).unwrap();
    let commands: Vec<_> = (0..24).map(|number| get(&number.to_string())).collect();
    assert!(texts(link.send(&commands).unwrap()).iter().all(|text| text.len() == 64 << 10));
    // Five times as long as the longest that is read.
    redis.cli(&["SETRANGE", &key("big"), "10000000", "x"]);
    let big = link.send(&[cmd("GET").arg(key("big")).clone()]).unwrap_err();
    assert!(big.message.contains("its answers are far too long"), "{big}");
    // The smallest values: each needs more memory than bytes.
    let nothing: &[u8] = [&b"*100000000\r\n"[..], &b"_\r\n".repeat(4 << 20)].concat().leak();
    let fail = || crate::link(&server(nothing, Duration::ZERO)).send(&[set("a", "1")]).unwrap_err();
    // A busy machine may not read so many in time.
    let many = iter::repeat_with(fail).take(10).find(|many| many.reason != ReplicasFailure::Timeout).unwrap();
    assert_eq!(many.reason, ReplicasFailure::Other);
    assert!(many.message.contains("its answers are far too long"), "{many}");
}

#[test]
fn an_address_that_no_server_has_is_not_followed_and_not_logged() {
    let name = "x".repeat(1 << 20);
    let moved = format!("-MOVED 866 {name}:6379\r\n").into_bytes().leak();
    let url = server(moved, Duration::ZERO) + "?cluster=true";
    let wrong = failure(&mut link(&url), ReplicasFailure::Other);
    assert!(wrong.message.len() < 1000, "{}", wrong.message.len());
    let primary = format!("*2\r\n${}\r\n{name}\r\n$4\r\n6379\r\n", name.len()).into_bytes().leak();
    let url = server(primary, Duration::ZERO) + "?sentinel=main";
    let wrong = failure(&mut link(&url), ReplicasFailure::Other);
    assert!(wrong.message.contains("the answer is not from Redis") && wrong.message.len() < 1000, "{wrong}");
}
