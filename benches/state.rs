//! The cost of a state file, of detecting duplicates, of a start, and of converting a state.
//!
//! Exporters that differ in one flag run in turn with the same sender. The result is the CPU time per callback.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    dead_code,
    reason = "a benchmark may panic"
)]

#[path = "../tests/support/first_version.rs"]
mod first_version;
mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use openim_exporter::arena::Boot;
use openim_exporter::domain::{Clock, Mentions, Message, Source, Stage, SystemClock};
use openim_exporter::stats::{Capacities, Stats};
use support::server::{Load, Server, send};
use support::{Failure, cpu_time, median, ratio, verdict};

const ROUNDS: usize = 11;
const CALLBACKS: u64 = 40_000;
const CONNECTIONS: usize = 2;
const GROUPS: usize = 1_000_000;
const STARTS: usize = 5;

fn main() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let directory = tempfile::tempdir()?;
    let path = directory.path().to_str().ok_or("the path is not UTF-8")?;
    let servers = [
        Server::exporter("in memory", &[])?,
        Server::exporter("in a file", &["--storage.path", path])?,
        Server::exporter("in memory, dedup on", &["--callback.dedup-window", "10m"])?,
    ];
    writeln!(out, "\n## State: {ROUNDS} rounds of {CALLBACKS} callbacks, {CONNECTIONS} connections, medians\n")?;
    compare(&servers, &mut out)?;
    start(&mut out)?;
    carry_over(&mut out)
}

fn compare(servers: &[Server; 3], out: &mut impl Write) -> Result<(), Failure> {
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let server = &servers[position];
            let before = cpu_time(server.process.id());
            let load = Load {
                connections: CONNECTIONS,
                callbacks: CALLBACKS,
                groups: 1000,
                senders: 10_000,
                seed: round as u64,
            };
            let report = send(&server.target, load)?;
            let spent = cpu_time(server.process.id()) - before;
            // The first one warms up.
            if round > 0 {
                rounds[position].push(spent.as_secs_f64() * 1e6 / report.answered as f64);
            }
        }
    }
    writeln!(out, "| the state | CPU per callback, µs |\n|---|---|")?;
    for (server, cpu) in servers.iter().zip(&rounds) {
        writeln!(out, "| {} | {:.2} |", server.name, median(cpu.iter().copied()))?;
    }
    let [memory, file, dedup] = rounds;
    writeln!(out, "\n- in a file, compared with in memory: {}", verdict(ratio(&file, &memory), 1.03))?;
    writeln!(out, "- with a dedup window, compared with without: {}\n", verdict(ratio(&dedup, &memory), 1.1))?;
    Ok(())
}

/// Opens a state with a million groups, after a regular shutdown and after a kill.
fn start(out: &mut impl Write) -> Result<(), Failure> {
    let capacities = Capacities {
        groups: GROUPS,
        exported_groups: 1000,
        sender_pairs: GROUPS,
        dedup_window: Duration::from_secs(600),
        online: 100,
        history_days: 40,
    };
    let (directory, now) = (tempfile::tempdir()?, SystemClock.now());
    let open = || Stats::open(directory.path(), capacities, Boot::Id([1, 2]), now, &|_| ());
    let stats = open()?;
    fill(&stats);
    drop(stats);
    for closed in [false, true] {
        let mut seconds = Vec::new();
        for _ in 0..STARTS {
            let begin = Instant::now();
            let stats = open()?;
            seconds.push(begin.elapsed().as_secs_f64());
            assert_eq!(stats.groups_tracked(), GROUPS, "the state holds a different number of groups");
            if closed {
                stats.close(now, &|_| ())?;
            }
        }
        // Not the first start: in both cases it finds a state that was not closed.
        let seconds = median(seconds.into_iter().skip(1));
        let how = if closed { "after a regular shutdown" } else { "after a kill" };
        writeln!(out, "- start with {GROUPS} groups, {how}, in seconds: {}", verdict(seconds, 1.0))?;
    }
    Ok(())
}

/// Opens states of 0.1.0 with a million groups. Each is converted into a new file, which is written to disk.
fn carry_over(out: &mut impl Write) -> Result<(), Failure> {
    let now = SystemClock.now();
    let file = first_version::enlarged(GROUPS, now.0.unsigned_abs() / 60_000);
    let capacities = Capacities {
        groups: GROUPS,
        exported_groups: 1000,
        sender_pairs: GROUPS,
        dedup_window: Duration::from_secs(600),
        online: 100,
        history_days: 40,
    };
    let mut seconds = Vec::new();
    for _ in 0..STARTS {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("state"), &file)?;
        let begin = Instant::now();
        let stats = Stats::open(directory.path(), capacities, Boot::Id([1, 2]), now, &|_| ())?;
        seconds.push(begin.elapsed().as_secs_f64());
        assert_eq!(stats.groups_tracked(), GROUPS, "the state holds a different number of groups");
    }
    writeln!(
        out,
        "- convert a state of 0.1.0 with {GROUPS} groups ({} MiB), in seconds: {}",
        file.len() >> 20,
        verdict(median(seconds.into_iter()), 3.0)
    )?;
    Ok(())
}

fn fill(stats: &Stats) {
    let now = SystemClock.now();
    for number in 0..GROUPS {
        let (group, sender) = (format!("{}", 2_000_000_000 + number), format!("{}", 5_000_000_000_usize + number));
        let message = Message {
            group_id: Some(&group),
            stage: Stage::Sent,
            sender_id: &sender,
            content_type: 101,
            platform_id: 1,
            source: Source::User,
            status: 2,
            content_bytes: 20,
            mentions: Mentions::default(),
            server_msg_id: &sender,
            operation_id: "",
            send_time: Some(now),
            create_time: Some(now),
        };
        stats.record(&message, now);
    }
}
