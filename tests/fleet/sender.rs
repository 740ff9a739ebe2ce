//! OpenIM's processes: Go's client with two workers each.

use std::process::{Child, Stdio};

use serde::Deserialize;

use crate::network::Machine;
use crate::support::{go_client, signal};

/// Workers of each process.
const WORKERS: u64 = 2;

/// Time between two callbacks of a worker.
const PAUSE: &str = "10ms";

/// Processes that send until they are stopped.
pub(crate) struct Sender(Vec<Child>);

/// What became of the callbacks.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    #[serde(default)]
    pub(crate) failures: Option<Vec<String>>,
    /// The 99th percentile of the answers' times, in milliseconds.
    pub(crate) p99_ms: f64,
}

impl Sender {
    /// Starts this many processes.
    pub(crate) fn start(machine: &Machine, url: &str, processes: usize) -> Self {
        let program = go_client::built();
        let arguments = [program.to_str().unwrap(), url, &WORKERS.to_string(), "10m", PAUSE];
        let start = |_| machine.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        Self((0..processes).map(start).collect())
    }

    /// The most callbacks that can be in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        self.0.len() as u64 * WORKERS
    }

    /// Stops the processes. The highest of their percentiles counts.
    pub(crate) fn stop(mut self) -> Report {
        let mut all = Report::default();
        for process in &self.0 {
            signal(process.id(), "TERM");
        }
        for process in std::mem::take(&mut self.0) {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let report: Report = serde_json::from_slice(&output.stdout).unwrap();
            all.sent += report.sent;
            all.answered += report.answered;
            all.failures.get_or_insert_default().extend(report.failures.unwrap_or_default());
            all.p99_ms = all.p99_ms.max(report.p99_ms);
        }
        all
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Report {
    /// How many failed. Each was counted.
    pub(crate) fn failed(&self) -> u64 {
        let failed = self.failures.as_ref().map_or(0, Vec::len) as u64;
        assert_eq!(self.sent, self.answered + failed, "{self:?}");
        failed
    }
}
