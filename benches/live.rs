//! The cost of the live page: an exporter with 100 viewers, compared with one that nobody watches.
//!
//! Both get the same callbacks in turn, at a fixed rate.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, dead_code, reason = "a benchmark may panic")]

mod support;

use std::future::pending;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use openim_exporter::config::simulate::{Simulate, Until};
use openim_exporter::simulate::{self, Report};
use support::server::{Load, Server, options};
use support::{Failure, cpu_time, median, ratio, verdict};

const ROUNDS: usize = 25;
const VIEWERS: usize = 100;
/// Callbacks per second, and in each round.
const RATE: f64 = 1000.0;
const CALLBACKS: u64 = 4000;

const READ_INTERVAL: Duration = Duration::from_secs(2);

/// The most that the viewers may use, in percent of a core, and the highest ratio of the answers' 99th percentiles.
const CPU_BUDGET: f64 = 1.0;
const ANSWER_BUDGET: f64 = 1.1;

fn main() -> Result<(), Failure> {
    let servers = [Server::exporter("no viewer", &[])?, Server::exporter("100 viewers", &[])?];
    let events = Arc::new(AtomicU64::new(0));
    watch(&servers[1], Arc::clone(&events))?;
    // Percent of a core, and the answers' 99th percentile in microseconds.
    let mut taken: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..=ROUNDS {
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let before = cpu_time(servers[position].process.id());
            let report = send(&servers[position], round as u64)?;
            let spent = cpu_time(servers[position].process.id()) - before;
            // The first one warms up.
            if round > 0 {
                taken[position][0].push(100.0 * spent.as_secs_f64() / report.elapsed_seconds);
                taken[position][1].push(report.answer_seconds.p99 * 1e6);
            }
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "\n## Live page: {ROUNDS} rounds of {CALLBACKS} callbacks at {RATE} per second, medians\n")?;
    writeln!(out, "| the exporter has | CPU, % of a core | answers, p99, µs |\n|---|---|---|")?;
    for (server, [cpu, p99]) in servers.iter().zip(&taken) {
        let [cpu, p99] = [cpu, p99].map(|rounds| median(rounds.iter().copied()));
        writeln!(out, "| {} | {cpu:.2} | {p99:.0} |", server.name)?;
    }
    let [[none, none_p99], [all, all_p99]] = &taken;
    let more = median(all.iter().zip(none).map(|(all, none)| all - none));
    writeln!(out, "\n- {VIEWERS} viewers, in % of a core: {}", verdict(more, CPU_BUDGET))?;
    writeln!(out, "- answers, p99, compared with none: {}", verdict(ratio(all_p99, none_p99), ANSWER_BUDGET))?;
    writeln!(out, "- events that the viewers read: {}", events.load(Ordering::Relaxed))?;
    Ok(())
}

/// Connects the viewers. One thread reads for all of them, and not often, so that they take no time from the sender.
fn watch(server: &Server, events: Arc<AtomicU64>) -> Result<(), Failure> {
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        let address = server.target.to_string();
        let mut viewer = TcpStream::connect(address.trim_start_matches("http://").trim_end_matches('/'))?;
        viewer.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")?;
        viewer.set_nonblocking(true)?;
        viewers.push(viewer);
    }
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        loop {
            thread::sleep(READ_INTERVAL);
            for viewer in &mut viewers {
                while let Ok(bytes @ 1..) = viewer.read(&mut buffer) {
                    let read = buffer[..bytes].windows(5).filter(|word| word == b"data:").count();
                    events.fetch_add(read as u64, Ordering::Relaxed);
                }
            }
        }
    });
    Ok(())
}

fn send(server: &Server, seed: u64) -> Result<Report, Failure> {
    let load = Load { connections: 4, callbacks: CALLBACKS, groups: 1000, senders: 10_000, seed };
    let options = Simulate { rate: Some(RATE), until: Until::Sent(CALLBACKS), ..options(&server.target, load) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(simulate::run(&options, pending(), |_| {}))?;
    if report.is_success() { Ok(report) } else { Err(format!("callbacks failed: {:?}", report.first_failure).into()) }
}
