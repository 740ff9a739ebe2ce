//! The dashboards: each panel is complete and uses existing metrics and labels.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "dashboards/first_row.rs"]
mod first_row;
#[path = "dashboards/look.rs"]
mod look;
mod monitoring;
#[path = "dashboards/runbook.rs"]
mod runbook;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use monitoring::{
    all_rules, dashboards, expressions, family_of, list, names, others, panels, parsed, read, rows_and_panels, rules,
    unknown,
};
use openim_exporter::arena::Boot;
use openim_exporter::domain::UnixMillis;
use openim_exporter::exposition::catalog::{CATALOG, Kind};
use openim_exporter::stats::{Capacities, Stats};
use runbook::queries;
use serde_json::Value;
use tempfile::TempDir;

/// Families that no dashboard uses, and why.
const UNUSED: &[(&str, &str)] = &[
    ("openim_exporter_connections_ended_total", "idle connections are no problem; refused ones are shown"),
    ("openim_exporter_callbacks_excluded_total", "somebody excluded them on purpose"),
    ("openim_exporter_erasures_total", "somebody erased them on purpose"),
    ("openim_exporter_live_viewers", "how many people look at the page is no problem; refused viewers are shown"),
    ("openim_exporter_log_lines_dropped_total", "a gap in the log is reported in the log"),
    ("openim_exporter_record_files_removed_total", "old records are removed on purpose"),
    ("process_virtual_memory_bytes", "reserved addresses cost nothing, and would flatten the memory in use"),
    ("process_virtual_memory_max_bytes", "see process_virtual_memory_bytes"),
];

/// The units in use, by Grafana's names. Grafana shows an unknown one as text after the number.
const UNITS: &[&str] = &["Bps", "bytes", "d", "locale", "mps", "none", "percentunit", "reqps", "s", "short", "string"];

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
    let of_all = |key: &str| rows_and_panels(dashboard).map(|panel| panel[key].to_string()).collect::<Vec<_>>();
    for (key, what) in [("id", "unique panel ids"), ("title", "unique titles")] {
        need(of_all(key).iter().collect::<BTreeSet<_>>().len() == of_all(key).len(), what);
    }
    need(rows_and_panels(dashboard).all(|panel| is_text(&panel["title"])), "every panel's title");
    for (title, panel) in panels(dashboard) {
        need(is_text(&panel["description"]), &format!("{title}: description"));
        need(units(panel).iter().all(|unit| UNITS.contains(&unit.as_str())), &format!("{title}: unit"));
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

/// The units of a panel; for a table, those of its columns.
fn units(panel: &Value) -> Vec<String> {
    let overrides = list(&panel["fieldConfig"], "overrides").iter().flat_map(|one| list(one, "properties"));
    let of_columns = overrides.filter(|property| property["id"] == "unit").map(|property| &property["value"]);
    let own = (panel["type"] != "table").then_some(&panel["fieldConfig"]["defaults"]["unit"]);
    own.into_iter().chain(of_columns).map(|unit| unit.as_str().unwrap_or_default().to_owned()).collect()
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

/// Places that two panels have. A collapsed row has its own places.
fn overlaps(dashboard: &Value) -> Vec<(u64, u64)> {
    let rows = list(dashboard, "panels").iter().filter(|panel| panel["collapsed"] == true).flat_map(overlaps);
    let mut taken = BTreeSet::new();
    let mut twice: Vec<_> = rows.collect();
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
    let place = |title: &str| list(&parsed(&text), "panels").iter().position(|panel| panel["title"] == title).unwrap();
    let [rate, busiest, breakdown] =
        ["Messages per second", "Busiest groups in the time range", "Message breakdown"].map(place);
    assert_eq!(edited(&|d| d["uid"] = "x".into()), ["uid"]);
    assert_eq!(edited(&|d| d["schemaVersion"] = 36.into()), ["schemaVersion of Grafana 11"]);
    assert_eq!(edited(&|d| d["id"] = 7.into()), ["no id, which belongs to one installation"]);
    assert_eq!(edited(&|d| d["templating"]["list"][1]["name"] = "jobs".into()), ["variable job"]);
    assert_eq!(edited(&|d| d["panels"][1]["id"] = 1.into()), ["unique panel ids"]);
    assert_eq!(edited(&|d| d["panels"][breakdown]["panels"][0]["id"] = 1.into()), ["unique panel ids"]);
    assert_eq!(edited(&|d| d["panels"][breakdown]["panels"][0]["title"] = "Groups".into()), ["unique titles"]);
    assert_eq!(edited(&|d| d["panels"][breakdown]["title"] = " ".into()), ["every panel's title"]);
    assert_eq!(edited(&|d| d["panels"][rate]["description"] = "".into()), ["Messages per second: description"]);
    for unit in ["", "messages", "percent-unit"] {
        let edit = |d: &mut Value| d["panels"][rate]["fieldConfig"]["defaults"]["unit"] = unit.into();
        assert_eq!(edited(&edit), ["Messages per second: unit"]);
    }
    let unit = |d: &mut Value| {
        d["panels"][place("Busiest now")]["fieldConfig"]["overrides"][1]["properties"][0]["value"] = "x".into()
    };
    assert_eq!(edited(&unit), ["Busiest now: unit"]);
    assert_eq!(edited(&|d| d["panels"][rate]["targets"] = Value::Array(Vec::new())), ["Messages per second: a query"]);
    let of_all_jobs = |d: &mut Value| d["panels"][rate]["targets"][0]["expr"] = "up".into();
    assert_eq!(edited(&of_all_jobs), ["Messages per second: of the chosen job"]);
    assert_eq!(edited(&|d| d["panels"][1]["gridPos"]["x"] = 0.into()), ["panels lie on each other"]);
    let inside = |d: &mut Value| d["panels"][breakdown]["panels"][1]["gridPos"]["x"] = 0.into();
    assert_eq!(edited(&inside), ["panels lie on each other"]);
    let named = |d: &mut Value| d["panels"][rate]["targets"][0]["legendFormat"] = "x".into();
    assert_eq!(edited(&named), ["Messages per second: the name of a single series"]);
    let without_name = |d: &mut Value| d["panels"][busiest]["fieldConfig"]["defaults"]["displayName"] = Value::Null;
    assert_eq!(edited(&without_name), ["Busiest groups in the time range: the name of a single series"]);
    let source = |d: &mut Value| d["panels"][rate]["targets"][0]["datasource"]["uid"] = "PBFA97CFB590B2093".into();
    assert_eq!(edited(&source), ["no fixed data source"]);
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
        ("(instance, group_id) (rate(", "(instance, group) (rate(", "by (group)"),
        (
            "label_values(openim_exporter_build_info, job)",
            "label_values(openim_exporter_info, job)",
            "openim_exporter_info",
        ),
        ("}, group_id)", "}, groups)", "by (groups)"),
        ("|openim_tracked_group_messages_total", "|openim_tracked_messages_total", "openim_tracked_messages_total"),
        ("alertstate=\\\"firing", "alertstate=\\\"active", "ALERTS{alertstate=\"active\"}"),
        ("=~\\\"Openim.*", "=~\\\"OpenimG.*", "ALERTS{alertname=~\"OpenimG.*\"}"),
        ("window=\\\"1h\\\"", "window=\\\"6h\\\"", "openim_group_active_senders{window=\"6h\"}"),
    ] {
        assert!(text.contains(old), "{old}");
        assert!(unknown_in(&parsed(&text.replacen(old, new, 1))).contains(&found.to_owned()), "{found}");
    }
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
    reserved_for(1, groups, sender_pairs, dedup_window)
}

fn reserved_for(exported_groups: usize, groups: usize, sender_pairs: usize, dedup_window: Duration) -> u64 {
    let directory = TempDir::new().unwrap();
    let capacities = Capacities { groups, exported_groups, sender_pairs, dedup_window, online: 100, history_days: 400 };
    let opened = Stats::open(directory.path(), capacities, Boot::Unknown, UnixMillis(0), &|_| ()).unwrap();
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let largest = files.max().unwrap();
    drop(opened);
    largest
}

/// Statements about the memory that the guide should have and does not.
fn wrong_about_memory(guide: &str) -> Vec<String> {
    let (many, off, on) = (1 << 16, Duration::ZERO, Duration::from_secs(60));
    let least = reserved(1, 1, off);
    let group = (reserved(2 * many, 1, off) - reserved(many, 1, off)) / many as u64;
    // Twice as many entries as pairs; and as many as the next power of two has, for any number of pairs up to it.
    let entry = (reserved(1, 2 * many, off) - reserved(1, many, off)) / (2 * many) as u64;
    assert_eq!(reserved(1, many + 1, off), reserved(1, 2 * many, off));
    let window =
        Capacities { groups: 1, exported_groups: 1, sender_pairs: 1, dedup_window: on, online: 100, history_days: 400 };
    let ids = Stats::in_memory(window, UnixMillis(0)).unwrap().message_ids_capacity();
    let id = (reserved(1, 1, on) - least) / ids as u64;
    let week = (reserved_for(1 + many, 1, 1, off) - reserved_for(1, 1, 1, off)) / many as u64;
    let rest = least.div_ceil(1 << 20);
    let words = [
        format!("{group} bytes for each of `--groups.max-tracked`, {} to {} for each of", 2 * entry, 4 * entry),
        format!("of {entry} bytes each), and {rest} MiB"),
        format!("{week} bytes for each of `--groups.max-exported`"),
        format!("{id} bytes for each message of `openim_exporter_message_ids_capacity`"),
    ];
    let one_line = guide.replace('\n', " ");
    words.into_iter().filter(|words| !one_line.contains(words)).collect()
}

#[test]
fn the_guide_has_the_memory_that_the_exporter_reserves() {
    let guide = read("docs/capacity.md");
    assert_eq!(wrong_about_memory(&guide), [""; 0]);
    for (old, new) in [
        ("128 bytes", "96 bytes"),
        ("of 16 bytes each", "of 24 bytes each"),
        ("and 14 MiB", "and 13 MiB"),
        ("8 bytes for each message", "16 bytes for each message"),
    ] {
        assert!(guide.contains(old), "{old}");
        assert_eq!(wrong_about_memory(&guide.replace(old, new)).len(), 1, "{old}");
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
    assert_eq!(unused(&shown), [""; 0], "show it in a panel (mixin/parts), or add it to UNUSED with the reason");
    let without: Vec<_> = shown.into_iter().filter(|expression| !expression.contains("mentions")).collect();
    assert_eq!(unused(&without), ["openim_group_mentions_total"]);
}

/// Rules or panels that read a histogram in one way only. They lack data in a Prometheus that stores only native
/// histograms, or in one that stores only classic ones.
fn read_one_way(expressions: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let is_histogram = |name: &str| CATALOG.iter().any(|family| family.name == name && family.kind == Kind::Histogram);
    let mut found: BTreeMap<_, [usize; 2]> = BTreeMap::new();
    for (title, expression) in expressions {
        for metric in names(&expression).selectors.into_iter().map(|selector| selector.metric) {
            let family = family_of(&metric);
            if is_histogram(family) {
                found.entry((title.clone(), family.to_owned())).or_default()[usize::from(metric != family)] += 1;
            }
        }
    }
    let is_fine = |family: &str, native: usize, classic: usize| match family.contains("_by_platform_") {
        true => classic == 0,
        // A heatmap also reads the native series to see whether there is one.
        false => (1..=native).contains(&classic),
    };
    let wrong = found.into_iter().filter(|((_, family), [native, classic])| !is_fine(family, *native, *classic));
    wrong.map(|((title, family), _)| format!("{title}: {family}")).collect()
}

#[test]
fn native_and_classic_histograms_are_both_read() {
    let of_panels = |text: &str| read_one_way(expressions(&parsed(text)));
    let of_rules = |text: &str| read_one_way(rules(text).into_iter().map(|rule| (rule.name, rule.expression)));
    for (name, text) in dashboards() {
        assert_eq!(of_panels(&text), [""; 0], "{name}");
    }
    let [alerts, recording] = ["alerts", "recording"].map(|name| read(&format!("prometheus/rules/{name}.yml")));
    assert_eq!([of_rules(&alerts), of_rules(&recording)], [const { Vec::<String>::new() }; 2]);
    let (delay, busy) = ("openim_group_message_delivery_delay_seconds", "openim_sender_workers_busy");
    let callback = "openim_exporter_callback_duration_seconds";
    let text = format!("{alerts}\n{recording}");
    for (native, found) in [
        (format!("histogram_count(rate({delay}[10m]))"), format!("OpenimDeliveryDelayGrows: {delay}")),
        (format!("histogram_sum(rate({callback}[5m]))"), format!("job:{busy}:ratio5m: {callback}")),
    ] {
        let part = format!("{native}\n            or ");
        assert!(text.contains(&part), "{part}");
        assert_eq!(of_rules(&text.replacen(&part, "", 1)), [found]);
    }
    let of_page = |text: &str| read_one_way(queries(text).map(|query| (query.to_owned(), query.to_owned()))).len();
    for path in ["docs/prometheus.md", "docs/runbook.md"] {
        let page = read(path);
        assert_eq!(of_page(&page), 0, "{path}");
        assert!(of_page(&page.replace("_bucket[", "[")) >= 2, "{path}");
    }
    let overview = read("grafana/dashboards/overview.json");
    for (old, new) in [(format!("{delay}_bucket"), delay), (format!("({delay}{{"), &format!("({delay}_count{{"))] {
        assert!(overview.contains(&old), "{old}");
        let found = of_panels(&overview.replace(&old, new));
        assert!(found.contains(&format!("Delivery delay, quantiles: {delay}")), "{found:?}");
    }
}
