//! A real Alertmanager hears of what goes wrong, and of nothing else: exporter, Prometheus with the rules, Alertmanager.
//! Minutes are made seconds in a copy of the rules; the thresholds stay.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test says so")]

mod monitoring;
mod oracle;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use monitoring::{files, read};
use oracle::{Prometheus, config_with, openim_job, serve_openim_s_metrics};
use serde_json::Value;
use support::{Client, Exporter, GROUP_MESSAGE_PATH, message, post_bytes};
use tempfile::TempDir;

/// What a minute and an hour of the rules become, in seconds.
const MINUTE: u64 = 2;
const HOUR: u64 = 20;

/// Longer than any window and `for` together, made seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// The rules' minutes and hours made seconds. Days and weeks stay: there are none.
fn hastened(rules: &str) -> String {
    let mut text = String::new();
    let mut rest = rules;
    while let Some(at) = rest.find(['[', ' ']) {
        let (before, after) = rest.split_at(at + 1);
        text.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = after.split_at(digits);
        let unit =
            behind.chars().next().filter(|_| digits > 0 && behind.chars().nth(1).is_none_or(|c| !c.is_alphanumeric()));
        rest = match unit {
            Some(unit @ ('m' | 'h')) => {
                let seconds = number.parse::<u64>().unwrap() * if unit == 'm' { MINUTE } else { HOUR };
                text.push_str(&format!("{seconds}s"));
                behind.split_at(1).1
            }
            _ => after,
        };
    }
    text + rest
}

#[test]
fn minutes_and_hours_are_made_seconds_and_nothing_else_is() {
    let rules = "rate(x:rate10m[10m] offset 1h) > 5\nfor: 15m\nx[1d] offset 1w  # of 2 minutes\n";
    let expected = "rate(x:rate10m[20s] offset 20s) > 5\nfor: 30s\nx[1d] offset 1w  # of 2 minutes\n";
    assert_eq!(hastened(rules), expected);
}

/// A running Alertmanager. It is killed when dropped.
struct Alertmanager {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Alertmanager {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("alertmanager.yml");
        fs::write(&config, read("deploy/alertmanager.yml")).unwrap();
        let mut process = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", directory.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus-alertmanager must be installed");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            line.split_once(r#"msg="Listening on" address="#).and_then(|(_, address)| address.parse().ok())
        });
        thread::spawn(move || lines.for_each(drop));
        Self { process, address: address.expect("Alertmanager does not begin"), _directory: directory }
    }

    /// The alerts that it has.
    fn alerts(&self) -> Vec<Value> {
        let mut client = Client::connect(self.address).unwrap();
        client.send("GET /api/v2/alerts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        client.answer().json().as_array().unwrap().clone()
    }

    /// Raises these, each by its name, job and instance; an alert of a whole job has none.
    fn raise(&self, alerts: &[[&str; 3]]) {
        let labels = |[name, job, instance]: &[&str; 3]| match *instance {
            "" => serde_json::json!({"alertname": name, "job": job}),
            instance => serde_json::json!({"alertname": name, "job": job, "instance": instance}),
        };
        let body: Vec<_> = alerts.iter().map(|alert| serde_json::json!({"labels": labels(alert)})).collect();
        let body = Value::from(body).to_string();
        let mut client = Client::connect(self.address).unwrap();
        client.send(post_bytes("/api/v2/alerts", "connection: close\r\n", body.as_bytes())).unwrap();
        assert_eq!(client.answer().status, 200);
    }

    /// Those of them that somebody is told of, by name, job and instance.
    fn told(&self) -> BTreeSet<[String; 3]> {
        let active = self.alerts().into_iter().filter(|alert| alert["status"]["state"] != "suppressed");
        let label = |alert: &Value, label| alert["labels"][label].as_str().unwrap_or_default().to_owned();
        active.map(|alert| ["alertname", "job", "instance"].map(|name| label(&alert, name))).collect()
    }

    /// Their names.
    fn names(&self) -> BTreeSet<String> {
        self.alerts().iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All three, with nothing wrong.
struct Scene {
    exporter: Exporter,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    _rules: TempDir,
}

impl Scene {
    fn start() -> Self {
        Self::start_with(str::to_owned, "")
    }

    /// With the rules edited, and with jobs that are scraped too.
    fn start_with(edit: impl Fn(&str) -> String, jobs: &str) -> Self {
        let (exporter, alertmanager) = (Exporter::start(&[]), Alertmanager::start());
        let rules = TempDir::new().unwrap();
        for file in files("prometheus/rules", ".yml") {
            let text = hastened(&edit(&fs::read_to_string(&file).unwrap()));
            fs::write(rules.path().join(file.file_name().unwrap()), text).unwrap();
        }
        let folder = format!("{}/", rules.path().display());
        let config = config_with(exporter.address(), &alertmanager.address.to_string(), &folder);
        let prometheus = Prometheus::start(&(config + jobs));
        prometheus.wait_for_a_scrape();
        Self { exporter, prometheus, alertmanager, _rules: rules }
    }

    /// Does something each tenth of a second, for so long.
    fn during(seconds: u64, mut act: impl FnMut()) {
        for _ in 0..seconds * 10 {
            act();
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Nowhere but within its `for` was the alert held back.
    fn assert_raised_within_its_for(&self, name: &str) {
        let hold = self.prometheus.hold_of(name);
        let since = self.prometheus.value(&format!("max(ALERTS_FOR_STATE{{alertname=\"{name}\"}})"));
        let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap() + 1;
        let pending = format!("ALERTS{{alertname=\"{name}\",alertstate=\"pending\"}}[1h]");
        let pending = self.prometheus.samples_until(now, &pending).into_iter().flatten();
        let held: Vec<_> = pending.map(|(time, _)| time - since).filter(|held| *held >= 0.0).collect();
        assert!(!held.is_empty() && held.iter().all(|held| *held < hold), "{name}: {held:?} of {hold}");
    }

    /// Does something each tenth of a second until Alertmanager has this alert, and it must have no other.
    fn raises(&self, name: &str, mut act: impl FnMut()) -> Value {
        assert_eq!(self.alertmanager.names(), BTreeSet::new(), "before");
        let begin = Instant::now();
        while self.alertmanager.alerts().is_empty() {
            assert!(begin.elapsed() < PATIENCE, "{name} is not raised; {:?}", self.prometheus.query("ALERTS"));
            act();
            thread::sleep(Duration::from_millis(100));
        }
        // One that comes with it would come now.
        thread::sleep(Duration::from_secs(2));
        assert_eq!(self.alertmanager.names(), BTreeSet::from([name.to_owned()]));
        let alert = self.alertmanager.alerts().remove(0);
        assert_eq!(alert["status"]["state"], "active");
        self.assert_raised_within_its_for(name);
        alert
    }
}

/// A message with a time, in seconds from now.
fn message_sent(after: i64) -> String {
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    serde_json::json!({"sendID": "u1", "groupID": "g1", "sendTime": now + after * 1000}).to_string()
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_exporter_that_is_killed_is_reported_and_a_fresh_and_idle_one_never() {
    let scene = Scene::start();
    Scene::during(15, || ());
    assert_eq!(scene.prometheus.query("ALERTS"), []);
    scene.exporter.signal("KILL");
    let alert = scene.raises("OpenimExporterDown", || ());
    assert_eq!(alert["labels"]["severity"], "critical");
    let summary = format!("openim-exporter at {} does not answer", scene.exporter.address());
    assert_eq!(alert["annotations"]["summary"], summary.as_str());
    assert!(alert["annotations"]["runbook_url"].as_str().unwrap().ends_with("/docs/runbook.md#openimexporterdown"));
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_alert_whose_rule_names_another_job_does_not_come() {
    let scene =
        Scene::start_with(|rules| rules.replace("up{job=\"openim-exporter\"}", "up{job=\"openim-exporters\"}"), "");
    scene.exporter.signal("KILL");
    // Five times as long as it takes when the rule is right.
    Scene::during(20, || ());
    assert_eq!(scene.alertmanager.names(), BTreeSet::new());
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_sender_that_stops_is_reported() {
    let scene = Scene::start();
    Scene::during(45, || drop(scene.exporter.post(GROUP_MESSAGE_PATH, message("g1", "u1"))));
    scene.raises("OpenimNoCallbacks", || ());
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_openim_that_processes_messages_and_sends_none_is_reported() {
    let scene = Scene::start_with(str::to_owned, &openim_job(serve_openim_s_metrics()));
    let alert = scene.raises("OpenimNoCallbacks", || ());
    assert_eq!(alert["labels"]["job"], "openim-exporter");
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_group_that_is_flooded_is_reported() {
    let scene = Scene::start();
    // A message every two seconds, then twenty a second.
    for _ in 0..30 {
        scene.exporter.post(GROUP_MESSAGE_PATH, message("g1", "u1"));
        scene.exporter.post(GROUP_MESSAGE_PATH, message("g2", "u1"));
        thread::sleep(Duration::from_secs(2));
    }
    let alert = scene.raises("OpenimGroupFlood", || {
        (0..2).for_each(|_| drop(scene.exporter.post(GROUP_MESSAGE_PATH, message("g1", "u1"))));
    });
    assert_eq!(alert["labels"]["group_id"], "g1");
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn answers_that_take_too_long_are_reported() {
    let scene = Scene::start();
    let mut clients = [scene.exporter.connect(), scene.exporter.connect()];
    let bytes = post_bytes(GROUP_MESSAGE_PATH, "", message("g1", "u1").as_bytes());
    let (most, end) = bytes.split_at(bytes.len() - 1);
    // Both workers wait for nearly a second each time, because the body takes that long to come.
    scene.raises("OpenimAnswersSlow", || {
        clients.iter_mut().for_each(|client| client.send(most).unwrap());
        thread::sleep(Duration::from_millis(900));
        clients.iter_mut().for_each(|client| client.send(end).unwrap());
        clients.iter_mut().for_each(|client| assert_eq!(client.answer().status, 200));
    });
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_clock_that_is_wrong_is_reported() {
    let scene = Scene::start();
    let alert = scene.raises("OpenimClockErrors", || {
        scene.exporter.post(GROUP_MESSAGE_PATH, message_sent(3600));
    });
    assert_eq!(alert["labels"]["kind"], "future");
}

#[test]
#[ignore = "needs prometheus-alertmanager"]
fn an_exporter_that_is_down_silences_what_follows_from_it_and_nothing_of_another_exporter() {
    let alertmanager = Alertmanager::start();
    let job = "openim-exporter";
    let follows = [
        ["OpenimCountersReset", job, "a:10006"],
        ["OpenimNoCallbacks", job, ""],
        ["OpenimCallbacksMissing", job, ""],
        ["OpenimTrafficLow", job, ""],
    ];
    let others = [
        ["OpenimCapReached", job, "b:10006"],
        ["OpenimCallbacksRejected", job, "b:10006"],
        ["OpenimAnswersSlow", job, ""],
        ["OpenimNoCallbacks", "another-job", ""],
        ["OpenimClockErrors", "another-job", "a:10006"],
    ];
    let named = |alerts: &[[&str; 3]]| -> BTreeSet<_> { alerts.iter().map(|alert| alert.map(str::to_owned)).collect() };
    alertmanager.raise(&[&follows[..], &others].concat());
    support::eventually("they are there", || alertmanager.told() == named(&[&follows[..], &others].concat()));
    let down = [["OpenimExporterDown", job, "a:10006"]];
    alertmanager.raise(&down);
    support::eventually("it is there", || alertmanager.told().contains(&named(&down).pop_first().unwrap()));
    assert_eq!(alertmanager.told(), named(&[&down[..], &others].concat()));
}
