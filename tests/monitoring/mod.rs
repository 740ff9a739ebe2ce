//! Reads the expressions of the rules and dashboards, and the names in them.

#![allow(dead_code, reason = "each test program uses a part of this")]

pub(crate) mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use openim_exporter::exposition::catalog::{CATALOG, Kind};
use serde_json::Value;
use tempfile::TempDir;

/// The path of a file of the repository.
pub(crate) fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files in a folder with this suffix, sorted.
pub(crate) fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(at(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    found.sort();
    assert!(!found.is_empty(), "no {folder}/*{end}");
    found
}

/// Runs mixin/generate.py with these settings, and returns what it prints and writes.
pub(crate) fn generate(settings: &Value) -> (Output, TempDir) {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config.json");
    fs::write(&config, settings.to_string()).unwrap();
    let mut generate = Command::new("/usr/bin/python3");
    generate.arg(at("mixin/generate.py")).arg("--config").arg(&config).arg(folder.path());
    (generate.output().expect("python3 must be installed"), folder)
}

/// A rule: its name, its expression, and all its lines. Other tests read the files with real YAML parsers.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) is_alert: bool,
    pub(crate) expression: String,
    pub(crate) text: String,
}

/// The rules of a file with our indentation.
pub(crate) fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut in_expression = false;
    for line in text.lines() {
        let start = |key: &str| line.strip_prefix(key).map(str::to_owned);
        if let Some(name) = start("      - record: ").or_else(|| start("      - alert: ")) {
            let is_alert = line.contains("- alert:");
            rules.push(Rule { name, is_alert, expression: String::new(), text: String::new() });
        }
        let Some(rule) = rules.last_mut() else { continue };
        if let Some(expression) = start("        expr:") {
            in_expression = true;
            expression.trim_start_matches([' ', '|']).clone_into(&mut rule.expression);
        } else if in_expression && line.starts_with("          ") {
            rule.expression.push_str(line);
            rule.expression.push('\n');
        } else {
            in_expression = false;
        }
        rule.text.push_str(line);
        rule.text.push('\n');
    }
    assert!(rules.iter().all(|rule| !rule.expression.trim().is_empty()), "{rules:?}");
    rules
}

/// Every rule of the repository.
pub(crate) fn all_rules() -> Vec<Rule> {
    files("prometheus/rules", ".yml").iter().flat_map(|file| rules(&fs::read_to_string(file).unwrap())).collect()
}

/// A metric in an expression, and whether it is read over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) is_range: bool,
}

/// `label="value"` in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) operator: String,
    pub(crate) value: String,
}

/// The names in an expression.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) selectors: Vec<Selector>,
    /// In `by (...)` and similar clauses.
    pub(crate) labels: Vec<String>,
}

const GROUPING: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: &[&str] = &["and", "or", "unless", "offset", "bool", "inf", "nan", "atan2"];

/// Finds the names in an expression. Prometheus checks its syntax.
pub(crate) fn names(expression: &str) -> Names {
    let (text, strings) = without_comments_and_strings(expression);
    let mut found = Names::default();
    let (mut rest, mut grouping) = (text.as_str(), false);
    while let Some(first) = rest.chars().next() {
        let word: usize =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_:$".contains(*c)).map(char::len_utf8).sum();
        if first.is_ascii_digit() || first == '$' || word == 0 {
            if first == ')' {
                grouping = false;
            }
            // A range in brackets is not a name.
            let skipped = if first == '[' { rest.find(']').unwrap() } else { word.max(first.len_utf8()) };
            rest = rest.split_at(skipped).1;
            continue;
        }
        let (name, after) = rest.split_at(word);
        let next = after.trim_start();
        rest = after;
        if GROUPING.contains(&name) {
            grouping = true;
        } else if grouping {
            found.labels.push(name.to_owned());
        } else if next.starts_with('{')
            || !(next.starts_with('(') || OPERATORS.contains(&name) || is_aggregation(name, next))
        {
            let (matchers, behind) = matchers(next, &strings);
            found.selectors.push(Selector {
                metric: name.to_owned(),
                matchers,
                is_range: behind.trim_start().starts_with('['),
            });
            rest = behind;
        }
    }
    found
}

/// `sum by (...) (...)`.
fn is_aggregation(name: &str, next: &str) -> bool {
    ["sum", "avg", "min", "max", "count", "group", "topk", "bottomk", "quantile"].contains(&name)
        && ["by", "without"].iter().any(|word| next.starts_with(word))
}

/// The matchers in braces, where strings are replaced by their position in the list, and the text after them.
fn matchers<'a>(text: &'a str, strings: &[&str]) -> (Vec<Matcher>, &'a str) {
    let Some(inner) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let (inner, behind) = inner.split_once('}').unwrap();
    let matcher = |text: &str| {
        let (label, rest) = text.split_at(text.find(['=', '!']).unwrap());
        let (operator, number) = rest.split_once('"').unwrap();
        let value = strings[number.trim().trim_end_matches('"').parse::<usize>().unwrap()];
        Matcher { label: label.trim().to_owned(), operator: operator.trim().to_owned(), value: value.to_owned() }
    };
    (inner.split(',').filter(|text| !text.trim().is_empty()).map(matcher).collect(), behind)
}

/// The text with each string replaced by its position, and the strings.
fn without_comments_and_strings(text: &str) -> (String, Vec<&str>) {
    let code = text.lines().map(|line| line.split_once('#').map_or(line, |(code, _)| code));
    let (mut without, mut strings) = (String::new(), Vec::new());
    for line in code {
        for (position, part) in line.split('"').enumerate() {
            if position % 2 == 0 {
                without.push_str(part);
            } else {
                without.push_str(&format!("\"{}\"", strings.len()));
                strings.push(part);
            }
        }
        without.push('\n');
    }
    (without, strings)
}

/// Metrics that others expose, with their labels.
const OTHERS: &[(&str, &[&str])] = &[
    ("up", &[]),
    ("scrape_duration_seconds", &[]),
    ("scrape_samples_scraped", &[]),
    ("scrape_samples_post_metric_relabeling", &[]),
    // From Prometheus, for each alert. It also has the labels of the alert's expression.
    ("ALERTS", &["alertname", "alertstate", "severity"]),
    // From OpenIM's `openim-rpc-msg`.
    ("group_chat_msg_process_success_total", &[]),
    // From the `prometheus` crate.
    ("process_cpu_seconds_total", &[]),
    ("process_max_fds", &[]),
    ("process_network_receive_bytes_total", &[]),
    ("process_network_transmit_bytes_total", &[]),
    ("process_open_fds", &[]),
    ("process_resident_memory_bytes", &[]),
    ("process_start_time_seconds", &[]),
    ("process_threads", &[]),
    ("process_virtual_memory_bytes", &[]),
    ("process_virtual_memory_max_bytes", &[]),
];

/// Their names.
pub(crate) fn others() -> impl Iterator<Item = &'static str> {
    OTHERS.iter().map(|(name, _)| *name)
}

/// The labels of a metric, except those of its target. `None` if the metric does not exist.
fn labels_of(metric: &str, rules: &[Rule]) -> Option<Vec<String>> {
    if let Some((_, labels)) = OTHERS.iter().find(|(name, _)| *name == metric) {
        return Some(labels.iter().map(|label| (*label).to_owned()).collect());
    }
    let family = CATALOG.iter().find(|family| {
        // A native histogram has the name of its family.
        let ends: &[&str] = if family.kind == Kind::Histogram { &["", "_bucket", "_sum", "_count"] } else { &[""] };
        metric.strip_prefix(family.name).is_some_and(|end| ends.contains(&end))
    });
    if let Some(family) = family {
        let le = if metric.ends_with("_bucket") { "le" } else { "" };
        return Some(family.labels.iter().copied().chain([le]).map(str::to_owned).collect());
    }
    let recorded = rules.iter().find(|rule| !rule.is_alert && rule.name == metric)?;
    let group = if metric.starts_with("group:") { "group_id" } else { "" };
    let set = recorded.text.split_once("labels: {").and_then(|(_, rest)| rest.split(':').next()).unwrap_or_default();
    // What is computed from it has its labels.
    let set = if metric.contains("_cap_") { "cap" } else { set };
    Some(vec![group.to_owned(), set.to_owned()])
}

/// Names in an expression that do not exist.
pub(crate) fn unknown(expression: &str, rules: &[Rule]) -> Vec<String> {
    let names = names(expression);
    let mut unknown = Vec::new();
    let mut possible: BTreeSet<String> = ["job", "instance", "cap"].map(str::to_owned).into();
    for selector in &names.selectors {
        let Some(labels) = labels_of(&selector.metric, rules) else {
            unknown.push(selector.metric.clone());
            continue;
        };
        for matcher in &selector.matchers {
            let label = &matcher.label;
            if labels.contains(label) || ["job", "instance"].contains(&label.as_str()) {
                unknown.extend(values::unknown_value(&selector.metric, matcher, rules));
            } else {
                unknown.push(format!("{}{{{label}}}", selector.metric));
            }
        }
        possible.extend(labels);
    }
    unknown.extend(names.labels.iter().filter(|label| !possible.contains(*label)).map(|label| format!("by ({label})")));
    unknown.extend(values::unknown_replacements(expression, rules));
    unknown
}

/// The family of a metric in an expression.
pub(crate) fn family_of(metric: &str) -> &str {
    let is_histogram =
        |name: &&str| CATALOG.iter().any(|family| family.name == *name && family.kind == Kind::Histogram);
    let ends = ["_bucket", "_sum", "_count"].iter();
    ends.filter_map(|end| metric.strip_suffix(end)).find(is_histogram).unwrap_or(metric)
}

/// The name and the text of each dashboard.
pub(crate) fn dashboards() -> Vec<(String, String)> {
    let named = |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    let all: Vec<_> =
        files("grafana/dashboards", ".json").iter().map(|f| (named(f), fs::read_to_string(f).unwrap())).collect();
    assert_eq!(
        all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["capacity", "community", "exporter-health", "forwarding", "group", "overview"]
    );
    all
}

pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key}")).as_slice()
}

/// The rows and panels of a dashboard, also the panels in collapsed rows.
pub(crate) fn rows_and_panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels")
        .iter()
        .flat_map(|panel| [panel].into_iter().chain(panel["panels"].as_array().into_iter().flatten()))
}

/// The titles and panels of a dashboard, without its rows.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let shown = rows_and_panels(dashboard).filter(|panel| panel["type"] != "row");
    shown.map(|panel| (panel["title"].as_str().unwrap_or_default(), panel))
}

/// The titles and expressions of all panels and annotations.
pub(crate) fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let of_panel = |(title, panel): (&str, &Value)| {
        let targets = list(panel, "targets").iter();
        targets.map(|target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let annotations = list(&dashboard["annotations"], "list").iter();
    let annotations = annotations.map(|annotation| (text(&annotation["name"]), text(&annotation["expr"])));
    panels(dashboard).flat_map(of_panel).chain(annotations).collect()
}
