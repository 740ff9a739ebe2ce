//! The settings of mixin/config.json decide whether alerts fire.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::case_files::CaseFiles;
use crate::intervals::{Missed, samples};
use crate::monitoring::{Rule, all_rules, files, generate, parsed, read, rules};
use crate::scenarios::{Scenario, scenarios};

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

/// A case in promtool's notation: with this setting, something is wrong in this job, and the alert fires or not.
fn case(scenario: &Scenario, setting: &str, job: &str, fires: bool) -> String {
    let Scenario { alert, series, fault, due, step } = scenario;
    let (end, interval) = (fault + due, if *step > 1 { 300 } else { 60 });
    let mut text = format!("  - name: {alert}, {setting}\n    interval: {interval}s\n    input_series:\n");
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

/// Adds a case for each scenario of these alerts.
fn add(files: &mut CaseFiles, rules: &[Rule], alerts: &[&str], case: impl Fn(&Scenario) -> String) {
    for scenario in scenarios().iter().filter(|scenario| alerts.contains(&scenario.alert)) {
        files.add(&[scenario.alert], rules, &format!("{}m", scenario.step), &case(scenario));
    }
}

#[test]
#[ignore = "needs prometheus and python3"]
fn each_threshold_decides_whether_its_alerts_fire() {
    let config = parsed(&read("mixin/config.json"));
    let numbers = config.as_object().unwrap().iter().filter(|(_, value)| value.is_number()).map(|(name, _)| name);
    assert!(numbers.eq(UNREACHED.iter().map(|(name, _, _)| *name)));
    // With the defaults, the alerts fire: see intervals.rs.
    let mut files = CaseFiles::new();
    for (name, value, alerts) in UNREACHED {
        let rules = generated(&json!({ *name: value }));
        add(&mut files, &rules, alerts, |scenario| case(scenario, name, "openim-exporter", false));
    }
    assert_eq!(files.failures(), "");
}

#[test]
#[ignore = "needs prometheus and python3"]
fn the_selector_names_the_job_whose_up_is_read() {
    let down = |scenario: &Scenario, fires| {
        let has_up = scenario.series.iter().any(|(name, _)| name.starts_with("up{"));
        if has_up { case(scenario, "selector", "chat", fires) } else { String::new() }
    };
    let (mut files, alerts) = (CaseFiles::new(), ["OpenimExporterDown"]);
    let selected = generated(&json!({ "selector": "job=~\"chat|other\"" }));
    add(&mut files, &selected, &alerts, |one| down(one, true));
    add(&mut files, &all_rules(), &alerts, |one| down(one, false));
    assert_eq!(files.failures(), "");
}
