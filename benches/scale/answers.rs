//! Latency of the whole server with more groups than it tracks, and during continuous scrapes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::support::server::{Load, Server, send};
use crate::support::{Failure, median, ratio, resident_bytes, verdict};

const ROUNDS: usize = 7;
const CAP: &str = "100000";
const LOAD: Load = Load { connections: 2, callbacks: 40_000, groups: 1000, senders: 1_000_000, seed: 0 };
const TOO_MANY: Load = Load { groups: 2_000_000, ..LOAD };

/// Half of the callbacks. The table of groups is full after about 550,000.
const HALF: u64 = 700_000;

/// Another load during the callbacks.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    /// A busy loop outside of the server, which shows the effect of any work on one of the cores.
    Spinning,
    /// Continuous scrapes of a page, in gzipped OpenMetrics as for Prometheus.
    Scraping(&'static str),
}

const BESIDE: [(&str, Beside); 4] = [
    ("nothing", Beside::Nothing),
    ("a busy loop", Beside::Spinning),
    ("continuous scrapes of /metrics", Beside::Scraping("/metrics")),
    ("continuous scrapes of /metrics/groups with 100,000 groups", Beside::Scraping("/metrics/groups")),
];

pub(crate) fn all(out: &mut impl Write) -> Result<(), Failure> {
    let few = Server::exporter("openim-exporter", &[])?;
    let many = Server::exporter("openim-exporter", &["--groups.max-tracked", CAP])?;
    growth(&many, out)?;
    crowd(&few, &many, out)?;
    scraped(&many, out)
}

/// Memory that still grows belongs to the windows, at most 4 MiB: each sketch takes memory when its period begins.
fn growth(many: &Server, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "\n## 2,000,000 groups with a limit of {CAP}\n")?;
    writeln!(out, "| callbacks | resident, MiB |\n|---|---|")?;
    let mut resident = [0.0; 2];
    for (half, resident) in (1..).zip(&mut resident) {
        send(&many.target, Load { callbacks: HALF, seed: half, ..TOO_MANY })?;
        *resident = resident_bytes(many.process.id())? as f64 / f64::from(1 << 20);
        writeln!(out, "| {} | {resident:.1} |", half * HALF)?;
    }
    writeln!(
        out,
        "\n- memory after the second half, compared with the first: {}",
        verdict(resident[1] / resident[0], 1.05)
    )?;
    Ok(())
}

/// The 99th percentile of latency in microseconds.
fn p99(server: &Server, load: Load, round: usize) -> Result<f64, Failure> {
    Ok(send(&server.target, Load { seed: 100 + round as u64, ..load })?.answer_seconds.p99 * 1e6)
}

fn crowd(few: &Server, many: &Server, out: &mut impl Write) -> Result<(), Failure> {
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let taken = (p99(few, LOAD, round)?, p99(many, TOO_MANY, round)?);
        if round > 0 {
            of_few.push(taken.0);
            of_many.push(taken.1);
        }
    }
    let times = verdict(ratio(&of_many, &of_few), 2.0);
    let [of_few, of_many] = [of_few, of_many].map(median);
    writeln!(out, "- latency p99, {ROUNDS} rounds: {of_many:.0} µs, with 1,000 groups {of_few:.0} µs: {times}")?;
    Ok(())
}

fn scraped(server: &Server, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "\n## Latency during scrapes: {ROUNDS} rounds of {} callbacks, 2 connections\n", LOAD.callbacks)?;
    writeln!(out, "| other load | scrapes per round | latency p99, µs | compared with none |\n|---|---|---|---|")?;
    let mut rounds: [(Vec<f64>, Vec<f64>); BESIDE.len()] = Default::default();
    for round in 0..=ROUNDS {
        for turn in 0..BESIDE.len() {
            let which = (round + turn) % BESIDE.len();
            let (taken, done) = while_doing(BESIDE[which].1, server.target.port, || p99(server, TOO_MANY, round))?;
            if round > 0 {
                rounds[which].0.push(taken);
                rounds[which].1.push(done as f64);
            }
        }
    }
    for ((name, beside), (taken, done)) in BESIDE.iter().zip(&rounds) {
        let times = ratio(taken, &rounds[0].0);
        let shown = if matches!(beside, Beside::Scraping(_)) { verdict(times, 2.0) } else { format!("{times:.2}") };
        let [taken, done] = [taken, done].map(|rounds| median(rounds.iter().copied()));
        writeln!(out, "| {name} | {done:.0} | {taken:.0} | {shown} |")?;
    }
    writeln!(out)?;
    Ok(())
}

/// Runs the other load until the work is done. Also returns the number of its repetitions.
fn while_doing(beside: Beside, port: u16, work: impl FnOnce() -> Result<f64, Failure>) -> Result<(f64, u64), Failure> {
    let (is_over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                match beside {
                    Beside::Nothing => return std::io::Result::Ok(()),
                    Beside::Spinning => std::hint::spin_loop(),
                    Beside::Scraping(path) => {
                        scrape(port, path)?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Ok(())
        });
        let taken = work();
        is_over.store(true, Ordering::Relaxed);
        other.join().map_err(|_| "the other thread panicked")??;
        Ok((taken?, done.load(Ordering::Relaxed)))
    })
}

/// Gets a page. The response ends with the connection.
fn scrape(port: u16, path: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let headers = "Host: x\r\nConnection: close\r\nAccept: application/openmetrics-text\r\nAccept-Encoding: gzip\r\n";
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{headers}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let is_whole = answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"0\r\n\r\n");
    if is_whole { Ok(()) } else { Err(std::io::Error::other("the scrape is incomplete")) }
}
