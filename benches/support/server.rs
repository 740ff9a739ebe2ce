//! A server in a separate process, and a sender.

use std::future::pending;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use openim_exporter::config::simulate::{Callbacks, Simulate, Target, Until};
use openim_exporter::simulate::{self, Report};

use super::{Failure, cpu_time};

/// A server process; killed when dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) process: Child,
    pub(crate) target: Target,
}

impl Server {
    /// The exporter with these additional flags. Its state is in memory unless they include `--storage.path`.
    pub(crate) fn exporter(name: &'static str, flags: &[&str]) -> Result<Self, Failure> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_openim-exporter"))
            .env("OPENIM_EXPORTER_STORAGE_PATH", "")
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("no log")?);
        // Log lines about the state come first.
        let port: u16 = loop {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                return Err("the exporter's log does not have its address".into());
            }
            if let Some((_, after)) = line.split_once("address=127.0.0.1:") {
                break after.split_whitespace().next().unwrap_or_default().parse()?;
            }
        };
        // Reads the rest of the log, because the exporter would block on a full pipe.
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Ok(Self { name, process, target: target(&format!("http://127.0.0.1:{port}"))? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The target for a URL, as in `simulate --target`.
pub(crate) fn target(url: &str) -> Result<Target, Failure> {
    Ok(url.parse::<Target>()?)
}

/// The callbacks to send.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) callbacks: u64,
    pub(crate) groups: u32,
    pub(crate) senders: u32,
    pub(crate) seed: u64,
}

/// Settings that send callbacks as fast as they are answered.
pub(crate) fn options(target: &Target, load: Load) -> Simulate {
    Simulate {
        target: target.clone(),
        rate: None,
        callbacks: Callbacks::GroupMessages,
        replay: None,
        groups: load.groups,
        senders: load.senders,
        connections: load.connections,
        until: Until::Sent(load.callbacks),
        seed: load.seed,
        report: None,
        is_confirmed: true,
    }
}

/// Sends callbacks as fast as they are answered. All of them must be accepted.
pub(crate) fn send(target: &Target, load: Load) -> Result<Report, Failure> {
    let options = options(target, load);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(simulate::run(&options, pending(), |_| {}))?;
    if report.is_success() { Ok(report) } else { Err(format!("callbacks failed: {:?}", report.first_failure).into()) }
}

/// The results of one server, one of each per round.
#[derive(Default)]
pub(crate) struct Rounds {
    pub(crate) cpu_us: Vec<f64>,
    pub(crate) p50_us: Vec<f64>,
    pub(crate) p99_us: Vec<f64>,
}

/// Sends the load to the servers in turn for several rounds. Each round has different messages.
pub(crate) fn interleaved(servers: &[Server], rounds: usize, load: Load) -> Result<Vec<Rounds>, Failure> {
    let mut taken: Vec<_> = servers.iter().map(|_| Rounds::default()).collect();
    // The first round is not counted: it warms up the servers' tables and allocators.
    for round in 0..=rounds {
        // Each round begins with a different server.
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let (server, taken) = (&servers[position], &mut taken[position]);
            let before = cpu_time(server.process.id());
            let report = send(&server.target, Load { seed: round as u64, ..load })?;
            let spent = cpu_time(server.process.id()) - before;
            if round > 0 {
                taken.cpu_us.push(spent.as_secs_f64() * 1e6 / report.answered as f64);
                taken.p50_us.push(report.answer_seconds.p50 * 1e6);
                taken.p99_us.push(report.answer_seconds.p99 * 1e6);
            }
        }
    }
    Ok(taken)
}

/// Waits until a server has delivered what it received; at once if it forwards nothing. Returns how long that took.
pub(crate) fn wait_until_delivered(server: &Server, patience: Duration) -> Result<Duration, Failure> {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        let metrics = scrape(server)?;
        let number = |name: &str| {
            let start = format!("openim_exporter_forward_{name}_total{{");
            metrics.lines().find(|line| line.starts_with(&start)).map(|line| line.rsplit(' ').next().map(str::to_owned))
        };
        if number("received") == number("delivered") {
            return Ok(begin.elapsed());
        }
        // A scrape is cheap, but not free.
        thread::sleep(Duration::from_millis(200));
    }
    Err("not everything was delivered in time".into())
}

/// The answer to a scrape of `/metrics`.
pub(crate) fn scrape(server: &Server) -> Result<String, Failure> {
    let address = server.target.to_string();
    let mut stream = TcpStream::connect(address.trim_start_matches("http://").trim_end_matches('/'))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
