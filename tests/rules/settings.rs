//! The settings of mixin/config.json decide whether alerts fire.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::intervals::{Missed, rules_for, samples};
use crate::monitoring::{Rule, all_rules, files, generate, parsed, read, rules};
use crate::scenarios::{Scenario, scenarios};
use crate::test_rules;

/// Each threshold, a value that no scenario reaches, and the alerts that do not fire with it.
const UNREACHED: &[(&str, f64, &[&str])] = &[
    ("busy_share", 0.95, &["OpenimAnswersSlow"]),
    ("cap_hits", 60.0, &["OpenimCapReached"]),
    ("cap_used_share", 0.95, &["OpenimCapNear"]),
    ("certificate_days", 9.0, &["OpenimCertificateExpires"]),
    ("clock_errors_share", 0.3, &["OpenimClockErrors"]),
    ("clock_skew_seconds", 8.0, &["OpenimReplicasClockSkew"]),
    ("delay_seconds", 15.0, &["OpenimDeliveryDelayGrows"]),
    ("flood_factor", 1000.0, &["OpenimGroupFlood"]),
    ("flood_per_second", 25.0, &["OpenimGroupFlood"]),
    ("pending_seconds", 700.0, &["OpenimForwardBacklog"]),
    ("refused_requests", 30.0, &["OpenimCallbacksRejected", "OpenimAccessRefused"]),
    ("refused_share", 0.5, &["OpenimMessagesRefused"]),
    ("traffic_high_factor", 6.0, &["OpenimTrafficHigh"]),
    ("traffic_low_share", 0.05, &["OpenimTrafficLow"]),
    ("unanswered", 30.0, &["OpenimForwardUnanswered"]),
    ("unanswered_share", 0.5, &["OpenimForwardUnanswered"]),
    ("unions", 0.0, &["OpenimReplicasNotUnited"]),
];

/// The rules with these settings instead of the defaults.
fn generated(settings: &Value) -> Vec<Rule> {
    let (ran, folder) = generate(settings);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let written = files(folder.path().join("prometheus/rules").to_str().unwrap(), ".yml");
    written.iter().flat_map(|file| rules(&fs::read_to_string(file).unwrap())).collect()
}

/// A case in promtool's notation: something is wrong in this job, and the alert fires or not.
fn case(scenario: &Scenario, job: &str, fires: bool) -> String {
    let Scenario { alert, series, fault, due, step } = scenario;
    let (end, interval) = (fault + due, if *step > 1 { 300 } else { 60 });
    let mut text = format!("  - name: {alert}\n    interval: {interval}s\n    input_series:\n");
    for one in series {
        let values = samples(one, *fault as f64, (usize::MAX, Missed::Failed), interval, end);
        let name = one.0.replace("openim-exporter", job);
        write!(text, "      - series: '{name}'\n        values: {values}\n").unwrap();
    }
    let found = if fires { "[{value: 1, labels: \"{}\"}]" } else { "[]" };
    let firing = format!("group(last_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}[{end}m]))");
    text + "    promql_expr_test:\n"
        + &format!("      - expr: '{firing}'\n        eval_time: {end}m\n        exp_samples: {found}\n")
}

/// Writes a rule test for each scenario of these alerts, and adds its path.
fn add(folder: &TempDir, name: &str, rules: &[Rule], alerts: &[&str], case: impl Fn(&Scenario) -> String) {
    for (number, scenario) in scenarios().iter().filter(|scenario| alerts.contains(&scenario.alert)).enumerate() {
        let file = folder.path().join(format!("{name}-{number}"));
        fs::write(file.with_extension("rules"), rules_for(&[scenario.alert], rules)).unwrap();
        let head = format!("rule_files: [{name}-{number}.rules]\nevaluation_interval: {}m\ntests:\n", scenario.step);
        fs::write(file.with_extension("yml"), head + &case(scenario)).unwrap();
    }
}

/// What promtool prints if a case in the folder fails.
fn failures(folder: &TempDir) -> String {
    let ran = test_rules(files(folder.path().to_str().unwrap(), ".yml"));
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() { String::new() } else { printed }
}

#[test]
#[ignore = "needs prometheus and python3"]
fn each_threshold_decides_whether_its_alerts_fire() {
    let config = parsed(&read("mixin/config.json"));
    let numbers = config.as_object().unwrap().iter().filter(|(_, value)| value.is_number()).map(|(name, _)| name);
    assert!(numbers.eq(UNREACHED.iter().map(|(name, _, _)| *name)));
    // With the defaults, the alerts fire: see intervals.rs.
    let folder = TempDir::new().unwrap();
    for (name, value, alerts) in UNREACHED {
        add(&folder, name, &generated(&json!({ *name: value })), alerts, |scenario| {
            case(scenario, "openim-exporter", false)
        });
    }
    assert_eq!(failures(&folder), "");
}

#[test]
#[ignore = "needs prometheus and python3"]
fn the_selector_names_the_job_whose_up_is_read() {
    let down = |scenario: &Scenario, fires| {
        let has_up = scenario.series.iter().any(|(name, _)| name.starts_with("up{"));
        if has_up { case(scenario, "chat", fires) } else { String::new() }
    };
    let (folder, alerts) = (TempDir::new().unwrap(), ["OpenimExporterDown"]);
    add(&folder, "chat", &generated(&json!({ "selector": "job=~\"chat|other\"" })), &alerts, |one| down(one, true));
    add(&folder, "default", &all_rules(), &alerts, |one| down(one, false));
    assert_eq!(failures(&folder), "");
}
