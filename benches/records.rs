//! What recording costs: the CPU time per callback of the serving threads, compared with an exporter that does not record.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::io::Write;

use support::server::{Load, Server, send};
use support::{Failure, cpu_time_of, median, ratio, verdict};

const ROUNDS: usize = 9;
const LOAD: Load = Load { connections: 16, callbacks: 40_000, groups: 1000, senders: 10_000, seed: 0 };

/// The names of the serving threads begin like this.
const SERVING: &str = "serve-";

fn main() -> Result<(), Failure> {
    let directories = [tempfile::tempdir()?, tempfile::tempdir()?];
    let [full, none] = directories.each_ref().map(|directory| directory.path().display().to_string());
    let servers = [
        Server::exporter("off", &[])?,
        Server::exporter("full", &["--record.path", &full])?,
        Server::exporter("none", &["--record.path", &none, "--record.content", "none"])?,
    ];
    let mut taken = vec![Vec::new(); servers.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        // Each round begins with a different server.
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let server = &servers[position];
            let before = cpu_time_of(server.process.id(), |thread| thread.starts_with(SERVING));
            let report = send(&server.target, Load { seed: round as u64, ..LOAD })?;
            let spent = cpu_time_of(server.process.id(), |thread| thread.starts_with(SERVING)) - before;
            if round > 0 {
                taken[position].push(spent.as_secs_f64() * 1e6 / report.answered as f64);
            }
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "\n## Records: {ROUNDS} rounds of {} callbacks, medians\n", LOAD.callbacks)?;
    writeln!(
        out,
        "| `--record.content` | CPU of the serving threads per callback, µs | compared with off |\n|---|---|---|"
    )?;
    for (server, rounds) in servers.iter().zip(&taken) {
        let compared = ratio(rounds, &taken[0]);
        let shown = if server.name == "off" { "1".to_owned() } else { verdict(compared, 1.3) };
        writeln!(out, "| {} | {:.2} | {shown} |", server.name, median(rounds.iter().copied()))?;
    }
    Ok(())
}
