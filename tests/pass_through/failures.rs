//! A target without a usable answer: the policy answers in time, and the callback is counted once.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use openim_exporter::wire::{Judged, UrlForm, judge};

use crate::scene::{ANSWER_TIMEOUT, CONTINUES, REFUSES, Scene, TRANSPARENT, body, failures};
use crate::support::{SUCCESS, eventually, free_port};
use crate::target::{
    Deed, Target, allows, and_closes, answers, answers_at_length, held, is_late, is_silent, resets, writes,
};

/// What a target does, why that is no answer, and the status and body that came back.
struct Failing {
    deed: Deed,
    reason: &'static str,
    came_back: (u16, &'static str),
}

const NOTHING: (u16, &str) = (502, "");
const PAGE: &str = "<html><body>It works!</body></html>";

fn failing(deed: Deed, reason: &'static str, came_back: (u16, &'static str)) -> Failing {
    Failing { deed, reason, came_back }
}

/// Checks the answer of each policy.
fn check(scene: &Scene, reason: &str, (status, body): (u16, &str)) {
    let what = |answer: &crate::support::Response| format!("{reason}: {} {}", answer.status, answer.text());
    let post = |command| {
        let (answer, took) = scene.post(command);
        // If the timeout were ignored, the default of 3 s would apply. Any other reason shows that none was reached.
        assert!(reason != "timeout" || took < Duration::from_secs(3), "{took:?}");
        answer
    };
    let answer = post(CONTINUES);
    assert_eq!((answer.status, answer.text()), (200, SUCCESS.to_owned()), "{}", what(&answer));
    let answer = post(REFUSES);
    assert_eq!(judge(&answer.body, UrlForm::Path), Judged::Refuses, "{}", what(&answer));
    let answer = post(TRANSPARENT);
    assert_eq!((answer.status, answer.text().as_str()), (status, body), "{}", what(&answer));
    assert_eq!(answer.header("location"), None);
    let samples = scene.exporter.scrape();
    assert_eq!(failures(&samples, reason), 3.0, "{reason}");
    assert_eq!(samples.sum("openim_exporter_forward_answer_failures_total"), 3.0);
    for verdict in ["policy_continue", "policy_refuse", "policy_transparent"] {
        assert_eq!(samples.sum_of("openim_exporter_forward_answers_total", "verdict", verdict), 1.0, "{reason}");
    }
    // The time of what is not an answer, and no timeout, would make an outage look fast.
    let timed = samples.sum("openim_exporter_forward_answer_duration_seconds_count");
    assert_eq!(timed, if reason == "unreachable" { 0.0 } else { 3.0 }, "{reason}");
    assert_eq!(samples.sum("openim_message_attempts_total"), 2.0, "{reason}");
    assert_eq!(samples.sum("openim_exporter_callbacks_total"), 3.0, "{reason}");
}

#[test]
fn each_policy_answers_in_time_whatever_a_target_does() {
    const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n", &[b' '; 1 << 16][..], b"\r\n"].concat();
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 66\r\n\r\n{\"actionCode\":0";
    let all = Mutex::new(VecDeque::from([
        failing(resets(), "unreachable", NOTHING),
        failing(and_closes(writes("")), "unreachable", NOTHING),
        failing(and_closes(writes("\x00\x01garbage\r\n\r\n")), "unreachable", NOTHING),
        failing(and_closes(writes(half)), "unreachable", NOTHING),
        failing(writes(half), "timeout", NOTHING),
        failing(is_silent(), "timeout", NOTHING),
        failing(is_late(allows()), "timeout", NOTHING),
        failing(answers("200 OK", "text/html", PAGE.as_bytes()), "unusable", (200, PAGE)),
        failing(answers("301 Moved Permanently", "text/html", PAGE.as_bytes()), "unusable", (301, PAGE)),
        failing(answers("307 Temporary Redirect", "application/json", SUCCESS.as_bytes()), "unusable", (307, SUCCESS)),
        failing(answers("500 Internal Server Error", "text/plain", b"oops"), "unusable", (500, "oops")),
        failing(writes("HTTP/1.1 204 No Content\r\n\r\n"), "unusable", (204, "")),
        failing(answers("200 OK", "application/json", b"[]"), "unusable", (200, "[]")),
        failing(answers_at_length(LONG, vec![b' '; 1 << 16]), "too_large", NOTHING),
        failing(answers_at_length(CHUNKED, chunk), "too_large", NOTHING),
    ]));
    let next = || all.lock().unwrap().pop_front();
    let check_all = || {
        while let Some(Failing { deed, reason, came_back }) = next() {
            let target = Target::start(deed);
            let settings: &[_] = if reason == "timeout" { &["answer_timeout: 400ms"] } else { &[] };
            check(&Scene::start(&target.url(), settings), reason, came_back);
            // Nothing was sent twice.
            assert_eq!(target.got().len(), 3, "{reason}");
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(check_all))));
}

#[test]
fn each_policy_answers_in_time_without_a_target() {
    check(&Scene::start(&format!("http://127.0.0.1:{}", free_port()), &[]), "unreachable", NOTHING);
}

#[test]
fn a_connection_that_fails_before_the_request_is_retried_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/callback", listener.local_addr().unwrap());
    let (sender, connections) = channel();
    // The handshake fails.
    thread::spawn(move || listener.incoming().try_for_each(|stream| sender.send(stream.is_ok())));
    let scene = Scene::start(&url, &["tls: {insecure_skip_verify: true}"]);
    for _ in 0..3 {
        assert_eq!(scene.post(CONTINUES).0.text(), SUCCESS);
        assert_eq!(connections.try_iter().count(), 2);
    }
    assert_eq!(scene.failures("unreachable"), 3.0);
}

#[test]
fn the_policy_continue_echoes_what_openim_copies() {
    let scene = Scene::start(&format!("http://127.0.0.1:{}", free_port()), &[]);
    let (answer, _) = scene.post("callbackBeforeSetGroupInfoCommand");
    assert_eq!((answer.json()["groupID"].as_str(), answer.json()["groupName"].as_str()), (Some("g1"), Some("Hikers")));
}

/// A target that has failed three times, and an exporter whose breaker stays open for this long.
fn with_open_breaker(open_for: &str) -> (Target, Scene) {
    let target = Target::start(resets());
    let breaker = format!("breaker: {{window: 10m, min_requests: 3, failure_rate: 0.5, open_for: {open_for}}}");
    let scene = Scene::start(&target.url(), &[&breaker]);
    for _ in 0..3 {
        assert_eq!(breaker_state(&scene), 0.0);
        assert_eq!(scene.post(CONTINUES).0.text(), SUCCESS);
    }
    assert_eq!(breaker_state(&scene), 2.0);
    (target, scene)
}

fn breaker_state(scene: &Scene) -> f64 {
    scene.exporter.scrape().value("openim_exporter_forward_breaker_state{target=\"business\"}")
}

#[test]
fn a_target_that_keeps_failing_gets_no_requests_until_it_works_again() {
    let (target, scene) = with_open_breaker("30s");
    assert_eq!(scene.post(CONTINUES).0.text(), SUCCESS);
    assert_eq!((scene.failures("breaker"), scene.failures("unreachable"), target.got().len()), (1.0, 3.0, 3));
    let (target, scene) = with_open_breaker("100ms");
    target.set(allows());
    eventually("the probe", || scene.post(CONTINUES).0.text().contains("target"));
    assert_eq!(breaker_state(&scene), 0.0);
    assert_eq!(target.got().len(), 4);
}

#[test]
fn beyond_the_limit_of_requests_in_progress_the_policy_answers_at_once() {
    let (gate, deed) = held(allows());
    let target = Target::start(deed);
    let scene = Scene::start(&target.url(), &["max_in_flight: 2"]);
    let mut waiting = [scene.waiting(CONTINUES), scene.waiting(CONTINUES)];
    eventually("two requests", || target.got().len() == 2);
    assert_eq!(judge(&scene.post(REFUSES).0.body, UrlForm::Path), Judged::Refuses);
    drop(gate);
    assert!(waiting.iter_mut().all(|client| client.answer().text().contains("target")));
    assert_eq!((scene.failures("in_flight"), scene.verdicts("allowed"), target.got().len()), (1.0, 2.0, 2));
    // Their places are free again.
    assert!(scene.post(REFUSES).0.text().contains("target"));
}

#[test]
fn a_connection_that_the_target_has_closed_is_not_used_again() {
    let target = Target::start(and_closes(allows()));
    let scene = Scene::start(&target.url(), &[]);
    let mut client = scene.exporter.connect();
    for number in 0..50 {
        let body = body(CONTINUES);
        let answer = client.post(&format!("/{CONTINUES}"), body);
        assert!(answer.text().contains("target"), "{number}: {}", answer.text());
        eventually("the end of the connection", || target.closed() == number + 1);
    }
    assert_eq!(target.got().len(), 50);
}

#[test]
fn openim_2_3_which_waits_for_two_seconds_gets_the_policy_s_answer_too() {
    let target = Target::start(is_silent());
    let scene = Scene::start(&target.url(), &[]);
    let began = Instant::now();
    let answer = scene.exporter.post("/callback", body(CONTINUES));
    assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS));
    assert!(began.elapsed() < ANSWER_TIMEOUT, "{:?}", began.elapsed());
    let is_reason = |line: &String| line.contains("no answer within 1.8s: OpenIM 2.3 waits for 2s");
    scene.exporter.wait_for_log("the reason", |lines| lines.iter().any(is_reason));
}
