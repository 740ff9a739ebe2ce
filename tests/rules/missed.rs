//! Missed scrapes in the cases of tests/rules: when the alert is evaluated, the newest sample is missing in each series
//! that the alert uses. The samples before and after it exist.

use std::collections::BTreeSet;

use crate::monitoring::{Rule, names, rules};

/// The metrics that an alert uses, also those that its recording rules use.
pub(crate) fn metrics_of(alert: &Rule, all: &[Rule]) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![&alert.expression]);
    while let Some(expression) = open.pop() {
        for selector in names(expression).selectors {
            let recorded = all.iter().filter(|rule| !rule.is_alert && rule.name == selector.metric);
            if found.insert(selector.metric.clone()) {
                open.extend(recorded.map(|rule| &rule.expression));
            }
        }
    }
    found
}

/// The seconds of a duration such as `1d6h`.
fn seconds(duration: &str) -> usize {
    let parts = duration.trim().split_inclusive(|c: char| c.is_ascii_alphabetic());
    let part = |part: &str| {
        let (number, unit) = part.split_at(part.len() - 1);
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => panic!("{duration}"),
        };
        number.parse::<usize>().unwrap() * unit
    };
    parts.map(part).sum()
}

/// For each scrape, whether there is a sample, in promtool's notation: `1 0+15x240 _ stale 2x3`.
fn samples(values: &str) -> Vec<bool> {
    let stretch = |value: &str| {
        let (value, times) = value.split_once('x').map_or((value, 0), |(value, times)| (value, times.parse().unwrap()));
        match value {
            "_" => vec![false; times.max(1)],
            "stale" => vec![false],
            _ => vec![true; times + 1],
        }
    };
    values.split_whitespace().flat_map(stretch).collect()
}

/// Whether this scrape is one of only one or two missed ones in a row.
fn is_missed(samples: &[bool], scrape: usize) -> bool {
    let (before, after) = samples.split_at(scrape.min(samples.len()));
    let gap = before.iter().rev().take_while(|is_there| !**is_there).count();
    let rest = after.iter().take_while(|is_there| !**is_there).count();
    rest >= 1 && gap + rest <= 2 && gap < before.len() && rest < after.len()
}

/// A case: its series by metric, and for each evaluation the alert, the time, and whether it should fire.
struct Case<'a> {
    interval: usize,
    series: Vec<(&'a str, Vec<bool>)>,
    looks: Vec<(&'a str, usize, bool)>,
}

/// The rest of the line after a key.
fn line_of<'a>(text: &'a str, key: &str) -> &'a str {
    text.split_once(key).unwrap_or_else(|| panic!("no {key} in {text}")).1.lines().next().unwrap()
}

fn case(text: &str) -> Case<'_> {
    let series = text.split("- series: '").skip(1);
    let series = series.map(|text| (text.split('{').next().unwrap(), samples(line_of(text, "values: "))));
    let looks = text.split("- alertname: ").skip(1);
    let looks = looks.map(|text| {
        let is_silent = line_of(text, "exp_alerts:").trim() == "[]";
        (text.lines().next().unwrap(), seconds(line_of(text, "eval_time: ")), !is_silent)
    });
    Case { interval: seconds(line_of(text, "    interval: ")), series: series.collect(), looks: looks.collect() }
}

/// Whether the newest scrape at this moment is missed in each of the case's series of these metrics.
fn misses(case: &Case<'_>, metrics: &BTreeSet<String>, moment: usize) -> bool {
    let mut read = case.series.iter().filter(|(metric, _)| metrics.contains(*metric)).peekable();
    // Recorded series are not scraped: the case must have the scraped ones.
    read.peek().is_some()
        && read.all(|(metric, samples)| !metric.contains(':') && is_missed(samples, moment / case.interval))
}

/// Alerts without a case that shows that they continue to fire, or remain silent, while the last scrape is missed.
pub(crate) fn not_shown(alerts: &str, recording: &[Rule], tests: &str) -> Vec<String> {
    let mut shown = BTreeSet::new();
    let alerts = rules(alerts);
    for file in tests.split("\nevaluation_interval: ").skip(1) {
        let step = seconds(file.lines().next().unwrap());
        for case in file.split("\n  - name: ").skip(1).map(case) {
            for (name, time, fires) in &case.looks {
                // The time of the last evaluation of the rules.
                let moment = time / step * step;
                let mut named = alerts.iter().filter(|alert| alert.name == *name);
                if named.any(|alert| misses(&case, &metrics_of(alert, recording), moment)) {
                    shown.insert((*name, *fires));
                }
            }
        }
    }
    let due = alerts.iter().flat_map(|alert| [(alert.name.as_str(), true), (alert.name.as_str(), false)]);
    let missing = due.filter(|due| !shown.contains(due));
    missing.map(|(name, fires)| format!("{name} {}", if fires { "fires" } else { "is silent" })).collect()
}
