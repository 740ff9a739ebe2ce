//! Compares decoding and counting each kind of callback with parsing its body with `serde_json`, and single messages
//! with group messages.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use openim_exporter::domain::{COMMANDS, Clock, Subject, SystemClock};
use openim_exporter::stats::Stats;
use openim_exporter::wire::{self, Command, Report};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde::de::IgnoredAny;
use support::messages::{filled, typical_bodies, with};
use support::{Failure, median, ratio, verdict};

const ROUNDS: usize = 9;
const CALLBACKS: usize = 50_000;
const MESSAGES: usize = 200_000;

/// A body of each callback, as OpenIM sends it.
const BODIES: &str = include_str!("../tests/answers/bodies.jsonl");

/// What a program needs that uses `serde`'s derived code: the fields of all callbacks that are counted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its parsing is measured")]
struct Reference<'a> {
    #[serde(borrow)]
    callback_command: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "userID")]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "groupID")]
    group_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "sendID")]
    send_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "conversationID")]
    conversation_id: Option<Cow<'a, str>>,
    #[serde(rename = "platformID")]
    platform_id: Option<i32>,
    session_type: Option<i32>,
    content_type: Option<i32>,
    users: Option<Vec<IgnoredAny>>,
    #[serde(rename = "kickedUserIDs")]
    kicked: Option<Vec<IgnoredAny>>,
    #[serde(rename = "friendUserIDs")]
    friends: Option<Vec<IgnoredAny>>,
    #[serde(rename = "invitedUserIDs")]
    invited: Option<Vec<IgnoredAny>>,
    member_list: Option<Vec<IgnoredAny>>,
    #[serde(rename = "userIDList")]
    receivers: Option<Vec<IgnoredAny>>,
    #[serde(rename = "Seqs")]
    seqs: Option<Vec<IgnoredAny>>,
}

/// This thread's CPU time for each call, in nanoseconds.
fn each(count: usize, mut once: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begin = cpu_ns();
    for _ in 0..count {
        once()?;
    }
    Ok((cpu_ns() - begin) / count as f64)
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Decodes and counts a callback, as the server does.
fn count(stats: &Stats, command: Command, body: &[u8]) -> Result<(), Failure> {
    let now = SystemClock.now();
    wire::decode_report(command, body, |report| match report {
        Report::Message(message) => {
            stats.record(message, now);
        }
        Report::Event(event) => stats.record_event(event, now),
    })
    .map_err(|problem| problem.detail)?;
    stats.record_callback(command.position(), now);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let stats = filled(1000, 1_000_000, Duration::ZERO)?;
    let mut out = std::io::stdout();
    writeln!(out, "\n## Other callbacks: {ROUNDS} rounds of {CALLBACKS}, medians\n")?;
    writeln!(out, "| callback | `serde_json`, ns | decode + count, ns | ratio |\n|---|---|---|---|")?;
    let is_message = |subject| matches!(subject, Subject::Sent(_) | Subject::Stored);
    let others = COMMANDS.iter().filter(|known| known.subject != Subject::Nothing && !is_message(known.subject));
    for known in others {
        let named = |body: &&str| body.contains(&format!("\"callbackCommand\":\"{}\"", known.name));
        let Some(body) = BODIES.lines().find(named).map(str::as_bytes) else { continue };
        let command = Command::from_name(known.name).ok_or("unknown")?;
        let (mut reference, mut mine) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let parsed = each(CALLBACKS, || {
                std::hint::black_box(serde_json::from_slice::<Reference<'_>>(std::hint::black_box(body))?);
                Ok(())
            })?;
            let counted = each(CALLBACKS, || count(&stats, command, std::hint::black_box(body)))?;
            if round > 0 {
                reference.push(parsed);
                mine.push(counted);
            }
        }
        let shown = verdict(ratio(&mine, &reference), 1.2);
        writeln!(out, "| `{}` | {:.0} | {:.0} | {shown} |", known.name, median(reference), median(mine))?;
    }
    single_messages(&stats, &mut out)
}

/// Compares messages of the two kinds that have the same content.
fn single_messages(stats: &Stats, out: &mut impl Write) -> Result<(), Failure> {
    let to_groups = typical_bodies(MESSAGES, 1000, 7)?;
    let single: Vec<_> = to_groups.iter().map(|body| with(body, br#""groupID":""#, "5300000002")).collect();
    let single: Vec<_> = single.iter().map(|body| renamed(body)).collect();
    let [of_groups, of_singles] = ["callbackAfterSendGroupMsgCommand", "callbackAfterSendSingleMsgCommand"]
        .map(|name| Command::from_name(name).ok_or("unknown"));
    let (of_groups, of_singles) = (of_groups?, of_singles?);
    let (mut reference, mut mine) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut groups, mut singles) = (to_groups.iter(), single.iter());
        let next = |bodies: &mut std::slice::Iter<'_, Vec<u8>>, command| {
            bodies.next().map_or(Ok(()), |body| count(stats, command, body))
        };
        let in_groups = each(MESSAGES, || next(&mut groups, of_groups))?;
        let between_users = each(MESSAGES, || next(&mut singles, of_singles))?;
        if round > 0 {
            reference.push(in_groups);
            mine.push(between_users);
        }
    }
    let shown = verdict(ratio(&mine, &reference), 1.1);
    writeln!(
        out,
        "\n- a single message {:.0} ns, a group message {:.0} ns, 1,000 groups: {shown}\n",
        median(mine),
        median(reference)
    )?;
    Ok(())
}

/// The body of a single message, with a receiver instead of a group.
fn renamed(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let text = text.replace(r#""groupID":"#, r#""recvID":"#).replace(r#""sessionType":3"#, r#""sessionType":1"#);
    text.replace("callbackAfterSendGroupMsgCommand", "callbackAfterSendSingleMsgCommand").into_bytes()
}
