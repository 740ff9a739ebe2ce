//! Each alert with two and ten exporters of one job. A load balancer distributes the callbacks, so what is wrong with them
//! raises the alert once for the job, as with one exporter. A fault of one exporter raises it for this one only. If a load
//! balancer stops sending to one exporter, the others get its share, and no alert fires. The second job, for all groups,
//! raises none, even if its target is down.

use std::fmt::Write as _;
use std::thread;

use crate::case_files::CaseFiles;
use crate::monitoring::{Rule, all_rules};
use crate::scenarios::{EXPORTER, Scenario, Value, is_counter, scenarios};

const SIZES: [usize; 2] = [2, 10];

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The callbacks of all exporters.
    Callbacks,
    /// The first exporter.
    FirstExporter,
    /// Nothing is wrong, but the first exporter gets no more callbacks.
    FirstIsIdle,
}

/// One of several exporters.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    size: usize,
}

/// Whether the value of one exporter is its share of that of all. Each has unions of its own.
fn is_shared(name: &str) -> bool {
    name.starts_with("openim_users_online{") || is_counter(name) && !name.starts_with("openim_exporter_replicas_")
}

/// The value of a series at a minute, for an exporter whose scenario begins at the minute `from`.
fn value(name: &str, all: &Value, place: Place, fault: Fault, (minute, from): (f64, f64)) -> Option<f64> {
    let size = place.size as f64;
    let share = |value: f64| match name {
        // It sees all of them.
        _ if name.starts_with("openim_exporter_replicas_active") => value * size,
        _ if is_shared(name) => value / size,
        _ => value,
    };
    match fault {
        Fault::Callbacks => all(minute, from).map(share),
        // It has traffic of its own, like each of the others.
        Fault::FirstExporter => all(minute, if place.number == 0 { from } else { f64::INFINITY }),
        Fault::FirstIsIdle if !is_shared(name) => all(minute, f64::INFINITY).map(share),
        Fault::FirstIsIdle => {
            let (now, then) = (all(minute, f64::INFINITY)?, all(minute.min(from), f64::INFINITY)?);
            let moved = if place.number == 0 { 0.0 } else { size / (size - 1.0) };
            Some(share(then + (now - then) * moved))
        }
    }
}

/// The samples of a series, in promtool's notation.
fn samples(value: impl Fn(f64) -> Option<f64>, interval: usize, end: usize) -> String {
    let minutes = (0..=end * 60 / interval).map(|scrape| (scrape * interval) as f64 / 60.0);
    minutes.map(|minute| value(minute).map_or("stale ".to_owned(), |value| format!("{value} "))).collect()
}

/// A case in promtool's notation.
fn case(scenario: &Scenario, size: usize, fault: Fault) -> String {
    let Scenario { alert, series, fault: from, due, step } = scenario;
    let (end, interval) = (from + due, if *step > 1 { 300 } else { 60 });
    let mut text = format!("  - name: \"{alert}, {size} exporters, {fault:?}\"\n    interval: {interval}s\n");
    text.push_str("    input_series:\n");
    let mut add =
        |name: &str, values: String| write!(text, "      - series: '{name}'\n        values: {values}\n").unwrap();
    for (name, all) in series {
        if !name.contains(EXPORTER) {
            add(name, samples(|minute| all(minute, f64::INFINITY), interval, end));
            continue;
        }
        for number in 0..size {
            let of_one = |minute| value(name, all, Place { number, size }, fault, (minute, *from as f64));
            add(&name.replace("a:10006", &format!("{number}:10006")), samples(of_one, interval, end));
        }
    }
    for number in 0..size {
        let target = format!("job=\"openim-exporter-groups\",instance=\"{number}:10006\"");
        let is_up = |minute| Some(f64::from(number > 0 || minute < *from as f64));
        add(&format!("up{{{target}}}"), samples(is_up, interval, end));
        let messages = format!("openim_tracked_group_messages_total{{{target},group_id=\"g\"}}");
        add(&messages, samples(|minute| Some(60.0 * minute), interval, end));
    }
    let fired =
        |minutes: usize| format!("count_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}[{minutes}m])");
    let now = format!("group by (job, instance) (ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})");
    let found = match fault {
        Fault::Callbacks => r#"[{value: 1, labels: '{job="openim-exporter"}'}]"#,
        Fault::FirstExporter => r#"[{value: 1, labels: '{job="openim-exporter",instance="0:10006"}'}]"#,
        Fault::FirstIsIdle => "[]",
    };
    let before = if fault == Fault::FirstIsIdle { end } else { (*from).max(2) - 1 };
    text.push_str("    promql_expr_test:\n");
    for (expression, minute, found) in [(now, end, found), (fired(before), before, "[]")] {
        write!(text, "      - expr: '{expression}'\n        eval_time: {minute}m\n        exp_samples: {found}\n")
            .unwrap();
    }
    text
}

/// The faults that an alert is about.
fn faults(alert: &Rule) -> [Fault; 2] {
    let is_of_one = alert.text.contains("{{ $labels.instance }}");
    [if is_of_one { Fault::FirstExporter } else { Fault::Callbacks }, Fault::FirstIsIdle]
}

/// The cases that fail with this many exporters and these rules.
fn failures(size: usize, rules: &[Rule], is_tested: impl Fn(&Scenario) -> bool) -> String {
    let mut files = CaseFiles::new();
    for scenario in scenarios().into_iter().filter(is_tested) {
        let alert = rules.iter().find(|rule| rule.name == scenario.alert).unwrap();
        let text: String = faults(alert).iter().map(|fault| case(&scenario, size, *fault)).collect();
        files.add(&[scenario.alert], rules, &format!("{}m", scenario.step), &text);
    }
    files.failures()
}

#[test]
#[ignore = "needs prometheus"]
fn each_alert_works_with_two_and_ten_exporters() {
    let tests = SIZES.map(|size| thread::spawn(move || failures(size, &all_rules(), |_| true)));
    let failed: String = tests.into_iter().map(|test| test.join().unwrap()).collect();
    assert_eq!(failed, "");
}

#[test]
#[ignore = "needs prometheus"]
fn alerts_that_look_at_one_exporter_instead_of_all_fail() {
    for (alert, old, new) in [
        ("OpenimCallbacksRejected", "sum by (job, reason)", "sum by (job, instance, reason)"),
        (
            "OpenimNoCallbacks",
            "job:openim_group_messages:rate10m == 0\n",
            "instance:openim_group_messages:rate5m == 0\n",
        ),
        ("OpenimReplicasDamaged", "max by (job, part)", "max by (job, instance, part)"),
        ("OpenimReplicasMissing", "min by (job)", "0.5 * min by (job)"),
    ] {
        let mut rules = all_rules();
        let rule = rules.iter_mut().find(|rule| rule.name == alert).unwrap();
        assert!(rule.text.contains(old), "{alert}");
        rule.text = rule.text.replace(old, new);
        assert_ne!(failures(10, &rules, |scenario| scenario.alert == alert), "", "{alert}");
    }
}
