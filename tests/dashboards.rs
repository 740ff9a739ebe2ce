//! The dashboards: each panel is complete and uses existing metrics and labels.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod monitoring;
mod packages;
#[path = "dashboards/runbook.rs"]
mod runbook;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use monitoring::{
    all_rules, at, dashboards, expressions, family_of, list, names, others, panels, parsed, read, unknown,
};
use openim_exporter::arena::Boot;
use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::catalog::CATALOG;
use openim_exporter::stats::{Capacities, Stats};
use serde_json::Value;
use tempfile::TempDir;

/// Families that no dashboard uses, and why.
const UNUSED: &[(&str, &str)] = &[
    ("openim_exporter_callback_receive_seconds", "the runbook shows it: it is the network's time, not the exporter's"),
    ("openim_exporter_connections_ended_total", "idle connections are no problem; refused ones are shown"),
    ("openim_exporter_log_lines_dropped_total", "a gap in the log is reported in the log"),
];

/// The units in use, by Grafana's names. Grafana shows an unknown one as text after the number.
const UNITS: &[&str] = &["bytes", "cps", "d", "none", "percentunit", "s", "short"];

/// Formal errors of a dashboard.
fn lint(dashboard: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut need = |there: bool, what: &str| {
        if !there {
            wrong.push(what.to_owned())
        }
    };
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    need(dashboard["uid"].as_str().is_some_and(|uid| uid.starts_with("openim-") && uid.len() <= 40), "uid");
    need(dashboard["schemaVersion"].as_i64() >= Some(39), "schemaVersion of Grafana 11");
    need(dashboard["id"].is_null(), "no id, which belongs to one installation");
    need(is_text(&dashboard["title"]) && is_text(&dashboard["description"]), "the dashboard's title and description");
    let variables = list(&dashboard["templating"], "list");
    for (name, kind) in [("datasource", "datasource"), ("job", "query"), ("instance", "query")] {
        need(variables.iter().any(|found| found["name"] == name && found["type"] == kind), &format!("variable {name}"));
    }
    let numbers: Vec<_> = list(dashboard, "panels").iter().map(|panel| panel["id"].as_u64()).collect();
    let different: BTreeSet<_> = numbers.iter().flatten().collect();
    need(different.len() == numbers.len(), "unique panel ids");
    need(list(dashboard, "panels").iter().all(|panel| is_text(&panel["title"])), "every panel's title");
    for (title, panel) in panels(dashboard) {
        need(is_text(&panel["description"]), &format!("{title}: description"));
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        need(UNITS.iter().any(|known| unit == known), &format!("{title}: unit"));
        need(!list(panel, "targets").is_empty(), &format!("{title}: a query"));
        need(shows_names(panel), &format!("{title}: the name of a single series"));
        for target in list(panel, "targets") {
            let expression = target["expr"].as_str().unwrap_or_default();
            let is_selected = expression.contains("$job") || expression == "max(openim:processes:count)";
            need(is_selected, &format!("{title}: of the chosen job"));
        }
    }
    need(overlaps(dashboard).is_empty(), "panels lie on each other");
    need(sources(dashboard).iter().all(|uid| uid == "${datasource}"), "no fixed data source");
    wrong
}

/// Grafana omits the name of a single series, unless a stat has a certain text mode, or a bar gauge a display name.
fn shows_names(panel: &Value) -> bool {
    let is_named = list(panel, "targets").iter().any(|target| target["legendFormat"] != "");
    match panel["type"].as_str() {
        Some("stat") => !is_named || panel["options"]["textMode"] == "value_and_name",
        Some("bargauge") => !is_named || !panel["fieldConfig"]["defaults"]["displayName"].is_null(),
        _ => true,
    }
}

/// Every data source of a dashboard.
fn sources(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("datasource").map(|source| source["uid"].as_str().unwrap_or("none").to_owned());
            own.into_iter().chain(fields.values().flat_map(sources)).collect()
        }
        Value::Array(items) => items.iter().flat_map(sources).collect(),
        _ => Vec::new(),
    }
}

fn overlaps(dashboard: &Value) -> Vec<(u64, u64)> {
    let mut taken = BTreeSet::new();
    let mut twice = Vec::new();
    for panel in list(dashboard, "panels") {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        let places = (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line)));
        twice.extend(places.filter(|place| place.0 >= 24 || !taken.insert(*place)));
    }
    twice
}

#[test]
fn each_dashboard_is_complete_and_lets_the_user_choose_the_data_source() {
    for (name, text) in dashboards() {
        assert_eq!(lint(&parsed(&text)), [""; 0], "{name}");
        assert_eq!(parsed(&text)["uid"], format!("openim-{name}"));
    }
    let text = read("grafana/dashboards/overview.json");
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut dashboard = parsed(&text);
        edit(&mut dashboard);
        lint(&dashboard)
    };
    assert_eq!(edited(&|d| d["uid"] = "x".into()), ["uid"]);
    assert_eq!(edited(&|d| d["schemaVersion"] = 36.into()), ["schemaVersion of Grafana 11"]);
    assert_eq!(edited(&|d| d["id"] = 7.into()), ["no id, which belongs to one installation"]);
    assert_eq!(edited(&|d| d["templating"]["list"][1]["name"] = "jobs".into()), ["variable job"]);
    assert_eq!(edited(&|d| d["panels"][1]["id"] = 1.into()), ["unique panel ids"]);
    assert_eq!(edited(&|d| d["panels"][6]["title"] = " ".into()), ["every panel's title"]);
    assert_eq!(edited(&|d| d["panels"][0]["description"] = "".into()), ["Messages: description"]);
    for unit in ["", "messages", "percent-unit"] {
        assert_eq!(edited(&|d| d["panels"][0]["fieldConfig"]["defaults"]["unit"] = unit.into()), ["Messages: unit"]);
    }
    assert_eq!(edited(&|d| d["panels"][0]["targets"] = Value::Array(Vec::new())), ["Messages: a query"]);
    assert_eq!(edited(&|d| d["panels"][0]["targets"][0]["expr"] = "up".into()), ["Messages: of the chosen job"]);
    assert_eq!(edited(&|d| d["panels"][1]["gridPos"]["x"] = 0.into()), ["panels lie on each other"]);
    let name = "the name of a single series";
    assert_eq!(edited(&|d| d["panels"][0]["targets"][0]["legendFormat"] = "x".into()), [format!("Messages: {name}")]);
    let busiest = list(&parsed(&text), "panels").iter().position(|panel| panel["title"] == "Busiest groups").unwrap();
    let without_name = |d: &mut Value| d["panels"][busiest]["fieldConfig"]["defaults"]["displayName"] = Value::Null;
    assert_eq!(edited(&without_name), [format!("Busiest groups: {name}")]);
    let fixed = "no fixed data source";
    assert_eq!(edited(&|d| d["panels"][0]["targets"][0]["datasource"]["uid"] = "PBFA97CFB590B2093".into()), [fixed]);
}

/// Unknown metrics and labels in a dashboard and its variables.
fn unknown_in(dashboard: &Value) -> Vec<String> {
    let rules = all_rules();
    let asked =
        list(&dashboard["templating"], "list").iter().filter_map(|variable| variable["query"]["query"].as_str());
    let asked = asked.map(|query| {
        let (selector, label) = query.strip_prefix("label_values(").unwrap().rsplit_once(", ").unwrap();
        // A query for several metrics selects them with a pattern for the name.
        let metrics = match selector.strip_prefix("{__name__=~\"").map(|rest| rest.split_once("\", ").unwrap()) {
            Some((names, matchers)) => names.split('|').map(|name| format!("{name}{{{matchers}")).collect(),
            None => vec![selector.to_owned()],
        };
        // The label still has the closing bracket.
        metrics.iter().map(|metric| format!("sum by ({label} ({metric})")).collect::<Vec<_>>()
    });
    let all = expressions(dashboard).into_iter().map(|(_, expression)| expression).chain(asked.flatten());
    all.flat_map(|expression| unknown(&expression, &rules)).collect()
}

#[test]
fn the_dashboards_use_existing_metrics_and_labels() {
    for (name, text) in dashboards() {
        assert_eq!(unknown_in(&parsed(&text)), [""; 0], "{name}");
    }
    let text = read("grafana/dashboards/group.json");
    for (old, new, found) in [
        (
            "increase(openim_group_messages_by_group_total",
            "increase(openim_group_messages_of_group_total",
            "openim_group_messages_of_group_total",
        ),
        ("window=\\\"1h\\\"", "windows=\\\"1h\\\"", "openim_group_active_senders{windows}"),
        ("(group_id) (group:", "(group) (group:", "by (group)"),
        (
            "label_values(openim_exporter_build_info, job)",
            "label_values(openim_exporter_info, job)",
            "openim_exporter_info",
        ),
        ("}, group_id)", "}, groups)", "by (groups)"),
        ("|openim_tracked_group_messages_total", "|openim_tracked_messages_total", "openim_tracked_messages_total"),
        ("window=\\\"1h\\\"", "window=\\\"6h\\\"", "openim_group_active_senders{window=\"6h\"}"),
    ] {
        assert!(text.contains(old), "{old}");
        assert!(unknown_in(&parsed(&text.replacen(old, new, 1))).contains(&found.to_owned()), "{found}");
    }
}

/// The colour in which a stat of exporter health shows 0.
fn colour_of_none(dashboard: &Value, title: &str) -> String {
    let (_, panel) = panels(dashboard).find(|(found, _)| *found == title).unwrap();
    list(&panel["fieldConfig"]["defaults"]["thresholds"], "steps")[0]["color"].as_str().unwrap().to_owned()
}

#[test]
fn no_running_exporter_is_red_and_no_refusal_is_green() {
    let health = parsed(&read("grafana/dashboards/exporter-health.json"));
    assert_eq!(["Up", "Refused, 1 h"].map(|title| colour_of_none(&health, title)), ["red", "green"]);
}

/// What a stat of exporter health shows instead of a value, and its colour.
fn shown_instead_of(value: &str, dashboard: &Value, title: &str) -> [String; 2] {
    let (_, panel) = panels(dashboard).find(|(found, _)| *found == title).unwrap();
    let shown = &panel["fieldConfig"]["defaults"]["mappings"][0]["options"][value];
    ["text", "color"].map(|key| shown[key].as_str().unwrap().to_owned())
}

#[test]
fn a_missing_state_file_is_red() {
    let health = parsed(&read("grafana/dashboards/exporter-health.json"));
    let shown = |value| shown_instead_of(value, &health, "State file");
    assert_eq!([shown("0"), shown("1")], [["in place", "green"], ["MISSING", "red"]]);
}

/// Steps of subqueries over ten-minute rates that would skip messages.
fn gaps(dashboard: &Value) -> Vec<String> {
    let asked = expressions(dashboard).into_iter().map(|(_, expression)| expression);
    let steps = asked.flat_map(|expression| {
        let sampled =
            expression.split(":rate10m{").skip(1).filter_map(|part| part.split_once("})[")?.1.split_once(':'));
        sampled.map(|(_, step)| step.split(']').next().unwrap().to_owned()).collect::<Vec<_>>()
    });
    steps.filter(|step| !["5m", "10m"].contains(&step.as_str())).collect()
}

#[test]
fn a_peak_of_ten_minutes_considers_every_ten_minutes() {
    for (name, text) in dashboards() {
        assert_eq!(gaps(&parsed(&text)), [""; 0], "{name}");
    }
    let text = read("grafana/dashboards/capacity.json");
    assert!(text.contains("[1d:10m]"));
    assert_eq!(gaps(&parsed(&text.replacen("[1d:10m]", "[1d:1h]", 1))), ["1h"]);
}

/// Expressions that divide by the messages of a day a week ago, although that day may be incomplete.
fn compare_with_a_part_of_a_day(dashboard: &Value) -> Vec<String> {
    let compares = |expression: &String| expression.contains("/") && expression.contains("[1d] offset 1w)");
    let is_whole = |expression: &String| expression.contains("[1h] offset 8d)");
    let asked = expressions(dashboard).into_iter().map(|(_, expression)| expression);
    asked.filter(|expression| compares(expression) && !is_whole(expression)).collect()
}

#[test]
fn growth_compares_complete_days() {
    for (name, text) in dashboards() {
        assert_eq!(compare_with_a_part_of_a_day(&parsed(&text)), [""; 0], "{name}");
    }
    let text = read("grafana/dashboards/capacity.json");
    let spoilt = text.replace("[1h] offset 8d)", "[1h])");
    assert_eq!(compare_with_a_part_of_a_day(&parsed(&spoilt)).len(), 2, "growth, and the day in 14 days");
}

/// The size of a state file with these capacities, which the exporter reserves.
fn reserved(groups: usize, sender_pairs: usize, dedup_window: Duration) -> u64 {
    let directory = TempDir::new().unwrap();
    let capacities = Capacities { groups, exported_groups: 1, sender_pairs, dedup_window };
    let opened = Stats::open(directory.path(), capacities, Boot::Unknown, UnixMillis(0), &|_| ()).unwrap();
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let largest = files.max().unwrap();
    drop(opened);
    largest
}

/// Formulas for the memory that the dashboard or the guide should have and does not.
fn wrong_about_memory(panel: &str, guide: &str) -> Vec<String> {
    let (many, off, on) = (1 << 16, Duration::ZERO, Duration::from_secs(60));
    let least = reserved(1, 1, off);
    let group = (reserved(2 * many, 1, off) - reserved(many, 1, off)) / many as u64;
    // Twice as many entries as pairs; and as many as the next power of two has, for any number of pairs up to it.
    let entry = (reserved(1, 2 * many, off) - reserved(1, many, off)) / (2 * many) as u64;
    assert_eq!(reserved(1, many + 1, off), reserved(1, 2 * many, off));
    let window = Capacities { groups: 1, exported_groups: 1, sender_pairs: 1, dedup_window: on };
    let ids = Stats::in_memory(window, UnixMillis(0)).unwrap().message_ids_capacity();
    let id = (reserved(1, 1, on) - least) / ids as u64;
    let rest = least.div_ceil(1 << 20);
    let formula = format!(
        "{group} * openim_exporter_groups_capacity{{$S}} + {entry} * 2 ^ ceil(log2(2 * openim_exporter_sender_pairs_capacity{{$S}})) \
         + {id} * openim_exporter_message_ids_capacity{{$S}} + {rest} * 2^20"
    );
    let formula = formula.replace("$S", "job=~\\\"$job\\\", instance=~\\\"$instance\\\"");
    let words = [
        format!("{group} bytes for each of `--groups.max-tracked`, {} to {} for each of", 2 * entry, 4 * entry),
        format!("of {entry} bytes each), and {rest} MiB"),
    ];
    let one_line = guide.replace('\n', " ");
    let wrong = words.into_iter().filter(|words| !one_line.contains(words));
    wrong.chain((!panel.contains(&formula)).then_some(formula.clone())).collect()
}

#[test]
fn the_dashboard_and_the_guide_have_the_memory_that_the_exporter_reserves() {
    let (panel, guide) = (read("grafana/dashboards/capacity.json"), read("docs/capacity.md"));
    assert_eq!(wrong_about_memory(&panel, &guide), [""; 0]);
    for (old, new) in [("128 * openim", "96 * openim"), ("+ 16 * 2 ^", "+ 24 * 2 ^"), ("+ 5 * 2^20", "+ 4 * 2^20")] {
        assert!(panel.contains(old), "{old}");
        assert_eq!(wrong_about_memory(&panel.replace(old, new), &guide).len(), 1, "{old}");
    }
    for (old, new) in [("128 bytes", "96 bytes"), ("of 16 bytes each", "of 24 bytes each"), ("and 5 MiB", "and 4 MiB")]
    {
        assert!(guide.contains(old), "{old}");
        assert_eq!(wrong_about_memory(&panel, &guide.replace(old, new)).len(), 1, "{old}");
    }
}

/// Families that none of these expressions uses, except those that are unused on purpose.
fn unused(expressions: &[String]) -> Vec<&'static str> {
    let selectors: Vec<_> = expressions.iter().flat_map(|expression| names(expression).selectors).collect();
    let used: BTreeSet<_> = selectors.iter().map(|selector| family_of(&selector.metric)).collect();
    let families = CATALOG.iter().map(|family| family.name).chain(others().filter(|name| name.starts_with("process_")));
    families.filter(|name| !used.contains(name) && !UNUSED.iter().any(|(unused, _)| unused == name)).collect()
}

#[test]
fn each_family_is_shown_or_unused_on_purpose() {
    let shown: Vec<_> = dashboards().iter().flat_map(|(_, text)| expressions(&parsed(text))).map(|(_, e)| e).collect();
    assert_eq!(
        unused(&shown),
        [""; 0],
        "show it in a panel (grafana/dashboards.py), or add it to UNUSED with the reason"
    );
    let without: Vec<_> = shown.into_iter().filter(|expression| !expression.contains("mentions")).collect();
    assert_eq!(unused(&without), ["openim_group_mentions_total"]);
}

/// The dashboards that the script generates.
fn written_by_the_script() -> Vec<(String, String)> {
    let directory = TempDir::new().unwrap();
    let script = at("grafana/dashboards.py");
    let ran =
        Command::new("/usr/bin/python3").arg(script).arg(directory.path()).status().expect("python3 must be installed");
    assert!(ran.success());
    let text = |name: &str| fs::read_to_string(directory.path().join(format!("{name}.json"))).unwrap();
    dashboards().into_iter().map(|(name, _)| (name.clone(), text(&name))).collect()
}

#[test]
#[ignore = "needs python3"]
fn the_script_generates_the_dashboards() {
    let mut written = written_by_the_script();
    assert!(written == dashboards(), "run grafana/dashboards.py");
    written[0].1.push(' ');
    assert!(written != dashboards());
}

/// The TypeScript compiler's errors for dashboards that are assigned to Grafana's type.
fn type_errors(folder: &Path, dashboards: &[(String, String)]) -> String {
    let files = dashboards.iter().map(|(name, text)| {
        let file = format!("{name}.dashboard.ts");
        let code = format!(
            "import type {{ OurDashboard }} from './schema';\nexport const dashboard: OurDashboard = {text};\n"
        );
        fs::write(folder.join(&file), code).unwrap();
        file
    });
    packages::type_errors(folder, files)
}

#[test]
#[ignore = "needs npm, and the packages of tests/grafana"]
fn the_dashboards_match_grafana_s_published_type() {
    let folder = packages::npm("tests/grafana", "grafana-schema");
    fs::copy(at("tests/grafana/schema.ts"), folder.join("schema.ts")).unwrap();
    assert_eq!(type_errors(&folder, &dashboards()), "");
    let text = read("grafana/dashboards/overview.json");
    for (old, new, printed) in [
        ("\"schemaVersion\": 39", "\"schemaVersion\": \"39\"", "not assignable to type 'number'"),
        ("\"gridPos\"", "\"gridPosition\"", "gridPosition"),
        ("\"displayMode\": \"list\"", "\"displayMode\": \"liszt\"", "\"liszt\""),
        ("\"drawStyle\": \"line\"", "\"drawStyle\": 1", "\"line\" | \"bars\""),
    ] {
        assert!(text.contains(old), "{old}");
        let errors = type_errors(&folder, &[("spoilt".into(), text.replacen(old, new, 1))]);
        assert!(errors.contains("error TS") && errors.contains(printed), "{old}: {errors}");
    }
}
