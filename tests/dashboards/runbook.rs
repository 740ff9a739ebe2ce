//! The runbook uses existing metrics, labels and values.

use openim_exporter::exposition::catalog::CATALOG;

use crate::monitoring::values::all_known;
use crate::monitoring::{all_rules, others, read, unknown};

/// The lines of the PromQL blocks in a text.
pub(crate) fn queries(text: &str) -> impl Iterator<Item = &str> {
    text.split("```promql\n").skip(1).flat_map(|block| block.split("```").next().unwrap().lines())
}

/// Queries of `process_*` metrics, which other programs have too, without a job.
fn of_any_job(text: &str) -> Vec<&str> {
    queries(text).filter(|line| line.contains("process_") && !line.contains("job=")).collect()
}

#[test]
fn the_runbook_queries_the_exporter_s_process_only() {
    let runbook = read("docs/runbook.md");
    assert_eq!(of_any_job(&runbook), [""; 0]);
    let spoilt = runbook.replacen("process_cpu_seconds_total{job=\"openim-exporter\"}", "process_cpu_seconds_total", 1);
    assert_eq!(of_any_job(&spoilt), ["rate(process_cpu_seconds_total[10m])"]);
}

/// Unknown metrics and labels in the queries and the inline code of a text.
fn unknown_in_text(text: &str) -> Vec<String> {
    let rules = all_rules();
    let without_blocks: String = text.split("```").step_by(2).collect();
    let looks_like_one = |code: &&str| {
        ["openim_", "process_", "group_chat", "up"].iter().any(|start| code.starts_with(start)) && !code.contains(' ')
            || [":openim_", "(openim_", "(group_chat"].iter().any(|part| code.contains(part))
    };
    // A histogram is called by the name of its family.
    let is_family = |code: &String| CATALOG.iter().any(|family| family.name == code);
    let quoted =
        without_blocks.split('`').skip(1).step_by(2).filter(looks_like_one).map(str::to_owned).collect::<Vec<_>>();
    let quoted = quoted.into_iter().filter(|code| !is_family(code));
    queries(text).map(str::to_owned).chain(quoted).flat_map(|expression| unknown(&expression, &rules)).collect()
}

#[test]
fn the_runbook_uses_existing_metrics_and_labels() {
    let runbook = read("docs/runbook.md");
    assert_eq!(unknown_in_text(&runbook), [""; 0]);
    for (old, new, found) in [
        ("`openim_exporter_connections`", "`openim_exporter_connection`", "openim_exporter_connection"),
        ("sum by (instance, command) (rate", "sum by (instance, commands) (rate", "by (commands)"),
        (
            "`job:openim_sender_workers_busy:max1d`",
            "`job:openim_sender_workers_busy:max2d`",
            "job:openim_sender_workers_busy:max2d",
        ),
        ("window=\"1h\"", "window=\"1d\"", "openim_group_active_senders{window=\"1d\"}"),
        (
            "count by (instance) (group_chat_msg",
            "count by (instance) (group_chat_message",
            "group_chat_message_process_success_total",
        ),
    ] {
        assert!(runbook.contains(old), "{old}");
        assert_eq!(unknown_in_text(&runbook.replacen(old, new, 1)), [found]);
    }
}

/// Words that the runbook has as inline code and that have nothing to do with metrics.
const OTHER_WORDS: &[&str] = &[
    "answer_timeout",
    "cert_file",
    "commands",
    "concurrency",
    "continue",
    "curl",
    "df",
    "forward",
    "key_file",
    "max_in_flight",
    "maxmemory",
    "refuse",
    "timedatectl",
    "timeout",
    "transparent",
    "up",
    "url",
    "webhook",
];

/// Words in inline code that are no label, no value of a label, and none of the others.
fn unknown_words(text: &str) -> Vec<&str> {
    let known = all_known(&all_rules());
    let is_word = |code: &&str| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_other =
        |word: &str| OTHER_WORDS.contains(&word) || others().chain(CATALOG.iter().map(|f| f.name)).any(|n| n == word);
    let prose = text.split("```").step_by(2);
    let words = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).filter(is_word);
    words.filter(|word| !known.contains(*word) && !is_other(word)).collect()
}

#[test]
fn the_runbook_uses_existing_values_of_labels() {
    let runbook = read("docs/runbook.md");
    assert_eq!(unknown_words(&runbook), [""; 0]);
    for (old, new) in
        [("`stale`", "`too_old`"), ("`sender_pairs`", "`pairs`"), ("`platform`", "`platforms`"), ("`fresh`", "`new`")]
    {
        assert!(runbook.contains(old), "{old}");
        assert_eq!(unknown_words(&runbook.replacen(old, new, 1)), [new.trim_matches('`')]);
    }
}
