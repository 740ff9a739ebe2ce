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

    /// Raises alerts with a name, a job and an instance. An alert for a whole job has no instance.
    pub(crate) fn raise(&self, alerts: &[[&str; 3]]) {
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

    /// The alerts that are not inhibited, by name, job and instance.
    pub(crate) fn active(&self) -> BTreeSet<[String; 3]> {
        let shown = self.alerts().into_iter().filter(|alert| alert["status"]["state"] != "suppressed");
        let label = |alert: &Value, label| alert["labels"][label].as_str().unwrap_or_default().to_owned();
        shown.map(|alert| ["alertname", "job", "instance"].map(|name| label(&alert, name))).collect()
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
