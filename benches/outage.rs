//! An outage of a target: ten minutes at 500 callbacks per second. Measures the answers' latency before and during it,
//! and how long the backlog takes once the target is back.
//!
//! Takes 14 minutes, because the rate and the outage are those of design.md, section 4.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, dead_code, reason = "a benchmark may panic")]

#[path = "support/empty.rs"]
mod empty;

mod support;

use std::future::pending;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use empty::Layout;
use openim_exporter::config::simulate::{Simulate, Until};
use openim_exporter::simulate;
use support::server::{Load, Server, options, scrape, wait_until_delivered};
use support::{Failure, median, verdict};

const SERVE_TARGET: &str = "--serve-target";
const RATE: f64 = 500.0;
const IN_MINUTE: u64 = 30_000;
const MINUTES_BEFORE: usize = 3;
const MINUTES_DOWN: usize = 10;

/// How long the delivery of the backlog may take.
const MAX_DELIVERY: Duration = Duration::from_secs(120);

/// The highest ratio of the answers' p99 during the outage to that before it.
const ANSWER_BUDGET: f64 = 1.3;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip_while(|argument| argument != SERVE_TARGET).skip(1);
    if let Some(address) = arguments.next() {
        return Ok(empty::serve(Layout::Ours.name(), &address)?);
    }
    let mut out = std::io::stdout();
    let (mut target, port) = serve_target("127.0.0.1:0")?;
    let address = format!("127.0.0.1:{port}");
    let directory = tempfile::tempdir()?;
    let path = directory.path().to_str().ok_or("no path")?;
    let url = format!("http://{address}");
    let exporter = Server::exporter("exporter", &["--storage.path", path, "--forward.url", &url])?;
    writeln!(out, "\n## An outage of the target, {RATE} callbacks per second\n")?;
    writeln!(out, "| minute | the target is | answers, p99, µs |\n|---|---|---|")?;
    let before = minutes(&exporter, 0..MINUTES_BEFORE, "up", &mut out)?;
    target.kill()?;
    target.wait()?;
    let during = minutes(&exporter, MINUTES_BEFORE..MINUTES_BEFORE + MINUTES_DOWN, "down", &mut out)?;
    let backlog = metric(&exporter, "openim_exporter_forward_pending_callbacks{")?;
    (target, _) = serve_target(&address)?;
    let delivery = wait_until_delivered(&exporter, MAX_DELIVERY)?;
    // The first minute warms up.
    let ratio = median(during) / median(before.into_iter().skip(1));
    writeln!(out, "\n- answers during the outage, compared with before: {}", verdict(ratio, ANSWER_BUDGET))?;
    writeln!(out, "- {backlog} callbacks were pending; all were delivered {delivery:.0?} after the target's return")?;
    for name in ["received", "delivered", "dropped"] {
        writeln!(out, "- {name}: {}", metric(&exporter, &format!("openim_exporter_forward_{name}_total{{"))?)?;
    }
    target.kill()?;
    target.wait()?;
    Ok(())
}

/// Sends at the rate for some minutes. Returns the answers' p99 of each, in microseconds.
fn minutes(
    server: &Server,
    minutes: std::ops::Range<usize>,
    target: &str,
    out: &mut impl Write,
) -> Result<Vec<f64>, Failure> {
    minutes
        .map(|minute| {
            let seed = u64::try_from(minute)?;
            let load = Load { connections: 4, callbacks: IN_MINUTE, groups: 1000, senders: 10_000, seed };
            let options = Simulate { rate: Some(RATE), until: Until::Sent(IN_MINUTE), ..options(&server.target, load) };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let report = runtime.block_on(simulate::run(&options, pending(), |_| {}))?;
            if !report.is_success() {
                return Err(format!("callbacks failed: {:?}", report.first_failure).into());
            }
            let p99 = report.answer_seconds.p99 * 1e6;
            writeln!(out, "| {minute} | {target} | {p99:.0} |")?;
            Ok(p99)
        })
        .collect()
}

/// A target in a process of its own, and its port.
fn serve_target(address: &str) -> Result<(Child, String), Failure> {
    let mut process =
        Command::new(std::env::current_exe()?).args([SERVE_TARGET, address]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    Ok((process, line.trim().to_owned()))
}

/// The sum of the samples that start like this.
fn metric(server: &Server, start: &str) -> Result<f64, Failure> {
    let metrics = scrape(server)?;
    let values = metrics.lines().filter(|line| line.starts_with(start)).filter_map(|line| line.rsplit(' ').next());
    Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum())
}
