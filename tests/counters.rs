//! What a restart does to the counters of requests, and how to reset all counters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::{Exporter, GROUP_MESSAGE_PATH, command, message};

#[test]
fn callbacks_refusals_and_the_last_callback_s_time_survive_a_kill_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--storage.path", directory.path().to_str().unwrap()];
    let mut exporter = Exporter::start(&arguments);
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    exporter.post("/callbackAfterJoinGroupCommand", "{}");
    exporter.post("/callbackAfterSomethingNewCommand", "{}");
    exporter.post(GROUP_MESSAGE_PATH, "{").refusal(400);
    let families = [
        "openim_exporter_callbacks_total",
        "openim_exporter_callbacks_rejected_total",
        "openim_exporter_last_callback_timestamp_seconds",
    ];
    let counted = |exporter: &Exporter| {
        let samples = exporter.scrape();
        families.map(|family| samples.of(family).map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>())
    };
    let api = |exporter: &Exporter| {
        let mut callbacks = exporter.get("/api/v1/summary").json()["callbacks"].clone();
        callbacks.as_object_mut().unwrap().remove("last_rejected");
        callbacks
    };
    let (before, api_before) = (counted(&exporter), api(&exporter));
    let sum = |family: usize| before[family].iter().map(|(_, value)| value).sum::<f64>();
    assert_eq!((sum(0), sum(1)), (3.0, 1.0));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - sum(2)).abs() < 60.0, "{}", sum(2));
    assert_eq!((&api_before["total"], &api_before["rejected"]["malformed_json"]), (&3.into(), &1.into()));
    for signal in ["KILL", "TERM"] {
        exporter.signal(signal);
        exporter.wait();
        exporter = Exporter::start(&arguments);
        assert_eq!(counted(&exporter), before, "{signal}");
        assert_eq!(api(&exporter), api_before, "{signal}");
    }
}

#[test]
fn the_counters_of_a_stopped_exporter_can_be_reset() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let path = directory.to_str().unwrap();
    let reset = || {
        let output = command(&["state", "reset-counters", "--storage.path", path]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, printed) = reset();
    assert!(code == Some(1) && printed.contains("there is no state in this directory"), "{printed}");
    assert!(!directory.exists());
    let mut exporter = Exporter::start(&["--storage.path", path]);
    let (code, printed) = reset();
    assert!(code == Some(1) && printed.contains("another process uses this state"), "{printed}");
    for signal in ["TERM", "KILL"] {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
        exporter.signal(signal);
        exporter.wait();
        assert_eq!(reset(), (Some(0), String::new()), "{signal}");
        exporter = Exporter::start(&["--storage.path", path]);
        let samples = exporter.scrape();
        assert_eq!(samples.sum("openim_group_messages_total"), 0.0, "{signal}");
        assert_eq!(samples.value(r#"openim_exporter_state_start{outcome="counters_reset"}"#), 1.0, "{signal}");
        assert_eq!(samples.value(r#"openim_active_senders{window="24h"}"#), 1.0, "{signal}");
    }
    // Only the next start resets them.
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    exporter.signal("KILL");
    exporter.wait();
    assert_eq!(Exporter::start(&["--storage.path", path]).scrape().sum("openim_group_messages_total"), 1.0);
}
