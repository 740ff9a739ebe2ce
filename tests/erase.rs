//! Erasing groups and people on request, even while messages arrive or when the exporter is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::json;
use support::{Client, Exporter, GROUP_MESSAGE_PATH, Response, SUCCESS, Samples, command, message, post_bytes};

const ENABLED: &str = "--web.enable-admin-api";

fn request(method: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
}

fn delete(exporter: &Exporter, path: &str) -> Response {
    exporter.ask(&request("DELETE", path, "connection: close\r\n"))
}

fn count(exporter: &Exporter, group: &str, sender: &str, times: usize) {
    let body = json!({"sendID": sender, "groupID": group}).to_string();
    let mut client = exporter.connect();
    (0..times).for_each(|_| assert_eq!(client.post(GROUP_MESSAGE_PATH, &body).text(), SUCCESS));
}

fn folded(samples: &Samples) -> f64 {
    samples.value(r#"openim_group_messages_folded_total{reason="erased"}"#)
}

/// Messages in all series of groups, and in those of no group.
fn by_group(samples: &Samples) -> f64 {
    samples.sum("openim_group_messages_by_group_total") + samples.sum("openim_group_messages_folded_total")
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[test]
fn an_erased_group_is_folded_and_its_name_is_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = Exporter::start(&[ENABLED, "--storage.path", directory.path().to_str().unwrap()]);
    let long = "long-".to_owned() + &"\u{7fa4}".repeat(2000);
    let groups = [
        ("team/\u{7fa4} 100%?#", "team%2F%E7%BE%A4%20100%25%3F%23".to_owned(), "team/"),
        (&long, format!("long-{}", "%E7%BE%A4".repeat(2000)), "long-\u{7fa4}"),
    ];
    let stored = || {
        let files = std::fs::read_dir(directory.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    count(&exporter, "another", "u", 5);
    for (already, (group, encoded, begin)) in groups.iter().enumerate() {
        count(&exporter, group, "u", 2);
        count(&exporter, group, "v", 1);
        assert!(contains(&stored(), begin) && exporter.get("/api/v1/groups").text().contains(begin));

        let answer = delete(&exporter, &format!("/api/v1/groups/{encoded}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let erased = answer.json();
        assert!(erased["group_id"].as_str().unwrap().starts_with(begin), "{erased}");
        assert_eq!((&erased["messages_folded"], &erased["sender_pairs"]), (&json!(3), &json!(2)));

        assert!(!contains(&stored(), begin), "{begin} is still in a file");
        for page in ["/api/v1/groups", "/metrics", "/metrics/groups", "/api/v1/summary", "/api/v1/live?format=json"] {
            assert!(!exporter.get(page).text().contains(begin), "{page}");
        }
        let samples = exporter.scrape();
        assert_eq!(folded(&samples), 3.0 * (already + 1) as f64);
        assert_eq!(by_group(&samples), samples.sum("openim_group_messages_total"));
        let (_, detail) = delete(&exporter, &format!("/api/v1/groups/{encoded}")).refusal(404);
        assert!(!detail.contains(begin), "{detail}");
    }
    // Later messages count anew, unlike those of a dismissed group.
    count(&exporter, groups[0].0, "u", 4);
    let samples = exporter.scrape();
    assert_eq!(samples.sum_of("openim_group_messages_by_group_total", "group_id", groups[0].0), 4.0);
    assert_eq!((folded(&samples), by_group(&samples)), (6.0, 15.0));
    assert_eq!(samples.value(r#"openim_exporter_erasures_total{kind="group"}"#), 2.0);
    let log = exporter.log();
    assert_eq!(log.iter().filter(|line| line.contains("kind=group") && line.contains("client=127.0.0.1")).count(), 2);
    assert!(log.iter().all(|line| !line.contains("team") && !line.contains("long-")), "{log:#?}");
}

#[test]
fn an_erased_person_is_in_no_group_and_not_online() {
    let exporter = Exporter::start(&[ENABLED]);
    for (group, sender) in [("a", "u/1"), ("b", "u/1"), ("b", "v")] {
        count(&exporter, group, sender, 2);
    }
    for (user, platform) in [("u/1", 1), ("u/1", 5), ("v", 1)] {
        let online = json!({"userID": user, "platformID": platform, "isAppBackground": false, "connID": "c"});
        assert_eq!(exporter.post("/callbackAfterUserOnlineCommand", online.to_string()).text(), SUCCESS);
    }
    let on_ios = || exporter.get("/api/v1/summary").json()["users_online"]["ios"].clone();
    assert_eq!(on_ios(), 2);
    let erased = delete(&exporter, "/api/v1/users/u%2F1").json();
    assert_eq!(erased, json!({"user_id": "u/1", "sender_pairs": 2, "users_online": 2}));
    delete(&exporter, "/api/v1/users/u%2F1").refusal(404);
    assert_eq!(on_ios(), 1);
    let samples = exporter.scrape();
    assert_eq!((samples.sum("openim_users_online"), samples.sum("openim_group_messages_total")), (1.0, 6.0));
    assert_eq!(samples.value(r#"openim_exporter_erasures_total{kind="user"}"#), 1.0);
}

#[test]
fn nobody_erases_by_mistake_and_no_web_page_can() {
    let off = Exporter::start(&[]);
    let exporter = Exporter::start(&[ENABLED, "--web.external-url", "http://proxy.example/below/"]);
    for path in ["/api/v1/groups/g", "/api/v1/users/u"] {
        for exporter in [&off, &exporter] {
            count(exporter, "g", "u", 1);
        }
        let (_, detail) = delete(&off, path).refusal(404);
        assert!(detail.contains(ENABLED), "{detail}");
        // What a browser asks before it sends a page's DELETE to another site: nothing in the answer allows it.
        let preflight = "origin: https://elsewhere.example\r\naccess-control-request-method: DELETE\r\n";
        let answer = exporter.ask(&request("OPTIONS", path, preflight));
        assert_eq!((answer.status, answer.header("allow")), (405, Some("DELETE")));
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{answer:?}");
        // A page of this very site, which DNS rebinding makes of another one, needs no preflight.
        exporter.ask(&request("DELETE", path, "origin: http://x\r\n")).refusal(403);
        let (_, detail) = delete(&exporter, &format!("{path}?force=1")).refusal(400);
        assert!(detail.contains("force"), "{detail}");
        delete(&exporter, &format!("{path}%ff")).refusal(400);
        assert_eq!(exporter.get(path).status, 405);
        // OpenIM's callbacks may come to any path.
        assert_eq!(
            exporter.post(&format!("{path}?command=callbackAfterSendGroupMsgCommand"), message("h", "u")).text(),
            SUCCESS
        );
        assert_eq!(delete(&exporter, &format!("/below{path}")).status, 200);
    }
    assert_eq!(folded(&off.scrape()), 0.0);
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 4.0);
}

const CONNECTIONS: u64 = 6;
const GROUPS: u64 = 7;

/// Sends messages without pause until the end, over a new connection if the old one breaks. Returns how many were sent,
/// at least in part, and how many were answered.
fn load(address: SocketAddr, number: u64, done: &AtomicBool) -> (u64, u64) {
    let (mut sent, mut answered) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(address) else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        while !done.load(Ordering::Relaxed) {
            let body = message(&format!("g{}", (sent + number) % GROUPS), &format!("u{}", sent % 50));
            sent += 1;
            let posted = client.send(post_bytes(GROUP_MESSAGE_PATH, "", body.as_bytes()));
            if posted.is_err() || !client.try_answer().is_ok_and(|answer| answer.status == 200) {
                break;
            }
            answered += 1;
        }
    }
    (sent, answered)
}

/// Erases groups and people in turn until the end. Returns the messages of the groups that were reported as erased.
fn erase(address: SocketAddr, done: &AtomicBool, erasures: &AtomicU64) -> u64 {
    let mut folded = 0;
    while !done.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(address) else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        for turn in 0_u64.. {
            let path = if turn.is_multiple_of(5) { "users/u1" } else { &format!("groups/g{}", turn % GROUPS) };
            let answer =
                client.send(request("DELETE", &format!("/api/v1/{path}"), "")).and_then(|()| client.try_answer());
            let Ok(answer) = answer else { break };
            assert!([200, 404, 503].contains(&answer.status), "{}", answer.text());
            if answer.status == 200 {
                folded += answer.json()["messages_folded"].as_u64().unwrap_or_default();
                erasures.fetch_add(1, Ordering::Relaxed);
            }
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    folded
}

/// Ends the load when dropped, also after a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs something under load. Returns its result, the messages that were sent and answered, and those of erased groups.
fn under_load<R>(address: SocketAddr, run: impl FnOnce(&AtomicU64) -> R) -> (R, (u64, u64), u64) {
    let (done, erasures) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let (done, erasures) = (&done, &erasures);
        let ended = Ended(done);
        let loads: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || load(address, number, done))).collect();
        let eraser = scope.spawn(move || erase(address, done, erasures));
        let result = run(erasures);
        drop(ended);
        let sums = loads.into_iter().map(|load| load.join().unwrap());
        let messages = sums.fold((0, 0), |sum, load| (sum.0 + load.0, sum.1 + load.1));
        (result, messages, eraser.join().unwrap())
    })
}

#[test]
fn erasures_under_load_move_every_message_once_and_lower_no_counter() {
    let exporter = Exporter::start(&[ENABLED, "--senders.max-tracked", "1000"]);
    let counters = ["openim_group_messages_total", "openim_group_messages_folded_total"];
    let ((), (sent, answered), erased) = under_load(exporter.address(), |erasures| {
        let mut before = HashMap::new();
        while erasures.load(Ordering::Relaxed) < 300 {
            // Also a reader of all groups, for which groups wait.
            assert_eq!(exporter.get("/metrics/groups").status, 200);
            let samples = exporter.scrape();
            for (series, value) in counters.iter().flat_map(|family| samples.of(family)) {
                let earlier = before.insert(series.to_owned(), value).unwrap_or(0.0);
                assert!(earlier <= value, "{series}: {earlier} > {value}");
            }
            // The total is read first, so nothing of it is missing elsewhere.
            assert!(by_group(&samples) >= samples.sum("openim_group_messages_total"));
        }
    });
    let samples = exporter.scrape();
    assert_eq!((sent, samples.sum("openim_group_messages_total")), (answered, answered as f64));
    assert_eq!((by_group(&samples), folded(&samples)), (answered as f64, erased as f64));
    assert_eq!(samples.value("openim_exporter_groups_retired_total"), 0.0);
}

#[test]
fn kills_during_erasures_leave_exact_totals() {
    const KILLS: usize = 10;
    let directory = tempfile::tempdir().unwrap();
    let flags = [ENABLED, "--senders.max-tracked", "1000", "--storage.path", directory.path().to_str().unwrap()];
    let mut random = Pcg64Mcg::seed_from_u64(11);
    let mut exporter = Exporter::start(&flags);
    let address = exporter.address();
    let (exporter, (sent, answered), erased) = under_load(address, |_| {
        for _ in 0..KILLS {
            thread::sleep(Duration::from_millis(random.random_range(20..300)));
            exporter.signal("KILL");
            exporter.wait();
            exporter = Exporter::run(command(&["--web.listen-address", &address.to_string()]).args(flags));
            assert_eq!(exporter.scrape().value(r#"openim_exporter_state_start{outcome="continued"}"#), 1.0);
        }
        exporter
    });
    let samples = exporter.scrape();
    let total = samples.sum("openim_group_messages_total");
    assert!(answered > 0 && answered as f64 <= total && total <= sent as f64, "{answered} <= {total} <= {sent}");
    let statuses = samples.sum("openim_group_messages_by_status_total");
    assert_eq!([by_group(&samples), statuses], [total; 2]);
    // A kill may have come after an erasure and before its answer.
    assert!(erased > 0 && erased as f64 <= folded(&samples), "{erased} {}", folded(&samples));
    assert_eq!(folded(&samples), samples.sum("openim_group_messages_folded_total"));
}
