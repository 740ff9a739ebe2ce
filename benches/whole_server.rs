//! The whole server, compared with minimal hyper servers, in turn and with the same sender.
//!
//! The result is the CPU time per callback of the server's process. The latency is only shown.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

#[path = "support/empty.rs"]
mod empty;

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use empty::Layout;
use support::server::{Load, Rounds, Server, interleaved, target};
use support::{Failure, median, ratio, verdict};

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
    Ok(Server { name, process, target: target(&format!("http://127.0.0.1:{}", line.trim()))? })
}

fn main() -> Result<(), Failure> {
    let args: Vec<_> = std::env::args().collect();
    if let [_, mode, layout] = args.as_slice()
        && mode == SERVE_EMPTY
    {
        return Ok(empty::serve(layout, "127.0.0.1:0")?);
    }
    // The default configuration, with the state in a file.
    let directory = tempfile::tempdir()?;
    let path = directory.path().to_str().ok_or("no path")?;
    let exporter = Server::exporter("openim-exporter", &["--storage.path", path])?;
    let servers = [exporter, empty_server(Layout::Default)?, empty_server(Layout::Ours)?];
    let mut out = std::io::stdout();
    writeln!(out, "\n## Whole server: {ROUNDS} rounds of {} callbacks, medians\n", LOAD.callbacks)?;
    for connections in CONNECTIONS {
        let rounds = interleaved(&servers, ROUNDS, Load { connections, ..LOAD })?;
        print(&servers, &rounds, connections, &mut out)?;
    }
    Ok(())
}

fn print(servers: &[Server], rounds: &[Rounds], connections: usize, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "| {connections} connections | CPU per callback, µs | latency p50, µs | latency p99, µs |")?;
    writeln!(out, "|---|---|---|---|")?;
    for (server, taken) in servers.iter().zip(rounds) {
        let [cpu, p50, p99] =
            [&taken.cpu_us, &taken.p50_us, &taken.p99_us].map(|rounds| median(rounds.iter().copied()));
        writeln!(out, "| {} | {cpu:.2} | {p50:.0} | {p99:.0} |", server.name)?;
    }
    let [exporter, default, ours] = rounds else { return Err("there are three servers".into()) };
    writeln!(
        out,
        "\n- CPU compared with the minimal server on tokio's default: {}",
        verdict(ratio(&exporter.cpu_us, &default.cpu_us), 0.95)
    )?;
    writeln!(
        out,
        "- CPU compared with the minimal server on our layout: {}",
        verdict(ratio(&exporter.cpu_us, &ours.cpu_us), 1.15)
    )?;
    writeln!(
        out,
        "- latency p99 compared with the minimal server on tokio's default: {}",
        verdict(ratio(&exporter.p99_us, &default.p99_us), 1.3)
    )?;
    writeln!(
        out,
        "- latency p99 compared with the minimal server on our layout: {}\n",
        verdict(ratio(&exporter.p99_us, &ours.p99_us), 1.3)
    )?;
    Ok(())
}
