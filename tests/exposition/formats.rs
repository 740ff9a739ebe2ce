//! All formats have the same families, field by field.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::native::disagreement;
use crate::scrape::{Family, Format, Labels, OPEN_METRICS, PROTOBUF, TEXT, TEXT_V1, read, scrape, scrape_compressed};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH};

/// One page in all formats, and again as text after the others, because a scrape changes a few numbers.
pub(crate) struct Page {
    pub(crate) before: Vec<Family>,
    after: Vec<Family>,
    pub(crate) open_metrics: Vec<Family>,
    pub(crate) protobuf: Vec<u8>,
    compressed: Vec<u8>,
}

type Values = BTreeMap<(String, Labels), f64>;

impl Page {
    pub(crate) fn scrape(client: &mut Client, path: &str) -> Self {
        let before = scrape(client, path, TEXT);
        let [open_metrics, protobuf] = [OPEN_METRICS, PROTOBUF].map(|format| scrape(client, path, format));
        let compressed = scrape_compressed(client, path, PROTOBUF);
        let after = scrape_compressed(client, path, TEXT_V1);
        Self {
            before: read(TEXT, &before),
            after: read(TEXT_V1, &after),
            open_metrics: read(OPEN_METRICS, &open_metrics),
            protobuf,
            compressed,
        }
    }

    /// Checks that all formats are the same.
    pub(crate) fn assert_same(&self) {
        self.difference(OPEN_METRICS, &self.open_metrics).unwrap();
        for protobuf in [&self.protobuf, &self.compressed] {
            self.difference_of_protobuf(&read(PROTOBUF, protobuf)).unwrap();
        }
    }

    /// Whether a gauge was the same before and after the other scrapes.
    pub(crate) fn has_kept(&self, gauge: &str) -> bool {
        let key = (gauge.to_owned(), Labels::new());
        values(&self.before)[&key] == values(&self.after)[&key]
    }

    /// What differs between the text format and a scrape in another one.
    pub(crate) fn difference(&self, format: Format, families: &[Family]) -> Result<(), String> {
        let has_all = |family: &&Family| format == OPEN_METRICS || !family.samples.is_empty();
        let expected: Vec<_> = self.before.iter().filter(has_all).map(head).collect();
        same("families", expected, families.iter().map(head).collect())?;
        same("units", self.units(&has_all), families.iter().map(|family| family.unit.as_str()).collect())?;
        for (expected, found) in self.before.iter().filter(has_all).zip(families) {
            let keys = |family: &Family| -> Vec<_> {
                family.samples.iter().map(|sample| (sample.0.clone(), sample.1.clone())).collect()
            };
            same(&found.name, keys(expected), keys(found))?;
        }
        let [before, after, values] = [&self.before[..], &self.after, families].map(values);
        for ((name, labels), value) in &values {
            let key = (name.clone(), labels.clone());
            let (lower, upper) = (before[&key], after[&key]);
            let is_so = if lower == upper { *value == lower } else { lower <= *value && *value <= upper };
            if !is_so && !changes_at_any_time(name) {
                return Err(format!("{name}{labels:?} is {value}, was {lower} and becomes {upper}"));
            }
        }
        Ok(())
    }

    /// A counter began with the process, with its group's first message, or with the state, as the content lengths did.
    fn difference_of_starts(&self, families: &[Family]) -> Result<(), String> {
        let process = values(&self.before).get(&("process_start_time_seconds".to_owned(), Labels::new())).copied();
        let lengths = families.iter().find(|family| family.name == "openim_group_message_content_bytes");
        let state = lengths.map(|family| family.created[0].1);
        for family in families {
            for (labels, began) in &family.created {
                let is_of_group = labels.iter().any(|(name, _)| name == "group_id");
                let is_right = match (process, state) {
                    (Some(process), _) if starts_with_the_process(family) => (began - process).abs() < 0.01,
                    (_, Some(state)) if is_of_group => *began >= state,
                    (_, Some(state)) => *began == state,
                    _ => is_of_group,
                };
                if !is_right {
                    return Err(format!("{}{labels:?} began at {began}, not {process:?} or {state:?}", family.name));
                }
            }
        }
        Ok(())
    }

    fn units(&self, has_all: &dyn Fn(&&Family) -> bool) -> Vec<&str> {
        let families = self.open_metrics.iter().filter(has_all);
        families.map(|family| family.unit.as_str()).collect()
    }

    /// What is wrong with a scrape in protobuf.
    pub(crate) fn difference_of_protobuf(&self, families: &[Family]) -> Result<(), String> {
        self.difference(PROTOBUF, families)?;
        let exemplars = |families: &[Family]| -> Vec<_> {
            let samples = families.iter().flat_map(|family| &family.samples);
            samples.filter(|sample| sample.3.is_some()).map(|sample| format!("{sample:?}")).collect()
        };
        same("exemplars", exemplars(&self.open_metrics), exemplars(families))?;
        self.difference_of_starts(families)?;
        families.iter().filter_map(disagreement).next().map_or(Ok(()), Err)
    }
}

/// Whether the counters of a family start with the process. All others are in the state.
pub(crate) fn starts_with_the_process(family: &Family) -> bool {
    family.name.starts_with("process_") || family.help.contains("since the process started")
}

/// What the comment lines of the text format say.
fn head(family: &Family) -> (&str, &str, &str) {
    (&family.name, &family.kind, &family.help)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: Vec<T>, found: Vec<T>) -> Result<(), String> {
    let different = expected.iter().zip(&found).find(|(expected, found)| expected != found);
    match different {
        Some((expected, found)) => Err(format!("{what}: {found:?} in place of {expected:?}")),
        None if expected.len() != found.len() => Err(format!("{what}: {} in place of {}", found.len(), expected.len())),
        None => Ok(()),
    }
}

fn values(families: &[Family]) -> Values {
    let samples = families.iter().flat_map(|family| &family.samples);
    samples.map(|sample| ((sample.0.clone(), sample.1.clone()), sample.2)).collect()
}

/// Gauges that can fall and rise again between two scrapes.
fn changes_at_any_time(name: &str) -> bool {
    name.starts_with("process_") && !name.ends_with("_total") || name == "openim_exporter_scrape_series"
}

/// Posts one message of each kind: to groups with any name, and between two users, with delays that have exemplars.
pub(crate) fn post_messages(client: &mut Client, groups: &[String]) {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    // At the bound of a classic and a native bucket, and just above: a native bucket in the wrong place is seen.
    let lengths = [16, 17, 64, 65];
    for (number, group) in (0..).zip(groups) {
        let sent = now - [1000, 2, 300, 70_000, 1001][number % 5];
        let body = serde_json::json!({
            "sendID": format!("u{number}"), "groupID": group, "operationID": format!("op-{number}"),
            "contentType": 101, "content": "x".repeat(lengths[number % 4]), "senderPlatformID": number % 12,
            "sendTime": sent, "createTime": sent - 1000 - i64::try_from(number % 2).unwrap(),
        });
        assert_eq!(client.post(GROUP_MESSAGE_PATH, body.to_string()).status, 200, "{group:?}");
        assert_eq!(client.post("/callbackAfterSendSingleMsgCommand", body.to_string()).status, 200, "{group:?}");
    }
}

/// Names of groups that a format could get wrong.
pub(crate) fn odd_names() -> Vec<String> {
    let names = [
        " ",
        "\"",
        "\\",
        "\\n",
        "a\nb",
        "\r\n",
        "\t",
        "null\0byte",
        "\u{7fa4}\u{804a}",
        "\u{1f44b}\u{1f3fd}",
        "{}",
        "a,b=\"c\"",
        "# EOF",
        "x\"} 1\nopenim_active_groups{window=\"5m\"} 999",
        "NaN",
        "\u{fffe}\u{10ffff}",
        "le=\"+Inf\"",
    ];
    let mut names: Vec<_> = names.map(str::to_owned).into();
    names.extend(["g".repeat(300), "\u{7fa4}".repeat(100)]);
    names
}

/// Checks a page in all formats.
pub(crate) fn assert_same_in_all_formats(client: &mut Client, path: &str) -> Page {
    let page = Page::scrape(client, path);
    page.assert_same();
    page
}

#[test]
#[ignore = "needs protobuf-compiler and python3-prometheus-client"]
fn all_formats_of_a_new_exporter_are_the_same() {
    let exporter = Exporter::start(&[]);
    for path in ["/metrics", "/metrics/groups"] {
        assert_same_in_all_formats(&mut exporter.connect(), path);
    }
}

#[test]
#[ignore = "needs protobuf-compiler and python3-prometheus-client"]
fn all_formats_are_the_same_after_every_kind_of_callback_for_groups_with_any_name() {
    let exporter = Exporter::start(&["--groups.max-exported", "15"]);
    let mut client = exporter.connect();
    for suffix in [".good.json", ".bad.json"] {
        for (_, body) in crate::support::callbacks(suffix) {
            exporter.post(GROUP_MESSAGE_PATH, body);
        }
    }
    post_messages(&mut client, &odd_names());
    client.post(GROUP_MESSAGE_PATH, b"{\"sendID\":\"u\",\"groupID\":\"\xff\xfe\"}");
    for path in ["/metrics", "/metrics/groups"] {
        assert_same_in_all_formats(&mut client, path);
    }
}

#[test]
#[ignore = "needs protobuf-compiler and python3-prometheus-client"]
fn all_formats_of_many_groups_are_the_same() {
    let exporter = Exporter::start(&["--groups.max-exported", "3000"]);
    let mut client = exporter.connect();
    for number in 0..3000 {
        let group = format!("g{}{}", number, "x".repeat(number % 40));
        assert_eq!(client.post(GROUP_MESSAGE_PATH, crate::support::message(&group, "u")).status, 200);
    }
    for path in ["/metrics", "/metrics/groups"] {
        assert_same_in_all_formats(&mut client, path);
    }
}

#[test]
#[ignore = "needs protobuf-compiler and python3-prometheus-client"]
fn a_counter_begins_with_the_state_the_group_or_the_process() {
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let begin = now();
    let exporter = Exporter::start(&[]);
    let started = now();
    thread::sleep(Duration::from_millis(100));
    let posted = now();
    exporter.post(GROUP_MESSAGE_PATH, crate::support::message("g", "u"));
    let counted = now();
    for (path, least) in [("/metrics", 50), ("/metrics/groups", 1)] {
        let families = read(PROTOBUF, &scrape(&mut exporter.connect(), path, PROTOBUF));
        let starts = families.iter().flat_map(|family| family.created.iter().map(move |start| (family, start)));
        assert!(starts.clone().count() >= least);
        for (family, (labels, start)) in starts {
            let range = match labels.iter().any(|(name, _)| name == "group_id") {
                true => posted..=counted,
                // The kernel counts from its boot time, which it reports in whole seconds.
                false if starts_with_the_process(family) => begin - 3.0..=started + 3.0,
                false => begin..=started,
            };
            // Starts are in whole milliseconds.
            assert!((range.start() - 0.001..=*range.end()).contains(start), "{}{labels:?}: {start}", family.name);
        }
    }
}

/// Ends the load when dropped, also after a panic.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "needs protobuf-compiler and python3-prometheus-client"]
fn protobuf_is_right_while_callbacks_are_counted() {
    let exporter = Exporter::start(&[]);
    let is_done = AtomicBool::new(false);
    let scrapes: Vec<_> = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = exporter.connect();
                while !is_done.load(Ordering::Relaxed) {
                    post_messages(&mut client, &["g".to_owned(), "h".to_owned()]);
                }
            });
        }
        let _done = Done(&is_done);
        let mut client = exporter.connect();
        (0..200).map(|_| scrape(&mut client, "/metrics", PROTOBUF)).collect()
    });
    let mut messages = 0.0;
    for scrape in scrapes.iter().step_by(20) {
        // The checks of the decoder compare counts with each other.
        let families = read(PROTOBUF, scrape);
        let counted = values(&families)[&("openim_group_message_content_bytes_count".to_owned(), Labels::new())];
        assert!(counted >= messages, "{counted} {messages}");
        messages = counted;
    }
    assert!(messages > 0.0, "no message was counted meanwhile");
}
