//! A simulated OpenIM and the exporter's own code under a simulated clock, and the scrapes of a Prometheus.

use std::fmt::{Display, Write as _};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openim_exporter::domain::{Activity, COMMANDS, Event, Exclusion, GROUP_MESSAGE, Presence, Reason, UnixMillis};
use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::{
    AnswerFailure, Backlog, BreakerState, Outcome, RecordFailure, RecordRemoval, Refusal, Telemetry, Verdict,
};
use openim_exporter::wire::{self, Report};

use crate::replicas::unite;
use crate::story::{self, DAY, LAST_DAY};

/// The client of refused requests.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The first midnight. Its date does not matter.
pub(crate) const MIDNIGHT: i64 = 1_700_006_400;

/// Small enough for the senders and groups of a day to fill the tables.
const CAPACITIES: Capacities = Capacities {
    groups: 40,
    exported_groups: 24,
    sender_pairs: 1400,
    dedup_window: Duration::from_secs(60),
    online: 28,
    history_days: 40,
};

/// Messages between two users in each minute.
const SINGLE: u32 = 4;

/// The exporter's labels in Prometheus.
const TARGET: &str = r#"job="openim-exporter",instance="a:10006""#;

pub(crate) struct Installation {
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    /// When the exporter was started, in seconds since the epoch.
    started: i64,
    minute: u32,
    /// Number of messages so far, from which the next message's properties follow.
    written: u64,
    /// OpenIM's own count, which includes lost callbacks.
    processed: u64,
    /// All scrapes, in OpenMetrics.
    pub(crate) scrapes: String,
}

impl Installation {
    /// All days. The last one is scraped every minute, the others every second minute: a five-minute rate needs two
    /// samples.
    pub(crate) fn over_all_days() -> Self {
        Self::run_until(story::END, false)
    }

    /// The first day of an idle installation, scraped every minute. Twice an hour, two consecutive scrapes are missed.
    pub(crate) fn over_an_idle_day() -> Self {
        Self::run_until(DAY, true)
    }

    fn run_until(end: u32, is_idle: bool) -> Self {
        let (stats, telemetry) = started_at(MIDNIGHT);
        let (started, scrapes) = (MIDNIGHT, String::new());
        let mut all = Self { stats, telemetry, started, minute: 0, written: 0, processed: 0, scrapes };
        for minute in 0..end {
            all.minute = minute;
            if is_idle { all.pass_idly() } else { all.pass() }
        }
        all.scrapes.push_str("# EOF\n");
        all
    }

    /// An idle minute.
    fn pass_idly(&mut self) {
        unite(&self.stats, &self.telemetry, self.minute, self.now_ms());
        self.telemetry.set_connections(1, 0, 0);
        self.telemetry.set_certificate_expiry(Some(MIDNIGHT + i64::from(90 * DAY) * 60));
        self.stats.tick(UnixMillis(self.now_ms()));
        self.scrape(self.minute % 30 >= 28);
    }

    fn now(&self) -> i64 {
        MIDNIGHT + i64::from(self.minute) * 60
    }

    fn now_ms(&self) -> i64 {
        self.now() * 1000
    }

    /// One minute with traffic.
    fn pass(&mut self) {
        let is_down = story::DOWN.contains(&self.minute);
        if self.minute == story::DOWN.end {
            (self.stats, self.telemetry) = started_at(self.now());
            self.started = self.now();
        }
        for _ in 0..story::written(self.minute) {
            let is_lost = story::SILENCE.contains(&self.minute)
                || (story::LOSS.contains(&self.minute) && self.written.is_multiple_of(2));
            self.message(is_lost || is_down);
        }
        self.processed += u64::from(self.minute % 2);
        if self.minute == story::TWO_GROUPS_END {
            (900..902).for_each(|group| self.send(group, 0));
        }
        if story::FLOOD.contains(&self.minute) {
            (0..600).for_each(|_| self.send(5, self.written % 700));
        }
        if story::NEWCOMERS.contains(&self.minute) {
            (0..4).for_each(|_| self.send(1000 + u32::try_from(self.written).unwrap(), 0));
        }
        if !is_down {
            self.happen();
            self.stats.tick(UnixMillis(self.now_ms()));
        }
        if self.minute >= LAST_DAY || self.minute.is_multiple_of(2) {
            self.scrape(is_down);
        }
    }

    /// A message in one of the groups. The first groups are the busiest.
    fn message(&mut self, is_lost: bool) {
        let groups = story::groups(self.minute);
        let noise = noise(self.written);
        let group = noise % groups * (noise / 64 % groups) / groups;
        if is_lost {
            (self.written, self.processed) = (self.written + 1, self.processed + 1);
        } else {
            self.send(group, u64::from(noise / 4096 % 30));
        }
    }

    /// A message that is counted and answered. One in fifty is received twice.
    fn send(&mut self, group: u32, sender: u64) {
        let body = self.body(group, sender);
        let now = self.now_ms();
        for _ in 0..if self.written.is_multiple_of(50) { 2 } else { 1 } {
            wire::decode_group_message(body.as_bytes(), |message| self.stats.record(message, UnixMillis(now))).unwrap();
            self.taken(GROUP_MESSAGE, now);
            self.telemetry.callback_received(Duration::from_micros(50));
            self.telemetry.callback_answered(Duration::from_millis(story::answer_ms(self.minute)));
        }
        (self.written, self.processed) = (self.written + 1, self.processed + 1);
    }

    fn taken(&self, command: &str, now: i64) {
        self.stats.record_callback(COMMANDS.iter().position(|known| known.name == command), UnixMillis(now));
    }

    /// The body of a callback. Each one differs.
    fn body(&self, group: u32, sender: u64) -> String {
        let (n, noise) = (self.written, noise(self.written));
        let (send_time, create_time) = self.times();
        let pick = |from: &[u32], shift: u32| from[(noise >> shift) as usize % from.len()];
        let content = "x".repeat(1 << (noise >> 8 & 7));
        let mentioned = ["null", "[\"u1\",\"u2\"]", "[\"AtAllTag\"]", "[]"][(noise >> 12 & 3) as usize];
        format!(
            r#"{{"sendID":"u{sender}","groupID":"g{group}","serverMsgID":"m{n}","senderPlatformID":{},"msgFrom":{},"#,
            pick(&[1, 2, 3, 5], 3),
            pick(&[100, 100, 100, 200], 5),
        ) + &format!(
            r#""contentType":{},"status":{},"sendTime":{send_time},"createTime":{create_time},"atUserList":{mentioned},"content":"{content}"}}"#,
            pick(&[101, 102, 103, 106, 110], 7),
            pick(&[1, 2, 2, 2], 9),
        )
    }

    /// The times when the message was sent and created.
    fn times(&self) -> (i64, i64) {
        let now = self.now_ms();
        if story::WRONG_CLOCKS.contains(&self.minute) {
            return match self.written % 3 {
                0 => (now + 3_600_000, now),
                1 => (now - 2 * 3_600_000, now - 2 * 3_600_000),
                _ => (now - 200, now + 60_000),
            };
        }
        let delay = if story::DELAY.contains(&self.minute) { 8000 } else { 200 };
        (now - delay, now - delay - 100)
    }

    /// A message between two users that is counted.
    fn send_single(&self, sent: i64, now: i64) {
        let body = format!(r#"{{"sendID":"u1","sendTime":{sent},"createTime":{},"content":"hello"}}"#, now - 400);
        let command = wire::Command::from_name("callbackAfterSendSingleMsgCommand").unwrap();
        let count = |report: Report<'_>| {
            if let Report::Message(message) = report {
                self.stats.record(message, UnixMillis(now));
            }
        };
        wire::decode_report(command, body.as_bytes(), count).unwrap();
    }

    /// What users do in a minute, except that they write.
    fn act(&self) {
        let now = UnixMillis(self.now_ms());
        let count = |activity, times: u32| self.stats.record_event(Event::Activity(activity, times.into()), now);
        let is_evening = story::EVENING.contains(&self.minute);
        let attempts = if story::SILENCE.contains(&self.minute) { 0 } else { story::written(self.minute) };
        let refused = if is_evening { attempts } else { 0 };
        count(Activity::GroupAttempts, attempts + refused);
        count(Activity::SingleAttempts, SINGLE + refused);
        if self.minute.is_multiple_of(10) {
            for user in 0..story::online(self.minute) {
                let user_id = &format!("u{user}");
                self.stats.record_event(Event::Online(Presence { user_id, platform_id: 1 }), now);
            }
        }
    }

    /// What a target gets in a minute: deliveries from the spool, and callbacks that are passed through.
    fn forward(&self) {
        let (target, now) = (self.telemetry.add_target("business"), self.now_ms());
        let is_down = story::NO_TARGET.contains(&self.minute);
        let (outcome, verdict) = match is_down {
            true => (Outcome::Unreachable, Verdict::PolicyContinue),
            false => (Outcome::Success, Verdict::Allowed),
        };
        for _ in 0..4 {
            target.received();
            target.attempted(outcome, Duration::from_millis(20), &"no route", now);
            match verdict {
                Verdict::Allowed => target.answered(verdict, Duration::from_millis(5)),
                _ => target.decided(verdict),
            }
            if is_down {
                let failure = (AnswerFailure::Unreachable, &"no route" as &dyn Display);
                target.answer_failed(failure, (GROUP_MESSAGE, "continue"), Duration::ZERO, now);
                target.answered(Verdict::IneffectiveRefusal, Duration::from_millis(5));
                target.buried(GROUP_MESSAGE, 404, now);
                target.stalled(now);
            }
        }
        let down_for = if is_down { self.minute - story::NO_TARGET.start + 1 } else { 0 };
        let callbacks = u64::from(1 + 4 * down_for);
        let oldest_age = Duration::from_secs(1 + 600 * u64::from(is_down));
        let dropped = [0, u64::from(down_for), 0, 0, 0];
        target.set_backlog(&Backlog { callbacks, bytes: 700 * callbacks, oldest_age, dead_letters: 1, dropped });
        if self.minute == story::NO_TARGET.start {
            target.breaker_changed(BreakerState::Open);
        } else if self.minute == story::NO_TARGET.end {
            target.breaker_changed(BreakerState::Closed);
        }
    }

    /// What is recorded in a minute.
    fn record(&self) {
        self.telemetry.callback_recorded();
        self.telemetry.set_record_bytes(1 << 20);
        if story::NO_TARGET.contains(&self.minute) {
            self.telemetry.record_failed(RecordFailure::DiskFull, &io::Error::other("no space"), self.now_ms());
            self.telemetry.record_file_removed(RecordRemoval::Bytes, Path::new("records/1.jsonl.gz"));
        }
    }

    /// The events of a minute other than group messages.
    fn happen(&self) {
        let now = self.now_ms();
        self.taken("callbackAfterJoinGroupCommand", now);
        if self.minute.is_multiple_of(10) {
            COMMANDS.iter().filter(|known| known.name != GROUP_MESSAGE).for_each(|known| self.taken(known.name, now));
            let record = |event| self.stats.record_event(event, UnixMillis(now));
            let is_push = |activity: &Activity| matches!(activity, Activity::GroupPushes | Activity::SinglePushes);
            let is_evening = story::EVENING.contains(&self.minute);
            let all = Activity::ALL.into_iter().filter(|activity| !(is_evening && is_push(activity)));
            all.for_each(|activity| record(Event::Activity(activity, 1)));
            record(Event::Offline(Presence { user_id: "u1", platform_id: 1 }));
        }
        unite(&self.stats, &self.telemetry, self.minute, now);
        self.act();
        self.forward();
        self.record();
        for number in 0..SINGLE {
            self.send_single(if number == 0 { now + 60_000 } else { now - 300 }, now);
        }
        Exclusion::ALL.into_iter().for_each(|reason| self.stats.record_exclusion(reason, UnixMillis(now)));
        self.telemetry.set_connections(3, 1, 1);
        self.telemetry.set_certificate_expiry(Some(MIDNIGHT + i64::from(story::END + 13 * DAY) * 60));
        if story::REFUSALS.contains(&self.minute) {
            for _ in 0..3 {
                Reason::ALL.iter().for_each(|reason| {
                    let refusal = Refusal {
                        reason: *reason,
                        detail: String::new(),
                        client: CLIENT,
                        may_be_callback: true,
                        at: UnixMillis(now),
                    };
                    self.telemetry.request_refused(refusal, self.stats.record_refusal(*reason));
                });
                self.telemetry.accept_failed(&io::Error::other("no more files"), now);
                self.telemetry.tls_handshake_failed(CLIENT, &io::Error::other("plain HTTP"), now);
                self.telemetry.connection_idle();
                self.telemetry.answer_unread();
            }
        }
        if story::SPOILT_SETTINGS.contains(&self.minute) {
            self.telemetry.reload_failed(&"line 1");
        } else if self.minute == story::SPOILT_SETTINGS.end {
            self.telemetry.reloaded();
        }
        let file = Path::new("data/state");
        if self.minute == story::NO_STATE_FILE.start {
            self.telemetry.state_file_missing(file);
        } else if self.minute == story::NO_STATE_FILE.end {
            self.telemetry.state_file_back(file);
        }
    }

    /// Appends the samples that Prometheus would store: of the exporter, of OpenIM, and its own.
    fn scrape(&mut self, is_down: bool) {
        let now = self.now();
        if !is_down {
            self.scrape_exporter();
        }
        let Self { scrapes, processed, .. } = self;
        writeln!(scrapes, "up{{{TARGET}}} {} {now}", u32::from(!is_down)).unwrap();
        writeln!(scrapes, "scrape_duration_seconds{{{TARGET}}} 0.006 {now}").unwrap();
        let openim = r#"job="openim",instance="b:12130""#;
        writeln!(scrapes, "group_chat_msg_process_success_total{{{openim}}} {processed} {now}").unwrap();
    }

    /// Scrapes both pages.
    fn scrape_exporter(&mut self) {
        let groups = TARGET.replacen("openim-exporter", "openim-exporter-groups", 1);
        for (scope, target) in [(Scope::Metrics, TARGET), (Scope::Groups, &groups)] {
            self.scrape_page(scope, target);
        }
    }

    fn scrape_page(&mut self, scope: Scope, target: &str) {
        let (now, stats, telemetry) = (self.now(), Arc::clone(&self.stats), Arc::clone(&self.telemetry));
        let mut scraper = Scraper::new(scope, Format::OpenMetrics, stats, telemetry, UnixMillis(now * 1000));
        let mut page = Vec::new();
        loop {
            let mut chunk = Vec::new();
            let has_more = scraper.next_chunk(&mut chunk).unwrap();
            page.append(&mut chunk);
            if !has_more {
                break;
            }
        }
        if scope == Scope::Metrics {
            self.telemetry.scraped(scraper.series(), Duration::from_millis(4));
        }
        let page = String::from_utf8(page).unwrap();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let sample = line.split(" # ").next().unwrap();
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            // Without the metrics of this process, and without the many combinations of labels that have no messages.
            let value = if name == "process_start_time_seconds" { &self.started.to_string() } else { value };
            let is_left_out = name == "openim_group_messages_total" && value == "0";
            if !is_left_out {
                let comma = if labels == "}" { "" } else { "," };
                writeln!(self.scrapes, "{name}{{{target}{comma}{labels} {value} {now}").unwrap();
            }
        }
    }
}

/// A new exporter.
fn started_at(now: i64) -> (Arc<Stats>, Arc<Telemetry>) {
    let stats = Stats::in_memory(CAPACITIES, UnixMillis(now * 1000)).unwrap();
    (Arc::new(stats), Arc::new(Telemetry::default()))
}

/// A deterministic pseudo-random number.
fn noise(n: u64) -> u32 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 34).unwrap()
}
