//! A target that is down, or answers with anything but a success.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::scene::{Scene, assert_in_order, post, target};
use crate::support::{Exporter, eventually, free_port};
use crate::target::{Deed, Target, accepts, and_closes, answer, at_first, writes};

#[test]
fn what_a_target_misses_is_delivered_when_it_is_back() {
    let address = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let breaker = "breaker: {min_requests: 5, open_for: 500ms}";
    let scene = Scene::start(&format!("http://{address}/callback"), &[breaker]);
    let mut client = scene.exporter().connect();
    for number in 0..20 {
        for group in ["a", "b", "c", "d", "e", "f"] {
            post(&mut client, group, number);
        }
    }
    eventually("an open breaker", || scene.value("breaker_state") == 2.0);
    assert_eq!(scene.value("delivered_total"), 0.0);
    assert!(scene.attempts("unreachable") >= 5.0);
    let target = Target::start_at(address, accepts());
    scene.wait_until_delivered();
    assert_in_order(&target.got(), false, 6, 20);
    assert_eq!(scene.value("breaker_state"), 0.0);
    // A target that ends later, with connections in use.
    drop(target);
    (20..30).for_each(|number| post(&mut client, "a", number));
    let target = Target::start_at(address, accepts());
    scene.wait_until_delivered();
    assert_eq!(crate::scene::by_group(&target.got(), true)["a"], (20..30).collect::<Vec<_>>());
}

#[test]
fn a_rejected_callback_is_a_dead_letter_and_does_not_block_the_next() {
    let target = Target::start(at_first(writes("HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno such")));
    let mut scene = Scene::start(&target.url(), &[]);
    (0..3).for_each(|number| scene.post("a", number));
    scene.wait_until_delivered();
    assert_in_order(&target.got(), false, 1, 3);
    assert_eq!((scene.attempts("rejected"), scene.value("dead_letters_total")), (1.0, 1.0));
    eventually("the gauge", || scene.value("dead_letters_stored") == 1.0);
    let log = scene.terminate();
    assert!(log.iter().any(|line| line.contains("dead letter") && line.contains("status=404")), "{log:#?}");
}

#[test]
fn a_target_that_asks_for_a_pause_gets_it() {
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
    let target = Target::start(at_first(writes(busy)));
    let scene = Scene::start(&target.url(), &[]);
    scene.post("a", 0);
    let got = target.wait_for(2);
    let pause = got[1].at - got[0].at;
    assert!(pause >= Duration::from_secs(2) && pause < Duration::from_secs(4), "{pause:?}");
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
}

#[test]
fn whatever_else_a_target_does_the_callback_is_sent_again() {
    let resets: Deed = Arc::new(|_, _, stream| {
        SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
        Err(io::ErrorKind::Other.into())
    });
    // Until the exporter gives up.
    let is_late = |deed: Deed| -> Deed {
        Arc::new(move |got, before, stream| {
            let _ = stream.read(&mut [0]);
            deed(got, before, stream)
        })
    };
    for (what, deed, outcome) in [
        ("a status", writes(answer("500 Internal Server Error")), "failed"),
        ("a timeout of its own", writes(answer("408 Request Timeout")), "failed"),
        ("a redirection", writes(answer("301 Moved Permanently")), "failed"),
        ("garbage", and_closes(writes("\0\x01garbage\r\n\r\n")), "unreachable"),
        ("half a head", and_closes(writes("HTTP/1.1 200 OK\r\nContent-Le")), "unreachable"),
        ("an end", and_closes(writes("")), "unreachable"),
        ("a reset", resets, "unreachable"),
        ("silence", is_late(and_closes(writes(""))), "timeout"),
        ("an answer that is late", is_late(and_closes(accepts())), "timeout"),
    ] {
        let server = Target::start(at_first(deed));
        let long = ["delivery_timeout: 1m"];
        let scene = Scene::start(&server.url(), if outcome == "timeout" { &["delivery_timeout: 1s"] } else { &long });
        scene.post("a", 0);
        scene.post("a", 1);
        if outcome == "timeout" {
            // The next attempts may take longer.
            server.wait_for(1);
            scene.reload(&target("copy", &server.url(), &long));
        }
        scene.wait_until_delivered();
        let numbers: Vec<_> = server.got().iter().map(|got| got.text("ex")).collect();
        assert_eq!(numbers, ["0", "0", "1"], "{what}");
        assert_eq!((scene.attempts(outcome), scene.attempts("success")), (1.0, 2.0), "{what}");
    }
}

#[test]
fn the_head_of_a_success_is_enough() {
    let long: Deed = Arc::new(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")?;
        (0..100).try_for_each(|_| stream.write_all(&[b'x'; 1 << 20]))
    });
    let half = and_closes(writes("HTTP/1.1 200 OK\r\nContent-Length: 66\r\n\r\n{\"actionCode\":0"));
    let unfinished = writes("HTTP/1.1 200 OK\r\nContent-Length: 66\r\n\r\n{");
    for (what, deed) in [
        ("100 MiB", long),
        ("half a body", half),
        ("a body without an end", unfinished),
        ("no content", writes("HTTP/1.1 204 No Content\r\n\r\n")),
    ] {
        let target = Target::start(at_first(deed));
        let scene = Scene::start(&target.url(), &[]);
        scene.post("a", 0);
        scene.post("a", 1);
        scene.wait_until_delivered();
        // Nothing was sent twice: that would happen after a timeout.
        assert_in_order(&target.got(), false, 1, 2);
        assert!(resident_bytes(scene.exporter()) < 150 << 20, "{what}");
    }
}

fn resident_bytes(exporter: &Exporter) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", exporter.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_target_that_never_answers_does_not_delay_the_end() {
    let target = Target::start(Arc::new(|_, _, stream| stream.read(&mut [0]).map(drop)));
    let mut scene = Scene::start(&target.url(), &[]);
    scene.post("a", 0);
    target.wait_for(1);
    let began = Instant::now();
    scene.terminate();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    target.set(accepts());
    scene.start_again();
    target.wait_for(2);
    eventually("the delivery", || scene.value("delivered_total") == 1.0);
}
