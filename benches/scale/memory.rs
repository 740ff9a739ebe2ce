//! Memory of a tracked group, from the resident memory of processes with few and with many groups.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use openim_exporter::domain::{Clock, SystemClock, UnixMillis};

use crate::support::messages::filled;
use crate::support::{Failure, median, resident_bytes, verdict};

pub(crate) const FILL: &str = "--fill";

const ROUNDS: usize = 3;
const FEW: u32 = 1000;
const MANY: u32 = 1_000_000;

/// Fills statistics, runs ticks like the server, and prints the resident memory of the process.
pub(crate) fn fill(groups: u32, sender_pairs: usize) -> Result<(), Failure> {
    let stats = filled(groups, sender_pairs, Duration::ZERO)?;
    let now = SystemClock.now();
    (1..4).for_each(|tick| stats.tick(UnixMillis(now.0 + tick * 10_000)));
    writeln!(std::io::stdout(), "{}", resident_bytes(std::process::id())?)?;
    Ok(())
}

fn resident_with(groups: u32, sender_pairs: usize) -> Result<f64, Failure> {
    let arguments = [FILL.to_owned(), groups.to_string(), sender_pairs.to_string()];
    let printed = Command::new(std::env::current_exe()?).args(arguments).output()?.stdout;
    Ok(String::from_utf8(printed)?.trim().parse()?)
}

/// The bytes per group, with and without a remembered sender.
pub(crate) fn per_group(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "\n## Memory of a tracked group: resident, {MANY} groups compared with {FEW}, {ROUNDS} rounds\n")?;
    writeln!(
        out,
        "| pairs of group and sender | {FEW} groups, MiB | {MANY} groups, MiB | bytes per group |\n|---|---|---|---|"
    )?;
    // Pairs for all groups, and almost none.
    for pairs in [MANY as usize, 1] {
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            few.push(resident_with(FEW, pairs)?);
            many.push(resident_with(MANY, pairs)?);
        }
        let (few, many) = (median(few), median(many));
        let each = (many - few) / f64::from(MANY - FEW);
        let [few, many] = [few, many].map(|bytes| bytes / f64::from(1 << 20));
        writeln!(out, "| {pairs} | {few:.0} | {many:.0} | {} |", verdict(each, 256.0))?;
    }
    Ok(())
}
