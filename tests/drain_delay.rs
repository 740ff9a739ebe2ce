//! `--web.drain-delay`: after a signal, clients have time to move to other exporters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::{Exporter, GROUP_MESSAGE_PATH, eventually, logfmt_value, message};

/// Longest drain, with a margin for a busy machine.
const LONGEST_END: Duration = Duration::from_millis(4800);

#[test]
fn during_the_delay_it_serves_as_before_but_is_not_ready_and_connections_move() {
    let exporter = Exporter::start(&["--web.drain-delay", "10m"]);
    let (mut used, mut idle) = (exporter.connect(), exporter.connect());
    assert!(!used.post(GROUP_MESSAGE_PATH, message("g", "u")).closes());
    assert!(!idle.post(GROUP_MESSAGE_PATH, message("g", "u")).closes());
    let mut viewer = exporter.connect();
    viewer.send("GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(viewer.answer_to_head().status, 200);
    exporter.signal("TERM");
    eventually("that it is not ready", || exporter.get("/-/ready").status == 503);
    assert!(used.post(GROUP_MESSAGE_PATH, message("g", "u")).closes());
    assert!(exporter.connect().post(GROUP_MESSAGE_PATH, message("g", "u")).closes());
    assert_eq!((exporter.get("/-/healthy").status, exporter.get("/metrics").status), (200, 200));
    // Longer than a drain leaves an idle connection open.
    thread::sleep(Duration::from_millis(1500));
    assert!(!idle.is_closed() && !viewer.chunk().unwrap().is_empty());
    exporter.signal("HUP");
    assert_eq!(exporter.connect().post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    assert!(idle.post(GROUP_MESSAGE_PATH, message("g", "u")).closes());
    exporter.signal("TERM");
    eventually("a refused connection", || exporter.refuses());
    drop(viewer);
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}");
    assert_eq!(logfmt_value(log.last().unwrap(), "messages"), Some("6"), "{log:#?}");
}

#[test]
fn the_drain_begins_after_the_delay() {
    let exporter = Exporter::start(&["--web.drain-delay", "4s"]);
    let begin = Instant::now();
    exporter.signal("TERM");
    eventually("a refused connection", || exporter.refuses());
    assert!(begin.elapsed() >= Duration::from_secs(4), "{:?}", begin.elapsed());
    let (status, log) = exporter.wait();
    assert!(status.success() && begin.elapsed() < Duration::from_secs(4) + LONGEST_END, "{status}");
    let is_named = |line: &&String| logfmt_value(line, "signal") == Some("SIGTERM");
    assert_eq!(log.iter().filter(is_named).count(), 2, "{log:#?}");
    assert!(log.iter().any(|line| logfmt_value(line, "delay") == Some("4s")), "{log:#?}");
}

#[test]
fn a_second_signal_or_request_ends_the_delay() {
    let quit = |exporter: &Exporter| assert_eq!(exporter.post("/-/quit", "").status, 200);
    let interrupt = |exporter: &Exporter| exporter.signal("INT");
    for (first, second) in [
        (&interrupt as &dyn Fn(&Exporter), &quit as &dyn Fn(&Exporter)),
        (&quit, &interrupt),
        (&quit, &quit),
        (&interrupt, &interrupt),
    ] {
        let exporter = Exporter::start(&["--web.drain-delay", "10m", "--web.enable-lifecycle"]);
        first(&exporter);
        eventually("that it is not ready", || exporter.get("/-/ready").status == 503);
        second(&exporter);
        let begin = Instant::now();
        let (status, log) = exporter.wait();
        assert!(status.success() && begin.elapsed() < LONGEST_END, "{status} {:?} {log:#?}", begin.elapsed());
    }
}
