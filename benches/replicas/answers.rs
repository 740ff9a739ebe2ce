//! Answers while Redis works, hangs, or is dead.

use std::future::pending;
use std::io::{Stdout, Write as _};

use openim_exporter::config::simulate::{Simulate, Until};
use openim_exporter::simulate::{self, Report};

use crate::redis::Redis;
use crate::support::server::{Load, Server, options};
use crate::support::{Failure, median, ratio, verdict};

const ROUNDS: usize = 11;

/// Callbacks per second and in each round: each round has several exchanges with Redis.
const RATE: f64 = 1000.0;
const IN_ROUND: u64 = 10_000;

/// The highest ratio of the answers' p99 to that of an exporter without Redis.
const BUDGET: f64 = 1.1;

pub(crate) fn all(out: &mut Stdout) -> Result<(), Failure> {
    let (works, hangs) = (Redis::start()?, Redis::start()?);
    hangs.signal("STOP")?;
    // Nobody listens at this port.
    let urls = [None, None, Some(works.url()), Some(hangs.url()), Some("redis://127.0.0.1:1".to_owned())];
    // The second one shows how much two equal exporters differ.
    let names = ["there is none", "there is none again", "works", "hangs", "is dead"];
    let servers =
        names.iter().zip(&urls).map(|(name, url)| exporter(name, url.as_deref())).collect::<Result<Vec<_>, _>>()?;
    let mut taken: [Vec<f64>; 5] = Default::default();
    for round in 0..=ROUNDS {
        for turn in 0..servers.len() {
            let position = (round + turn) % servers.len();
            let report = send(&servers[position], u64::try_from(round)?)?;
            // The first one warms up.
            if round > 0 {
                taken[position].push(report.answer_seconds.p99 * 1e6);
            }
        }
    }
    writeln!(out, "\n## Answers and Redis: {ROUNDS} rounds of {IN_ROUND} callbacks at {RATE} per second, medians\n")?;
    writeln!(out, "| Redis | answers, p99, µs |\n|---|---|")?;
    for (name, p99) in names.iter().zip(&taken) {
        writeln!(out, "| {name} | {:.0} |", median(p99.iter().copied()))?;
    }
    writeln!(out)?;
    for (name, p99) in names.iter().zip(&taken).skip(1) {
        writeln!(out, "- {name}, compared with none: {}", verdict(ratio(p99, &taken[0]), BUDGET))?;
    }
    hangs.signal("CONT")?;
    Ok(())
}

fn exporter(name: &'static str, redis: Option<&str>) -> Result<Server, Failure> {
    Server::exporter(name, &redis.map_or_else(Vec::new, |url| vec!["--replicas.redis-url", url]))
}

fn send(server: &Server, seed: u64) -> Result<Report, Failure> {
    let load = Load { connections: 4, callbacks: IN_ROUND, groups: 1000, senders: 10_000, seed };
    let options = Simulate { rate: Some(RATE), until: Until::Sent(IN_ROUND), ..options(&server.target, load) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(simulate::run(&options, pending(), |_| {}))?;
    if report.is_success() { Ok(report) } else { Err(format!("callbacks failed: {:?}", report.first_failure).into()) }
}
