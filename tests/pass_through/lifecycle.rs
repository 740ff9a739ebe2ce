//! Reloads, drains, clients that leave, and loops.

use std::time::{Duration, Instant};

use openim_exporter::wire::{Judged, UrlForm, judge};

use crate::scene::{CONTINUES, REFUSES, Scene, body};
use crate::support::{Exporter, SUCCESS, command, eventually, free_port};
use crate::target::{ALLOWED, Target, after, allows, answers, is_silent};

#[test]
fn a_reload_changes_the_target_for_new_callbacks_only() {
    let old = Target::start(after(Duration::from_millis(1500), allows()));
    let new = Target::start(answers("200 OK", "application/json", b"{\"actionCode\":0}"));
    let scene = Scene::start(&old.url(), &["answer_timeout: 4s"]);
    let mut waiting = scene.waiting(CONTINUES);
    eventually("the request", || old.got().len() == 1);
    scene.reload(&new.url(), &["answer_timeout: 4s"]);
    eventually("the new target", || scene.post(CONTINUES).0.text() == "{\"actionCode\":0}");
    assert_eq!(waiting.answer().body, ALLOWED);
    assert_eq!(scene.verdicts("allowed"), (old.got().len() + new.got().len()) as f64);
}

#[test]
fn in_a_drain_the_policies_answer_what_still_waits() {
    let target = Target::start(is_silent());
    let scene = Scene::start(&target.url(), &["answer_timeout: 4500ms"]);
    let (mut continues, mut refuses) = (scene.waiting(CONTINUES), scene.waiting(REFUSES));
    eventually("both requests", || target.got().len() == 2);
    let began = Instant::now();
    scene.exporter.signal("TERM");
    let answer = continues.answer();
    assert_eq!((answer.text().as_str(), answer.closes()), (SUCCESS, true));
    assert_eq!(judge(&refuses.answer().body, UrlForm::Path), Judged::Refuses);
    assert!(began.elapsed() < Duration::from_millis(3800), "{:?}", began.elapsed());
    let (status, log) = scene.exporter.wait();
    assert!(status.success() && began.elapsed() < Duration::from_secs(4), "{:?} {log:#?}", began.elapsed());
}

#[test]
fn in_a_drain_the_target_may_still_answer() {
    let target = Target::start(after(Duration::from_millis(800), allows()));
    let scene = Scene::start(&target.url(), &["answer_timeout: 4s"]);
    let mut waiting = scene.waiting(CONTINUES);
    eventually("the request", || target.got().len() == 1);
    scene.exporter.signal("TERM");
    assert_eq!(waiting.answer().body, ALLOWED);
    assert!(scene.exporter.wait().0.success());
}

#[test]
fn a_wait_longer_than_the_time_for_a_body_is_not_cut_off() {
    let target = Target::start(after(Duration::from_millis(4200), allows()));
    let scene = Scene::start(&target.url(), &["answer_timeout: 4500ms"]);
    let bytes = crate::support::post_bytes(&format!("/{CONTINUES}"), "", body(CONTINUES).as_bytes());
    let mut client = scene.exporter.connect();
    // The body's last byte comes late: its time does not count.
    client.send(&bytes[..bytes.len() - 1]).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    client.send(&bytes[bytes.len() - 1..]).unwrap();
    assert_eq!(client.answer().body, ALLOWED);
}

/// An exporter on this port that forwards everything to a URL.
fn forwarding(port: u16, url: &str, storage: &tempfile::TempDir) -> Exporter {
    let storage = storage.path().join(port.to_string());
    let flags = ["--web.listen-address", &format!("127.0.0.1:{port}"), "--forward.url", url, "--storage.path"];
    Exporter::run(command(&flags).arg(storage))
}

#[test]
fn a_target_that_is_the_exporter_itself_is_found() {
    let (port, storage) = (free_port(), tempfile::tempdir().unwrap());
    let exporter = forwarding(port, &format!("http://127.0.0.1:{port}/callback"), &storage);
    let answer = exporter.post(&format!("/{CONTINUES}"), body(CONTINUES));
    let (message, detail) = answer.refusal(508);
    assert!(message == "forwarding loop" && detail.contains("--forward.url"), "{detail}");
    // The user's action goes on.
    assert_eq!(judge(&answer.body, UrlForm::Path), Judged::Allows);
    let samples = exporter.scrape();
    assert_eq!(samples.sum("openim_message_attempts_total"), 1.0);
    assert_eq!(samples.sum_of("openim_exporter_callbacks_rejected_total", "reason", "forward_loop"), 1.0);
}

#[test]
fn a_loop_over_another_exporter_is_found() {
    let (ports, storage) = ([free_port(), free_port()], tempfile::tempdir().unwrap());
    let url = |port: u16| format!("http://127.0.0.1:{port}/callback");
    let [first, second] =
        [forwarding(ports[0], &url(ports[1]), &storage), forwarding(ports[1], &url(ports[0]), &storage)];
    first.post(&format!("/{CONTINUES}"), body(CONTINUES)).refusal(508);
    for exporter in [&first, &second] {
        assert_eq!(exporter.scrape().sum("openim_message_attempts_total"), 1.0);
    }
    let loops = |exporter: &Exporter| {
        exporter.scrape().sum_of("openim_exporter_callbacks_rejected_total", "reason", "forward_loop")
    };
    assert_eq!((loops(&first), loops(&second)), (1.0, 0.0));
}
