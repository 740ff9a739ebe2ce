//! Real exporters with traffic, and a Prometheus that scrapes them.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use std::{fs, thread};

use rcgen::date_time_ymd;
use serde_json::Value;
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use super::authority::Authority;
use super::history::{History, Part, Past};
use super::monitoring;
use super::oracle::{Prometheus, serve_openim_s_count};
use super::situations::{Situation, Trouble};
use super::support::{self, Client, Exporter, GROUP_MESSAGE_PATH, Running};

/// The job of OpenIM's own metrics.
pub(crate) const OPENIM: &str = "openim";

/// Group messages per second.
const RATE: &str = "60";

/// Other callbacks per second.
const REPORTS: u32 = 25;

/// A body of each callback as OpenIM sends it.
const BODIES: &str = include_str!("../answers/bodies.jsonl");

/// How long an exporter that is down has been down, in seconds.
const DOWN: u64 = 1800;

/// The time that each callback takes under [`Trouble::SlowAnswers`], in seconds. Two workers are then busy for 93 % of
/// the time.
pub(crate) const SLOW: f64 = 0.022;

/// The prefix of the names of this histogram's series.
pub(crate) const DURATION: &str = "openim_exporter_callback_duration_seconds_";

/// The label `instance` of an exporter, which the history has too.
pub(crate) fn instance(exporter: usize) -> String {
    format!("exporter-{}:10006", exporter + 1)
}

/// The histories that a situation begins with.
pub(crate) fn pasts(situation: &Situation) -> Vec<Past> {
    let ended = |down: bool| if down { DOWN } else { 0 };
    let parts = |exporter: usize, is_down: bool| {
        let tls = situation.has_tls.then_some(Part::Tls);
        let is_slow = situation.trouble == Trouble::SlowAnswers;
        let past = move |part| Past { part, exporter, ended: ended(is_down), is_slow };
        [Some(Part::Core), tls].into_iter().flatten().map(past)
    };
    let first = parts(0, situation.trouble == Trouble::Down);
    let second = (situation.trouble == Trouble::OneOfTwoDown).then(|| parts(1, true));
    let openim = situation.has_openim.then_some(Past { part: Part::Openim, exporter: 0, ended: 0, is_slow: false });
    first.chain(second.into_iter().flatten()).chain(openim).collect()
}

/// Serves OpenIM's count of messages: more than it sends, because it also counts notifications.
pub(crate) fn serve_openim() -> SocketAddr {
    serve_openim_s_count(|scrape| 350 * scrape)
}

/// The configuration of a Prometheus that scrapes these exporters.
pub(crate) fn config(exporters: &[SocketAddr], has_tls: bool, openim: Option<SocketAddr>, rules: &Path) -> String {
    let rules = rules.join("*.yml");
    let rules = rules.display();
    let scheme = if has_tls { "https" } else { "http" };
    let mut text = format!(
        "global:\n  scrape_interval: 5s\n  evaluation_interval: 5s\nrule_files: [\"{rules}\"]\nscrape_configs:\n  \
         - job_name: openim-exporter\n    scheme: {scheme}\n    tls_config: {{insecure_skip_verify: true}}\n    \
         static_configs:\n"
    );
    for (number, address) in exporters.iter().enumerate() {
        let instance = instance(number);
        writeln!(text, "      - {{targets: [\"{address}\"], labels: {{instance: \"{instance}\"}}}}").unwrap();
    }
    if let Some(address) = openim {
        let target = format!("{{targets: [\"{address}\"], labels: {{instance: \"{OPENIM}:12002\"}}}}");
        writeln!(text, "  - job_name: {OPENIM}\n    static_configs: [{target}]").unwrap();
    }
    text
}

/// The `for` clauses that the test removes. Alerts with a longer one do not fire in it.
const SHORT_HOLDS: [&str; 2] = ["for: 1m", "for: 5m"];

/// Writes the rules, where some alerts fire as soon as their condition is true.
fn write_rules(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    for file in monitoring::files("prometheus/rules", ".yml") {
        let text = fs::read_to_string(&file).unwrap();
        let is_hold = |line: &&str| SHORT_HOLDS.contains(&line.trim());
        let lines: Vec<_> = text.lines().filter(|line| !is_hold(line)).collect();
        fs::write(directory.join(file.file_name().unwrap()), lines.join("\n")).unwrap();
    }
}

/// An exporter, and its certificate if it has one.
pub(crate) struct Receiver {
    exporter: Exporter,
    authority: Option<Authority>,
}

impl Receiver {
    pub(crate) fn start(has_tls: bool) -> Self {
        let authority = has_tls.then(|| {
            let authority = Authority::new();
            authority.issue_with("server", &["localhost"], |certificate| {
                certificate.not_after = date_time_ymd(2040, 1, 1);
            });
            authority
        });
        let web = authority.as_ref().map(|authority| authority.web_config("server", ""));
        let web = web.map(|file| ["--web.config.file".to_owned(), file.to_str().unwrap().to_owned()]);
        let window = ["--callback.dedup-window".to_owned(), "1m".to_owned()];
        let flags: Vec<_> = window.iter().chain(web.iter().flatten()).map(String::as_str).collect();
        Self { exporter: Exporter::start(&flags), authority }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.exporter.address()
    }

    /// Lets it receive all callbacks except those of group messages until `stop` is set.
    pub(crate) fn report(&self, stop: &Arc<AtomicBool>) {
        let is_group_message = |line: &&str| line.contains("SendGroupMsg") && !line.contains("BeforeSend");
        let bodies = BODIES.lines().filter(|line| !is_group_message(line) && !line.contains("SaveDB"));
        let bodies: Vec<Value> = bodies.map(|line| serde_json::from_str(line).unwrap()).collect();
        let tls = self.authority.as_ref().map(|authority| authority.client(None));
        keep_posting(self.address(), tls, Arc::clone(stop), REPORTS, move |number| {
            let position = usize::try_from(number).unwrap() % bodies.len();
            report(&bodies[position], number / bodies.len() as u64)
        });
    }

    /// Lets it receive group messages until the returned process is dropped.
    pub(crate) fn receive(&self) -> Running {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        let target = format!("{scheme}://{}", self.address());
        let flags = ["simulate", "--yes", "--rate", RATE, "--groups", "12", "--senders", "500", "--duration", "1h"];
        let mut command = support::command(&flags);
        command.args(self.authority.is_some().then_some("--tls-skip-verify")).args(["--target", &target]);
        Running::start(&mut command)
    }
}

/// Everything that runs in a situation.
pub(crate) struct Installation {
    prometheus: Prometheus,
    stop: Arc<AtomicBool>,
    _receiver: Option<Receiver>,
    _sender: Option<Running>,
}

impl Installation {
    pub(crate) fn start(situation: &Situation, history: &History) -> Self {
        let is_down = situation.trouble == Trouble::Down;
        let receiver = (!is_down).then(|| Receiver::start(situation.has_tls));
        let stop = Arc::new(AtomicBool::new(false));
        let nowhere = || SocketAddr::from(([127, 0, 0, 1], support::free_port()));
        let first = receiver.as_ref().map_or_else(nowhere, |receiver| match situation.trouble {
            Trouble::SlowAnswers => serve_slower(receiver.address()),
            _ => receiver.address(),
        });
        let second = (situation.trouble == Trouble::OneOfTwoDown).then(nowhere);
        let exporters: Vec<_> = [first].into_iter().chain(second).collect();
        let openim = situation.has_openim.then(serve_openim);
        let directory = TempDir::new().unwrap();
        history.add_to(&directory.path().join("data"), &pasts(situation));
        let rules = directory.path().join("rules");
        write_rules(&rules);
        let config = config(&exporters, situation.has_tls, openim, &rules);
        let prometheus = Prometheus::start_in(directory, &config, &["--storage.tsdb.retention.time=30d"]);
        match situation.trouble {
            Trouble::Refusals => keep_posting(first, None, Arc::clone(&stop), 5, |_| group_message("{}".to_owned())),
            Trouble::Flood => keep_posting(first, None, Arc::clone(&stop), 100, |number| {
                group_message(support::message("flooded", &format!("u{}", number % 7)))
            }),
            _ => (),
        }
        if let Some(receiver) = receiver.as_ref().filter(|_| situation.has_reports) {
            receiver.report(&stop);
        }
        let sender = receiver.as_ref().map(Receiver::receive);
        Self { prometheus, stop, _receiver: receiver, _sender: sender }
    }

    /// The URL of Prometheus.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.prometheus.address())
    }

    /// The names of the alerts that fire.
    pub(crate) fn alerts(&self) -> Vec<String> {
        self.prometheus.values_by_label("alertname", "ALERTS{alertstate=\"firing\"}").into_keys().collect()
    }

    pub(crate) fn unhealthy_rules(&self) -> Vec<String> {
        self.prometheus.unhealthy_rules()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Posts `rate` callbacks per second. `callback` makes the path and the body of each one from its number.
fn keep_posting(
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    stop: Arc<AtomicBool>,
    rate: u32,
    callback: impl Fn(u64) -> (String, String) + Send + 'static,
) {
    thread::spawn(move || {
        let mut client = tls.map_or_else(|| Client::connect(to), |tls| Client::connect_secure(to, &tls)).unwrap();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let (path, body) = callback(number);
            client.post(&path, body);
            thread::sleep(Duration::from_secs(1) / rate);
        }
    });
}

fn group_message(body: String) -> (String, String) {
    (GROUP_MESSAGE_PATH.to_owned(), body)
}

/// The path and the body of a callback that happens now, to a different user each time. Half of the users go offline.
fn report(body: &Value, number: u64) -> (String, String) {
    let mut body = body.clone();
    let command = body["callbackCommand"].as_str().unwrap().to_owned();
    let now = u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let user = if command.contains("Offline") { number / 2 } else { number };
    for (field, value) in [
        ("userID", format!("u{user}").into()),
        ("groupID", format!("g{number}").into()),
        ("serverMsgID", format!("m{number}").into()),
        ("platformID", (1 + user % 5).into()),
        ("sendTime", (now - 30).into()),
        ("createTime", (now - 80).into()),
    ] {
        if let Some(there) = body.get_mut(field) {
            *there = value;
        }
    }
    (format!("/callback/{command}"), body.to_string())
}

/// Serves an exporter's metrics as if each callback took [`SLOW`].
fn serve_slower(exporter: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let Ok(mut client) = Client::connect(exporter) else { return };
            client.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let body = slower(&client.answer().text());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", body.len());
            let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
        }
    });
    address
}

/// The metrics, where each callback took [`SLOW`].
fn slower(metrics: &str) -> String {
    let count = metrics.lines().find_map(|line| line.strip_prefix(DURATION)?.strip_prefix("count "));
    let count: f64 = count.unwrap().parse().unwrap();
    let changed = metrics.lines().map(|line| {
        let Some((name, rest)) = line.strip_prefix(DURATION).and_then(|rest| rest.split_once(['{', ' '])) else {
            return line.to_owned();
        };
        match name {
            "sum" => format!("{DURATION}sum {}", count * SLOW),
            "bucket" => {
                let bound = rest.split('"').nth(1).unwrap();
                let is_above = bound.replace("+Inf", "inf").parse::<f64>().unwrap() >= SLOW;
                format!("{DURATION}bucket{{le=\"{bound}\"}} {}", if is_above { count } else { 0.0 })
            }
            _ => line.to_owned(),
        }
    });
    changed.collect::<Vec<_>>().join("\n") + "\n"
}
