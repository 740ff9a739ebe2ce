//! Each alert at scrape intervals from 15 s to 5 min: it fires while something is wrong, and is silent otherwise,
//! even if a scrape is missed.

use std::fmt::Write as _;
use std::thread;

use tempfile::TempDir;

use crate::backfill::file_of;
use crate::missed::metrics_of;
use crate::monitoring::{Rule, all_rules, rules};
use crate::test_rules;

/// In seconds.
const INTERVALS: [usize; 4] = [15, 60, 150, 300];

const EXPORTER: &str = r#"job="openim-exporter",instance="a:10006""#;

/// In minutes.
const DAY: usize = 1440;

/// In minutes, to compute values.
const WEEK: f64 = 10_080.0;

/// A series' value at a minute. The second argument is the minute from which on something is wrong; it may be infinite.
type Value = Box<dyn Fn(f64, f64) -> Option<f64>>;

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
struct Scenario {
    alert: &'static str,
    series: Vec<(String, Value)>,
    /// The minute from which on something is wrong.
    fault: usize,
    /// Minutes after which the alert must fire.
    due: usize,
    /// Minutes between two evaluations.
    step: usize,
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

fn scenarios() -> Vec<Scenario> {
    let bucket = |le: &str| format!(r#"openim_group_message_delivery_delay_seconds_bucket{{le="{le}"}}"#);
    let mut all = vec![
        scenario("OpenimExporterDown", 60, 12, vec![("up", gauge(1.0, 0.0))]),
        // A target that is gone.
        scenario("OpenimExporterDown", 60, 12, vec![("up", Box::new(|minute, fault| (minute < fault).then_some(1.0)))]),
        scenario("OpenimNoCallbacks", 120, 21, vec![(MESSAGES, counter(60.0, 0.0))]),
        scenario("OpenimNoCallbacks", 120, 21, vec![(MESSAGES, counter(6.0, 0.0)), (OPENIM, counter(7.0, 7.0))]),
        scenario(
            "OpenimCallbacksMissing",
            240,
            50,
            vec![(MESSAGES, counter(58.0, 29.0)), (OPENIM, counter(60.0, 60.0)), ("up", constant(1.0))],
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
            ],
        ),
    ];
    for (alert, reason) in [("OpenimCallbacksRejected", "wrong_type"), ("OpenimAccessRefused", "unauthorized")] {
        let name = format!(r#"openim_exporter_callbacks_rejected_total{{reason="{reason}"}}"#);
        all.push(scenario(alert, 60, 20, vec![(&name, counter(0.2, 2.0))]));
    }
    all.extend(of_the_state_and_settings());
    all.extend(of_forwarding());
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
    vec![
        with_step(30, scenario("OpenimTrafficLow", 8 * DAY, 150, vec![(MESSAGES, counter(60.0, 6.0))])),
        with_step(
            30,
            scenario(
                "OpenimUsersOnlineHalved",
                8 * DAY,
                90,
                vec![
                    (r#"openim_users_online{platform="ios"}"#, gauge(100.0, 40.0)),
                    ("process_start_time_seconds", constant(0.0)),
                    ("up", constant(1.0)),
                ],
            ),
        ),
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

/// How a scrape is missed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missed {
    /// It failed: each series ends until the next one, and `up` is 0.
    Failed,
    /// Prometheus did not attempt it.
    NotAttempted,
}

/// The samples of a series, in promtool's notation. One scrape is missed.
fn samples(
    series: &(String, Value),
    fault: f64,
    (missed, how): (usize, Missed),
    interval: usize,
    end: usize,
) -> String {
    let mut text = String::new();
    for scrape in 0..=end * 60 / interval {
        let value = (series.1)((scrape * interval) as f64 / 60.0, fault);
        match (value, how) {
            (None, _) => text.push_str("stale "),
            (Some(_), Missed::Failed) if scrape == missed && series.0.starts_with("up{") => text.push_str("0 "),
            (Some(_), Missed::Failed) if scrape == missed => text.push_str("stale "),
            (Some(_), Missed::NotAttempted) if scrape == missed => text.push_str("_ "),
            (Some(value), _) => write!(text, "{value} ").unwrap(),
        }
    }
    text
}

/// Number of evaluations for which the alert must keep firing.
const HELD: usize = 12;

/// A case in promtool's notation: something is wrong, or not.
fn case(scenario: &Scenario, is_wrong: bool, how: Missed, interval: usize) -> String {
    let Scenario { alert, series, fault, due, step } = scenario;
    let fires = fault + due;
    let end = fires + HELD * step;
    // The first scrape after the alert must have fired is missed. Except for this alert at 5 min: rate() is then up to a third
    // too low, as docs/prometheus.md says.
    let is_known = is_wrong && *alert == "OpenimAnswersSlow" && interval == 300;
    let missed = if is_known { usize::MAX } else { (fires * 60).div_ceil(interval) };
    let mut text =
        format!("  - name: \"{alert} every {interval} s, {is_wrong}, {how:?}\"\n    interval: {interval}s\n");
    text.push_str("    input_series:\n");
    for one in series {
        let values = samples(one, if is_wrong { *fault as f64 } else { f64::INFINITY }, (missed, how), interval, end);
        write!(text, "      - series: '{}'\n        values: {values}\n", one.0).unwrap();
    }
    let firing = format!("count_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
    text.push_str("    promql_expr_test:\n");
    let mut expect = |expression: &str, minute: usize, samples: &str| {
        write!(text, "      - expr: '{expression}'\n        eval_time: {minute}m\n        exp_samples: {samples}\n")
            .unwrap();
    };
    if is_wrong {
        let held = format!("sum({firing}[{}m])) >= bool {}", HELD * step, HELD + 1);
        expect(&held, end, "[{value: 1, labels: \"{}\"}]");
        expect(&format!("{firing}[{end}m])"), fault.saturating_sub(1), "[]");
    } else {
        expect(&format!("{firing}[{end}m])"), end, "[]");
    }
    text
}

/// The alert and the recording rules that it needs, in one group, so that it finds the series that they record.
fn rules_for(alert: &str, all: &[Rule]) -> String {
    let alert = all.iter().find(|rule| rule.name == alert).unwrap();
    let metrics = metrics_of(alert, all);
    let recording = all.iter().filter(|rule| !rule.is_alert && metrics.contains(&rule.name));
    file_of(&recording.chain([alert]).cloned().collect::<Vec<_>>())
}

/// The cases that fail at a scrape interval.
fn failures(interval: usize) -> String {
    let (directory, all) = (TempDir::new().unwrap(), all_rules());
    let mut files = Vec::new();
    // At 15 s, the cases of days and weeks are left out: promtool would take long, and with ranges of hours, 15 s and a minute
    // make no difference.
    let scenarios = scenarios().into_iter().filter(|scenario| interval > 15 || scenario.step == 1);
    for (number, scenario) in scenarios.enumerate() {
        let [rules, tests] = ["rules", "yml"].map(|end| directory.path().join(format!("{number}.{end}")));
        // promtool evaluates all rules that it has in each case. Most of them do not matter here, and take most of the time.
        std::fs::write(rules, rules_for(scenario.alert, &all)).unwrap();
        let mut text = format!("rule_files: [{number}.rules]\nevaluation_interval: {}m\ntests:\n", scenario.step);
        text.push_str(&case(&scenario, true, Missed::Failed, interval));
        text.push_str(&case(&scenario, false, Missed::Failed, interval));
        // Only `up` shows the difference.
        if scenario.series.iter().any(|(name, _)| name.starts_with("up{")) {
            text.push_str(&case(&scenario, false, Missed::NotAttempted, interval));
        }
        std::fs::write(&tests, text).unwrap();
        files.push(tests);
    }
    let ran = test_rules(files);
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() { String::new() } else { printed }
}

#[test]
#[ignore = "needs prometheus"]
fn each_alert_works_at_scrape_intervals_from_15_seconds_to_5_minutes() {
    let tests = INTERVALS.map(|interval| thread::spawn(move || failures(interval)));
    let failed: String = tests.into_iter().map(|test| test.join().unwrap()).collect();
    assert_eq!(failed, "");
}

#[test]
fn each_alert_has_a_scenario_for_all_scrape_intervals() {
    let scenarios = scenarios();
    let alerts = rules(&crate::monitoring::read("prometheus/rules/alerts.yml"));
    let untested = alerts.iter().filter(|alert| scenarios.iter().all(|scenario| scenario.alert != alert.name));
    assert_eq!(untested.map(|alert| alert.name.as_str()).collect::<Vec<_>>(), [""; 0]);
}
