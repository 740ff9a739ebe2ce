//! A server of its own process, and a sender that it answers.

use std::future::pending;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use openim_exporter::config::simulate::{Simulate, Target, Until};
use openim_exporter::simulate::{self, Report};

use super::Failure;

/// A server process; killed when dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) process: Child,
    pub(crate) port: u16,
}

impl Server {
    /// The exporter with these flags too, its state in memory unless they say otherwise.
    pub(crate) fn exporter(name: &'static str, flags: &[&str]) -> Result<Self, Failure> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_openim-exporter"))
            .env("OPENIM_EXPORTER_STORAGE_PATH", "")
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("no log")?);
        // What it says of its state comes before.
        let port = loop {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                return Err("the exporter does not say where it listens".into());
            }
            if let Some((_, after)) = line.split_once("address=127.0.0.1:") {
                break after.split_whitespace().next().unwrap_or_default().parse()?;
            }
        };
        // The log goes on; somebody has to read it.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Ok(Self { name, process, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) callbacks: u64,
    pub(crate) groups: u32,
    pub(crate) senders: u32,
    pub(crate) seed: u64,
}

/// Callbacks as fast as they are answered.
pub(crate) fn options(port: u16, load: Load) -> Simulate {
    Simulate {
        target: Target {
            host: "127.0.0.1".to_owned(),
            port,
            authority: format!("127.0.0.1:{port}"),
            prefix: String::new(),
            authorization: None,
            trust: None,
        },
        rate: None,
        groups: load.groups,
        senders: load.senders,
        connections: load.connections,
        until: Until::Sent(load.callbacks),
        seed: load.seed,
        report: None,
    }
}

/// Sends callbacks as fast as they are answered; all of them must be taken.
pub(crate) fn send(port: u16, load: Load) -> Result<Report, Failure> {
    let options = options(port, load);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(simulate::run(&options, pending(), |_| {}))?;
    if report.is_success() { Ok(report) } else { Err(format!("callbacks failed: {:?}", report.first_failure).into()) }
}
