//! A hundred exporters and a hundred million people: Redis' memory, the traffic of a round, the duration of a union.
//!
//! The exporters are in this process, on simulated time. Each has all stretches, so the first write and the first
//! read are the largest possible.

use std::ffi::OsString;
use std::io::{Stdout, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openim_exporter::config::{Invocation, from_args};
use openim_exporter::domain::{Activity, Event, Mentions, Message, Source, Stage, UnixMillis};
use openim_exporter::replicas::Link;
use openim_exporter::replicas::fuzz::Exporter;
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::Telemetry;

use crate::redis::Redis;
use crate::support::{Failure, median};

const EXPORTERS: usize = 100;
const PEOPLE: u64 = 100_000_000;

/// Messages that each exporter receives in ten seconds: 100 a second.
const IN_ROUND: u64 = 1000;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAYS: i64 = 36;

/// 2026-11-29 at 05:00 in UTC: the beginning of a sixth round.
const NOW: i64 = 1_795_928_400_000;

struct Member {
    stats: Arc<Stats>,
    exporter: Exporter,
}

impl Member {
    fn new(redis: &Redis, number: usize) -> Result<Self, Failure> {
        let capacities = Capacities {
            groups: 2000,
            exported_groups: 1000,
            sender_pairs: 1000,
            dedup_window: Duration::ZERO,
            online: 1000,
            history_days: 3,
        };
        let stats = Arc::new(Stats::in_memory(capacities, UnixMillis(NOW - DAYS * 24 * HOUR))?);
        let arguments = ["openim-exporter", "--replicas.redis-url", &redis.url()].map(OsString::from);
        let Ok(Invocation::Serve(config)) = from_args(arguments) else { return Err("wrong flags".into()) };
        let link = Link::new(&config.replicas)?.ok_or("no link")?;
        let name = format!("exporter-{number}");
        let exporter = Exporter::new(link, &name, &stats, &Telemetry::default()).ok_or("a wrong name")?;
        Ok(Self { stats, exporter })
    }

    /// One of each kind.
    fn receive(&self, person: u64, at: i64) {
        let (sender, group) = (person.to_string(), (person % 1000).to_string());
        let message = message(&sender, &group, at);
        self.stats.record(&message, UnixMillis(at));
        self.stats.record(&Message { group_id: None, ..message }, UnixMillis(at));
        self.stats.record_event(Event::Read(&sender, Activity::GroupReads, 1), UnixMillis(at));
    }

    /// Fills all stretches with a few people.
    fn live_through_the_past(&self, number: u64) {
        let hours = (1..DAYS * 24).rev().map(|hour| NOW - hour * HOUR);
        let minutes = (0..60).rev().map(|minute| NOW - minute * MINUTE);
        for at in hours.chain(minutes) {
            self.stats.tick(UnixMillis(at));
            self.receive(number, at);
        }
    }

    fn write(&mut self, at: i64) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.exporter.write(UnixMillis(at), UnixMillis(at)).map_err(|failure| failure.message)?;
        Ok(began.elapsed())
    }

    fn read(&mut self, at: i64) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.exporter.read(UnixMillis(at), UnixMillis(at)).map_err(|failure| failure.message)?;
        Ok(began.elapsed())
    }
}

fn message<'a>(sender_id: &'a str, group: &'a str, at: i64) -> Message<'a> {
    Message {
        group_id: Some(group),
        stage: Stage::Sent,
        sender_id,
        content_type: 101,
        platform_id: 2,
        source: Source::User,
        status: 2,
        content_bytes: 20,
        mentions: Mentions { users: 0, all: false },
        server_msg_id: "",
        operation_id: "operation",
        send_time: Some(UnixMillis(at)),
        create_time: Some(UnixMillis(at)),
    }
}

pub(crate) fn all(out: &mut Stdout) -> Result<(), Failure> {
    let redis = Redis::start()?;
    writeln!(out, "\n## {EXPORTERS} exporters, {PEOPLE} people\n")?;
    let mut members = Vec::new();
    for number in 0..EXPORTERS {
        let member = Member::new(&redis, number)?;
        member.live_through_the_past(number as u64);
        members.push(member);
    }
    for person in 0..PEOPLE {
        let sender = person.to_string();
        let member = &members[(person % EXPORTERS as u64) as usize];
        member.stats.record(&message(&sender, "g", NOW), UnixMillis(NOW));
    }
    let first = measured(&redis, || members.iter_mut().map(|member| member.write(NOW)).collect())?;
    writeln!(out, "| | median | bytes to Redis | from Redis |\n|---|---|---|---|")?;
    first.print(out, "the first write of an exporter", EXPORTERS)?;
    let first = measured(&redis, || members.iter_mut().take(3).map(|member| member.read(NOW + 5 * SECOND)).collect())?;
    first.print(out, "the first union of an exporter", 3)?;
    for member in members.iter_mut().skip(3) {
        member.read(NOW + 5 * SECOND)?;
    }
    // A minute: all stretches are read in one of its rounds.
    let (mut writes, mut unions) = (Vec::new(), Vec::new());
    for round in 1..=6 {
        let at = NOW + round * 10 * SECOND;
        for (number, member) in (0..).zip(&members) {
            member.stats.tick(UnixMillis(at));
            (0..IN_ROUND)
                .for_each(|message| member.receive((round.unsigned_abs() * 7 + number * 13 + message) * 1009, at));
        }
        writes.push(measured(&redis, || members.iter_mut().map(|member| member.write(at)).collect())?);
        unions.push(measured(&redis, || members.iter_mut().map(|member| member.read(at + 5 * SECOND)).collect())?);
    }
    Measured::sum(writes).print(out, "a write, in a minute of rounds", EXPORTERS * 6)?;
    Measured::sum(unions).print(out, "a union, in a minute of rounds", EXPORTERS * 6)?;
    let united = members[0].stats.united().ok_or("nothing is united")?;
    let (memory, senders) = (redis.info("used_memory")? / 1024 / 1024, united.windows[0][2]);
    writeln!(out, "\n- Redis uses {memory} MiB")?;
    writeln!(out, "- {senders} senders in 24 hours: {:+.2} %", (senders as f64 / PEOPLE as f64 - 1.0) * 100.0)?;
    Ok(())
}

/// The time and traffic of some exchanges.
struct Measured {
    times: Vec<Duration>,
    to: u64,
    from: u64,
}

fn measured(redis: &Redis, run: impl FnOnce() -> Result<Vec<Duration>, Failure>) -> Result<Measured, Failure> {
    let traffic =
        || -> Result<_, Failure> { Ok([redis.info("total_net_input_bytes")?, redis.info("total_net_output_bytes")?]) };
    let before = traffic()?;
    let times = run()?;
    let after = traffic()?;
    Ok(Measured { times, to: after[0] - before[0], from: after[1] - before[1] })
}

impl Measured {
    fn sum(parts: Vec<Self>) -> Self {
        let (to, from) = (parts.iter().map(|part| part.to).sum(), parts.iter().map(|part| part.from).sum());
        Self { times: parts.into_iter().flat_map(|part| part.times).collect(), to, from }
    }

    fn print(&self, out: &mut Stdout, what: &str, exchanges: usize) -> Result<(), Failure> {
        let time = median(self.times.iter().map(Duration::as_secs_f64));
        let [to, from] = [self.to, self.from].map(|bytes| bytes / exchanges as u64);
        writeln!(out, "| {what} | {:.1} ms | {to} | {from} |", time * 1000.0)?;
        Ok(())
    }
}
