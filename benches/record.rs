//! Parsing alone, and parsing with recording, in turn, at several numbers of groups.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark that goes wrong may stop")]

mod support;

use std::io::Write;
use std::time::Duration;

use openim_exporter::stats::Stats;
use support::messages::{self, bodies, filled, parse_and_record};
use support::{Failure, median, ratio, verdict};

const ROUNDS: usize = 9;
const MESSAGES: usize = 200_000;
const GROUPS: [u32; 3] = [1000, 100_000, 1_000_000];

/// Some groups, messages to them, and what counts them.
struct Setup {
    groups: u32,
    bodies: Vec<Vec<u8>>,
    stats: Stats,
}

impl Setup {
    fn new(groups: u32) -> Result<Self, Failure> {
        let stats = filled(groups, 1_000_000, Duration::ZERO)?;
        Ok(Self { groups, bodies: bodies(MESSAGES, 1, groups, 7)?, stats })
    }
}

fn main() -> Result<(), Failure> {
    let setups = GROUPS.into_iter().map(Setup::new).collect::<Result<Vec<_>, _>>()?;
    let mut parse = vec![Vec::new(); setups.len()];
    let mut both = vec![Vec::new(); setups.len()];
    for round in 0..=ROUNDS {
        for ((setup, parse), both) in setups.iter().zip(&mut parse).zip(&mut both) {
            let (alone, with) = (messages::parse(&setup.bodies)?, parse_and_record(&setup.stats, &setup.bodies)?);
            if round > 0 {
                parse.push(alone);
                both.push(with);
            }
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "\n## Parse and record: {ROUNDS} rounds of {MESSAGES} messages, medians\n")?;
    writeln!(out, "| groups | parse, ns | parse + record, ns | ratio |\n|---|---|---|---|")?;
    for ((setup, parse), both) in setups.iter().zip(&parse).zip(&both) {
        let middle = |rounds: &[f64]| median(rounds.iter().copied());
        let shown = if setup.groups == 100_000 {
            verdict(ratio(both, parse), 1.8)
        } else {
            format!("{:.2}", ratio(both, parse))
        };
        writeln!(out, "| {} | {:.0} | {:.0} | {shown} |", setup.groups, middle(parse), middle(both))?;
    }
    if let (Some(few), Some(many)) = (both.first(), both.last()) {
        writeln!(out, "\n- a callback at 1,000,000 groups against 1,000: {}\n", verdict(ratio(many, few), 1.6))?;
    }
    Ok(())
}
