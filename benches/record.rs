//! Parsing alone, compared with parsing and recording, with different numbers of groups.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::io::Write;
use std::time::Duration;

use openim_exporter::stats::Stats;
use support::messages::{self, bodies, filled, parse_and_record, typical_bodies};
use support::{Failure, median, ratio, verdict};

const ROUNDS: usize = 9;
const MESSAGES: usize = 200_000;
const FEW: u32 = 1000;
const USUAL: u32 = 100_000;
const MANY: u32 = 1_000_000;

/// An unknown field before the others, which makes the quick decoder leave the body to `serde_json`.
const AHEAD: &[u8] = br#"{"new":0,"#;

/// Statistics with some groups, and messages in these groups.
struct Setup {
    groups: u32,
    /// How the messages are distributed over the groups.
    distribution: &'static str,
    bodies: Vec<Vec<u8>>,
    stats: Stats,
}

impl Setup {
    fn new(groups: u32, distribution: &'static str, bodies: Vec<Vec<u8>>) -> Result<Self, Failure> {
        Ok(Self { groups, distribution, bodies, stats: filled(groups, 1_000_000, Duration::ZERO)? })
    }

    /// Equally likely groups, for which the processor's caches help least.
    fn equal(groups: u32) -> Result<Self, Failure> {
        Self::new(groups, "equally likely", bodies(MESSAGES, 0, groups, 7)?)
    }

    fn typical(groups: u32) -> Result<Self, Failure> {
        Self::new(groups, "as in `simulate`", typical_bodies(MESSAGES, groups, 7)?)
    }
}

fn main() -> Result<(), Failure> {
    let setups = [Setup::equal(FEW)?, Setup::equal(USUAL)?, Setup::equal(MANY)?, Setup::typical(USUAL)?];
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
    writeln!(out, "| groups | which | parse, ns | parse + record, ns | ratio |\n|---|---|---|---|---|")?;
    for ((setup, parse), both) in setups.iter().zip(&parse).zip(&both) {
        let middle = |rounds: &[f64]| median(rounds.iter().copied());
        let shown =
            if setup.groups == USUAL { verdict(ratio(both, parse), 1.8) } else { format!("{:.2}", ratio(both, parse)) };
        writeln!(
            out,
            "| {} | {} | {:.0} | {:.0} | {shown} |",
            setup.groups,
            setup.distribution,
            middle(parse),
            middle(both)
        )?;
    }
    let ([few, _, many, typical], [.., setup]) = (both.as_slice(), &setups) else {
        return Err("a setup is missing".into());
    };
    let slow = thorough(&setup.bodies)?;
    writeln!(
        out,
        "\n- parsing by `serde_json` alone, as for a body whose order is not OpenIM's: {slow:.0} ns; parse + \
         record of the messages of `simulate`, compared with it: {:.2}",
        median(typical.iter().copied()) / slow
    )?;
    writeln!(out, "- a callback with 1,000,000 groups, compared with 1,000: {}\n", verdict(ratio(many, few), 1.6))?;
    Ok(())
}

/// The time to parse a message with `serde_json` alone, in nanoseconds.
fn thorough(bodies: &[Vec<u8>]) -> Result<f64, Failure> {
    let bodies: Vec<_> = bodies.iter().map(|body| [AHEAD, &body[1..]].concat()).collect();
    let rounds = (0..ROUNDS).map(|_| messages::parse(&bodies)).collect::<Result<Vec<_>, _>>()?;
    Ok(median(rounds))
}
