//! The cost of forwarding: exporters whose spools fill, with a target that works, is slow, or is dead, compared with one
//! that forwards nothing.
//!
//! CPU time is measured at full speed, with a target in another process. Answer latency is measured at a fixed rate.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, dead_code, reason = "a benchmark may panic")]

#[path = "support/empty.rs"]
mod empty;

mod support;

use std::future::pending;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use empty::Layout;
use openim_exporter::config::simulate::{Simulate, Until};
use openim_exporter::simulate::{self, Report};
use support::server::{Load, Server, options, send, wait_until_delivered};
use support::{Failure, cpu_time, cpu_time_of, median, ratio, verdict};

const SERVE_TARGET: &str = "--serve-target";
const ROUNDS: usize = 7;
const LOAD: Load = Load { connections: 2, callbacks: 20_000, groups: 1000, senders: 10_000, seed: 0 };

/// Callbacks per second and in each round, for the answer latency.
const RATE: f64 = 1000.0;
const AT_RATE: u64 = 8000;

/// How long the deliveries of a round may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The highest ratios to an exporter that forwards nothing.
const SERVING_BUDGET: f64 = 1.3;
const PROCESS_BUDGET: f64 = 2.8;
const ANSWER_BUDGET: f64 = 1.3;

fn main() -> Result<(), Failure> {
    if std::env::args().any(|argument| argument == SERVE_TARGET) {
        return Ok(empty::serve(Layout::Ours.name(), "127.0.0.1:0")?);
    }
    let mut out = std::io::stdout();
    cpu(&mut out)?;
    answers(&mut out)
}

/// An exporter with its state and its spool in a new directory.
fn exporter(name: &'static str, target: Option<&str>) -> Result<(Server, tempfile::TempDir), Failure> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().to_str().ok_or("no path")?;
    let mut flags = vec!["--storage.path", path];
    flags.extend(target.iter().flat_map(|target| ["--forward.url", *target]));
    Ok((Server::exporter(name, &flags)?, directory))
}

/// Compares the CPU time per callback, of the serving threads and of the whole process with all deliveries.
fn cpu(out: &mut impl Write) -> Result<(), Failure> {
    let (mut target, url) = working_target()?;
    let (off, _off) = exporter("nothing", None)?;
    let (on, _on) = exporter("all callbacks", Some(&url))?;
    let servers = [off, on];
    // The serving threads', and the process's.
    let mut taken: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..=ROUNDS {
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let (server, process) = (&servers[position], servers[position].process.id());
            let spent = || [cpu_time_of(process, |thread| thread.starts_with("serve-")), cpu_time(process)];
            let before = spent();
            let report = send(&server.target, Load { seed: round as u64, ..LOAD })?;
            wait_until_delivered(server, PATIENCE)?;
            let after = spent();
            // The first one warms up.
            if round > 0 {
                for (taken, (after, before)) in taken[position].iter_mut().zip(after.iter().zip(before)) {
                    taken.push((*after - before).as_secs_f64() * 1e6 / report.answered as f64);
                }
            }
        }
    }
    let (rounds, callbacks) = (ROUNDS, LOAD.callbacks);
    writeln!(out, "\n## Forwarding, CPU time per callback: {rounds} rounds of {callbacks} callbacks, medians\n")?;
    writeln!(out, "| forwarded | serving threads, µs | process, µs |\n|---|---|---|")?;
    for (server, [serving, process]) in servers.iter().zip(&taken) {
        let [serving, process] = [serving, process].map(|rounds| median(rounds.iter().copied()));
        writeln!(out, "| {} | {serving:.2} | {process:.2} |", server.name)?;
    }
    let [off, on] = &taken;
    writeln!(out, "\n- serving threads, compared with nothing: {}", verdict(ratio(&on[0], &off[0]), SERVING_BUDGET))?;
    writeln!(out, "- process, compared with nothing: {}", verdict(ratio(&on[1], &off[1]), PROCESS_BUDGET))?;
    target.kill()?;
    target.wait()?;
    Ok(())
}

/// Compares the latency of the answers.
fn answers(out: &mut impl Write) -> Result<(), Failure> {
    let slow = format!("http://{}", slow_target()?);
    let (off, _off) = exporter("none", None)?;
    let (slow, _slow) = exporter("slow", Some(&slow))?;
    // Nobody listens at this port.
    let (dead, _dead) = exporter("dead", Some("http://127.0.0.1:1"))?;
    let servers = [off, slow, dead];
    let mut taken: [Vec<f64>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let report = send_at_rate(&servers[position], round as u64)?;
            if round > 0 {
                taken[position].push(report.answer_seconds.p99 * 1e6);
            }
        }
    }
    writeln!(out, "\n## Forwarding, answers: {ROUNDS} rounds of {AT_RATE} callbacks at {RATE} per second, medians\n")?;
    writeln!(out, "| the target is | answers, p99, µs |\n|---|---|")?;
    for (server, p99) in servers.iter().zip(&taken) {
        writeln!(out, "| {} | {:.0} |", server.name, median(p99.iter().copied()))?;
    }
    let [none, slow, dead] = &taken;
    writeln!(out, "\n- slow, compared with none: {}", verdict(ratio(slow, none), ANSWER_BUDGET))?;
    writeln!(out, "- dead, compared with none: {}", verdict(ratio(dead, none), ANSWER_BUDGET))?;
    Ok(())
}

/// A target in a process of its own, and its URL.
fn working_target() -> Result<(Child, String), Failure> {
    let mut process = Command::new(std::env::current_exe()?).arg(SERVE_TARGET).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    Ok((process, format!("http://127.0.0.1:{}", line.trim())))
}

/// The address of a target that reads each request and answers after a second.
fn slow_target() -> Result<std::net::SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                while let Ok(1..) = stream.read(&mut [0; 1 << 16]) {
                    thread::sleep(Duration::from_secs(1));
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
                }
            });
        }
    });
    Ok(address)
}

fn send_at_rate(server: &Server, seed: u64) -> Result<Report, Failure> {
    let load = Load { connections: 4, callbacks: AT_RATE, groups: 1000, senders: 10_000, seed };
    let options = Simulate { rate: Some(RATE), until: Until::Sent(AT_RATE), ..options(&server.target, load) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(simulate::run(&options, pending(), |_| {}))?;
    if report.is_success() { Ok(report) } else { Err(format!("callbacks failed: {:?}", report.first_failure).into()) }
}
