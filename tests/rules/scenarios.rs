//! A situation for each alert in which it must fire.

use crate::missed::metrics_of;
use crate::monitoring::{Rule, all_rules, rules};

pub(crate) const EXPORTER: &str = r#"job="openim-exporter",instance="a:10006""#;

/// In minutes.
const DAY: usize = 1440;

/// In minutes, to compute values.
const WEEK: f64 = 10_080.0;

/// Whether a series is a counter, by its name.
pub(crate) fn is_counter(name: &str) -> bool {
    let family = name.split('{').next().unwrap();
    ["_total", "_count", "_sum", "_bucket"].iter().any(|end| family.ends_with(end))
}

/// A series' value at a minute. The second argument is the minute from which something is wrong; it may be infinite.
pub(crate) type Value = Box<dyn Fn(f64, f64) -> Option<f64>>;

/// A gauge with this value, and another one while something is wrong.
fn gauge(right: f64, wrong: f64) -> Value {
    Box::new(move |minute, fault| Some(if minute < fault { right } else { wrong }))
}

fn constant(value: f64) -> Value {
    gauge(value, value)
}

/// A counter that rises by `right` per minute, and by `wrong` while something is wrong.
fn counter(right: f64, wrong: f64) -> Value {
    Box::new(move |minute, fault| Some(right * minute.min(fault) + wrong * (minute - fault).max(0.0)))
}

/// A situation in which an alert must fire.
pub(crate) struct Scenario {
    pub(crate) alert: &'static str,
    pub(crate) series: Vec<(String, Value)>,
    /// The minute from which something is wrong.
    pub(crate) fault: usize,
    /// Minutes after which the alert must fire.
    pub(crate) due: usize,
    /// Minutes between two evaluations.
    pub(crate) step: usize,
}

fn scenario(alert: &'static str, fault: usize, due: usize, series: Vec<(&str, Value)>) -> Scenario {
    let with_target = |(name, value): (&str, Value)| {
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let labels = labels.trim_end_matches('}');
        let target = if name.starts_with("group_chat") { r#"job="openim",instance="b:1""# } else { EXPORTER };
        (format!("{name}{{{target}{}{labels}}}", if labels.is_empty() { "" } else { "," }), value)
    };
    Scenario { alert, series: series.into_iter().map(with_target).collect(), fault, due, step: 1 }
}

const MESSAGES: &str = r#"openim_group_messages_by_status_total{status="2"}"#;
const OPENIM: &str = "group_chat_msg_process_success_total";
const WAITED: &str = "openim_exporter_callback_duration_seconds_sum";

pub(crate) fn scenarios() -> Vec<Scenario> {
    let bucket = |le: &str| format!(r#"openim_group_message_delivery_delay_seconds_bucket{{le="{le}"}}"#);
    let tracked = || ("openim_exporter_groups_tracked", constant(5.0));
    let mut all = vec![
        scenario("OpenimExporterDown", 60, 12, vec![("up", gauge(1.0, 0.0))]),
        // A target that is gone.
        scenario("OpenimExporterDown", 60, 12, vec![("up", Box::new(|minute, fault| (minute < fault).then_some(1.0)))]),
        // The same without `up`, as in a fleet that is seen through federation or remote write.
        scenario(
            "OpenimExporterDown",
            60,
            12,
            vec![("openim_exporter_groups_tracked", Box::new(|minute, fault| (minute < fault).then_some(5.0)))],
        ),
        scenario("OpenimNoCallbacks", 120, 21, vec![(MESSAGES, counter(60.0, 0.0))]),
        scenario("OpenimNoCallbacks", 120, 21, vec![(MESSAGES, counter(6.0, 0.0)), (OPENIM, counter(7.0, 7.0))]),
        scenario(
            "OpenimCallbacksMissing",
            240,
            50,
            vec![(MESSAGES, counter(58.0, 29.0)), (OPENIM, counter(60.0, 60.0)), ("up", constant(1.0))],
        ),
        scenario(
            "OpenimCallbacksMissing",
            240,
            50,
            vec![(MESSAGES, counter(58.0, 29.0)), (OPENIM, counter(60.0, 60.0)), tracked()],
        ),
        scenario("OpenimAnswersSlow", 60, 30, vec![(WAITED, counter(6.0, 108.0))]),
        scenario(
            "OpenimClockErrors",
            60,
            35,
            vec![
                (MESSAGES, counter(60.0, 60.0)),
                (r#"openim_group_message_clock_errors_total{kind="future"}"#, counter(1.0, 12.0)),
            ],
        ),
        scenario(
            "OpenimDeliveryDelayGrows",
            240,
            45,
            vec![
                (&bucket("0.1"), constant(0.0)),
                (&bucket("1"), counter(60.0, 0.0)),
                (&bucket("10"), counter(60.0, 60.0)),
                (&bucket("+Inf"), counter(60.0, 60.0)),
                ("openim_group_message_delivery_delay_seconds_count", counter(60.0, 60.0)),
            ],
        ),
    ];
    for (alert, reason) in [("OpenimCallbacksRejected", "wrong_type"), ("OpenimAccessRefused", "unauthorized")] {
        let name = format!(r#"openim_exporter_callbacks_rejected_total{{reason="{reason}"}}"#);
        all.push(scenario(alert, 60, 20, vec![(&name, counter(0.2, 2.0))]));
    }
    all.extend(of_the_state_and_settings());
    all.extend(of_forwarding());
    all.extend(of_replicas());
    all.extend(of_limits());
    all.extend(of_days());
    all
}

fn of_the_state_and_settings() -> Vec<Scenario> {
    vec![
        scenario(
            "OpenimCountersReset",
            60,
            7,
            vec![(
                MESSAGES,
                Box::new(|minute, fault| Some(if minute < fault { 5000.0 + minute } else { minute - fault })),
            )],
        ),
        scenario("OpenimStateFileMissing", 60, 12, vec![("openim_exporter_state_file_missing", gauge(0.0, 1.0))]),
        scenario(
            "OpenimCertificateExpires",
            60,
            22,
            vec![("openim_exporter_tls_certificate_expiry_timestamp_seconds", gauge(30.0 * 86_400.0, 10.0 * 86_400.0))],
        ),
        scenario(
            "OpenimSettingsNotUsed",
            60,
            22,
            vec![("openim_exporter_config_last_reload_successful", gauge(1.0, 0.0))],
        ),
        scenario(
            "OpenimGroupFlood",
            120,
            35,
            vec![
                (MESSAGES, counter(6.0, 1206.0)),
                (r#"openim_group_messages_by_group_total{group_id="g"}"#, counter(6.0, 1200.0)),
            ],
        ),
    ]
}

/// Targets and records.
fn of_forwarding() -> Vec<Scenario> {
    let of = |family: &str, labels: &str| format!(r#"openim_exporter_forward_{family}{{target="b"{labels}}}"#);
    let attempts = |outcome: &str| of("attempts_total", &format!(r#",outcome="{outcome}""#));
    let answers = |verdict: &str| of("answers_total", &format!(r#",verdict="{verdict}""#));
    let [unreachable, success, allowed] = [attempts("unreachable"), attempts("success"), answers("allowed")];
    let down = vec![(&*unreachable, counter(0.1, 2.0)), (&*success, counter(60.0, 0.0))];
    let late = of("answer_failures_total", r#",reason="timeout""#);
    let unanswered = vec![(&*late, counter(0.1, 2.0)), (&*allowed, counter(60.0, 58.0))];
    let mut all = vec![
        scenario("OpenimForwardTargetDown", 60, 35, down),
        scenario("OpenimForwardUnanswered", 60, 35, unanswered),
        scenario("OpenimForwardBacklog", 60, 12, vec![(&of("oldest_pending_age_seconds", ""), gauge(2.0, 600.0))]),
    ];
    for (alert, counted) in [
        ("OpenimForwardDropped", of("dropped_total", r#",reason="bytes""#)),
        ("OpenimForwardDeadLetters", of("dead_letters_total", "")),
        ("OpenimForwardRefusalsIgnored", answers("ineffective_refusal")),
        ("OpenimRecordFailures", r#"openim_exporter_record_failures_total{reason="disk_full"}"#.to_owned()),
    ] {
        all.push(scenario(alert, 60, 12, vec![(&counted, counter(0.0, 5.0))]));
    }
    all
}

/// The union with other exporters.
fn of_replicas() -> Vec<Scenario> {
    let of = |family: &str| format!("openim_exporter_replicas_{family}");
    let [active, skew] = ["active", "clock_skew_seconds"].map(of);
    // There is one exporter, so what misses others sees a part of one.
    let missing = |seen| vec![(&*active, gauge(1.0, 0.5)), (seen, constant(1.0))];
    let mut all = vec![
        scenario("OpenimReplicasMissing", 60, 22, missing("up")),
        scenario("OpenimReplicasMissing", 60, 22, missing("openim_exporter_groups_tracked")),
        scenario("OpenimReplicasClockSkew", 60, 22, vec![(&skew, gauge(0.1, 7.0))]),
        scenario("OpenimReplicasNotUnited", 60, 35, vec![(&of("union_duration_seconds_count"), counter(6.0, 0.0))]),
    ];
    for (alert, counted) in [
        ("OpenimReplicasNameConflict", of("name_conflicts_total")),
        ("OpenimReplicasDamaged", of(r#"damaged_total{part="registers"}"#)),
    ] {
        all.push(scenario(alert, 60, 12, vec![(&counted, counter(0.0, 5.0))]));
    }
    all
}

/// Each limit, near and reached.
fn of_limits() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (used, most) in [
        ("openim_exporter_groups_tracked", "openim_exporter_groups_capacity"),
        ("openim_exporter_sender_pairs_tracked", "openim_exporter_sender_pairs_capacity"),
        ("openim_exporter_groups_exported", "openim_exporter_groups_exported_capacity"),
        ("openim_exporter_message_ids_tracked", "openim_exporter_message_ids_capacity"),
        (r#"openim_users_online{platform="ios"}"#, "openim_exporter_users_online_capacity"),
        ("process_open_fds", "process_max_fds"),
    ] {
        all.push(scenario(
            "OpenimCapNear",
            60,
            22,
            vec![
                (used, gauge(50.0, 90.0)),
                (most, constant(100.0)),
                ("openim_exporter_build_info", constant(1.0)),
                // A third of the messages are in groups that are not exported.
                (MESSAGES, counter(60.0, 60.0)),
                (r#"openim_group_messages_by_group_total{group_id="g"}"#, counter(40.0, 40.0)),
            ],
        ));
    }
    for hits in [
        r#"openim_group_messages_folded_total{reason="capacity"}"#,
        "openim_exporter_sender_pairs_evicted_total",
        "openim_exporter_message_ids_evicted_total",
        "openim_exporter_users_online_overflow_total",
        "openim_exporter_accept_failures_total",
        r#"openim_exporter_callbacks_rejected_total{reason="too_many_connections"}"#,
    ] {
        all.push(scenario("OpenimCapReached", 60, 20, vec![(hits, counter(0.5, 5.0))]));
    }
    all
}

/// The alerts that compare weeks.
fn of_days() -> Vec<Scenario> {
    let with_step = |step: usize, scenario: Scenario| Scenario { step, ..scenario };
    let growing = |minute: f64, fault: f64| {
        Some(if fault.is_finite() { 120.0 * 0.45 / WEEK * minute * minute / 2.0 } else { 12.0 * minute })
    };
    let halved = |seen| {
        let online = (r#"openim_users_online{platform="ios"}"#, gauge(100.0, 40.0));
        let series = vec![online, ("process_start_time_seconds", constant(0.0)), (seen, constant(1.0))];
        with_step(30, scenario("OpenimUsersOnlineHalved", 8 * DAY, 90, series))
    };
    vec![
        with_step(30, scenario("OpenimTrafficLow", 8 * DAY, 150, vec![(MESSAGES, counter(60.0, 6.0))])),
        halved("up"),
        halved("openim_exporter_groups_tracked"),
        with_step(
            30,
            scenario(
                "OpenimMessagesRefused",
                2 * DAY,
                120,
                vec![
                    (MESSAGES, counter(58.0, 40.0)),
                    (r#"openim_message_attempts_total{chat="group"}"#, counter(60.0, 60.0)),
                ],
            ),
        ),
        with_step(
            30,
            scenario(
                "OpenimPushesStopped",
                3 * DAY,
                150,
                vec![
                    (MESSAGES, counter(60.0, 60.0)),
                    (r#"openim_offline_pushes_total{chat="group"}"#, counter(30.0, 0.0)),
                ],
            ),
        ),
        with_step(30, scenario("OpenimTrafficHigh", 9 * DAY, 150, vec![(MESSAGES, counter(60.0, 300.0))])),
        // The share in use grows by 0.45 in a week.
        with_step(
            60,
            scenario(
                "OpenimCapForecast",
                0,
                10 * DAY,
                vec![
                    ("openim_exporter_groups_tracked", counter(0.0, 45.0 / WEEK)),
                    ("openim_exporter_groups_capacity", constant(100.0)),
                ],
            ),
        ),
        with_step(60, scenario("OpenimSenderLimitForecast", 0, 10 * DAY, vec![(WAITED, Box::new(growing))])),
    ]
}

#[test]
fn each_alert_has_a_scenario() {
    let scenarios = scenarios();
    let alerts = rules(&crate::monitoring::read("prometheus/rules/alerts.yml"));
    let untested = alerts.iter().filter(|alert| scenarios.iter().all(|scenario| scenario.alert != alert.name));
    assert_eq!(untested.map(|alert| alert.name.as_str()).collect::<Vec<_>>(), [""; 0]);
}

/// Alerts that read `up` and have no scenario without it.
fn need_up(scenarios: &[Scenario]) -> Vec<String> {
    let all = all_rules();
    let read_up = all.iter().filter(|rule| rule.is_alert && metrics_of(rule, &all).contains("up"));
    let has_up = |scenario: &Scenario| scenario.series.iter().any(|(name, _)| name.starts_with("up{"));
    let needs = |alert: &&Rule| scenarios.iter().all(|one| one.alert != alert.name || has_up(one));
    read_up.filter(needs).map(|alert| alert.name.clone()).collect()
}

#[test]
fn each_alert_works_without_up() {
    assert_eq!(need_up(&scenarios()), [""; 0]);
    let found = ["OpenimExporterDown", "OpenimCallbacksMissing", "OpenimUsersOnlineHalved", "OpenimReplicasMissing"];
    assert_eq!(need_up(&[]), found);
}
