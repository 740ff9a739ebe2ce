//! Differences between what a dashboard shows and what it must show.

use serde_json::Value;

use super::monitoring::list;
use super::page::{Panel, Shown};
use super::situations::{ANY, Expected, Situation, USUAL, USUALLY_NO_DATA};

/// The titles of a dashboard's panels, also of those in collapsed rows.
fn titles(dashboard: &Value) -> Vec<&str> {
    let panels = list(dashboard, "panels").iter();
    let with_those_inside =
        panels.flat_map(|panel| [panel].into_iter().chain(panel["panels"].as_array().into_iter().flatten()));
    let shown = with_those_inside.filter(|panel| panel["type"] != "row");
    shown.map(|panel| panel["title"].as_str().unwrap()).collect()
}

/// Everything that is wrong with a dashboard in a situation.
pub(crate) fn faults(situation: &Situation, dashboard: &Value, shown: &Shown) -> Vec<String> {
    let name = dashboard["uid"].as_str().unwrap().trim_start_matches("openim-");
    let titles = titles(dashboard);
    let is_here = |board: &str, title: &&str| board == name || board == ANY && titles.contains(title);
    let differs =
        |title: &str| situation.shows.iter().any(|(board, other, _)| is_here(board, other) && *other == title);
    let usually = USUALLY_NO_DATA.iter().filter(|(_, title, _)| !differs(title));
    let no_data = usually.chain(situation.no_data).filter(|(board, title, _)| is_here(board, title));
    let no_data: Vec<_> = no_data.map(|(_, title, words)| (*title, *words)).collect();
    let usual = USUAL.iter().filter(|(_, title, _)| !differs(title));
    let expected = usual.chain(situation.shows).filter(|(board, title, _)| is_here(board, title));
    let expected = expected.filter(|(_, title, _)| !no_data.iter().any(|(without, _)| without == title));
    let of_panels = titles.iter().flat_map(|title| {
        let words = no_data.iter().find(|(without, _)| without == title).map(|(_, words)| *words);
        faults_of_panel(title, shown, words)
    });
    let of_values = expected.filter_map(|(_, title, expected)| not_shown(title, shown, expected));
    let has_events = |annotation: &str| shown.events.get(annotation).is_some_and(|count| *count > 0);
    let annotations = [("Restarts", true), ("Alerts", !situation.alerts.is_empty()), ("Version changes", false)];
    let wrong_events = annotations.into_iter().filter(|(annotation, expected)| has_events(annotation) != *expected);
    let of_events = wrong_events.map(|(annotation, expected)| format!("{annotation}: has events: {}", !expected));
    let wrong = shown.errors.iter().cloned().chain(of_panels).chain(of_values).chain(of_events);
    wrong.map(|fault| format!("{name}: {fault}")).collect()
}

/// What is wrong with a panel, which has data or shows these words.
fn faults_of_panel(title: &str, shown: &Shown, words: Option<&str>) -> Vec<String> {
    let Some(panel) = shown.panels.iter().find(|panel| panel.title == title && panel.is_on_page) else {
        return vec![format!("{title}: is not on the page")];
    };
    let is_graph = ["timeseries", "heatmap"].contains(&panel.kind.as_str());
    let checks = [
        (!panel.error.is_empty(), format!("{title}: {}", panel.error)),
        (
            panel.no_data.as_deref() != words,
            format!("{title}: shows {:?} instead of data, not {words:?}", panel.no_data),
        ),
        (is_graph && panel.no_data.is_none() && !panel.is_drawn, format!("{title}: no graph is drawn")),
    ];
    checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, fault)| fault).collect()
}

/// A fault, if a panel does not show what it must.
fn not_shown(title: &str, shown: &Shown, expected: &Expected) -> Option<String> {
    match shown.panels.iter().find(|panel| panel.title == title) {
        Some(panel) if is_shown(panel, expected) => None,
        Some(panel) => Some(format!("{title}: {:?} {:?}, not {expected:?}", panel.lines, panel.rows)),
        None => Some(format!("{title}: there is no such panel")),
    }
}

fn is_shown(panel: &Panel, expected: &Expected) -> bool {
    let has = |line: &str| panel.lines.iter().any(|shown| shown == line);
    match expected {
        Expected::Between(low, high) => {
            panel.lines.iter().filter_map(|line| number(line)).any(|value| (*low..=*high).contains(&value))
        }
        Expected::Has(texts) => texts.iter().all(|text| has(text)),
        Expected::Rows(columns, least) => {
            let head = panel.rows.first().map(Vec::as_slice).unwrap_or_default();
            columns.iter().all(|column| head.iter().any(|name| name == column)) && panel.rows.len() > *least
        }
    }
}

/// The number of a text such as `1.42 K`, `22.9 ms` or `0.14%`, in the base unit.
fn number(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || ".-,".contains(c))).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value: f64 = digits.replace(',', "").parse().ok()?;
    // A rate has a unit after its multiple: "19.3K c/s".
    let factor = match unit.trim().trim_end_matches(" c/s").trim_end_matches("c/s") {
        "" | "s" | "B" | "mps" | "reqps" | "req/s" | "msg/s" => 1.0,
        "K" => 1e3,
        "Mil" | "M" => 1e6,
        "Bil" => 1e9,
        "%" => 0.01,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "min" | "mins" => 60.0,
        "hour" | "hours" => 3600.0,
        "day" | "days" => 86_400.0,
        "week" | "weeks" => 7.0 * 86_400.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(value * factor)
}

#[test]
fn numbers_are_read_as_grafana_writes_them() {
    let numbers =
        [("60.0 c/s", 60.0), ("19.3K c/s", 19_300.0), ("1.5 K", 1500.0), ("0.5%", 0.005), ("2 hours", 7200.0)];
    for (text, value) in numbers {
        assert_eq!(number(text), Some(value), "{text}");
    }
    assert_eq!(["fresh", "", "5 apples", "0.1.0"].map(number), [None; 4]);
}
