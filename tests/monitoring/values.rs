//! The values of labels that are known in advance: those that a new exporter shows, and those that the rules and
//! `prometheus.yml` set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::{Format, Scope, Scraper, catalog};
use openim_exporter::stats::{Capacities, Stats, UnitedCounts};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire;

use super::{Rule, family_of, names, read};

/// Labels with arbitrary values.
const OPEN: &[&str] = &["group_id", "instance", "target", "version"];

/// By family and label.
type Values = BTreeMap<(String, String), BTreeSet<String>>;

/// The values that the exporter shows from its start, or from a group's first message, with a target and a union.
static SHOWN: LazyLock<Values> = LazyLock::new(|| {
    let now = UnixMillis(0);
    let capacities = Capacities {
        groups: 1,
        exported_groups: 1,
        sender_pairs: 1,
        dedup_window: Duration::ZERO,
        online: 100,
        history_days: 40,
    };
    let stats = Arc::new(Stats::in_memory(capacities, now).unwrap());
    // A group, for the labels that only groups have.
    wire::decode_group_message(br#"{"sendID":"u","groupID":"g"}"#, |message| stats.record(message, now)).unwrap();
    stats.tick(UnixMillis(60_000));
    stats.set_united(UnitedCounts::default(), Instant::now());
    let telemetry = Arc::new(Telemetry::default());
    telemetry.add_target("business");
    telemetry.add_replicas();
    let mut page = Vec::new();
    for scope in [Scope::Metrics, Scope::Groups] {
        let (stats, telemetry) = (Arc::clone(&stats), Arc::clone(&telemetry));
        let mut scraper = Scraper::new(scope, Format::OpenMetrics, stats, telemetry, now);
        let mut has_more = true;
        while has_more {
            let mut chunk = Vec::new();
            has_more = scraper.next_chunk(&mut chunk).unwrap();
            page.append(&mut chunk);
        }
    }
    let mut values = Values::new();
    for line in std::str::from_utf8(&page).unwrap().lines() {
        let Some((name, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) else { continue };
        for label in rest.split('}').next().unwrap().split("\",") {
            let (label, value) = label.split_once("=\"").unwrap();
            let key = (family_of(name).to_owned(), label.to_owned());
            values.entry(key).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }
    values
});

/// The jobs in `prometheus.yml`, also the one that is commented out.
fn jobs() -> BTreeSet<String> {
    let config = read("prometheus.yml");
    let named = config.lines().filter_map(|line| line.split_once("- job_name: "));
    named.map(|(_, name)| name.to_owned()).collect()
}

/// The values of a label of `ALERTS`.
fn of_alerts(label: &str, rules: &[Rule]) -> BTreeSet<String> {
    let alerts = rules.iter().filter(|rule| rule.is_alert);
    let severity =
        |rule: &Rule| rule.text.split_once("severity: ").map(|(_, rest)| rest.split('}').next().unwrap().to_owned());
    match label {
        "alertname" => alerts.map(|rule| rule.name.clone()).collect(),
        "alertstate" => ["pending", "firing"].map(str::to_owned).into(),
        _ => alerts.filter_map(severity).collect(),
    }
}

/// The known values of a label of a metric; `None` if they are arbitrary.
fn known(metric: &str, label: &str, rules: &[Rule]) -> Option<BTreeSet<String>> {
    if OPEN.contains(&label) {
        return None;
    }
    if label == "job" {
        return Some(jobs());
    }
    if metric == "ALERTS" {
        return Some(of_alerts(label, rules));
    }
    let shown = SHOWN.get(&(family_of(metric).to_owned(), label.to_owned())).cloned();
    let set = rules.iter().filter(|rule| rule.name == metric).flat_map(|rule| {
        // The rule sets the value, or takes it from the metrics that it reads.
        match rule.text.split_once(&format!("labels: {{{label}: ")) {
            Some((_, rest)) => rest.split('}').next().map(str::to_owned).into_iter().collect(),
            None => {
                let from = names(&rule.expression).selectors.into_iter();
                from.filter_map(|selector| known(&selector.metric, label, rules)).flatten().collect::<Vec<_>>()
            }
        }
    });
    Some(shown.unwrap_or_else(|| set.collect()))
}

/// Whether a value, or each alternative of a pattern, is known. A dashboard's variable and `.*` match any value; a
/// pattern such as `Openim.*` must match all values.
fn is_known(value: &str, is_pattern: bool, label: &str, known: &BTreeSet<String>) -> bool {
    let is_one = |value: &str| {
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // A content type without a name is its number.
        known.contains(value) || value.starts_with('$') || (label == "content_type" && is_number)
    };
    let matches_all = || value.strip_suffix(".*").is_some_and(|start| known.iter().all(|each| each.starts_with(start)));
    if is_pattern { matches_all() || value.split('|').all(is_one) } else { value.is_empty() || is_one(value) }
}

/// The matcher, if no series has its value.
pub(super) fn unknown_value(metric: &str, matcher: &super::Matcher, rules: &[Rule]) -> Option<String> {
    let known = known(metric, &matcher.label, rules)?;
    let is_fine = is_known(&matcher.value, matcher.operator.ends_with('~'), &matcher.label, &known);
    (!is_fine).then(|| format!("{metric}{{{}{}\"{}\"}}", matcher.label, matcher.operator, matcher.value))
}

/// The labels of all series.
fn labels(rules: &[Rule]) -> BTreeSet<String> {
    let set = rules.iter().filter(|rule| !rule.is_alert).filter_map(|rule| rule.text.split_once("labels: {"));
    let set = set.filter_map(|(_, rest)| rest.split(':').next().map(str::to_owned));
    SHOWN
        .keys()
        .map(|(_, label)| label.clone())
        .chain(OPEN.iter().chain(&["job"]).map(|label| (*label).to_owned()))
        .chain(set)
        .collect()
}

/// Whether any series has the label with this value.
fn is_of_a_series(value: &str, label: &str, rules: &[Rule]) -> bool {
    let metrics = SHOWN.keys().map(|(metric, _)| metric.as_str()).chain(rules.iter().map(|rule| rule.name.as_str()));
    let mut known = metrics.map(|metric| known(metric, label, rules));
    known.any(|known| known.is_none_or(|known| is_known(value, false, label, &known)))
}

/// Labels and values in calls of `label_replace` that do not exist: the label that is set, its value, and the label
/// that is read.
pub(super) fn unknown_replacements(expression: &str, rules: &[Rule]) -> Vec<String> {
    let (text, strings) = super::without_comments_and_strings(expression);
    let labels = labels(rules);
    let mut unknown = Vec::new();
    for (begin, name) in text.match_indices("label_replace(") {
        let mut depth = 1;
        let is_outside = |c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        };
        let call = text.split_at(begin + name.len()).1.split(is_outside).next().unwrap();
        // The last four: the label that is set, its value, the label that is read, and a pattern.
        let strings: Vec<_> = call.rsplitn(5, ',').take(4).map(|argument| strings[number(argument)]).collect();
        let [_, read, value, set] = strings[..] else { panic!("{call}") };
        for label in [read, set].iter().filter(|label| !label.is_empty() && !labels.contains(**label)) {
            unknown.push(format!("label_replace({label})"));
        }
        if labels.contains(set) && !value.contains('$') && !is_of_a_series(value, set, rules) {
            unknown.push(format!("label_replace({set}=\"{value}\")"));
        }
    }
    unknown
}

/// The position that replaces a string.
fn number(argument: &str) -> usize {
    argument.trim().trim_matches('"').parse().unwrap()
}

/// All labels, and all values that are known in advance.
pub(crate) fn all_known(rules: &[Rule]) -> BTreeSet<String> {
    let shown = SHOWN.iter().flat_map(|((_, label), values)| values.iter().chain([label]).cloned());
    let caps = rules.iter().filter_map(|rule| known(&rule.name, "cap", rules)).flatten();
    let open = OPEN.iter().chain([&catalog::EXEMPLAR_LABEL]).map(|label| (*label).to_owned());
    shown.chain(caps).chain(open).collect()
}
