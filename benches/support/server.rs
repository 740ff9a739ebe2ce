//! Server processes, and what is sent to them.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::future::pending;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use openim_exporter::config::simulate::{Simulate, Target, Until};
use openim_exporter::simulate::{self, Report};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Tells a benchmark's program to be the reference server.
pub(crate) const SERVE_EMPTY: &str = "--serve-empty";

/// A server process; killed when dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) process: Child,
    pub(crate) port: u16,
}

impl Server {
    /// An exporter with these flags, at a free port.
    pub(crate) fn exporter(name: &'static str, flags: &[&str]) -> Result<Self, Failure> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_openim-exporter"))
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("no log")?);
        let address = log.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("message=serving ")?.1.split_once("address=127.0.0.1:")?;
            port.split(' ').next()?.parse().ok()
        });
        // The log goes on; somebody has to read it.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        let port = address.ok_or("the exporter does not say where it listens")?;
        Ok(Self { name, process, port })
    }

    /// The reference, which this very program is when it is told so.
    pub(crate) fn empty(name: &'static str, layout: &str) -> Result<Self, Failure> {
        let mut process =
            Command::new(std::env::current_exe()?).args([SERVE_EMPTY, layout]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { name, process, port: line.trim().parse()? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends callbacks as quickly as they are answered, all of which must be taken.
pub(crate) fn send(port: u16, connections: usize, callbacks: u64, seed: u64) -> Result<Report, Failure> {
    let options = Simulate {
        target: Target {
            host: "127.0.0.1".to_owned(),
            port,
            authority: format!("127.0.0.1:{port}"),
            prefix: String::new(),
        },
        rate: None,
        groups: 1000,
        senders: 10_000,
        connections,
        until: Until::Sent(callbacks),
        seed,
        report: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(simulate::run(&options, pending(), |_| {}))?;
    if report.is_success() { Ok(report) } else { Err(format!("callbacks failed: {:?}", report.first_failure).into()) }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
