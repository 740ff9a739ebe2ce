//! What a reader sees: words instead of "No data", groups' IDs as text, and graphs that show their data.

use serde_json::Value;

use crate::monitoring::{dashboards, list, panels, parsed, read, rows_and_panels};

/// Labels with so few values that a legend needs no table.
const FEW: [&str; 3] = ["kind", "source", "chat"];

fn defaults(panel: &Value) -> &Value {
    &panel["fieldConfig"]["defaults"]
}

fn expressions(panel: &Value) -> impl Iterator<Item = &str> {
    list(panel, "targets").iter().map(|target| target["expr"].as_str().unwrap())
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty() && text != "No data")
}

/// Faults of any panel.
fn faults(panel: &Value) -> Vec<&'static str> {
    let mut wrong = match panel["type"].as_str().unwrap() {
        "timeseries" => faults_of_lines(panel),
        "table" => faults_of_table(panel),
        "bargauge" => faults_of_bars(panel),
        _ => Vec::new(),
    };
    let mut need = |there: bool, what| {
        if !there {
            wrong.push(what)
        }
    };
    need(is_text(&defaults(panel)["noValue"]), "words instead of no data");
    let description = panel["description"].as_str().unwrap();
    let ignores = !expressions(panel).all(|expression| expression.contains("$instance"));
    need(ignores == description.contains("Ignores the selected instances"), "whether it ignores the instances");
    let unit = defaults(panel)["unit"].as_str().unwrap_or_default();
    let of_rates =
        |rate: &str| expressions(panel).all(|one| one.starts_with("sum") && one.contains(rate) && !one.contains(" / "));
    let of_messages = of_rates("rate(openim_group_m") || of_rates("rate(openim_single_m");
    need(!of_messages || unit == "mps", "the unit of messages");
    need(!of_rates("rate(openim_exporter_callbacks") || unit == "reqps", "the unit of callbacks");
    wrong
}

fn faults_of_lines(panel: &Value) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let (custom, legend) = (&defaults(panel)["custom"], &panel["options"]["legend"]);
    if defaults(panel)["color"]["mode"] != "palette-classic-by-name" {
        wrong.push("colours by name");
    }
    let is_log = custom["scaleDistribution"]["type"] == "log";
    // Zeros would be in the middle of the axis.
    if !is_log && custom["axisSoftMax"].is_null() && defaults(panel)["unit"] != "bytes" {
        wrong.push("the top of the axis");
    }
    let is_limit =
        |one: &str| ["_capacity", "process_max_", "2 * openim:processes"].iter().any(|part| one.contains(part));
    if !is_log && expressions(panel).any(is_limit) {
        wrong.push("a limit flattens the data");
    }
    let legends = list(panel, "targets").iter().map(|target| target["legendFormat"].as_str().unwrap());
    let labels = legends.flat_map(|legend| legend.split("{{").skip(1)).map(|part| part.split("}}").next().unwrap());
    let is_long = list(panel, "targets").len() > 4 || labels.filter(|label| !FEW.contains(label)).count() > 0;
    let is_table = legend["displayMode"] == "table" && legend["calcs"] == serde_json::json!(["lastNotNull", "max"]);
    if is_long && !is_table {
        wrong.push("a table as the legend");
    }
    wrong
}

fn faults_of_table(panel: &Value) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    // It would also apply to the columns of text.
    if !defaults(panel)["unit"].is_null() {
        wrong.push("a unit for each column");
    }
    let renamed = list(panel, "transformations").iter().find(|one| one["id"] == "organize").unwrap();
    let overrides = list(&panel["fieldConfig"], "overrides");
    let property = |column: &str, id: &str| {
        let own = overrides.iter().find(|one| one["matcher"]["options"] == column)?;
        list(own, "properties").iter().find(|property| property["id"] == id).map(|property| &property["value"])
    };
    let is_number = |field: &str| field.starts_with("Value") || field == "Last *";
    for (field, column) in renamed["options"]["renameByName"].as_object().unwrap() {
        let column = column.as_str().unwrap();
        let unit = property(column, "unit").and_then(Value::as_str);
        if !column.is_empty() && unit.is_none_or(|unit| (unit == "string") == is_number(field)) {
            wrong.push("text as text, and numbers as numbers");
        }
        if field == "group_id"
            && column == "Group"
            && !links_to_group(property(column, "links"))
            && panel["title"] != "Selected groups"
        {
            wrong.push("a link to the group's dashboard");
        }
    }
    let sorted = &list(&panel["options"], "sortBy")[0]["displayName"];
    if property(sorted.as_str().unwrap(), "unit").is_none() {
        wrong.push("sorted by a column");
    }
    wrong
}

fn faults_of_bars(panel: &Value) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if defaults(panel)["min"] != 0 {
        wrong.push("from 0");
    }
    if expressions(panel).any(|one| one.contains("(group_id)")) && !links_to_group(Some(&defaults(panel)["links"])) {
        wrong.push("a link to the group's dashboard");
    }
    wrong
}

fn links_to_group(links: Option<&Value>) -> bool {
    let url = links.and_then(|links| links[0]["url"].as_str()).unwrap_or_default();
    url.starts_with("/d/openim-group?var-group=${__")
}

/// Faults of all panels, with their titles.
fn all_faults(dashboard: &Value) -> Vec<String> {
    panels(dashboard)
        .flat_map(|(title, panel)| faults(panel).into_iter().map(move |what| format!("{title}: {what}")))
        .collect()
}

/// The faults of a dashboard after an edit of the panel with this title.
fn spoilt(dashboard: &str, title: &str, pointer: &str, value: Value) -> Vec<String> {
    let mut dashboard = parsed(&read(&format!("grafana/dashboards/{dashboard}.json")));
    let all = dashboard["panels"].as_array_mut().unwrap();
    let nested: Vec<_> =
        all.iter_mut().flat_map(|panel| panel["panels"].as_array_mut().map_or(Vec::new(), std::mem::take)).collect();
    all.extend(nested);
    let panel = all.iter_mut().find(|panel| panel["title"] == title).unwrap();
    *panel.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    all_faults(&dashboard)
}

#[test]
fn each_panel_shows_its_data_as_it_is() {
    for (name, text) in dashboards() {
        assert_eq!(all_faults(&parsed(&text)), [""; 0], "{name}");
    }
    let rate = "sum(rate(openim_group_messages_total{job=~\"$job\", instance=~\"$instance\"}[5m]))";
    for (dashboard, title, pointer, value, what) in [
        ("overview", "Mentions", "/fieldConfig/defaults/noValue", "No data".into(), "words instead of no data"),
        (
            "overview",
            "Mentions",
            "/description",
            "x. Ignores the selected instances.".into(),
            "whether it ignores the instances",
        ),
        ("capacity", "Peak rates", "/description", "x".into(), "whether it ignores the instances"),
        ("overview", "Mentions", "/fieldConfig/defaults/unit", "reqps".into(), "the unit of messages"),
        ("exporter-health", "Refused requests", "/fieldConfig/defaults/unit", "mps".into(), "the unit of callbacks"),
        ("overview", "Mentions", "/fieldConfig/defaults/color/mode", "palette-classic".into(), "colours by name"),
        ("overview", "Mentions", "/fieldConfig/defaults/custom/axisSoftMax", Value::Null, "the top of the axis"),
        (
            "capacity",
            "Callback rate and its maximum",
            "/fieldConfig/defaults/custom/scaleDistribution/type",
            "linear".into(),
            "the top of the axis",
        ),
        ("overview", "Platforms", "/options/legend/displayMode", "list".into(), "a table as the legend"),
        (
            "group",
            "Selected groups",
            "/fieldConfig/overrides/0/properties/0/value",
            "short".into(),
            "text as text, and numbers as numbers",
        ),
        (
            "group",
            "Selected groups",
            "/fieldConfig/overrides/1/properties/0/value",
            "string".into(),
            "text as text, and numbers as numbers",
        ),
        ("group", "Selected groups", "/options/sortBy/0/displayName", "x".into(), "sorted by a column"),
        (
            "overview",
            "Busiest now",
            "/fieldConfig/overrides/0/properties/2/value/0/url",
            "/d/openim-group".into(),
            "a link to the group's dashboard",
        ),
        (
            "overview",
            "Busiest groups in the time range",
            "/fieldConfig/defaults/links/0/url",
            "/".into(),
            "a link to the group's dashboard",
        ),
        ("capacity", "Time until full", "/fieldConfig/defaults/min", Value::Null, "from 0"),
        (
            "overview",
            "Messages per second, now and a week ago",
            "/targets/0/expr",
            rate.replace("messages_total", "messages_capacity").into(),
            "a limit flattens the data",
        ),
    ] {
        assert!(spoilt(dashboard, title, pointer, value).contains(&format!("{title}: {what}")), "{title}: {what}");
    }
}

/// What a table or a stat shows instead of a value, and its colour.
fn shown_instead_of(value: &str, table: &Value, column: &str) -> [String; 2] {
    let own = list(&table["fieldConfig"], "overrides").iter().find(|one| one["matcher"]["options"] == column).unwrap();
    let mappings = list(own, "properties").iter().find(|property| property["id"] == "mappings").unwrap();
    let shown = &mappings["value"][0]["options"][value];
    ["text", "color"].map(|key| shown[key].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_broken_exporter_is_red_in_the_table() {
    let health = parsed(&read("grafana/dashboards/exporter-health.json"));
    let (_, table) = panels(&health).find(|(title, _)| *title == "Exporters").unwrap();
    let shown = |column| ["0", "1"].map(|value| shown_instead_of(value, table, column));
    assert_eq!(shown("Answers"), [["DOWN", "red"], ["up", "green"]]);
    assert_eq!(shown("State file"), [["in place", "green"], ["MISSING", "red"]]);
    assert_eq!(shown("Settings"), [["NOT USED", "red"], ["in use", "green"]]);
}

#[test]
fn each_way_to_open_the_state_has_words() {
    let health = parsed(&read("grafana/dashboards/exporter-health.json"));
    let (_, table) = panels(&health).find(|(title, _)| *title == "Exporters").unwrap();
    let documented = read("docs/state.md");
    let (_, section) = documented.split_once("\n## What a start does with the state\n").unwrap();
    let outcomes = section.lines().take_while(|line| !line.starts_with("## "));
    let outcomes = outcomes.filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let outcomes: Vec<_> = outcomes.map(|line| line.trim_end_matches("` |").rsplit('`').next().unwrap()).collect();
    assert!(outcomes.len() > 4, "{outcomes:?}");
    for outcome in outcomes.into_iter().filter(|outcome| *outcome != "outcome") {
        assert_ne!(shown_instead_of(outcome, table, "State at startup")[0], "", "{outcome}");
    }
}

#[test]
fn the_windows_are_in_order() {
    let overview = parsed(&read("grafana/dashboards/overview.json"));
    for wanted in ["Active senders", "Active groups"] {
        let (_, panel) = panels(&overview).find(|(title, _)| *title == wanted).unwrap();
        let legends: Vec<_> = list(panel, "targets").iter().map(|target| &target["legendFormat"]).collect();
        assert_eq!(legends, ["5m", "1h", "24h", "7d", "30d"]);
        assert!(panel["options"]["legend"]["sortBy"].is_null(), "{wanted}");
    }
}

#[test]
fn the_most_urgent_limit_is_first_and_red() {
    let capacity = parsed(&read("grafana/dashboards/capacity.json"));
    let (_, panel) = panels(&capacity).find(|(title, _)| *title == "Time until full").unwrap();
    assert!(expressions(panel).all(|expression| expression.starts_with("sort(")));
    let steps =
        list(&defaults(panel)["thresholds"], "steps").iter().map(|step| (step["value"].as_u64(), &step["color"]));
    assert!(steps.eq([
        (None, &"text".into()),
        (Some(0), &"red".into()),
        (Some(14), &"orange".into()),
        (Some(30), &"green".into())
    ]));
}

#[test]
fn details_are_hidden_until_someone_opens_them() {
    for (name, text) in dashboards() {
        let shown = list(&parsed(&text), "panels").iter().filter(|panel| panel["type"] == "timeseries").count();
        assert!(shown <= 6, "{name} shows {shown} graphs");
        let dashboard = parsed(&text);
        let rows = rows_and_panels(&dashboard).filter(|panel| panel["type"] == "row");
        for row in rows {
            assert_eq!(row["collapsed"] == true, !list(row, "panels").is_empty(), "{name}: {}", row["title"]);
        }
    }
}

#[test]
fn each_dashboard_marks_events_and_links_to_the_documents() {
    for (name, text) in dashboards() {
        let dashboard = parsed(&text);
        let texts = |list: &[Value], key: &str| {
            list.iter().map(|one| one[key].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        let events = list(&dashboard["annotations"], "list");
        assert_eq!(texts(events, "name"), ["Alerts", "Restarts", "Version changes"], "{name}");
        assert!(texts(events, "expr").iter().all(|expression| expression.contains("$instance")), "{name}");
        let start = format!("{}/blob/main/docs/", env!("CARGO_PKG_REPOSITORY"));
        let documents: Vec<_> = texts(list(&dashboard, "links"), "url")
            .into_iter()
            .filter_map(|url| url.strip_prefix(&start).map(str::to_owned))
            .collect();
        assert_eq!(documents, ["runbook.md", "prometheus.md"], "{name}");
    }
    let alerts = read("grafana/dashboards/overview.json");
    assert!(alerts.contains("docs/runbook.md#${__value.raw}"), "a link from each alert to its section");
}
