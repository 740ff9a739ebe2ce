//! The values of labels that are known in advance: as a fresh exporter shows them, and as the rules and `prometheus.yml`
//! set them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::{Format, Scope, Scraper, catalog};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::Telemetry;
use openim_exporter::wire;

use super::{Rule, family_of, read};

/// Labels whose values are anybody's.
const OPEN: &[&str] = &["group_id", "instance", "version"];

/// By series' name and label.
type Values = BTreeMap<(String, String), BTreeSet<String>>;

/// Of the exporter: it shows each from its start, or from a group's first message.
static SHOWN: LazyLock<Values> = LazyLock::new(|| {
    let now = UnixMillis(0);
    let capacities = Capacities { groups: 1, exported_groups: 1, sender_pairs: 1, dedup_window: Duration::ZERO };
    let stats = Arc::new(Stats::in_memory(capacities, now).unwrap());
    // A group, for the labels that only groups have.
    wire::group_message(br#"{"sendID":"u","groupID":"g"}"#, |message| stats.record(message, now)).unwrap();
    stats.tick(UnixMillis(60_000));
    let telemetry = Arc::new(Telemetry::new(catalog::describe, wire::COMMANDS).unwrap());
    let mut scraper = Scraper::new(Scope::Metrics, Format::OpenMetrics, stats, telemetry, now);
    let mut page = Vec::new();
    let mut has_more = true;
    while has_more {
        let mut chunk = Vec::new();
        has_more = scraper.next_chunk(&mut chunk);
        page.append(&mut chunk);
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

/// The jobs in `prometheus.yml`, also the one that is there for those who have it.
fn jobs() -> BTreeSet<String> {
    let config = read("prometheus.yml");
    let named = config.lines().filter_map(|line| line.split_once("- job_name: "));
    named.map(|(_, name)| name.to_owned()).collect()
}

/// The values of a label of a series; `None` if they are anybody's.
fn known(metric: &str, label: &str, rules: &[Rule]) -> Option<BTreeSet<String>> {
    if OPEN.contains(&label) {
        return None;
    }
    if label == "job" {
        return Some(jobs());
    }
    let shown = SHOWN.get(&(family_of(metric).to_owned(), label.to_owned())).cloned();
    let set = rules.iter().filter(|rule| rule.name == metric).filter_map(|rule| {
        let (_, rest) = rule.text.split_once(&format!("labels: {{{label}: "))?;
        rest.split('}').next().map(str::to_owned)
    });
    Some(shown.unwrap_or_else(|| set.collect()))
}

/// Whether a value may be asked for: itself, or each alternative of a pattern. A dashboard's variable and `.*` are any.
fn is_known(value: &str, is_pattern: bool, label: &str, known: &BTreeSet<String>) -> bool {
    let is_one = |value: &str| {
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // A content type without a name is its number.
        known.contains(value) || value.starts_with('$') || (label == "content_type" && is_number)
    };
    if is_pattern { value == ".*" || value.split('|').all(is_one) } else { value.is_empty() || is_one(value) }
}

/// The value, where nothing ever has it.
pub(super) fn unknown_value(metric: &str, matcher: &super::Matcher, rules: &[Rule]) -> Option<String> {
    let known = known(metric, &matcher.label, rules)?;
    let is_fine = is_known(&matcher.value, matcher.operator.ends_with('~'), &matcher.label, &known);
    (!is_fine).then(|| format!("{metric}{{{}{}\"{}\"}}", matcher.label, matcher.operator, matcher.value))
}

/// Every value that is known in advance, and every label.
pub(crate) fn all_known(rules: &[Rule]) -> BTreeSet<String> {
    let shown = SHOWN.iter().flat_map(|((_, label), values)| values.iter().chain([label]).cloned());
    let caps = rules.iter().filter_map(|rule| known(&rule.name, "cap", rules)).flatten();
    let open = OPEN.iter().chain([&catalog::EXEMPLAR_LABEL]).map(|label| (*label).to_owned());
    shown.chain(caps).chain(open).collect()
}
