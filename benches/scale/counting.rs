//! The duration of a tick with full tables, and counting with full tables.

use std::io::Write;
use std::time::{Duration, Instant};

use openim_exporter::domain::{Clock, SystemClock, UnixMillis};
use openim_exporter::simulate::group_id;
use openim_exporter::stats::Stats;

use crate::support::messages::{bodies, filled, parse, parse_and_record, record, with};
use crate::support::{Failure, median, ratio, verdict};

const ROUNDS: usize = 9;
const GROUPS: u32 = 1_000_000;
const PAIRS: usize = 1_000_000;

/// New pairs between two ticks under heavy traffic: 10,000 per second.
const COME: u32 = 100_000;

/// The duration of the tick, which runs every ten seconds on a separate thread.
pub(crate) fn ticks(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "\n## The tick: {ROUNDS} of {GROUPS} groups, {PAIRS} pairs and the dedup window, medians\n")?;
    writeln!(out, "| between two ticks | ms | share of the 10 s |\n|---|---|---|")?;
    let stats = filled(GROUPS, PAIRS, Duration::from_secs(600))?;
    let mut now = SystemClock.now();
    for (what, come) in [("nothing", 0), ("100,000 new pairs, and as many evictions", COME)] {
        let mut taken = Vec::new();
        for round in 0..=ROUNDS as u32 {
            for pair in 0..come {
                record(&stats, group_id(pair % GROUPS), 2 + round, now)?;
            }
            now = UnixMillis(now.0 + 10_000);
            let begin = Instant::now();
            stats.tick(now);
            if round > 0 {
                taken.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        let taken = median(taken);
        writeln!(out, "| {what} | {taken:.1} | {:.2} % |", taken / 100.0)?;
    }
    assert!(stats.sender_pairs_evicted() >= u64::from(COME) * ROUNDS as u64);
    Ok(())
}

const MESSAGES: usize = 200_000;
const KNOWN: u32 = 100_000;

/// Statistics with full tables, and the ranks of the groups that get messages.
struct Pressure {
    name: &'static str,
    stats: Stats,
    first: u32,
    new_pairs: bool,
    ticks: bool,
}

impl Pressure {
    fn new(name: &'static str, pairs: usize) -> Result<Self, Failure> {
        Ok(Self { name, stats: filled(KNOWN, pairs, Duration::ZERO)?, first: 0, new_pairs: false, ticks: true })
    }

    /// Messages that were not received before.
    fn bodies(&self, round: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let mut bodies = bodies(MESSAGES, self.first, KNOWN, 7)?;
        if self.new_pairs {
            for (number, body) in bodies.iter_mut().enumerate() {
                *body = with(body, br#""sendID":""#, &(9_000_000_000 + round * MESSAGES + number).to_string());
            }
        }
        Ok(bodies)
    }
}

/// Parsing and counting, compared with parsing alone, with full tables.
pub(crate) fn under_pressure(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "\n## Counting under pressure: {KNOWN} groups, {ROUNDS} rounds of {MESSAGES} messages, medians\n")?;
    writeln!(out, "| every message | parse, ns | parse + record, ns | ratio |\n|---|---|---|---|")?;
    let cases = [
        Pressure::new("of a known group and pair", PAIRS)?,
        Pressure { first: KNOWN, ..Pressure::new("of a group that does not fit into the table", PAIRS)? },
        Pressure { new_pairs: true, ..Pressure::new("of a new pair, at the capacity, with ticks", PAIRS)? },
        Pressure { new_pairs: true, ticks: false, ..Pressure::new("of a new pair that evicts another", 100_000)? },
    ];
    // As many pairs as the capacity.
    for pair in KNOWN..PAIRS as u32 {
        record(&cases[2].stats, group_id(pair % KNOWN), 1 + pair / KNOWN, SystemClock.now())?;
    }
    let mut rounds: [[Vec<f64>; 2]; 4] = Default::default();
    for round in 0..=ROUNDS {
        for (case, [alone, both]) in cases.iter().zip(&mut rounds) {
            let bodies = case.bodies(round)?;
            let taken = (parse(&bodies)?, parse_and_record(&case.stats, &bodies)?);
            if case.ticks {
                case.stats.tick(UnixMillis(SystemClock.now().0 + round as i64 * 10_000));
            }
            if round > 0 {
                alone.push(taken.0);
                both.push(taken.1);
            }
        }
    }
    for (case, [alone, both]) in cases.iter().zip(&rounds) {
        let shown = verdict(ratio(both, alone), 1.8);
        let [alone, both] = [alone, both].map(|rounds| median(rounds.iter().copied()));
        writeln!(out, "| {} | {alone:.0} | {both:.0} | {shown} |", case.name)?;
    }
    let lost: Vec<_> =
        cases.iter().map(|case| case.stats.folded_for_capacity() + case.stats.sender_pairs_evicted()).collect();
    assert!(lost[0] == 0 && lost[1..].iter().all(|lost| *lost >= MESSAGES as u64), "{lost:?}");
    Ok(())
}
