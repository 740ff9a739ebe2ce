//! Parsing alone, and parsing with recording, in turn, at several numbers of groups.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark that goes wrong may stop")]

mod support;

use std::io::Write;
use std::time::Instant;

use openim_exporter::domain::{Clock, SystemClock};
use openim_exporter::simulate::{Generator, Letter, group_id};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::wire;
use std::time::Duration;
use support::{median, ratio, verdict};

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 9;
const MESSAGES: usize = 200_000;
const SENDERS: u32 = 1_000_000;
const GROUPS: [u32; 3] = [1000, 100_000, 1_000_000];

/// Some groups, messages to them, and what counts them.
struct Setup {
    groups: u32,
    bodies: Vec<Vec<u8>>,
    stats: Stats,
}

impl Setup {
    fn new(groups: u32) -> Result<Self, Failure> {
        let mut generator = Generator::new(groups, SENDERS, 7)?;
        let mut letter = Letter::default();
        let now = SystemClock.now();
        let mut drawn = |number| {
            generator.draw(now, &mut letter)?;
            Ok(to_any_group(&letter.body, number, groups))
        };
        let bodies = (0..MESSAGES).map(&mut drawn).collect::<Result<Vec<_>, serde_json::Error>>()?;
        let capacities = Capacities {
            groups: groups as usize,
            exported_groups: 1000,
            sender_pairs: 1_000_000,
            dedup_window: Duration::ZERO,
        };
        let stats = Stats::in_memory(capacities, now)?;
        fill(&stats, groups)?;
        Ok(Self { groups, bodies, stats })
    }

    fn parse(&self) -> Result<f64, Failure> {
        let begin = Instant::now();
        for body in &self.bodies {
            wire::group_message(body, |message| {
                std::hint::black_box(message);
            })
            .map_err(|problem| problem.detail)?;
        }
        Ok(nanoseconds_each(begin, self.bodies.len()))
    }

    fn parse_and_record(&self) -> Result<f64, Failure> {
        let begin = Instant::now();
        for body in &self.bodies {
            // The clock is read for each message, as the server does.
            let now = SystemClock.now();
            wire::group_message(body, |message| self.stats.record(message, now)).map_err(|problem| problem.detail)?;
        }
        Ok(nanoseconds_each(begin, self.bodies.len()))
    }
}

/// The same message, to a group that is as likely as every other. Real groups are not: a few get most messages and
/// stay in the processor's caches. This is the worst case.
fn to_any_group(body: &[u8], number: usize, groups: u32) -> Vec<u8> {
    const FIELD: &[u8] = br#""groupID":""#;
    let mut body = body.to_vec();
    // A stride without a common factor with the number of groups visits each of them.
    let group = group_id((number as u64 * 618_033_989 % u64::from(groups)) as u32 + 1).to_string();
    if let Some(at) = body.windows(FIELD.len()).position(|window| window == FIELD) {
        let start = at + FIELD.len();
        let old = body[start..].iter().position(|byte| *byte == b'"').unwrap_or_default();
        body.splice(start..start + old, group.bytes());
    }
    body
}

/// Makes every group known before the measurement.
fn fill(stats: &Stats, groups: u32) -> Result<(), Failure> {
    for rank in 1..=groups {
        let body = format!(r#"{{"sendID":"1","groupID":"{}"}}"#, group_id(rank));
        wire::group_message(body.as_bytes(), |message| stats.record(message, SystemClock.now()))
            .map_err(|problem| problem.detail)?;
    }
    Ok(())
}

fn nanoseconds_each(begin: Instant, count: usize) -> f64 {
    begin.elapsed().as_secs_f64() * 1e9 / count as f64
}

fn main() -> Result<(), Failure> {
    let setups = GROUPS.into_iter().map(Setup::new).collect::<Result<Vec<_>, _>>()?;
    let mut parse = vec![Vec::new(); setups.len()];
    let mut both = vec![Vec::new(); setups.len()];
    for round in 0..=ROUNDS {
        for ((setup, parse), both) in setups.iter().zip(&mut parse).zip(&mut both) {
            let (alone, with) = (setup.parse()?, setup.parse_and_record()?);
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
