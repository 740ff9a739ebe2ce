//! Reloads, drains, clients that leave, and loops.

use std::thread::sleep;
use std::time::Duration;

use openim_exporter::wire::{Judged, UrlForm, judge};

use crate::scene::{CONTINUES, REFUSES, Scene, body};
use crate::support::{Exporter, SUCCESS, command, eventually, free_port};
use crate::target::{ALLOWED, Target, allows, answers, held, is_silent};

#[test]
fn a_reload_changes_the_target_for_new_callbacks_only() {
    let (gate, deed) = held(allows());
    let old = Target::start(deed);
    let new = Target::start(answers("200 OK", "application/json", b"{\"actionCode\":0}"));
    let scene = Scene::start(&old.url(), &[]);
    let mut waiting = scene.waiting(CONTINUES);
    eventually("the request", || old.got().len() == 1);
    scene.reload(&new.url(), &[]);
    assert_eq!(scene.post(CONTINUES).0.text(), "{\"actionCode\":0}");
    drop(gate);
    assert_eq!(waiting.answer().body, ALLOWED);
    assert_eq!(scene.verdicts("allowed"), (old.got().len() + new.got().len()) as f64);
}

#[test]
fn in_a_drain_the_policies_answer_what_still_waits() {
    let target = Target::start(is_silent());
    let scene = Scene::start(&target.url(), &[]);
    let (mut continues, mut refuses) = (scene.waiting(CONTINUES), scene.waiting(REFUSES));
    eventually("both requests", || target.got().len() == 2);
    scene.exporter.signal("TERM");
    let answer = continues.answer();
    assert_eq!((answer.text().as_str(), answer.closes()), (SUCCESS, true));
    assert_eq!(judge(&refuses.answer().body, UrlForm::Path), Judged::Refuses);
    let (status, log) = scene.exporter.wait();
    let has = |text: &str| log.iter().any(|line| line.contains(text));
    // Either thread may be the first to notice that it is time. The drain ended before its own limit.
    let by_the_drain = has("no answer before the shutdown") || has("the exporter is shutting down or overloaded");
    assert!(status.success() && by_the_drain && !has("cut off"), "{log:#?}");
}

#[test]
fn in_a_drain_the_target_may_still_answer() {
    let (gate, deed) = held(allows());
    let target = Target::start(deed);
    let scene = Scene::start(&target.url(), &[]);
    let mut waiting = scene.waiting(CONTINUES);
    eventually("the request", || target.got().len() == 1);
    scene.exporter.signal("TERM");
    scene.exporter.wait_for_log("the drain", |lines| lines.iter().any(|line| line.contains("draining")));
    drop(gate);
    assert_eq!(waiting.answer().body, ALLOWED);
    assert!(scene.exporter.wait().0.success());
}

#[test]
fn a_wait_longer_than_the_time_for_a_body_is_not_cut_off() {
    let (gate, deed) = held(allows());
    let target = Target::start(deed);
    let scene = Scene::start(&target.url(), &[]);
    let bytes = crate::support::post_bytes(&format!("/{CONTINUES}"), "", body(CONTINUES).as_bytes());
    let mut client = scene.exporter.connect();
    // The body's last byte comes late: its time does not count.
    client.send(&bytes[..bytes.len() - 1]).unwrap();
    sleep(Duration::from_millis(3300));
    client.send(&bytes[bytes.len() - 1..]).unwrap();
    eventually("the request", || target.got().len() == 1);
    sleep(Duration::from_millis(2900));
    drop(gate);
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
