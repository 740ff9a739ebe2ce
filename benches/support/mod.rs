//! What the benchmarks share: how numbers are taken and shown.
//!
//! A number by itself says little on a machine that does other things too. So whatever is compared runs in turn, round
//! after round, in one run; the medians of the rounds are shown, and ratios are the medians of the rounds' ratios.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod messages;
pub(crate) mod server;

use std::path::Path;
use std::time::Duration;

/// A benchmark that goes wrong ends.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The middle of some numbers; of an even count, the upper of the two in the middle.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<_> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios of two series, round by round.
pub(crate) fn ratio(mine: &[f64], reference: &[f64]) -> f64 {
    median(mine.iter().zip(reference).map(|(mine, reference)| mine / reference))
}

/// A budget's verdict, as it stands in the tables.
pub(crate) fn verdict(ratio: f64, budget: f64) -> String {
    format!("{ratio:.2} (budget {budget:.2}: {})", if ratio <= budget { "kept" } else { "MISSED" })
}

/// Processor time that all threads of a process have used: the kernel's own count, in nanoseconds.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let threads = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"));
    let on_cpu = |thread: std::fs::DirEntry| {
        let schedstat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    };
    let nanoseconds = threads.into_iter().flatten().filter_map(|thread| on_cpu(thread.ok()?)).sum();
    Duration::from_nanos(nanoseconds)
}

/// Memory that a process has, in bytes.
pub(crate) fn resident_bytes(process: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
