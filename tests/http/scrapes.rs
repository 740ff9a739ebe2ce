//! Scrapes: large ones, slow clients, formats.

use std::collections::BTreeMap;
use std::io::Read;
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use openim_exporter::http::Limits;

use crate::served::{HOUR, Served, get, http_config, in_hours};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, Response, SUCCESS, Samples, eventually, message};

/// Groups whose scrape is about 10 MB of text: more than the kernel buffers for a client that does not read.
const MANY_GROUPS: usize = 50_000;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";

/// What Prometheus 2.42 sends.
const PROMETHEUS: &str = "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
    version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n";

fn ask(client: &mut Client, path: &str, headers: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).unwrap();
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

fn unzipped(answer: &Response) -> String {
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// The samples of the text format, with the names of OpenMetrics.
fn as_in_open_metrics(samples: &Samples) -> BTreeMap<String, f64> {
    let as_float = |series: &str| match series.split_once("le=\"") {
        Some((start, bound)) if !bound.starts_with("+Inf") && !bound.contains('.') => {
            format!("{start}le=\"{}", bound.replace('"', ".0\""))
        }
        _ => series.to_owned(),
    };
    samples.0.iter().map(|(series, value)| (as_float(series), *value)).collect()
}

/// The samples of an OpenMetrics scrape, without exemplars.
fn without_exemplars(text: &str) -> BTreeMap<String, f64> {
    let text = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    let lines: String = text.lines().map(|line| line.split(" # {").next().unwrap().to_owned() + "\n").collect();
    Samples::parse(&lines).0.into_iter().collect()
}

#[test]
fn the_cpu_time_has_fractions_of_a_second() {
    let exporter = Exporter::start(&[]);
    let seconds = exporter.scrape().value("process_cpu_seconds_total");
    assert!(seconds > 0.0 && seconds.fract() > 0.0, "{seconds}");
}

#[test]
fn both_formats_have_the_same_samples() {
    let served = Served::with_groups(20, Limits::default(), 1);
    let mut client = served.connect();
    assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    for path in ["/metrics", "/metrics/groups"] {
        let answer = ask(&mut client, path, "Accept: application/openmetrics-text\r\n");
        assert_eq!(answer.header("content-type"), Some(OPEN_METRICS));
        assert_eq!(answer.header("content-encoding"), None);
        let open_metrics = without_exemplars(&answer.text());
        let answer = ask(&mut client, path, "");
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let text = as_in_open_metrics(&Samples::parse(&answer.text()));
        assert!(text.keys().eq(open_metrics.keys()), "{path}");
        // Except for what the scrape itself changes.
        let is_still = |series: &&String| !series.starts_with("process_") && !series.contains("_scrape_");
        for series in text.keys().filter(is_still) {
            assert_eq!(text[series], open_metrics[series], "{path}: {series}");
        }
    }
}

#[test]
fn prometheus_gets_gzipped_openmetrics_with_the_same_text() {
    let served = Served::with_groups(2000, Limits::default(), 1);
    let mut client = served.connect();
    // This page does not change from scrape to scrape.
    let zipped = ask(&mut client, "/metrics/groups", PROMETHEUS);
    assert_eq!(zipped.header("content-type"), Some(OPEN_METRICS));
    assert_eq!(zipped.header("vary"), Some("Accept, Accept-Encoding"));
    let plain = ask(&mut client, "/metrics/groups", "Accept: application/openmetrics-text\r\n");
    assert_eq!(unzipped(&zipped), plain.text());
    assert!(zipped.body.len() * 8 < plain.body.len(), "{} of {}", zipped.body.len(), plain.body.len());
    let text = ask(&mut client, "/metrics/groups", "Accept-Encoding: gzip;q=0.1\r\n");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(Samples::parse(&unzipped(&text)).of("openim_tracked_group_messages_total").count(), 2000);
    let refused = ask(&mut client, "/metrics/groups", "Accept-Encoding: gzip;q=0, *\r\n");
    assert_eq!(refused.header("content-encoding"), None);
    assert_eq!(refused.text(), unzipped(&text));
}

#[test]
fn metrics_groups_has_every_tracked_group_and_adds_up_to_the_total() {
    let served = Served::with_groups(20_000, Limits::default(), 1);
    let mut client = served.connect();
    for group in 0..15 {
        // Ten groups are tracked, five are not.
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message(&format!("new-{group}"), "u")).text(), SUCCESS);
    }
    for headers in ["", PROMETHEUS] {
        let [metrics, samples] = ["/metrics", "/metrics/groups"].map(|page| {
            let answer = ask(&mut client, page, headers);
            if headers.is_empty() {
                Samples::parse(&answer.text())
            } else {
                Samples(without_exemplars(&unzipped(&answer)))
            }
        });
        for family in ["openim_tracked_group_messages_total", "openim_tracked_group_active_senders"] {
            let windows = if family.ends_with("_senders") { 2 } else { 1 };
            assert_eq!(samples.of(family).count(), 20_010 * windows);
        }
        for group in ["group-0", "group-9999", "group-19999", "new-9"] {
            let series = format!("openim_tracked_group_messages_total{{group_id=\"{group}\"}}");
            assert_eq!(samples.value(&series), 1.0);
        }
        assert_eq!(samples.0.len(), 20_010 * 3, "nothing else");
        let by_group = samples.sum("openim_tracked_group_messages_total");
        let folded = metrics.sum("openim_group_messages_folded_total");
        assert_eq!((by_group, folded, metrics.sum("openim_group_messages_total")), (20_010.0, 5.0, 20_015.0));
        assert_eq!(metrics.value("openim_exporter_groups_exported"), 10.0);
    }
    let exported = Samples::parse(&ask(&mut client, "/metrics", "").text());
    assert_eq!(exported.of("openim_group_messages_by_group_total").count(), 10);
    assert_eq!(exported.of("openim_group_active_senders").count(), 20);
}

#[test]
fn the_groups_are_in_the_same_order_in_every_family() {
    let served = Served::with_groups(300, Limits::default(), 1);
    for (path, messages, senders) in [
        ("/metrics", "openim_group_messages_by_group_total{", "openim_group_active_senders{"),
        ("/metrics/groups", "openim_tracked_group_messages_total{", "openim_tracked_group_active_senders{"),
    ] {
        let text = ask(&mut served.connect(), path, "").text();
        let groups = |start: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(start));
            lines.filter(|rest| !rest.contains("24h")).map(|rest| rest.split('"').nth(1).unwrap().to_owned()).collect()
        };
        assert!(groups(messages).len() >= 10);
        assert_eq!(groups(messages), groups(senders), "{path}");
    }
}

#[test]
fn http_1_0_gets_a_scrape_that_ends_with_the_connection() {
    let served = Served::with_groups(2000, Limits::default(), 1);
    let mut client = served.connect();
    client.send("GET /metrics/groups HTTP/1.0\r\n\r\n").unwrap();
    let answer = client.rest();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(Samples::parse(body).of("openim_tracked_group_messages_total").count(), 2000);
}

/// The status of a small scrape.
fn status(served: &Served) -> u16 {
    let mut other = served.connect();
    other.send(get("/metrics")).unwrap();
    other.answer().status
}

#[test]
fn a_scrape_counts_until_it_is_read() {
    let served = Served::with_groups(MANY_GROUPS, Limits::default(), 1);
    let mut deaf = served.connect();
    deaf.send(get("/metrics/groups")).unwrap();
    eventually("the scrape that is not read to begin", || status(&served) == 503);
    thread::sleep(Duration::from_millis(500));
    assert!((0..20).all(|_| status(&served) == 503));
    let answer = deaf.answer();
    assert_eq!(Samples::parse(&answer.text()).of("openim_tracked_group_messages_total").count(), MANY_GROUPS);
    eventually("its share to be free", || status(&served) == 200);
    // The next request on the connection is answered.
    assert_eq!(deaf.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
}

#[test]
fn a_scrape_whose_client_disconnects_returns_its_share() {
    let served = Served::with_groups(MANY_GROUPS, Limits::default(), 1);
    for headers in ["", PROMETHEUS] {
        let mut client = served.connect();
        client.send(format!("GET /metrics/groups HTTP/1.1\r\nhost: x\r\n{headers}\r\n").repeat(30)).unwrap();
        eventually("its scrape to begin", || status(&served) == 503);
        assert!(!client.some(1000).unwrap().is_empty());
        let written = served.scrapes_written();
        drop(client);
        eventually("its share to be free", || status(&served) == 200);
        // Its other scrapes are not written, except perhaps the one that was nearly complete.
        assert!(served.scrapes_written() < written + 15, "{written} {}", served.scrapes_written());
    }
}

#[test]
fn slow_readers_of_scrapes_delay_neither_callbacks_nor_other_scrapes() {
    // More slow readers than threads that write scrapes.
    const SLOW: usize = 6;
    // One address may have half of the scrapes.
    let served = Served::with_groups(MANY_GROUPS, in_hours(), 2 * (SLOW + 1));
    let mut slow: Vec<_> = (0..SLOW).map(|_| served.connect()).collect();
    for client in &mut slow {
        client.send(get("/metrics/groups")).unwrap();
        assert!(!client.some(1).unwrap().is_empty());
    }
    let mut client = served.connect();
    for _ in 0..10 {
        slow.iter_mut().for_each(|client| assert!(!client.some(1).unwrap().is_empty()));
        for _ in 0..20 {
            assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
        }
        assert_eq!(ask(&mut client, "/metrics/groups", "").status, 200);
    }
    // All slow readers are still reading, and get the whole scrape.
    assert_eq!(served.scrapes_written(), 10);
    slow.iter_mut().for_each(|client| client.drink(1 << 20, || ()));
}

#[test]
fn a_scrape_that_is_not_read_is_ended_and_returns_its_share() {
    let served = Served::with_groups(MANY_GROUPS, in_hours(), 1);
    let mut deaf = served.connect();
    deaf.send(get("/metrics/groups")).unwrap();
    assert!(!deaf.some(1).unwrap().is_empty());
    served.pass(29 * HOUR);
    assert_eq!(status(&served), 503);
    served.pass_until(30 * HOUR, || status(&served) == 200);
    // The last chunk is missing, so no client can take the part as complete.
    assert!(!deaf.rest().ends_with("\r\n0\r\n\r\n"));
}

#[test]
fn a_slow_but_steady_reader_is_not_disconnected() {
    let served = Served::with_small_buffers(MANY_GROUPS / 5, in_hours(), http_config(1));
    let mut slow = served.connect_narrow(4096);
    slow.send(get("/metrics/groups")).unwrap();
    let mut hours = 0;
    // Between two pauses, more is read than the kernel and the exporter buffer, so the exporter has made progress.
    slow.drink(1 << 17, || {
        served.pass(29 * HOUR);
        hours += 29;
    });
    assert!(hours > 300, "too fast for the test: {hours} h");
}

#[test]
fn a_long_answer_of_the_api_is_complete_and_the_next_one_follows() {
    let served = Served::with_groups(1000, Limits::default(), 1);
    let mut client = served.connect();
    for _ in 0..3 {
        let answer = ask(&mut client, "/api/v1/groups?limit=1000", "");
        assert!(answer.body.len() > 100_000, "{}", answer.body.len());
        assert_eq!(answer.json()["groups"].as_array().unwrap().len(), 1000);
    }
    assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
}

/// The niceness of each thread of a process, with its name.
fn niceness(process: u32) -> Vec<(String, i32)> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap();
        let (start, rest) = stat.rsplit_once(") ").unwrap();
        // The 19th field. Two of them are before the parenthesis.
        (start.split_once('(').unwrap().1.to_owned(), rest.split(' ').nth(16).unwrap().parse().unwrap())
    };
    threads.map(|thread| of(thread.unwrap())).collect()
}

#[test]
fn threads_that_write_scrapes_or_events_have_a_lower_priority() {
    let exporter = Exporter::start(&[]);
    assert_eq!(exporter.get("/metrics").status, 200);
    let (others, serving): (Vec<_>, Vec<_>) =
        niceness(exporter.pid()).into_iter().partition(|(name, _)| name == "live" || name.starts_with("tokio"));
    let own = serving.iter().map(|(_, nice)| *nice).max().unwrap();
    assert!(serving.iter().any(|(name, _)| name.starts_with("serve-")), "{serving:?}");
    assert!(others.len() > 1 && others.iter().all(|(_, nice)| *nice > own), "{serving:?} {others:?}");
}
