//! Every panel and every rule in a real Prometheus with nine simulated days of all metrics. The exporter's own code
//! writes them as OpenMetrics under a simulated clock, and promtool backfills them and the recording rules. The last
//! day has every problem that an alert reports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../backfill/mod.rs"]
mod backfill;
#[path = "../monitoring/mod.rs"]
mod monitoring;
#[path = "../oracle/mod.rs"]
mod oracle;

mod installation;
mod replicas;
mod story;

use std::collections::BTreeSet;
use std::ops::Range;

use backfill::Times;
use installation::{Installation, MIDNIGHT};
use monitoring::{Rule, all_rules, dashboards, expressions, family_of, parsed};
use openim_exporter::exposition::catalog::CATALOG;
use oracle::Prometheus;
use story::{DAY, END, LAST_DAY};

/// The step of a range query in seconds.
const STEP: i64 = 120;

fn at(minute: u32) -> i64 {
    MIDNIGHT + i64::from(minute) * 60
}

fn recording_rules() -> Vec<Rule> {
    all_rules().into_iter().filter(|rule| !rule.is_alert).collect()
}

fn with_recorded(installation: &Installation, end: u32) -> Prometheus {
    let raw = Prometheus::with_samples(&installation.scrapes, "5m");
    backfill::with_recorded(raw, &all_rules(), Times { from: MIDNIGHT, to: at(end), step: STEP })
}

/// Families of the catalogue whose samples are all 0.
fn families_without(installation: &Installation) -> BTreeSet<&'static str> {
    let moved = installation.scrapes.lines().filter(|line| line.rsplit(' ').nth(1) != Some("0"));
    let there: BTreeSet<_> = moved.map(|line| family_of(line.split('{').next().unwrap())).collect();
    CATALOG.iter().map(|family| family.name).filter(|name| !there.contains(name)).collect()
}

/// The expression as Grafana would send it, for all jobs and groups.
fn as_asked(expression: &str) -> String {
    [("$__rate_interval", "5m"), ("$__range", "1h"), ("$job", ".*"), ("$instance", ".*"), ("$group", ".*")]
        .iter()
        .fold(expression.to_owned(), |asked, (variable, value)| asked.replace(variable, value))
}

/// Families that are 0 on all days, and why.
const ALWAYS_ZERO: &[(&str, &str)] = &[
    ("openim_exporter_message_ids_evicted_total", "the dedup window holds two million messages"),
    ("openim_exporter_erasures_total", "nobody asks for one"),
    ("openim_exporter_log_lines_dropped_total", "the log is always read"),
];

/// Expressions that have data only at times, and why.
const SOMETIMES: &[(&str, &str)] = &[
    ("sum by (reason) (rate(openim_exporter_callbacks_rejected_total", "without refusals the panel must be empty"),
    ("openim_sender_retention_ratio", "after a restart without a state, it is not known for two days"),
    ("(instance:openim_exporter_cap_used:growth1w{", "in the second week, growth counts only once it has lasted a day"),
];

/// Expressions without data in these days, and why. `tests/panels.rs` has data for them.
const NEVER: &[(&str, &str)] = &[
    ("ALERTS{alertname", "promtool backfills the recording rules only"),
    ("unless last_over_time(openim_exporter_build_info", "the version stays the same"),
    ("/ 7 > 10) unless", "no group has more than ten messages a day and then none"),
    ("process_network_", "the days are simulated in this process, without a network"),
];

/// The beginnings of expressions that read only native histograms. These days have only classic ones; `tests/panels.rs`
/// has both.
const NATIVE: &[&str] = &[
    "histogram_quantile(0.95, sum by (platform) (rate(openim_",
    "sum(increase(openim_exporter_callback_duration_seconds{",
    "sum(increase(openim_group_message_delivery_delay_seconds{",
];

/// Why an expression fails on the last day. It must have data most of the time, and not only zeros.
fn wrong(prometheus: &Prometheus, expression: &str) -> Option<String> {
    let series = prometheus.query_range(at(LAST_DAY), at(END), STEP, &as_asked(expression));
    let numbers: Vec<_> =
        series.iter().flat_map(|(_, samples)| samples).filter(|(_, value)| value.is_finite()).collect();
    let times: BTreeSet<_> = numbers.iter().map(|(time, _)| time).collect();
    let share = times.len() as f64 / (f64::from(DAY) * 60.0 / STEP as f64);
    let is_listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| expression.contains(listed));
    if is_listed(NEVER) || NATIVE.iter().any(|start| expression.starts_with(start)) {
        None
    } else if share < 0.9 && (share == 0.0 || !is_listed(SOMETIMES)) {
        Some(format!("{:.0} % of the day: {expression}", share * 100.0))
    } else if numbers.iter().all(|(_, value)| *value == 0.0) && !is_listed(ALWAYS_ZERO) {
        Some(format!("always 0: {expression}"))
    } else {
        None
    }
}

/// The failures of all panels and recording rules: of their expressions, and of the recorded series.
fn all_wrong(prometheus: &Prometheus) -> Vec<String> {
    let panels = dashboards().into_iter().flat_map(|(_, text)| expressions(&parsed(&text)));
    let recorded = recording_rules().into_iter().flat_map(|rule| {
        let cap = rule.text.split_once("labels: {cap: ").map(|(_, rest)| rest.split('}').next().unwrap());
        let cap = cap.map_or(String::new(), |cap| format!("{{cap=\"{cap}\"}}"));
        // If the expression may always be 0, so may the recorded series.
        let is_zero = ALWAYS_ZERO.iter().any(|(listed, _)| rule.expression.contains(listed));
        let name = if is_zero { String::new() } else { format!("{}{cap}", rule.name) };
        [name, rule.expression]
    });
    let asked = panels.map(|(_, expression)| expression).chain(recorded).filter(|asked| !asked.is_empty());
    asked.filter_map(|asked| wrong(prometheus, &asked)).collect()
}

/// The periods in which an alert would fire, in minutes.
fn raised(prometheus: &Prometheus, rule: &Rule, end: u32) -> Vec<Range<u32>> {
    let minute = |time: i64| u32::try_from((time - MIDNIGHT) / 60).unwrap();
    let times = Times { from: MIDNIGHT, to: at(end), step: STEP };
    let periods = backfill::raised(prometheus, rule, times).into_iter();
    periods.map(|(_, period)| minute(period.start)..minute(period.end)).collect()
}

/// Alerts that do not fire when they must, and alerts that fire at other times.
fn wrongly_raised(prometheus: &Prometheus, rules: &[Rule]) -> Vec<String> {
    let mut wrong = Vec::new();
    for rule in rules {
        let (due, raised) = (story::due(&rule.name), raised(prometheus, rule, END));
        let is_within = |inner: &Range<u32>, outer: &Range<u32>| outer.start <= inner.start && inner.end <= outer.end;
        let overlaps = |one: &Range<u32>, other: &Range<u32>| one.start <= other.end && other.start <= one.end;
        let missing = due.iter().filter(|due| !raised.iter().any(|raised| overlaps(raised, due)));
        wrong.extend(missing.map(|due| format!("{} is not raised in {due:?}", rule.name)));
        let others = raised.iter().filter(|raised| !due.iter().any(|due| is_within(raised, due)));
        wrong.extend(others.map(|raised| format!("{} is raised in {raised:?}", rule.name)));
    }
    wrong
}

#[test]
#[ignore = "needs prometheus"]
fn panels_and_rules_have_data_and_alerts_fire_when_they_must_over_nine_days() {
    let installation = Installation::over_all_days();
    let always_zero: BTreeSet<_> = ALWAYS_ZERO.iter().map(|(family, _)| *family).collect();
    assert_eq!(families_without(&installation), always_zero, "ALWAYS_ZERO lists exactly the families that stay 0");
    let prometheus = with_recorded(&installation, END);
    assert_eq!(all_wrong(&prometheus), [""; 0]);
    let alerts: Vec<_> = all_rules().into_iter().filter(|rule| rule.is_alert).collect();
    assert_eq!(wrongly_raised(&prometheus, &alerts), [""; 0]);
    // Prometheus returns an empty result for a wrong name or value, and a series that is always 0 looks healthy. These
    // changes show that the test detects both, and alerts that fire too late or without a reason.
    for (spoilt, found) in [
        ("sum(rate(openim_group_message_total{job=~\"$job\"}[$__rate_interval]))", "0 % of the day: "),
        ("openim_active_senders{window=\"2h\"}", "0 % of the day: "),
        ("resets(openim_exporter_callback_repeats_total[1h]) * 0", "always 0: "),
    ] {
        assert_eq!(wrong(&prometheus, spoilt), Some(format!("{found}{spoilt}")));
    }
    let rule = |expression: &str| {
        let (name, text) = ("OpenimExporterDown".into(), "        for: 15m\n".into());
        [Rule { name, is_alert: true, expression: expression.into(), text }]
    };
    let (due, down) = (&story::due("OpenimExporterDown")[0], "up{job=\"openim-exporter\"} == 0");
    assert_eq!(wrongly_raised(&prometheus, &rule(down)), [format!("OpenimExporterDown is not raised in {due:?}")]);
    let always = wrongly_raised(&prometheus, &rule("up{job=\"openim-exporter\"} < 2"));
    assert_eq!(always, [format!("OpenimExporterDown is raised in 15..{END}")]);
}

#[test]
#[ignore = "needs prometheus"]
fn no_alert_fires_on_the_first_day_of_an_idle_installation_with_missed_scrapes() {
    let prometheus = with_recorded(&Installation::over_an_idle_day(), DAY);
    let end = at(DAY - 3);
    // Including the metrics of TLS and of the settings files.
    for there in
        ["openim_exporter_tls_certificate_expiry_timestamp_seconds", "openim_exporter_config_last_reload_successful"]
    {
        assert!(prometheus.value_at(end, there) > 0.0, "{there}");
    }
    assert!(prometheus.value_at(end, "count_over_time((up{job=\"openim-exporter\"} == 0)[1d:1m])") >= 90.0);
    for rule in all_rules().iter().filter(|rule| rule.is_alert) {
        assert_eq!(raised(&prometheus, rule, DAY - 3), [], "{}", rule.name);
    }
    // An alert that reads only the last scrape would fire after each missed scrape.
    let (name, expression) = ("OpenimExporterDown".into(), "up{job=\"openim-exporter\"} == 0".into());
    let hasty = Rule { name, is_alert: true, expression, text: String::new() };
    assert!(raised(&prometheus, &hasty, DAY - 3).len() >= 40);
}
