//! The recording rules' results for samples of the past, and when alerts would have fired.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::monitoring::{Rule, names};
use crate::oracle::Prometheus;

/// When the rules are evaluated, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) step: i64,
}

/// The recording rules in the order of their dependencies: first those that need no other rule.
fn by_need(rules: Vec<Rule>) -> Vec<Vec<Rule>> {
    let (mut left, mut levels) = (rules, Vec::new());
    while !left.is_empty() {
        let missing: BTreeSet<_> = left.iter().map(|rule| rule.name.clone()).collect();
        let needs = |rule: &Rule| names(&rule.expression).selectors.iter().any(|found| missing.contains(&found.metric));
        let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(needs);
        assert!(!now.is_empty(), "{later:?}");
        levels.push(now);
        left = later;
    }
    levels
}

/// A file with these rules in one group.
pub(crate) fn file_of(rules: &[Rule]) -> String {
    let lines = rules.iter().flat_map(|rule| rule.text.lines()).filter(|line| line.starts_with("      "));
    format!("groups:\n  - name: recorded\n    rules:\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// Adds the results of all recording rules among these.
pub(crate) fn with_recorded(raw: Prometheus, rules: &[Rule], times: Times) -> Prometheus {
    let recording = rules.iter().filter(|rule| !rule.is_alert).cloned().collect();
    by_need(recording)
        .iter()
        .fold(raw, |prometheus, level| prometheus.with_recorded(&file_of(level), times.from, times.to, times.step))
}

/// A period in which an alert would fire, in seconds since the epoch, and the alert's labels.
pub(crate) type Period = (BTreeMap<String, String>, Range<i64>);

/// The periods in which an alert would fire for a series, because its expression has been true for its `for`.
pub(crate) fn raised(prometheus: &Prometheus, rule: &Rule, times: Times) -> Vec<Period> {
    let hold = rule.text.lines().find_map(|line| line.strip_prefix("        for: ")).map_or(0, minutes) * 60;
    let mut periods = Vec::new();
    for (labels, samples) in prometheus.query_range(times.from, times.to, times.step, &rule.expression) {
        for stretch in samples.chunk_by(|(before, _), (after, _)| after - before == times.step) {
            let (from, to) = (stretch[0].0 + hold, stretch[stretch.len() - 1].0);
            periods.extend((from <= to).then(|| (labels.clone(), from..to)));
        }
    }
    periods
}

fn minutes(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<i64>().unwrap() * if unit == "h" { 60 } else { 1 }
}
