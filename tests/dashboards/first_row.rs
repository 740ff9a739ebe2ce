//! The first row of each dashboard says what is wrong now, as the alerts see it.

use serde_json::Value;

use crate::monitoring::{all_rules, dashboards, list, names, panels, parsed, read};

const TITLES: [&str; 6] = [
    "Firing alerts",
    "Exporters down",
    "Since last callback",
    "Workers busy",
    "Refused in 10 minutes",
    "95 % of messages arrived within",
];

/// The colours of a panel by value. Panels without data also have the first one.
fn colours(panel: &Value) -> Vec<(Option<f64>, &str)> {
    let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"], "steps").iter();
    steps.map(|step| (step["value"].as_f64(), step["color"].as_str().unwrap())).collect()
}

/// Faults of a dashboard's first row.
fn faults(dashboard: &Value) -> Vec<String> {
    let first: Vec<_> = panels(dashboard).take(TITLES.len()).collect();
    let mut wrong = Vec::new();
    if first.iter().map(|(title, _)| *title).ne(TITLES) {
        wrong.push("the titles".to_owned());
    }
    for (title, panel) in first {
        let targets = list(panel, "targets");
        if panel["gridPos"]["y"] != 0 || targets.iter().any(|target| target["instant"] != true) {
            wrong.push(format!("{title}: at the top, as of now"));
        }
        if targets.iter().any(|target| !target["expr"].as_str().unwrap().contains("$instance")) {
            wrong.push(format!("{title}: of the selected instances"));
        }
        let green: Vec<_> = colours(panel).into_iter().filter(|(_, colour)| colour.contains("green")).collect();
        // A panel without data must not be green either.
        let is_count = title == "Exporters down"
            && colours(panel)[..] == [(None, "red"), (Some(0.0), "green"), (Some(1.0), "red")];
        if !green.is_empty() && !is_count {
            wrong.push(format!("{title}: green"));
        }
    }
    wrong
}

#[test]
fn each_dashboard_begins_with_what_is_wrong_now() {
    for (name, text) in dashboards() {
        assert_eq!(faults(&parsed(&text)), [""; 0], "{name}");
    }
    let text = read("grafana/dashboards/group.json");
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut dashboard = parsed(&text);
        edit(&mut dashboard);
        faults(&dashboard)
    };
    assert_eq!(edited(&|d| d["panels"][2]["title"] = "Last callback".into()), ["the titles"]);
    let busy = |d: &mut Value| d["panels"][3]["targets"][0]["instant"] = false.into();
    assert_eq!(edited(&busy), ["Workers busy: at the top, as of now"]);
    let all = |d: &mut Value| d["panels"][3]["targets"][0]["expr"] = "up".into();
    assert_eq!(edited(&all), ["Workers busy: of the selected instances"]);
    let colour = |panel: usize| {
        move |d: &mut Value| {
            d["panels"][panel]["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] = "green".into();
        }
    };
    assert_eq!(edited(&colour(0)), ["Firing alerts: green"]);
    assert_eq!(edited(&colour(1)), ["Exporters down: green"]);
}

fn panel<'a>(dashboard: &'a Value, title: &str) -> &'a Value {
    panels(dashboard).find(|(found, _)| *found == title).unwrap().1
}

/// The reasons that an expression selects or excludes.
fn reasons(expression: &str, operator: &str) -> Vec<String> {
    let selectors = names(expression).selectors.into_iter();
    let matchers = selectors.flat_map(|selector| selector.matchers);
    let found = matchers.filter(|matcher| matcher.label == "reason" && matcher.operator == operator);
    let mut found: Vec<_> = found.map(|matcher| matcher.value).collect();
    found.dedup();
    found
}

#[test]
fn the_refusals_are_those_that_the_alerts_count() {
    let rules = all_rules();
    let alert = |name: &str, operator: &str| {
        let rule = rules.iter().find(|rule| rule.name == name).unwrap();
        let found = reasons(&rule.expression, operator);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].split('|').map(str::to_owned).collect::<Vec<_>>()
    };
    let (excluded, access) = (alert("OpenimCallbacksRejected", "!~"), alert("OpenimAccessRefused", "=~"));
    let expected: Vec<_> = excluded.into_iter().filter(|reason| !access.contains(reason)).collect();
    let overview = parsed(&read("grafana/dashboards/overview.json"));
    let shown = panel(&overview, "Refused in 10 minutes")["targets"][0]["expr"].as_str().unwrap();
    assert_eq!(reasons(shown, "!~"), [expected.join("|")]);
}

#[test]
fn the_limits_are_those_of_the_alerts() {
    let rules = all_rules();
    let overview = parsed(&read("grafana/dashboards/overview.json"));
    for (title, alert, threshold, value) in [
        ("Workers busy", "OpenimAnswersSlow", "> 0.7", 0.7),
        ("Workers busy over time", "OpenimAnswersSlow", "> 0.7", 0.7),
        ("Refused in 10 minutes", "OpenimCallbacksRejected", ") > 5", 5.0),
        ("95 % of messages arrived within", "OpenimDeliveryDelayGrows", ":p95_10m > 1", 1.0),
    ] {
        let rule = rules.iter().find(|rule| rule.name == alert).unwrap();
        assert!(rule.expression.contains(threshold), "{alert}");
        let colours = colours(panel(&overview, title));
        assert!(colours.iter().any(|(at, _)| *at == Some(value)), "{title}: {colours:?}");
    }
}
