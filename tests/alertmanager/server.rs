//! A separate Alertmanager with the configuration from deploy/.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::monitoring::read;
use crate::support::{Client, post_bytes};

/// The labels by which the inhibition rules tell alerts apart.
const LABELS: [&str; 4] = ["alertname", "job", "instance", "target"];

pub(crate) type Labels<T> = [T; LABELS.len()];

/// A running Alertmanager. It is killed when dropped.
pub(crate) struct Alertmanager {
    process: Child,
    pub(crate) address: SocketAddr,
    _directory: TempDir,
}

impl Alertmanager {
    pub(crate) fn start() -> Self {
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
        Self { process, address: address.expect("Alertmanager does not start"), _directory: directory }
    }

    /// All alerts.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let mut client = Client::connect(self.address).unwrap();
        client.send("GET /api/v2/alerts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        client.answer().json().as_array().unwrap().clone()
    }

    /// Raises alerts with these values of [`LABELS`]. An alert for a whole job has no instance.
    pub(crate) fn raise(&self, alerts: &[Labels<&str>]) {
        let labels = |alert: &Labels<&str>| -> Value {
            let all = LABELS.into_iter().zip(*alert).filter(|(_, value)| !value.is_empty());
            all.map(|(label, value)| (label.to_owned(), Value::from(value))).collect::<serde_json::Map<_, _>>().into()
        };
        let body: Vec<_> = alerts.iter().map(|alert| serde_json::json!({"labels": labels(alert)})).collect();
        let body = Value::from(body).to_string();
        let mut client = Client::connect(self.address).unwrap();
        client.send(post_bytes("/api/v2/alerts", "connection: close\r\n", body.as_bytes())).unwrap();
        assert_eq!(client.answer().status, 200);
    }

    /// The alerts that are not inhibited, by [`LABELS`].
    pub(crate) fn active(&self) -> BTreeSet<Labels<String>> {
        let shown = self.alerts().into_iter().filter(|alert| alert["status"]["state"] != "suppressed");
        let label = |alert: &Value, label| alert["labels"][label].as_str().unwrap_or_default().to_owned();
        shown.map(|alert| LABELS.map(|name| label(&alert, name))).collect()
    }

    /// The names of all alerts.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.alerts().iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
