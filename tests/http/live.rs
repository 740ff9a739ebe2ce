//! The events of the live page.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use openim_exporter::config::Http;
use openim_exporter::domain::COMMANDS;
use openim_exporter::http::Limits;
use serde_json::{Value, json};

use crate::served::{HOUR, Served, get, http_config, in_hours};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, Response, SUCCESS, Samples, eventually, message};

const EVENTS: &str = "GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// Somebody who looks at the page.
struct Viewer(Client);

impl Viewer {
    fn new(mut client: Client) -> (Self, Response) {
        client.send(EVENTS).unwrap();
        let head = client.answer_to_head();
        (Self(client), head)
    }

    /// The next event: its ID, and its data.
    fn next(&mut self) -> io::Result<(u64, Value)> {
        let event = self.0.event()?;
        let fields = event.strip_suffix("\n\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let [id, retry, data] = fields.split('\n').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(retry, "retry: 3000");
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        Ok((id.strip_prefix("id: ").unwrap().parse().unwrap(), data))
    }
}

fn seconds() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn viewers(exporter: &Exporter) -> f64 {
    exporter.scrape().value("openim_exporter_live_viewers")
}

#[test]
fn an_event_comes_each_second_with_rising_ids() {
    let exporter = Exporter::start(&[]);
    let (mut viewer, head) = Viewer::new(exporter.connect());
    assert_eq!(head.status, 200);
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(head.header(name), Some(value));
    }
    let (mut ids, mut count) = (vec![viewer.next().unwrap().0], 0);
    while count < 4 {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
        count += 1;
        // On a busy machine, an event may be from before the callback.
        loop {
            let (id, event) = viewer.next().unwrap();
            ids.push(id);
            assert_eq!(event["viewers"], 1);
            match event["group_messages"].as_u64() {
                Some(messages) if messages == count => break,
                messages => assert_eq!(messages, Some(count - 1)),
            }
        }
    }
    // IDs are seconds: more than one event per second would be ahead of the clock, and fewer would leave some out.
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]) && *ids.last().unwrap() <= seconds() + 1, "{ids:?}");
    assert!(ids.windows(2).any(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
}

#[test]
fn the_numbers_agree_with_the_metrics_and_the_summary() {
    let exporter = Exporter::start(&[]);
    for (path, body) in [
        (GROUP_MESSAGE_PATH, r#"{"sendID":"u","groupID":"g"}"#),
        ("/callbackAfterSendSingleMsgCommand", r#"{"sendID":"u","contentType":101,"recvID":"v"}"#),
        ("/callbackAfterSendSingleMsgCommand", r#"{"sendID":"w","contentType":101,"recvID":"v"}"#),
        ("/callbackUserOnlineCommand", r#"{"userID":"v","platformID":1}"#),
    ] {
        assert_eq!(exporter.post(path, body).status, 200);
    }
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, "{").status, 400);
    let live = exporter.get("/api/v1/live?format=json").json();
    let (summary, samples) = (exporter.get("/api/v1/summary").json(), exporter.scrape());
    // A person who sent both kinds counts once.
    assert_eq!(live["senders"], json!({"5m": 2, "1h": 2, "24h": 2, "7d": 2, "30d": 2}));
    for (found, same) in [
        (&live["group_messages"], &summary["messages"]["total"]),
        (&live["single_messages"], &summary["single_messages"]["total"]),
        (&live["users_online"]["by_platform"], &summary["users_online"]),
        (&live["callbacks"], &summary["callbacks"]),
        (&live["groups"]["tracked"], &summary["groups"]["tracked"]),
        (&live["since"], &summary["since"]),
    ] {
        assert_eq!(found, same, "{live}");
    }
    for (window, users) in live["active_users"].as_object().unwrap() {
        assert_eq!(users.as_f64(), Some(samples.value(&format!(r#"openim_active_users{{window="{window}"}}"#))));
    }
    assert_eq!(live["users_online"]["total"], 1);
    assert_eq!(live["callbacks"]["last_rejected"][0]["reason"], "malformed_json");
    // The rate is that of the last seconds, and the requests above may take longer on a busy machine.
    eventually("a rate of messages", || {
        exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
        exporter.get("/api/v1/live?format=json").json()["messages_per_second"].as_f64().unwrap() > 0.0
    });
}

#[test]
fn a_reload_ends_the_streams_because_their_viewers_may_no_longer_be_users() {
    let exporter = Exporter::start(&[]);
    let (mut viewer, _) = Viewer::new(exporter.connect());
    viewer.next().unwrap();
    exporter.signal("HUP");
    // An event may be on its way.
    assert!((0..3).any(|_| viewer.next().is_err()));
    let (mut viewer, head) = Viewer::new(exporter.connect());
    assert_eq!(head.status, 200);
    assert!((0..3).all(|_| viewer.next().is_ok()));
}

#[test]
fn the_first_event_comes_at_once() {
    let served = Served::new(Limits::default(), 1);
    let first = || {
        let (mut viewer, _) = Viewer::new(served.connect());
        let begin = Instant::now();
        viewer.next().unwrap();
        begin.elapsed()
    };
    let is_quick = |_| {
        first();
        // Four turns later, the exporter has noticed that the viewer is gone, and its next turn is 0.9 s away.
        thread::sleep(Duration::from_millis(4100));
        first() < Duration::from_millis(600)
    };
    assert!((0..3).any(is_quick));
}

#[test]
fn a_hundred_viewers_share_each_event_and_the_next_one_is_refused() {
    let exporter = Exporter::start(&[]);
    let mut all: Vec<_> = (0..100).map(|_| Viewer::new(exporter.connect()).0).collect();
    let seen: Vec<_> = all.iter_mut().map(|viewer| [viewer.next().unwrap(), viewer.next().unwrap()]).collect();
    for (id, data) in seen.iter().flatten() {
        assert!(seen.iter().flatten().all(|(other, same)| other != id || same == data));
    }
    let (message, detail) = exporter.ask(EVENTS.as_bytes()).refusal(503);
    assert_eq!(message, "too many viewers");
    assert!(detail.contains("100 viewers") && detail.contains("--web.max-viewers"), "{detail}");
    let samples = exporter.scrape();
    assert_eq!(samples.value("openim_exporter_live_viewers"), 100.0);
    assert_eq!(samples.value(r#"openim_exporter_callbacks_rejected_total{reason="too_many_viewers"}"#), 1.0);
    // The refused viewer can poll.
    assert_eq!(exporter.get("/api/v1/live?format=json").json()["viewers"], 100);
    all.pop();
    eventually("a free place", || viewers(&exporter) == 99.0);
    assert_eq!(Viewer::new(exporter.connect()).1.status, 200);
}

#[test]
fn no_viewer_is_allowed_if_the_limit_is_zero_but_polls_are() {
    let exporter = Exporter::start(&["--web.max-viewers", "0"]);
    exporter.ask(EVENTS.as_bytes()).refusal(503);
    let answer = exporter.get("/api/v1/live?format=json");
    assert_eq!((answer.header("content-type"), answer.json()["viewers"].as_u64()), (Some("application/json"), Some(0)));
    let (_, detail) = exporter.get("/api/v1/live?format=csv").refusal(400);
    assert!(detail.contains("format"), "{detail}");
}

#[test]
fn polls_count_as_answers_of_the_api_and_events_do_not() {
    let served = Served::new(Limits::default(), 1);
    let (mut viewer, _) = Viewer::new(served.connect());
    viewer.next().unwrap();
    let mut client = served.connect();
    client.send(get("/api/v1/live?format=json")).unwrap();
    assert_eq!(client.answer().json()["viewers"], 1);
    viewer.next().unwrap();
}

#[test]
fn a_head_request_is_no_viewer() {
    let exporter = Exporter::start(&["--web.max-viewers", "1"]);
    let mut client = exporter.connect();
    for _ in 0..3 {
        client.send(EVENTS.replace("GET", "HEAD")).unwrap();
        let head = client.answer_to_head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    }
    assert_eq!(viewers(&exporter), 0.0);
}

/// A site with room for two viewers, and for two or three events in the kernel's buffers.
fn small_buffers() -> Served {
    let served = Served::with_small_buffers(0, in_hours(), Http { max_viewers: 2, ..http_config(10) });
    let mut client = served.connect();
    // Every command that was seen makes each event longer.
    for command in COMMANDS {
        client.post(&format!("/{}", command.name), r#"{"sendID":"u","groupID":"g","recvID":"u"}"#);
    }
    served
}

/// A viewer that receives only a few KiB before it reads them.
fn narrow(served: &Served) -> Viewer {
    Viewer::new(served.connect_narrow(1024)).0
}

/// Another viewer, and the ID of its tenth event. The exporter sends each event to earlier viewers first.
fn tenth_event(served: &Served) -> (Viewer, u64) {
    let (mut viewer, _) = Viewer::new(served.connect());
    let id = (0..10).map(|_| viewer.next().unwrap().0).last();
    (viewer, id.unwrap())
}

#[test]
fn a_viewer_that_does_not_read_is_ended_and_callbacks_are_answered_meanwhile() {
    let served = small_buffers();
    let mut deaf = narrow(&served);
    drop(tenth_event(&served));
    eventually("the other viewer to be gone", || served.in_progress().0 == 1);
    let mut client = served.connect();
    served.pass(29 * HOUR);
    for _ in 0..100 {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    }
    assert_eq!(served.ended("unread"), 0.0);
    served.pass(HOUR);
    eventually("its end", || served.ended("unread") == 1.0);
    // No client can take what it got as complete.
    assert!(!deaf.0.rest().ends_with("\r\n0\r\n\r\n"));
    eventually("its place to be free", || {
        client.send(get("/metrics")).unwrap();
        Samples::parse(&client.answer().text()).value("openim_exporter_live_viewers") == 0.0
    });
    assert_eq!(served.ended("unread"), 1.0);
}

#[test]
fn a_slow_viewer_skips_events() {
    let served = small_buffers();
    let mut slow = narrow(&served);
    let (first, _) = slow.next().unwrap();
    let (_quick, last) = tenth_event(&served);
    let mut waiting = vec![slow.next().unwrap().0];
    while *waiting.last().unwrap() < last {
        waiting.push(slow.next().unwrap().0);
    }
    // Before the last of these, the kernel has buffered a few, and the exporter one.
    assert!((2..=6).contains(&waiting.len()), "{first}: {waiting:?}");
    assert!(*waiting.last().unwrap() > first + 8, "{first}: {waiting:?}");
    assert_eq!(served.ended("unread"), 0.0);
}

#[test]
fn a_quiet_viewer_that_reads_stays() {
    let limits = Limits { answer: Duration::from_secs(3), idle: Duration::from_secs(1), ..Limits::default() };
    let served = Served::with_config(0, limits, http_config(10));
    let (mut viewer, _) = Viewer::new(served.connect());
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(7) {
        viewer.next().unwrap();
    }
    assert_eq!((served.ended("unread"), served.ended("idle")), (0.0, 0.0));
}

#[test]
fn a_drain_ends_streams_at_once_even_if_they_are_not_read() {
    let served = small_buffers();
    let _deaf = narrow(&served);
    let (mut quick, last) = tenth_event(&served);
    eventually("both viewers", || served.in_progress().0 == 2);
    served.drain();
    let end = seconds();
    // The connection of the viewer that reads stays open, and is idle.
    eventually("the end of the other one", || served.in_progress().0 == 1);
    let ids: Vec<_> = std::iter::from_fn(|| quick.next().ok()).map(|(id, _)| id).collect();
    assert!(ids.iter().all(|id| (last + 1..=end + 1).contains(id)), "{ids:?} after {end}");
    assert!(!quick.0.is_closed());
}

#[test]
fn events_are_for_those_who_may_see_pages() {
    let exporter = Exporter::start(&["--web.telemetry-address", "127.0.0.1:0"]);
    let [callbacks, telemetry] = exporter.addresses() else { panic!("{:?}", exporter.addresses()) };
    let status = |address: &SocketAddr| Viewer::new(Client::connect(*address).unwrap()).1.status;
    assert_eq!((status(callbacks), status(telemetry)), (404, 200));
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("web.yml");
    std::fs::write(&config, format!("basic_auth_users:\n  a: {}\n", bcrypt::hash("x", 4).unwrap())).unwrap();
    let exporter = Exporter::start(&["--web.config.file", config.to_str().unwrap()]);
    assert_eq!(Viewer::new(exporter.connect()).1.status, 401);
}
