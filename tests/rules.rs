//! The recording rules and alerts: promtool runs the cases in tests/rules. Each alert fires in one case and not in
//! another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "rules/ages.rs"]
mod ages;
mod backfill;
#[path = "rules/case_files.rs"]
mod case_files;
#[path = "rules/fleets.rs"]
mod fleets;
#[path = "rules/installation.rs"]
mod installation;
#[path = "rules/intervals.rs"]
mod intervals;
#[path = "rules/look_back.rs"]
mod look_back;
#[path = "rules/missed.rs"]
mod missed;
mod monitoring;
mod oracle;
#[path = "rules/scenarios.rs"]
mod scenarios;
#[path = "rules/settings.rs"]
mod settings;

use std::fs;
use std::path::Path;
use std::process::Command;

use case_files::CaseFiles;
use monitoring::{Rule, all_rules, at, files, names, read, rules, unknown};

const ALERTS: &str = "prometheus/rules/alerts.yml";
const RUNBOOK: &str = "docs/runbook.md";

/// The cases in a file: the alert, and whether it should fire.
fn cases(text: &str) -> Vec<(String, bool)> {
    let names = text.split("- alertname: ").skip(1);
    names
        .map(|case| {
            let (name, rest) = case.split_once('\n').unwrap();
            let expected = rest.split("exp_alerts:").nth(1).unwrap();
            (name.to_owned(), !expected.starts_with(" []"))
        })
        .collect()
}

/// Alerts without a case in which they fire, or without one in which they do not.
fn untested(alerts: &str, tests: &str) -> Vec<String> {
    let cases = cases(tests);
    let lacks = |rule: &&Rule| [true, false].iter().any(|fires| !cases.contains(&(rule.name.clone(), *fires)));
    rules(alerts).iter().filter(lacks).map(|rule| rule.name.clone()).collect()
}

fn all_tests() -> String {
    files("tests/rules", ".yml").iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let (alerts, tests) = (read(ALERTS), all_tests());
    assert_eq!(untested(&alerts, &tests), [""; 0]);
    let more = format!("{alerts}      - alert: OpenimNew\n        expr: vector(1)\n");
    assert_eq!(untested(&more, &tests), ["OpenimNew"]);
    let silent = "- alertname: OpenimClockErrors\n        eval_time: 21m\n        exp_alerts: []";
    assert!(tests.matches(silent).count() >= 2, "the text occurs in the file");
    assert_eq!(untested(&alerts, &tests.replace(silent, "")), ["OpenimClockErrors"]);
}

#[test]
fn each_alert_has_cases_in_which_a_missed_scrape_changes_nothing() {
    let (alerts, all, tests) = (read(ALERTS), all_rules(), all_tests());
    let not_shown = |tests: &str| missed::not_shown(&alerts, &all, tests);
    assert_eq!(not_shown(&tests), [""; 0]);
    // No gap, a gap that does not end, one that is a scrape too early, and one in only one of two series.
    for (old, new, found) in [
        ("0+27x63 stale 1755+27x16\n    alert", "0+27x80\n    alert", "OpenimAnswersSlow fires"),
        ("1x20 0x46 stale 0x12", "1x20 0x46 stale", "OpenimSettingsNotUsed fires"),
        ("5000x20 10x18 stale 10x60", "5000x20 10x17 stale 10x60", "OpenimCountersReset fires"),
        (
            "0+3x83 stale 255+3x15\n    alert_rule_test:\n      - alertname: OpenimClockErrors\n        eval_time: 21m\n        exp_alerts: []",
            "0+3x99\n    alert_rule_test:\n      - alertname: OpenimClockErrors\n        eval_time: 21m\n        exp_alerts: []",
            "OpenimClockErrors is silent",
        ),
    ] {
        assert!(tests.contains(old), "{old}");
        assert_eq!(not_shown(&tests.replace(old, new)), [found]);
    }
    let more = format!("{alerts}      - alert: OpenimNew\n        expr: avg_over_time(up[5m]) == 0\n");
    let found = missed::not_shown(&more, &all, &tests);
    assert_eq!(found, ["OpenimNew fires", "OpenimNew is silent"]);
}

/// Runs the cases in the files with this suffix, with the alerts edited, and with or without the recording rules. Returns
/// what promtool prints if a case fails, otherwise nothing.
fn promtool_test(end: &str, are_recorded: bool, edit: impl Fn(&str) -> String) -> String {
    let alerts = rules(&edit(&read(ALERTS)));
    let recording = all_rules().into_iter().filter(|rule| !rule.is_alert && are_recorded);
    let all: Vec<_> = alerts.into_iter().chain(recording).collect();
    let every: Vec<_> = all.iter().filter(|rule| rule.is_alert).map(|rule| rule.name.as_str()).collect();
    let mut written = CaseFiles::new();
    for file in files("tests/rules", end) {
        let text = fs::read_to_string(&file).unwrap();
        let (head, tests) = text.split_once("\ntests:\n").unwrap();
        let interval = head.lines().find_map(|line| line.strip_prefix("evaluation_interval: ")).unwrap();
        for test in tests.split_inclusive("\n\n").filter(|test| !test.trim().is_empty()) {
            let named = test.split("- alertname: ").skip(1).map(|rest| rest.lines().next().unwrap());
            // An expression can read any series. And no rule may fail with the series of several exporters.
            let needs_every = test.contains("promql_expr_test:") || file.ends_with("fleet.yml");
            let needed = if needs_every { every.clone() } else { named.collect() };
            written.add(&needed, &all, interval, test);
        }
    }
    written.failures()
}

/// The alerts with another expression, and without labels and annotations, which promtool takes minutes to fill in.
fn with_expressions(text: &str, expression: &str) -> String {
    let replaced = |text: String, rule: &Rule| {
        let (before, rest) = rule.text.split_once("        expr:").unwrap();
        let is_kept = |line: &&str| line.starts_with("        for: ") || !line.starts_with("        ");
        let after: Vec<_> = rest.lines().skip(1).filter(is_kept).collect();
        let edited = format!("{before}        expr: {expression}\n{}\n", after.join("\n"));
        assert_eq!(text.matches(&rule.text).count(), 1);
        text.replace(&rule.text, &edited)
    };
    rules(text).iter().fold(text.to_owned(), replaced)
}

#[test]
#[ignore = "needs prometheus"]
fn each_alert_fires_and_is_silent_as_the_cases_expect() {
    assert_eq!(promtool_test(".yml", true, str::to_owned), "");
}

#[test]
#[ignore = "needs prometheus"]
fn alerts_that_never_or_always_fire_fail_their_cases() {
    for (expression, failing) in [("vector(0) > 1", true), ("vector(1)", false)] {
        // These expressions read no series, so there is no need to record any, which takes minutes.
        let printed = promtool_test(".yml", false, |text| with_expressions(text, expression));
        for (name, _) in cases(&all_tests()).iter().filter(|(_, fires)| *fires == failing) {
            assert!(printed.contains(&format!("alertname: {name}, ")), "{expression}: {name} passes");
        }
    }
}

#[test]
#[ignore = "needs prometheus"]
fn an_alert_that_reads_only_the_last_scrape_fails_if_it_is_missed() {
    let printed = promtool_test("alerts.yml", true, |text| {
        let hasty = |text: String, (old, new): (&str, &str)| {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            text.replace(old, new)
        };
        let [settings, expiry, missing] =
            ["config_last_reload_successful", "tls_certificate_expiry_timestamp_seconds", "state_file_missing"]
                .map(|name| format!("openim_exporter_{name}"));
        let changes = [
            (format!("last_over_time({settings}[20m])"), settings),
            (format!("last_over_time({expiry}[20m])"), expiry),
            (format!("last_over_time({missing}[20m])"), missing),
        ];
        changes.iter().fold(text.to_owned(), |text, (old, new)| hasty(text, (old, new)))
    });
    let failed: Vec<_> = printed.lines().filter_map(|line| line.trim().strip_prefix("alertname: ")).collect();
    let expected = [
        "OpenimStateFileMissing, time: 11m,",
        "OpenimCertificateExpires, time: 30m,",
        "OpenimSettingsNotUsed, time: 17m,",
    ];
    assert_eq!(failed, expected, "{printed}");
}

/// Whether promtool accepts a file of rules, and its output.
fn promtool_check(text: &str) -> (bool, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let check = ["check", "rules", "--lint=all", "--lint-fatal"];
    let ran = Command::new("promtool").args(check).arg(file.path()).output().expect("promtool must be installed");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.success(), printed)
}

#[test]
#[ignore = "needs prometheus"]
fn promtool_accepts_the_rules_and_rejects_broken_ones() {
    for file in files("prometheus/rules", ".yml") {
        let (is_taken, printed) = promtool_check(&fs::read_to_string(file).unwrap());
        assert!(is_taken && printed.contains("SUCCESS"), "{printed}");
    }
    let alerts = read(ALERTS);
    let rule = &rules(&alerts)[0].text;
    for (old, new, found) in [
        ("last_over_time(up{", "last_over_times(up{", "unknown function"),
        ("[1h]))\n", "[1h])\n", "unclosed left parenthesis"),
        ("        for: 1m\n", "        form: 1m\n", "field form not found"),
        ("$labels.instance }}", "$labels.instance }", "unexpected \"}\""),
        (rule, &format!("{rule}{rule}"), "duplicate rule"),
    ] {
        assert!(alerts.contains(old), "{old}");
        let (is_taken, printed) = promtool_check(&alerts.replacen(old, new, 1));
        assert!(!is_taken && printed.contains(found), "{old}: {printed}");
    }
}

/// What an operator needs and an alert lacks.
fn lacking(rule: &Rule, runbook: &str) -> Vec<String> {
    let mut lacking = Vec::new();
    let mut need = |there: bool, what: &str| {
        if !there {
            lacking.push(format!("{}: {what}", rule.name))
        }
    };
    need(["warning", "critical"].iter().any(|s| rule.text.contains(&format!("labels: {{severity: {s}}}"))), "severity");
    need(rule.text.contains("          summary: \""), "summary");
    let description = rule.text.lines().find(|line| line.starts_with("          description: \"")).unwrap_or_default();
    need(description.contains("$value"), "the value in its description");
    let page = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/runbook.md");
    let url = format!("          runbook_url: {page}#{}", rule.name.to_lowercase());
    need(rule.text.lines().any(|line| line == url), "runbook_url");
    let is_there = |uid: &str| {
        let uid = format!("\n  \"uid\": \"{uid}\"");
        files("grafana/dashboards", ".json").iter().any(|file| fs::read_to_string(file).unwrap().contains(&uid))
    };
    let link = rule.text.split("dashboard: \"/d/").nth(1).and_then(|link| link.split('?').next());
    need(link.is_none_or(is_there), "an existing dashboard");
    // The dashboards link to this, because they cannot make names lower case.
    need(runbook.contains(&format!("\n<a id=\"{0}\"></a>\n\n## {0}\n", rule.name)), "an anchor in the runbook");
    let section = runbook.split("\n## ").find(|section| section.lines().next() == Some(&rule.name)).unwrap_or_default();
    for part in ["**What it means.**", "**What to look at.**", "**What to do.**"] {
        need(section.contains(part), part);
    }
    lacking
}

#[test]
fn each_alert_has_a_severity_a_summary_its_value_and_a_section_in_the_runbook() {
    let found =
        |alerts: &str, runbook: &str| rules(alerts).iter().flat_map(|rule| lacking(rule, runbook)).collect::<Vec<_>>();
    let (alerts, runbook) = (read(ALERTS), read(RUNBOOK));
    assert_eq!(found(&alerts, &runbook), [""; 0]);
    for (old, new, what) in [
        ("severity: critical", "severity: grave", "OpenimExporterDown: severity"),
        ("          summary:", "          summery:", "OpenimExporterDown: summary"),
        ("answered {{ $value }} of", "answered none of", "OpenimExporterDown: the value in its description"),
        ("runbook.md#openimexporterdown", "runbook.md#down", "OpenimExporterDown: runbook_url"),
        (env!("CARGO_PKG_REPOSITORY"), "https://example.com", "OpenimExporterDown: runbook_url"),
        ("/d/openim-group?", "/d/openim-exporter-group?", "OpenimGroupFlood: an existing dashboard"),
    ] {
        assert_eq!(found(&alerts.replacen(old, new, 1), &runbook), [what]);
    }
    for (old, what) in [("**What to do.**", "**What to do.**"), ("<a id=", "an anchor in the runbook")] {
        let spoilt = runbook.replacen(old, "", 1);
        assert_eq!(found(&alerts, &spoilt), [format!("OpenimExporterDown: {what}")]);
    }
    let sections = |runbook: &str| runbook.matches("\n## ").count();
    assert_eq!(sections(&runbook), rules(&alerts).len(), "each section belongs to an alert");
}

/// Scraped metrics that are read without a range: with one missed scrape they disappear, and the alert with them.
fn read_at_one_moment(rules: &[Rule]) -> Vec<String> {
    // This one must see that a target is gone: then `up` ends. After a failed scrape, `up` is 0.
    let others = rules.iter().filter(|rule| rule.name != "instance:openim_exporter_up:max");
    let selectors = others.flat_map(|rule| names(&rule.expression).selectors);
    let is_recorded = |name: &str| name.contains(':');
    selectors.filter(|found| !found.is_range && !is_recorded(&found.metric)).map(|found| found.metric).collect()
}

#[test]
fn no_rule_depends_on_the_last_scrape_only() {
    assert_eq!(read_at_one_moment(&all_rules()), [""; 0]);
    let spoilt =
        read(ALERTS).replacen("last_over_time(up{job=\"openim-exporter\"}[1h])", "up{job=\"openim-exporter\"}", 1);
    assert_eq!(read_at_one_moment(&rules(&spoilt)), ["up"]);
}

#[test]
fn the_rules_use_existing_metrics_and_labels() {
    let rules = all_rules();
    for rule in &rules {
        assert_eq!(unknown(&rule.expression, &rules), [""; 0], "{}", rule.name);
    }
    for (wrong, found) in [
        ("sum(rate(openim_group_message_total[5m]))", "openim_group_message_total"),
        ("rate(openim_group_messages_total_bucket[5m])", "openim_group_messages_total_bucket"),
        ("openim_group_mentions_total{type=\"all\"}", "openim_group_mentions_total{type}"),
        ("sum by (group) (openim_group_messages_by_group_total)", "by (group)"),
        ("job:openim_group_messages:rate7m > 1", "job:openim_group_messages:rate7m"),
        ("openim_active_senders{window=\"6h\"}", "openim_active_senders{window=\"6h\"}"),
        ("up{job=\"openim-exporters\"}", "up{job=\"openim-exporters\"}"),
    ] {
        assert_eq!(unknown(wrong, &rules), [found], "{wrong}");
    }
}

#[test]
fn the_rules_use_existing_values_of_labels() {
    let text: String =
        files("prometheus/rules", ".yml").iter().map(|file| fs::read_to_string(file).unwrap() + "\n").collect();
    for (old, new, found) in [
        // Values are checked, both alone and as alternatives of a pattern.
        ("not_found|method_not_allowed", "not_found|method_not_alowed", "reason!~\"not_found|method_not_alowed|"),
        ("reason=\"too_many_connections\"", "reason=\"many_connections\"", "reason=\"many_connections\""),
        ("reason=\"capacity\"", "reason=\"full\"", "reason=\"full\""),
        ("cap=\"exported_groups\"", "cap=\"series\"", "cap=\"series\""),
        ("cap=~\"groups|exported_groups", "cap=~\"group.*|exported_groups", "cap=~\"group.*|exported_groups|"),
        ("\"cap\", \"groups\", \"\"", "\"cap\", \"group\", \"\"", "label_replace(cap=\"group\")"),
        ("\"cap\", \"groups\", \"\"", "\"caps\", \"groups\", \"\"", "label_replace(caps)"),
        ("\"groups\", \"\", \"\"", "\"$1\", \"group\", \"(.*)\"", "label_replace(group)"),
        ("up{job=\"openim-exporter\"}", "up{job=\"exporter\"}", "job=\"exporter\""),
        // A value is known only if a rule sets it.
        ("labels: {cap: sender_pairs}", "labels: {cap: pairs}", "cap=~\"groups|exported_groups|sender_pairs\""),
    ] {
        assert!(text.contains(old), "{old}");
        let spoilt = rules(&text.replace(old, new));
        let unknown: Vec<_> = spoilt.iter().flat_map(|rule| unknown(&rule.expression, &spoilt)).collect();
        assert!(!unknown.is_empty() && unknown.iter().all(|unknown| unknown.contains(found)), "{old}: {unknown:?}");
    }
}

/// Alerts that are evaluated after an alert that reads hours or days of every exported group's rate, and so wait for
/// it.
fn wait_for_all_groups(text: &str) -> Vec<String> {
    let sections = text.split("\n  - name: ").skip(1).map(rules);
    let reads_all = |rule: &Rule| rule.expression.contains("_over_time(group:");
    let with_one = sections.filter(|section| section.iter().any(reads_all));
    with_one.flatten().filter(|rule| !reads_all(rule)).map(|rule| rule.name).collect()
}

#[test]
fn no_alert_waits_for_the_alert_that_takes_longer_with_more_groups() {
    let alerts = read(ALERTS);
    assert_eq!(wait_for_all_groups(&alerts), [""; 0]);
    let together = alerts.replacen("  - name: openim-exporter-groups\n    rules:\n", "", 1);
    assert_eq!(wait_for_all_groups(&together).len(), rules(&alerts).len() - 1);
}

#[test]
fn prometheus_loads_all_files_of_rules() {
    let config = read("prometheus.yml");
    let listed: Vec<_> = config.lines().filter_map(|line| line.strip_prefix("  - prometheus/rules/")).collect();
    let there = files("prometheus/rules", ".yml");
    let mut names: Vec<_> = there.iter().map(|file| Path::new(file).file_name().unwrap().to_str().unwrap()).collect();
    names.reverse();
    assert_eq!(listed, names);
    assert!(listed.iter().all(|file| at("prometheus/rules").join(file).exists()));
}
