//! What Prometheus scrapes from a simulated installation with the usual rhythm of days and weeks, from its first day
//! on.

use std::fmt::Write as _;

/// Minutes between two scrapes, the most that the rules support.
pub(crate) const INTERVAL: i64 = 5;

/// Minutes per day.
pub(crate) const DAY: i64 = 24 * 60;

/// The Monday from which minutes are counted, in seconds since the epoch.
const MONDAY: i64 = 1_700_438_400;

/// Messages per second at the usual peak.
const PEAK: f64 = 10.0;

/// Traffic at each hour of the day, as a share of the peak.
const RHYTHM: [f64; 24] = [
    0.03, 0.01, 0.002, 0.0, 0.002, 0.01, 0.05, 0.15, 0.4, 0.7, 0.95, 1.0, 0.9, 0.9, 1.0, 1.0, 0.95, 0.9, 0.85, 0.8,
    0.8, 0.6, 0.3, 0.1,
];

/// Traffic on Saturdays and Sundays, as a share of other days.
const WEEKEND: f64 = 0.4;

/// The seconds since the epoch of a minute.
pub(crate) const fn seconds(minute: i64) -> i64 {
    MONDAY + minute * 60
}

/// The minutes of all scrapes.
fn scrapes(from: i64, to: i64) -> impl Iterator<Item = i64> {
    (from..=to).filter(|minute| minute % INTERVAL == 0)
}

/// Traffic at a minute, as a share of the usual peak.
fn rhythm(minute: i64) -> f64 {
    let (hour, part) = (usize::try_from(minute / 60 % 24).unwrap(), (minute % 60) as f64 / 60.0);
    let share = RHYTHM[hour] * (1.0 - part) + RHYTHM[(hour + 1) % 24] * part;
    if minute / DAY % 7 >= 5 { share * WEEKEND } else { share }
}

/// A deterministic pseudo-random number from 0.9 to 1.1.
fn noise(minute: i64) -> f64 {
    let mixed = minute.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 48;
    0.9 + mixed as f64 / f64::from(u16::MAX) / 5.0
}

/// A restart during which one scrape fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    None,
    WithState,
    WithoutState,
}

/// What happens from one scrape to the next one.
pub(crate) struct Moment {
    /// Messages per second.
    sent: f64,
    /// Traffic as a share of the usual peak, without noise.
    pub(crate) rhythm: f64,
    /// The share of the messages whose callbacks arrive.
    pub(crate) arriving: f64,
    /// Additional messages per second in one group.
    pub(crate) flood: f64,
    pub(crate) is_up: bool,
    pub(crate) restart: Restart,
    /// The share of their time that OpenIM's two workers wait.
    pub(crate) busy: f64,
    /// Refusals per minute for each of two reasons.
    pub(crate) refused: f64,
    /// How often each limit is hit per minute.
    pub(crate) hits: f64,
    /// The share of messages with a wrong time.
    pub(crate) wrong_clock: f64,
    /// The share of messages that take more than a second.
    pub(crate) delayed: f64,
    /// The shares of the tables in use.
    pub(crate) groups: f64,
    pub(crate) pairs: f64,
    pub(crate) message_ids: f64,
    /// Users online.
    pub(crate) online: f64,
    /// The share of attempts to send a message that are refused.
    pub(crate) refused_messages: f64,
    /// Offline pushes for each message.
    pub(crate) pushes: f64,
    /// Whether the target takes what is forwarded, and the disk what is recorded.
    pub(crate) is_forwarding: bool,
    /// Whether the exporter unites with others.
    pub(crate) is_uniting: bool,
    pub(crate) is_state_file_missing: bool,
    pub(crate) are_settings_used: bool,
    /// Days until the certificate expires.
    pub(crate) certificate: f64,
}

impl Moment {
    /// A minute without any problem, `age` minutes after the installation.
    fn healthy(minute: i64, age: i64) -> Self {
        let (rhythm, days) = (rhythm(minute), age as f64 / DAY as f64);
        Self {
            sent: PEAK * rhythm * noise(minute),
            rhythm,
            arriving: 1.0,
            flood: 0.0,
            is_up: true,
            restart: Restart::None,
            busy: 0.05 * rhythm,
            refused: 0.01,
            hits: 0.0,
            wrong_clock: 0.01,
            delayed: 0.01,
            // The tables of a new installation fill fast and then slowly.
            groups: 0.5 * (1.0 - (-days / 3.0).exp()),
            pairs: 0.4 * (1.0 - (-days / 2.0).exp()),
            message_ids: 0.3 * rhythm,
            online: 300.0 * rhythm * noise(minute),
            refused_messages: 0.1,
            pushes: 0.5,
            is_forwarding: true,
            is_uniting: true,
            is_state_file_missing: false,
            are_settings_used: true,
            certificate: 60.0,
        }
    }

    /// Those of forwarding and recording.
    fn of_forwarding(&self) -> [(&'static str, &'static str, Value); 9] {
        use Value::{Gauge, Lost};
        let (fine, faults) = if self.is_forwarding { (self.sent, 0.0) } else { (0.0, 0.1) };
        [
            ("openim_exporter_forward_attempts_total", r#"target="b",outcome="success""#, Lost(fine)),
            ("openim_exporter_forward_attempts_total", r#"target="b",outcome="unreachable""#, Lost(faults)),
            ("openim_exporter_forward_oldest_pending_age_seconds", r#"target="b""#, Gauge(6000.0 * faults)),
            ("openim_exporter_forward_dropped_total", r#"target="b",reason="bytes""#, Lost(faults)),
            ("openim_exporter_forward_dead_letters_total", r#"target="b""#, Lost(faults)),
            ("openim_exporter_forward_answers_total", r#"target="b",verdict="allowed""#, Lost(fine)),
            ("openim_exporter_forward_answers_total", r#"target="b",verdict="ineffective_refusal""#, Lost(faults)),
            ("openim_exporter_forward_answer_failures_total", r#"target="b",reason="timeout""#, Lost(faults)),
            ("openim_exporter_record_failures_total", r#"reason="disk_full""#, Lost(faults)),
        ]
    }

    /// Those of the union. There is one exporter, so what misses others sees a part of one.
    fn of_replicas(&self) -> [(&'static str, &'static str, Value); 5] {
        use Value::{Gauge, Lost};
        let (unions, faults) = if self.is_uniting { (0.1, 0.0) } else { (0.0, 0.1) };
        [
            ("openim_exporter_replicas_union_duration_seconds_count", "", Lost(unions)),
            ("openim_exporter_replicas_active", "", Gauge(1.0 - 5.0 * faults)),
            ("openim_exporter_replicas_name_conflicts_total", "", Lost(faults)),
            ("openim_exporter_replicas_damaged_total", r#"part="registers""#, Lost(faults)),
            ("openim_exporter_replicas_clock_skew_seconds", "", Gauge(-100.0 * faults)),
        ]
    }

    /// The metrics, their labels and their values.
    fn metrics(&self) -> Vec<(&'static str, &'static str, Value)> {
        use Value::{Gauge, Kept, Lost};
        let received = self.sent * self.arriving + self.flood;
        let prompt = received * (1.0 - self.delayed);
        let (refused, hits) = (self.refused / 60.0, self.hits / 60.0);
        let mut all = vec![
            ("openim_group_messages_by_status_total", r#"status="2""#, Kept(received)),
            // Not all groups have series.
            ("openim_group_messages_by_group_total", r#"group_id="g1""#, Kept(self.sent * self.arriving * 0.6)),
            (
                "openim_group_messages_by_group_total",
                r#"group_id="g2""#,
                Kept(received - self.sent * self.arriving * 0.65),
            ),
            ("openim_exporter_callback_duration_seconds_sum", "", Lost(2.0 * self.busy)),
            ("openim_exporter_callback_duration_seconds_count", "", Lost(received)),
            ("openim_group_message_delivery_delay_seconds_bucket", r#"le="0.1""#, Kept(prompt * 0.7)),
            ("openim_group_message_delivery_delay_seconds_bucket", r#"le="1""#, Kept(prompt)),
            ("openim_group_message_delivery_delay_seconds_bucket", r#"le="10""#, Kept(received)),
            ("openim_group_message_delivery_delay_seconds_bucket", r#"le="+Inf""#, Kept(received)),
            ("openim_group_message_delivery_delay_seconds_count", "", Kept(received)),
            ("openim_group_message_clock_errors_total", r#"kind="future""#, Kept(received * self.wrong_clock)),
            ("openim_exporter_callbacks_rejected_total", r#"reason="wrong_type""#, Kept(refused)),
            ("openim_exporter_callbacks_rejected_total", r#"reason="unauthorized""#, Kept(refused)),
            ("openim_exporter_callbacks_rejected_total", r#"reason="too_many_connections""#, Kept(hits)),
            ("openim_group_messages_folded_total", r#"reason="capacity""#, Kept(hits)),
            ("openim_exporter_sender_pairs_evicted_total", "", Kept(hits)),
            ("openim_exporter_message_ids_evicted_total", "", Kept(hits)),
            ("openim_exporter_accept_failures_total", "", Lost(hits)),
            ("openim_exporter_groups_tracked", "", Gauge(2000.0 * self.groups)),
            ("openim_exporter_groups_capacity", "", Gauge(2000.0)),
            ("openim_exporter_sender_pairs_tracked", "", Gauge(50_000.0 * self.pairs)),
            ("openim_exporter_sender_pairs_capacity", "", Gauge(50_000.0)),
            ("openim_exporter_message_ids_tracked", "", Gauge(30_000.0 * self.message_ids)),
            ("openim_exporter_message_ids_capacity", "", Gauge(30_000.0)),
            ("openim_users_online", r#"platform="ios""#, Gauge(self.online.floor())),
            ("openim_exporter_users_online_capacity", "", Gauge(1000.0)),
            ("openim_exporter_users_online_overflow_total", "", Kept(hits)),
            ("openim_message_attempts_total", r#"chat="group""#, Kept(received / (1.0 - self.refused_messages))),
            ("openim_offline_pushes_total", r#"chat="group""#, Kept(received * self.pushes)),
            // An installation with many groups uses all these series from its first day.
            ("openim_exporter_groups_exported", "", Gauge(100.0)),
            ("openim_exporter_groups_exported_capacity", "", Gauge(100.0)),
            ("process_open_fds", "", Gauge(40.0)),
            ("process_max_fds", "", Gauge(1024.0)),
            ("openim_exporter_build_info", "", Gauge(1.0)),
            ("openim_exporter_state_file_missing", "", Gauge(f64::from(self.is_state_file_missing))),
            ("openim_exporter_config_last_reload_successful", "", Gauge(f64::from(self.are_settings_used))),
        ];
        all.extend(self.of_forwarding());
        all.extend(self.of_replicas());
        all
    }
}

/// The value of a metric. A counter has its rate per second. A restart resets it, or keeps it with the state.
enum Value {
    Gauge(f64),
    Kept(f64),
    Lost(f64),
}

/// The exporter of one installation.
pub(crate) struct Exporter<'a> {
    pub(crate) job: &'a str,
    /// The minutes in which it exists.
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// The prefixes of its metrics' names. Other metrics are left out, to save time.
    pub(crate) metrics: &'a [&'a str],
    /// Changes what happens at a minute.
    pub(crate) change: &'a dyn Fn(&mut Moment, i64),
}

impl Exporter<'_> {
    /// Appends its scrapes, in OpenMetrics.
    pub(crate) fn scrape(&self, text: &mut String) {
        let Self { job, from, to, metrics, change } = self;
        let is_included = |name: &str| metrics.iter().any(|start| name.starts_with(start));
        let mut counters = Vec::new();
        for minute in scrapes(*from, *to) {
            let mut moment = Moment::healthy(minute, minute - from);
            change(&mut moment, minute);
            let now = seconds(minute);
            let target = format!("job=\"{job}\",instance=\"a:10006\"");
            writeln!(text, "up{{{target}}} {} {now}", u32::from(moment.is_up)).unwrap();
            let all = moment.metrics();
            counters.resize(all.len(), 0.0);
            for ((name, labels, value), counter) in all.into_iter().zip(&mut counters) {
                let (rate, is_reset) = match value {
                    Value::Gauge(_) => (0.0, true),
                    Value::Kept(rate) => (rate, moment.restart == Restart::WithoutState),
                    Value::Lost(rate) => (rate, moment.restart != Restart::None),
                };
                *counter = if is_reset { 0.0 } else { *counter + rate * 60.0 * INTERVAL as f64 };
                let value = match value {
                    Value::Gauge(value) => value,
                    // Seconds are not whole numbers.
                    _ if name.ends_with("_sum") => *counter,
                    _ => counter.floor(),
                };
                if moment.is_up && is_included(name) {
                    let comma = if labels.is_empty() { "" } else { "," };
                    writeln!(text, "{name}{{{target}{comma}{labels}}} {value} {now}").unwrap();
                }
            }
            if moment.is_up && is_included("openim_exporter_tls") {
                let name = "openim_exporter_tls_certificate_expiry_timestamp_seconds";
                let expiry = now as f64 + moment.certificate * 86_400.0;
                writeln!(text, "{name}{{{target}}} {expiry} {now}").unwrap();
            }
        }
    }
}

/// Appends the scrapes of OpenIM, which has one process and is restarted once.
pub(crate) fn scrape_openim(text: &mut String, (from, to): (i64, i64), restart: i64, is_scraped: impl Fn(i64) -> bool) {
    let mut processed = 0.0;
    for minute in scrapes(from, to) {
        // It also counts notifications, which are a larger share at night.
        let share = if rhythm(minute) > 0.1 { 0.9 } else { 0.7 };
        let moment = Moment::healthy(minute, 0);
        processed = if minute == restart { 0.0 } else { processed + moment.sent / share * 60.0 * INTERVAL as f64 };
        if is_scraped(minute) {
            let now = seconds(minute);
            writeln!(
                text,
                "group_chat_msg_process_success_total{{job=\"openim\",instance=\"b:1\"}} {} {now}",
                processed.floor()
            )
            .unwrap();
        }
    }
}
