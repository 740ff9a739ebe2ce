//! Killing the exporter repeatedly under full load: it continues with its counts, and every answered message is
//! counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod oracle;
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use oracle::{Prometheus, config_for};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;
use support::totals::assert_totals;
use support::{Client, Exporter, GROUP_MESSAGE_PATH, Samples, command, logfmt_value, post_bytes};

const ROUNDS: usize = 50;
const CONNECTIONS: usize = 16;

/// The messages that were sent, at least in part, and those that were answered, by a label's value.
type Counts = BTreeMap<String, (u64, u64)>;

fn message(group: &str, content_type: u32) -> String {
    format!(r#"{{"sendID":"u","groupID":"{group}","contentType":{content_type},"status":2,"content":"hello"}}"#)
}

/// Sends without pause, and opens a new connection when the old one breaks.
fn load(address: SocketAddr, number: usize, done: &AtomicBool) -> Counts {
    let mut counts = Counts::new();
    let kinds = [(101, "text"), (102, "picture"), (106, "at_text")];
    let mut turn = number;
    while !done.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(address) else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        loop {
            turn += 1;
            let (group, (code, name)) = (format!("g{}", turn % 7), kinds[turn % kinds.len()]);
            let request = post_bytes(GROUP_MESSAGE_PATH, "", message(&group, code).as_bytes());
            let answered = client.send(request).is_ok() && client.try_answer().is_ok_and(|answer| answer.status == 200);
            for label in [group.as_str(), name, "all"] {
                let (sent, taken) = counts.entry(label.to_owned()).or_default();
                *sent += 1;
                *taken += u64::from(answered);
            }
            if !answered || done.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    counts
}

/// Ends the load when dropped, also after a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn start(address: SocketAddr, directory: &str) -> Exporter {
    Exporter::run(&mut command(&["--web.listen-address", &address.to_string(), "--storage.path", directory]))
}

fn assert_between(what: &str, counted: f64, (sent, answered): (u64, u64)) {
    assert!(
        answered > 0 && answered as f64 <= counted && counted <= sent as f64,
        "{what}: {answered} <= {counted} <= {sent}"
    );
}

fn assert_counted(samples: &Samples, counts: &Counts) {
    for (label, bounds) in counts {
        let counted = match label.as_str() {
            "all" => samples.sum("openim_group_messages_total"),
            group if group.starts_with('g') => {
                samples.value(&format!(r#"openim_group_messages_by_group_total{{group_id="{group}"}}"#))
            }
            kind => samples.sum_of("openim_group_messages_total", "content_type", kind),
        };
        assert_between(label, counted, *bounds);
    }
    assert_between("status", samples.value(r#"openim_group_messages_by_status_total{status="2"}"#), counts["all"]);
    assert_between("content", samples.value("openim_group_message_content_bytes_count"), counts["all"]);
}

/// A message that was in progress at a kill is in all totals or in none.
fn assert_nothing_drifted(samples: &Samples) {
    let total = samples.sum("openim_group_messages_total");
    let by_group =
        samples.sum("openim_group_messages_by_group_total") + samples.sum("openim_group_messages_folded_total");
    let statuses = samples.sum("openim_group_messages_by_status_total");
    let content = samples.value("openim_group_message_content_bytes_count");
    assert_eq!([by_group, statuses, content], [total; 3]);
}

#[test]
#[ignore = "needs prometheus"]
fn fifty_kills_under_full_load_lose_nothing_that_was_answered_and_reset_no_counter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(3);
    let exporter = Exporter::run(&mut command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", path]));
    let address = exporter.address();
    let prometheus = Prometheus::start(&config_for(address));
    let done = AtomicBool::new(false);
    let (exporter, counts) = thread::scope(|scope| {
        let (done, mut exporter) = (&done, exporter);
        let ended = Ended(done);
        let loads: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || load(address, number, done))).collect();
        for round in 0..ROUNDS {
            thread::sleep(Duration::from_millis(random.random_range(20..400)));
            // The signals of the kernel when memory runs out, and of a failed assertion.
            exporter.signal(["KILL", "ABRT"][round % 2]);
            assert!(!exporter.wait().0.success());
            exporter = start(address, path);
            let log = exporter.log();
            let opened = log.iter().find(|line| line.contains("state opened")).unwrap();
            assert_eq!(logfmt_value(opened, "outcome"), Some("continued"), "round {round}: {log:#?}");
        }
        prometheus.wait_for_a_scrape();
        drop(ended);
        let mut counts = Counts::new();
        for (label, (sent, answered)) in loads.into_iter().flat_map(|load| load.join().unwrap()) {
            let sum = counts.entry(label).or_default();
            *sum = (sum.0 + sent, sum.1 + answered);
        }
        (exporter, counts)
    });
    assert_counted(&exporter.scrape(), &counts);
    assert_nothing_drifted(&exporter.scrape());
    assert_eq!(exporter.scrape().value(r#"openim_exporter_state_start{outcome="continued"}"#), 1.0);
    prometheus.wait_for_a_scrape();
    for counter in
        ["openim_group_messages_total", "openim_group_messages_by_group_total", "openim_group_messages_by_status_total"]
    {
        assert_eq!(prometheus.value(&format!("sum(resets({counter}[1h]))")), 0.0, "{counter}");
    }
    // The scrapes reached several processes. With only one, there could not have been a reset.
    let processes = prometheus.value("1 + changes(process_start_time_seconds[1h])");
    assert!(processes >= 3.0, "{processes} processes were scraped");
}

/// Kills while callbacks of all kinds are sent.
const KILLS: u32 = 10;

#[test]
fn kills_among_callbacks_of_all_kinds_lose_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut exporter = Exporter::run(&mut command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", path]));
    let (address, report) = (exporter.address(), directory.path().join("report.json"));
    let target = format!("http://{address}");
    let all = ["simulate", "--callbacks", "all", "--connections", "16", "--duration", "8s"];
    let mut simulate = command(&all);
    simulate.args(["--target", &target, "--report", report.to_str().unwrap()]);
    let simulate = simulate.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(600));
        exporter.signal("KILL");
        assert!(!exporter.wait().0.success());
        exporter = start(address, path);
    }
    assert_eq!(simulate.wait_with_output().unwrap().status.code(), Some(1));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert!(report["failed"]["closed"].as_u64() >= Some(KILLS.into()), "{}", report["failed"]);
    assert_totals(&report, &exporter.scrape());
}
