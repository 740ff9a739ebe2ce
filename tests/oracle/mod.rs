//! A real Prometheus for one test, and promtool.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

/// Prometheus starts within a second and scrapes each second, but a busy machine may need much longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same for a query about weeks, which takes five seconds.
const QUERY_PATIENCE: Duration = Duration::from_secs(600);

/// The configuration for operators.
pub(crate) const CONFIG: &str = include_str!("../../prometheus.yml");

/// An address at which nothing listens.
const NOWHERE: &str = "127.0.0.1:9";

/// Longer than any simulation.
const RETENTION: &str = "--storage.tsdb.retention.time=1y";

/// The directory of the rules that the configuration names.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/prometheus/rules/");

/// The operators' configuration for the exporter at another address, scraped each second.
pub(crate) fn config_for(exporter: SocketAddr) -> String {
    config_with(exporter, NOWHERE, RULES)
}

/// The same with another Alertmanager and another folder of rules.
pub(crate) fn config_with(exporter: SocketAddr, alertmanager: &str, rules: &str) -> String {
    let replaced = |text: String, old: &str, new: &str, times: usize| {
        assert_eq!(text.matches(old).count(), times, "{old} must occur {times} times in prometheus.yml");
        text.replace(old, new)
    };
    // The second one is in the job for all groups, which is commented out.
    let text = replaced(CONFIG.to_owned(), "localhost:10006", &exporter.to_string(), 2);
    let text = replaced(text, "localhost:9093", alertmanager, 1);
    let text = replaced(text, "  - prometheus/rules/", &format!("  - {rules}"), 2);
    let text = replaced(text, "evaluation_interval: 15s", "evaluation_interval: 1s", 1);
    replaced(text, "scrape_interval: 15s", "scrape_interval: 1s", 1)
}

/// The same, with the job for all groups, which is commented out for operators.
pub(crate) fn config_of_both_pages(exporter: SocketAddr) -> String {
    let text = config_for(exporter);
    let (before, rest) = text.split_once("  # - job_name: openim-exporter-groups\n").unwrap();
    let (job, after) = rest.split_once("\n\n").unwrap();
    let job = job.replace("  # ", "  ").replace("scrape_interval: 1m", "scrape_interval: 1s");
    format!("{before}  - job_name: openim-exporter-groups\n{job}\n\n{after}")
}

/// Serves OpenIM's count of messages, which increases by 50 with each scrape.
pub(crate) fn serve_openim_s_metrics() -> SocketAddr {
    serve_openim_s_count(|scrape| 50 * scrape)
}

/// The same with another count, computed from the number of the scrape.
pub(crate) fn serve_openim_s_count(count: impl Fn(u64) -> u64 + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (scrape, stream) in (0..).zip(listener.incoming()) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = format!("group_chat_msg_process_success_total {}\n", count(scrape));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", body.len());
            let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
        }
    });
    address
}

/// The job that scrapes it, to be appended to a configuration.
pub(crate) fn openim_job(openim: SocketAddr) -> String {
    format!("  - job_name: openim\n    scrape_interval: 1s\n    static_configs:\n      - targets: [\"{openim}\"]\n")
}

/// A running Prometheus with an empty database. It is killed when dropped.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    /// `None` if another Prometheus continues in it.
    directory: Option<TempDir>,
}

/// One series of a query's result: its labels and its value.
pub(crate) type Series = (BTreeMap<String, String>, f64);

/// The samples of a series: its labels, and its values with their timestamps in seconds.
pub(crate) type SeriesOfSamples = (BTreeMap<String, String>, Vec<(f64, f64)>);

/// One series of a range query's result: its labels, and its values with their timestamps.
pub(crate) type SeriesOfRange = (BTreeMap<String, String>, Vec<(i64, f64)>);

impl Prometheus {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// Starts one with these additional flags.
    pub(crate) fn start_with(config: &str, flags: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), config, flags)
    }

    /// Starts one that has these samples, in OpenMetrics with timestamps, and scrapes nothing. A sample stays visible
    /// for the time `lookback`, because the text cannot mark the end of a series as a scrape without the series does.
    pub(crate) fn with_samples(open_metrics: &str, lookback: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let [file, data] = ["samples", "data"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
        std::fs::write(&file, open_metrics).unwrap();
        create_blocks_from(&["openmetrics", &file, &data]);
        let lookback = format!("--query.lookback-delta={lookback}");
        Self::start_in(directory, "", &[&lookback, RETENTION])
    }

    /// Adds the results of these recording rules in a range of time, every `step` seconds. All metrics that the rules read
    /// must exist already.
    pub(crate) fn with_recorded(mut self, rules: &str, from: i64, to: i64, step: i64) -> Self {
        let directory = self.directory.take().unwrap();
        let [file, data] = ["rules.yml", "data"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
        std::fs::write(&file, rules).unwrap();
        let url = format!("--url=http://{}", self.address);
        let [from, to] = [format!("--start={from}"), format!("--end={to}")];
        let step = format!("--eval-interval={step}s");
        create_blocks_from(&["rules", &url, &from, &to, &step, &format!("--output-dir={data}"), &file]);
        // A start loads the new blocks immediately.
        drop(self);
        Self::start_in(directory, "", &[RETENTION])
    }

    /// Stops this Prometheus, and starts another one with its database.
    pub(crate) fn restart_with(mut self, config: &str, flags: &[&str]) -> Self {
        let directory = self.directory.take().unwrap();
        drop(self);
        Self::start_in(directory, config, flags)
    }

    /// Starts one in a directory, which may have a database in `data`.
    pub(crate) fn start_in(directory: TempDir, config: &str, flags: &[&str]) -> Self {
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut process = Command::new("prometheus")
            .arg("--web.listen-address=127.0.0.1:0")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--query.timeout={}s", QUERY_PATIENCE.as_secs()))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus must be installed");
        let address = listening_at(process.stderr.take().unwrap());
        let prometheus = Self { process, address, directory: Some(directory) };
        // It listens before it can answer.
        wait_until("Prometheus is ready", || prometheus.get("/-/ready").0.contains(" 200 "));
        prometheus
    }

    /// The current result of an expression.
    pub(crate) fn query(&self, expression: &str) -> Vec<Series> {
        let data = self.data(&format!("/api/v1/query?query={}", percent_encoded(expression)));
        data["result"].as_array().unwrap().iter().map(series).collect()
    }

    /// The only value of an expression at a time in seconds since the epoch.
    pub(crate) fn value_at(&self, time: i64, expression: &str) -> f64 {
        match self.answer_at(time, expression).as_slice() {
            [found] => series(found).1,
            other => panic!("{expression}: {other:?}"),
        }
    }

    /// The samples of each series of a range such as `up[1h]` that ends at this time, with their timestamps.
    pub(crate) fn samples_until(&self, time: i64, range: &str) -> Vec<Vec<(f64, f64)>> {
        self.series_until(time, range).into_iter().map(|(_, samples)| samples).collect()
    }

    /// The same with the labels of each series. Native histograms are left out.
    pub(crate) fn series_until(&self, time: i64, range: &str) -> Vec<SeriesOfSamples> {
        let sample = |sample: &Value| (sample[0].as_f64().unwrap(), sample[1].as_str().unwrap().parse().unwrap());
        let samples = |found: &Value| Some(found["values"].as_array()?.iter().map(sample).collect());
        let found = self.answer_at(time, range);
        found.iter().filter_map(|found| Some((labels_of(found), samples(found)?))).collect()
    }

    /// The nonzero values of an expression at a time, by one of its labels.
    pub(crate) fn values_by_label_at(&self, time: i64, label: &str, expression: &str) -> BTreeMap<String, f64> {
        values_by_label(label, self.answer_at(time, expression).iter().map(series))
    }

    /// The labels of each series of an expression, and its values in a range of time, every `step` seconds, with their
    /// timestamps.
    pub(crate) fn query_range(&self, from: i64, to: i64, step: i64, expression: &str) -> Vec<SeriesOfRange> {
        let query = percent_encoded(expression);
        let data = self.data(&format!("/api/v1/query_range?start={from}&end={to}&step={step}&query={query}"));
        let sample = |sample: &Value| (sample[0].as_i64().unwrap(), sample[1].as_str().unwrap().parse().unwrap());
        let samples = |found: &Value| found["values"].as_array().unwrap().iter().map(sample).collect();
        data["result"].as_array().unwrap().iter().map(|found| (labels_of(found), samples(found))).collect()
    }

    fn answer_at(&self, time: i64, expression: &str) -> Vec<Value> {
        let mut data = self.data(&format!("/api/v1/query?time={time}&query={}", percent_encoded(expression)));
        serde_json::from_value(data["result"].take()).unwrap()
    }

    /// The exemplars of an expression's series in the last hour, as JSON of the API.
    pub(crate) fn exemplars(&self, expression: &str) -> Value {
        let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (query, start) = (percent_encoded(expression), end - 3600);
        self.data(&format!("/api/v1/query_exemplars?query={query}&start={start}&end={}", end + 10))
    }

    /// The address at which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `for` of an alert in seconds.
    pub(crate) fn hold_of(&self, alert: &str) -> f64 {
        let data = self.data("/api/v1/rules?type=alert");
        let mut rules = data["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.find(|rule| rule["name"] == alert).unwrap()["duration"].as_f64().unwrap()
    }

    /// The longest `for` of all alerts.
    pub(crate) fn longest_hold(&self) -> Duration {
        let data = self.data("/api/v1/rules?type=alert");
        let rules = data["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
        Duration::from_secs_f64(rules.map(|rule| rule["duration"].as_f64().unwrap()).fold(0.0, f64::max))
    }

    /// The rules that could not be evaluated, and why.
    pub(crate) fn unhealthy_rules(&self) -> Vec<String> {
        let data = self.data("/api/v1/rules");
        let groups = data["groups"].as_array().unwrap();
        assert!(!groups.is_empty(), "Prometheus has no rules");
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules
            .filter(|rule| rule["health"] != "ok")
            .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
            .collect()
    }

    fn data(&self, path: &str) -> Value {
        let (head, body) = self.get(path);
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"));
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].take()
    }

    /// The only value of an expression.
    pub(crate) fn value(&self, expression: &str) -> f64 {
        match self.query(expression).as_slice() {
            [(_, value)] => *value,
            other => panic!("{expression}: {other:?}"),
        }
    }

    /// The nonzero values of an expression, by one of its labels.
    pub(crate) fn values_by_label(&self, label: &str, expression: &str) -> BTreeMap<String, f64> {
        values_by_label(label, self.query(expression))
    }

    /// Waits for a successful scrape of any target that began after this call.
    pub(crate) fn wait_for_a_scrape(&self) {
        self.wait_for_scrapes_of(1);
    }

    /// Waits until at least this many targets were scraped successfully, with scrapes that began after this call.
    pub(crate) fn wait_for_scrapes_of(&self, targets: usize) {
        self.wait_for("timestamp(up) and up == 1", targets);
    }

    /// The same for scrapes that may have failed.
    pub(crate) fn wait_for_tries_of(&self, targets: usize) {
        self.wait_for("timestamp(up)", targets);
    }

    fn wait_for(&self, times: &str, targets: usize) {
        let begin = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        wait_until("Prometheus scrapes all targets", || {
            let scraped = self.query(times);
            scraped.iter().filter(|(_, scraped)| *scraped > begin).count() >= targets
        });
    }

    /// The head and body of an answer. It uses HTTP/1.0, where the answer ends with the connection.
    fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(QUERY_PATIENCE)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "timeout while waiting until {what}");
        sleep(Duration::from_millis(100));
    }
}

/// Finds Prometheus' address in its log. Then continues to read the log, because Prometheus blocks if the pipe is full.
fn listening_at(log: ChildStderr) -> SocketAddr {
    let mut seen = String::new();
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let address = lines.find_map(|line| {
        // Newer versions write the component before the address.
        let found = line.split_once(r#"msg="Listening on""#).and_then(|(_, rest)| rest.split_once("address="));
        let found = found.and_then(|(_, address)| address.parse().ok());
        let _ = writeln!(seen, "{line}");
        found
    });
    thread::spawn(move || lines.for_each(drop));
    address.unwrap_or_else(|| panic!("Prometheus does not start:\n{seen}"))
}

fn values_by_label(label: &str, series: impl IntoIterator<Item = Series>) -> BTreeMap<String, f64> {
    let moved = series.into_iter().filter(|(_, value)| *value != 0.0);
    moved.map(|(mut labels, value)| (labels.remove(label).unwrap_or_default(), value)).collect()
}

fn labels_of(found: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(found["metric"].clone()).unwrap()
}

/// The labels and the value of a series. The value of a native histogram is its number of observations.
fn series(found: &Value) -> Series {
    let value = found["value"][1].as_str().or_else(|| found["histogram"][1]["count"].as_str());
    (labels_of(found), value.unwrap().parse().unwrap())
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02x}");
        encoded
    })
}

/// Runs promtool with this input.
pub(crate) fn promtool(arguments: &[&str], input: &[u8]) -> Output {
    let mut process = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool must be installed");
    // The pipe is dropped, which ends the input. promtool prints nothing before that, so this cannot block.
    process.stdin.take().unwrap().write_all(input).unwrap();
    process.wait_with_output().unwrap()
}

/// Lets promtool create blocks of a database. They are as long as possible, because it reads all input once per block.
pub(crate) fn create_blocks_from(arguments: &[&str]) {
    let all = [&["tsdb", "create-blocks-from", "--max-block-duration=162h"], arguments].concat();
    let made = promtool(&all, b"");
    let printed = String::from_utf8_lossy(&made.stderr);
    // promtool succeeds even if a rule has an error.
    assert!(made.status.success() && !printed.contains("error"), "{printed}");
}

/// Checks that promtool accepts the metrics without a warning.
pub(crate) fn assert_clean(metrics: &[u8]) {
    let printed = promtool(&["check", "metrics"], metrics);
    let (out, err) = (String::from_utf8_lossy(&printed.stdout), String::from_utf8_lossy(&printed.stderr));
    assert!(printed.status.success() && out.is_empty() && err.is_empty(), "promtool: {}\n{out}{err}", printed.status);
}
