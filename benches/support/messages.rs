//! Callbacks of many groups, and statistics that track these groups.

use std::time::{Duration, Instant};

use openim_exporter::domain::{Clock, SystemClock, UnixMillis};
use openim_exporter::simulate::{EncodedCallback, Generator, group_id};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::wire;

use super::Failure;

const SENDERS: u32 = 1_000_000;

/// Statistics in which all slots for groups are used.
pub(crate) fn filled(groups: u32, sender_pairs: usize, dedup_window: Duration) -> Result<Stats, Failure> {
    let capacities = Capacities {
        groups: groups as usize,
        exported_groups: 1000,
        sender_pairs,
        dedup_window,
        online: 100,
        history_days: 40,
    };
    let now = SystemClock.now();
    let stats = Stats::in_memory(capacities, now)?;
    for rank in 0..groups {
        record(&stats, group_id(rank), 1, now)?;
    }
    Ok(stats)
}

/// Counts a minimal message.
pub(crate) fn record(stats: &Stats, group: u64, sender: u32, now: UnixMillis) -> Result<(), Failure> {
    let body = format!(r#"{{"sendID":"{sender}","groupID":"{group}","serverMsgID":"{group}-{sender}"}}"#);
    wire::decode_group_message(body.as_bytes(), |message| stats.record(message, now))
        .map_err(|problem| problem.detail)?;
    Ok(())
}

/// Messages as OpenIM sends them, in equally likely groups with ranks from `first` on. This is the worst case: in
/// reality a few groups get most messages and stay in the processor's caches.
pub(crate) fn bodies(count: usize, first: u32, groups: u32, seed: u64) -> Result<Vec<Vec<u8>>, Failure> {
    let mut generator = Generator::new(groups, SENDERS, seed)?;
    let mut callback = EncodedCallback::default();
    let now = SystemClock.now();
    let mut drawn = |number: usize| {
        generator.draw(now, &mut callback)?;
        // A stride that is coprime to the number of groups reaches all of them.
        let rank = (number as u64 * 618_033_989 % u64::from(groups)) as u32 + first;
        Ok(with(&callback.body, br#""groupID":""#, &group_id(rank).to_string()))
    };
    Ok((0..count).map(&mut drawn).collect::<Result<Vec<_>, serde_json::Error>>()?)
}

/// The same message with a different value of a field; `field` is the text before the value.
pub(crate) fn with(body: &[u8], field: &[u8], value: &str) -> Vec<u8> {
    let mut body = body.to_vec();
    if let Some(at) = body.windows(field.len()).position(|window| window == field) {
        let start = at + field.len();
        let old = body[start..].iter().position(|byte| *byte == b'"').unwrap_or_default();
        body.splice(start..start + old, value.bytes());
    }
    body
}

/// Messages as in `simulate`, where a few groups get most of them.
pub(crate) fn typical_bodies(count: usize, groups: u32, seed: u64) -> Result<Vec<Vec<u8>>, Failure> {
    let mut generator = Generator::new(groups, SENDERS, seed)?;
    let mut callback = EncodedCallback::default();
    let now = SystemClock.now();
    let mut drawn = |_| generator.draw(now, &mut callback).map(|_| callback.body.clone());
    Ok((0..count).map(&mut drawn).collect::<Result<Vec<_>, serde_json::Error>>()?)
}

/// The time to parse a message in nanoseconds.
pub(crate) fn parse(bodies: &[Vec<u8>]) -> Result<f64, Failure> {
    let begin = Instant::now();
    for body in bodies {
        wire::decode_group_message(body, |message| {
            std::hint::black_box(message);
        })
        .map_err(|problem| problem.detail)?;
    }
    Ok(nanoseconds_each(begin, bodies.len()))
}

/// The time to parse and count a message in nanoseconds.
pub(crate) fn parse_and_record(stats: &Stats, bodies: &[Vec<u8>]) -> Result<f64, Failure> {
    let begin = Instant::now();
    for body in bodies {
        // The clock is read for each message, as the server does.
        let now = SystemClock.now();
        wire::decode_group_message(body, |message| stats.record(message, now)).map_err(|problem| problem.detail)?;
    }
    Ok(nanoseconds_each(begin, bodies.len()))
}

fn nanoseconds_each(begin: Instant, count: usize) -> f64 {
    begin.elapsed().as_secs_f64() * 1e9 / count as f64
}
