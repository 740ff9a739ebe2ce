//! Published linters of rules and queries.

use std::process::Command;

use serde_json::json;

use super::{PIP, at, packages, parsed, run};
use crate::monitoring::{all_rules, dashboards, expressions};

/// Warnings of promql-analyzer that are accepted, and why.
const ACCEPTED: &[(&str, &str)] = &[
    // It is only counted.
    ("openim:processes:count", "PQL001"),
    // Four labels, but few targets and reasons.
    ("OpenimForwardDropped", "PQL004"),
    ("OpenimForwardUnanswered", "PQL004"),
];

/// The warnings of promql-analyzer for named expressions. It assumes the longest scrape interval.
fn warnings(expressions: &[(String, String)]) -> Vec<(String, String)> {
    let code = "import json, sys\n\
                from promql_analyzer import AnalyzerConfig, dude_look\n\
                config = AnalyzerConfig(scrape_interval_seconds=300, rate_range_min_multiples=1)\n\
                for name, expression in json.load(sys.stdin):\n\
                \x20   found = dude_look(expression, config=config).findings\n\
                \x20   for rule in sorted({each.rule_id for each in found if each.severity.value != 'INFO'}): print(name, rule)";
    let input = json!(expressions).to_string();
    let printed = run(Command::new(PIP.join("python")).args(["-c", code]), &input);
    printed.lines().map(|line| line.rsplit_once(' ').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
#[ignore = "needs python3, and the packages of tests/mixin from PyPI"]
fn promql_analyzer_accepts_the_rules() {
    let rules: Vec<_> = all_rules().into_iter().map(|rule| (rule.name, rule.expression)).collect();
    let mut found = warnings(&rules);
    found.retain(|(name, rule)| !ACCEPTED.contains(&(name, rule)));
    assert_eq!(found, []);
    for (spoilt, rule) in [
        ("openim_group_messages_by_status_total > 5", "PQL001"),
        ("rate(openim_exporter_callbacks_total{command=~\".*\"}[5m])", "PQL002"),
        ("rate(openim_exporter_callbacks_total[30s])", "PQL003"),
    ] {
        assert_eq!(warnings(&[("spoilt".to_owned(), spoilt.to_owned())]), [("spoilt".to_owned(), rule.to_owned())]);
    }
}

/// What a current Prometheus finds wrong with expressions. promtool may be much older.
fn faults(expressions: &[String]) -> Vec<String> {
    let folder = packages::npm("tests/mixin", "mixin-linter");
    let mut node = Command::new("node");
    node.arg(at("tests/mixin/check.mjs")).current_dir(folder);
    let printed = run(&mut node, &json!(expressions).to_string());
    serde_json::from_str(&printed).unwrap()
}

#[test]
#[ignore = "needs node, and the packages of tests/mixin from npm"]
fn a_current_prometheus_accepts_all_expressions() {
    let shown = dashboards().into_iter().flat_map(|(_, text)| expressions(&parsed(&text)));
    let shown = shown.map(|(_, expression)| expression.replace("$__rate_interval", "1m").replace("$__range", "1h"));
    let all: Vec<_> = all_rules().into_iter().map(|rule| rule.expression).chain(shown).collect();
    assert!(all.len() > 300, "{}", all.len());
    assert_eq!(faults(&all), [""; 0]);
    for (spoilt, found) in [
        ("rate(up)", "expected type matrix in call to function \"rate\", got vector: up"),
        ("sum by (job) (up{job=})", "unexpected expression"),
        ("up and on (job) group_left () up", "no grouping allowed for set operations"),
    ] {
        let faults = faults(&[spoilt.to_owned()]);
        assert!(faults.iter().any(|fault| fault.starts_with(found)), "{spoilt}: {faults:?}");
    }
}
