//! The whole server against empty hyper servers, under the same sender, in turn.
//!
//! What counts is the processor time of the server's process for each callback; the answers' times are shown beside it.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark that goes wrong may stop")]

#[path = "support/empty.rs"]
mod empty;

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use empty::Layout;
use support::server::{Load, Server, send};
use support::{Failure, cpu_time, median, ratio, verdict};

const SERVE_EMPTY: &str = "--serve-empty";
const ROUNDS: usize = 9;
const LOAD: Load = Load { connections: 2, callbacks: 40_000, groups: 1000, senders: 10_000, seed: 0 };
const CONNECTIONS: [usize; 2] = [2, 16];

fn empty_server(layout: Layout) -> Result<Server, Failure> {
    let mut process =
        Command::new(std::env::current_exe()?).args([SERVE_EMPTY, layout.name()]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let name = if layout == Layout::Default { "empty, tokio's default" } else { "empty, our layout" };
    Ok(Server { name, process, port: line.trim().parse()? })
}

/// One server's numbers, a round each.
#[derive(Default)]
struct Rounds {
    cpu_us: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

fn main() -> Result<(), Failure> {
    let args: Vec<_> = std::env::args().collect();
    if let [_, mode, layout] = args.as_slice()
        && mode == SERVE_EMPTY
    {
        return Ok(empty::serve(layout)?);
    }
    let servers =
        [Server::exporter("openim-exporter", &[])?, empty_server(Layout::Default)?, empty_server(Layout::Ours)?];
    let mut out = std::io::stdout();
    writeln!(out, "\n## Whole server: {ROUNDS} rounds of {} callbacks, medians\n", LOAD.callbacks)?;
    for connections in CONNECTIONS {
        compare(&servers, connections, &mut out)?;
    }
    Ok(())
}

fn compare(servers: &[Server; 3], connections: usize, out: &mut impl Write) -> Result<(), Failure> {
    let mut rounds: [Rounds; 3] = Default::default();
    // A round before the first warms the servers' tables and allocators up.
    for round in 0..=ROUNDS {
        // Nobody is always the first.
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let (server, taken) = (&servers[position], &mut rounds[position]);
            let before = cpu_time(server.process.id());
            let report = send(server.port, Load { connections, seed: round as u64, ..LOAD })?;
            let spent = cpu_time(server.process.id()) - before;
            if round > 0 {
                taken.cpu_us.push(micros(spent) / report.answered as f64);
                taken.p50_us.push(report.answer_seconds.p50 * 1e6);
                taken.p99_us.push(report.answer_seconds.p99 * 1e6);
            }
        }
    }
    print(servers, &rounds, connections, out)
}

fn print(servers: &[Server; 3], rounds: &[Rounds; 3], connections: usize, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "| {connections} connections | CPU per callback, µs | answer p50, µs | answer p99, µs |")?;
    writeln!(out, "|---|---|---|---|")?;
    for (server, taken) in servers.iter().zip(rounds) {
        let [cpu, p50, p99] =
            [&taken.cpu_us, &taken.p50_us, &taken.p99_us].map(|rounds| median(rounds.iter().copied()));
        writeln!(out, "| {} | {cpu:.2} | {p50:.0} | {p99:.0} |", server.name)?;
    }
    let [exporter, default, ours] = rounds;
    writeln!(
        out,
        "\n- CPU against the empty server on tokio's default: {}",
        verdict(ratio(&exporter.cpu_us, &default.cpu_us), 0.95)
    )?;
    writeln!(
        out,
        "- CPU against the empty server on our layout: {}",
        verdict(ratio(&exporter.cpu_us, &ours.cpu_us), 1.15)
    )?;
    writeln!(
        out,
        "- answer p99 against the empty server on tokio's default: {}",
        verdict(ratio(&exporter.p99_us, &default.p99_us), 1.3)
    )?;
    writeln!(
        out,
        "- answer p99 against the empty server on our layout: {}\n",
        verdict(ratio(&exporter.p99_us, &ours.p99_us), 1.3)
    )?;
    Ok(())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
