//! Shared by the benchmarks: measuring, and printing results.
//!
//! Other work on the machine makes absolute numbers unreliable. So the compared programs run in turn, in several
//! rounds. The results are medians of the rounds, and ratios are medians of the rounds' ratios.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod messages;
pub(crate) mod server;

use std::path::Path;
use std::time::Duration;

/// Any error, which ends the benchmark.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The median; of an even count, the upper of the two middle numbers.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<_> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios of two series, round by round.
pub(crate) fn ratio(mine: &[f64], reference: &[f64]) -> f64 {
    median(mine.iter().zip(reference).map(|(mine, reference)| mine / reference))
}

/// A ratio and whether it is within its budget, for the tables.
pub(crate) fn verdict(ratio: f64, budget: f64) -> String {
    format!("{ratio:.2} (budget {budget:.2}: {})", if ratio <= budget { "kept" } else { "MISSED" })
}

/// The CPU time of all threads of a process, as counted by the kernel in nanoseconds.
pub(crate) fn cpu_time(process: u32) -> Duration {
    cpu_time_of(process, |_| true)
}

/// The same of those threads whose names are wanted.
pub(crate) fn cpu_time_of(process: u32, is_wanted: impl Fn(&str) -> bool) -> Duration {
    let threads = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"));
    let on_cpu = |thread: std::fs::DirEntry| {
        let read = |file| std::fs::read_to_string(thread.path().join(file)).ok();
        let schedstat = read("schedstat").filter(|_| read("comm").is_some_and(|name| is_wanted(&name)))?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    };
    let nanoseconds = threads.into_iter().flatten().filter_map(|thread| on_cpu(thread.ok()?)).sum();
    Duration::from_nanos(nanoseconds)
}

/// The resident memory of a process in bytes.
pub(crate) fn resident_bytes(process: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
