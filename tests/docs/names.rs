//! All flags and metrics in the pages exist.

use openim_exporter::config::serve_flags;
use openim_exporter::exposition::catalog::CATALOG;

use crate::{PAGES, PROMETHEUS, QUESTIONS};

/// Flags of Prometheus and its node_exporter that the pages mention.
const PROMETHEUS_FLAGS: [&str; 4] =
    ["--collector.textfile.directory", "--config.file", "--storage.tsdb.path", "--storage.tsdb.retention.time"];

/// Flags with a dot, as in all of our flags, that do not exist.
fn unknown_flags(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && !"-.".contains(character));
    let flags =
        words.map(|word| word.trim_end_matches('.')).filter(|word| word.starts_with("--") && word.contains('.'));
    let known = serve_flags();
    let is_known = |flag: &str| known.iter().any(|[name, ..]| name == flag) || PROMETHEUS_FLAGS.contains(&flag);
    flags.filter(|flag| !is_known(flag)).map(str::to_owned).collect()
}

#[test]
fn every_flag_that_is_mentioned_exists() {
    for page in PAGES {
        assert_eq!(unknown_flags(page.text), [""; 0], "{}", page.path);
    }
    let spoilt = QUESTIONS.spoilt("`--groups.max-exported`", "`--groups.max-shown`");
    assert_eq!(unknown_flags(&spoilt), ["--groups.max-shown"]);
}

/// Names that begin like our metrics, but are those of others: the recipe for names of groups needs them.
const OTHERS: [&str; 3] = ["openim_group_info", "openim_groups", "openim_v3"];

/// Names that begin like our metrics but do not exist.
fn unknown_metrics(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let metrics = words.filter(|word| word.starts_with("openim_"));
    let is_family = |word: &str| {
        ["_bucket", "_sum", "_count", ""].iter().any(|suffix| {
            word.strip_suffix(suffix).is_some_and(|name| CATALOG.iter().any(|family| family.name == name))
        })
    };
    metrics.filter(|word| !is_family(word) && !OTHERS.contains(word)).map(str::to_owned).collect()
}

#[test]
fn every_metric_that_is_mentioned_exists() {
    // Not the runbook, which also names recording rules: tests/dashboards checks it. Not the examples of CONTRIBUTING.md:
    // tests/other_build builds them.
    for page in PAGES.iter().filter(|page| !["docs/runbook.md", "CONTRIBUTING.md"].contains(&page.path)) {
        assert_eq!(unknown_metrics(page.text), [""; 0], "{}", page.path);
    }
    let spoilt = PROMETHEUS.spoilt("rate(openim_group_messages_total[", "rate(openim_messages_total[");
    assert_eq!(unknown_metrics(&spoilt), ["openim_messages_total"]);
}
