//! Spoilt dashboards, whose faults the test must find.

use serde_json::{Value, json};

use super::monitoring::{self, list, parsed};
use super::situations::{Expected, USUAL};

/// A dashboard and what is spoilt in it.
pub(crate) struct Spoilt {
    pub(crate) name: &'static str,
    pub(crate) original: Value,
    pub(crate) spoilt: Value,
    /// Parts of the faults.
    pub(crate) faults: Vec<String>,
}

fn original(name: &str) -> Value {
    let (_, text) = monitoring::dashboards().into_iter().find(|(found, _)| found == name).unwrap();
    parsed(&text)
}

/// The positions of the panels of this type.
fn of_type(dashboard: &Value, kind: &str) -> Vec<usize> {
    let panels = list(dashboard, "panels").iter().enumerate();
    panels.filter(|(_, panel)| panel["type"] == kind).map(|(position, _)| position).collect()
}

/// Queries with an error, without data, and with another value; an unknown type; a panel that is removed.
fn stats() -> Spoilt {
    let original = original("overview");
    let mut spoilt = original.clone();
    let is_valued = |position: &usize| {
        let title = &original["panels"][position]["title"];
        USUAL.iter().any(|(_, usual, expected)| title == usual && matches!(expected, Expected::Between(..)))
    };
    let valued: Vec<_> = of_type(&original, "stat").into_iter().filter(is_valued).collect();
    let graphs = of_type(&original, "timeseries");
    let positions = [valued[0], valued[1], valued[2], graphs[0], graphs[1]];
    let faults = ["invalid", "shows Some", "[", "panels of the type unknown", "is not on the page"];
    for (position, query) in positions.iter().zip(["sum(", "nothing", "vector(1e12)"]) {
        spoilt["panels"][position]["targets"][0]["expr"] = query.into();
    }
    spoilt["panels"][positions[3]]["type"] = "unknown".into();
    spoilt["panels"].as_array_mut().unwrap().remove(positions[4]);
    let titles = positions.iter().map(|position| original["panels"][position]["title"].as_str().unwrap().to_owned());
    let faults = titles.zip(faults).map(|(title, fault)| format!("{title}: {fault}")).collect();
    Spoilt { name: "stats", original, spoilt, faults }
}

/// A table that shows one of several results, and an annotation with a wrong query.
fn table() -> Spoilt {
    let original = original("group");
    let mut spoilt = original.clone();
    let position = of_type(&original, "table")[0];
    spoilt["panels"][position]["transformations"] = json!([]);
    spoilt["annotations"]["list"] = json!([{"name": "Wrong", "expr": "sum("}]);
    Spoilt { name: "table", original, spoilt, faults: ["merge them", "parse error"].map(str::to_owned).into() }
}

pub(crate) fn dashboards() -> [Spoilt; 2] {
    [stats(), table()]
}
