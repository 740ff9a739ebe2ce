//! mixin/: prometheus/rules and grafana/dashboards are what its generator writes, each setting takes effect, jsonnet makes
//! the same, and published linters accept the result.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod jsonnet;
mod linters;
#[path = "../monitoring/mod.rs"]
mod monitoring;
#[path = "../packages/mod.rs"]
mod packages;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use monitoring::{at, files, generate, parsed, read};
use serde_json::{Value, json};

/// The programs of tests/mixin/requirements.txt.
static PIP: LazyLock<PathBuf> = LazyLock::new(|| packages::pip("tests/mixin", "mixin-tools"));

/// By path in the repository.
type Files = BTreeMap<String, String>;

const FOLDERS: [(&str, &str); 2] = [("prometheus/rules", ".yml"), ("grafana/dashboards", ".json")];

/// The rules and dashboards in a folder.
fn outputs(folder: &Path) -> Files {
    let paths = FOLDERS.iter().flat_map(|(path, end)| files(folder.join(path).to_str().unwrap(), end));
    let named = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    paths.map(named).collect()
}

/// The rules and dashboards with these settings.
fn generated(settings: &Value) -> Files {
    let (ran, folder) = generate(settings);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    outputs(folder.path())
}

/// Runs a program with this input, and returns what it prints.
fn run(command: &mut Command, input: &str) -> String {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ran = process.wait_with_output().unwrap();
    assert!(ran.status.success(), "{command:?}");
    String::from_utf8(ran.stdout).unwrap()
}

/// The settings' defaults.
fn defaults() -> Value {
    parsed(&read("mixin/config.json"))
}

/// Another value for each setting.
fn others() -> Value {
    let other = |(name, value): (&String, &Value)| {
        let value = match name.as_str() {
            "selector" => json!("job=~\"chat|\\\\d+\""),
            "docs_url" => json!("https://git.example.com/docs"),
            _ => json!(value.as_f64().unwrap() * 1.2),
        };
        (name.clone(), value)
    };
    Value::Object(defaults().as_object().unwrap().iter().map(other).collect())
}

#[test]
#[ignore = "needs python3"]
fn the_rules_and_dashboards_are_what_the_generator_writes() {
    let (written, committed) = (generated(&json!({})), outputs(&at("")));
    assert!(written == committed, "run mixin/generate.py");
    assert_eq!(committed.len(), 8);
    assert_eq!(defaults()["docs_url"], concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs"));
}

#[test]
#[ignore = "needs python3 and prometheus"]
fn each_setting_takes_effect_and_the_rules_remain_valid() {
    let committed = outputs(&at(""));
    for (name, value) in others().as_object().unwrap() {
        let changed = generated(&json!({ name: value }));
        let rules = || changed.iter().filter(|(path, _)| path.starts_with("prometheus/"));
        assert!(rules().any(|(path, text)| *text != committed[path]), "{name}");
        let old = defaults()[name].as_str().map(|old| old.replace('"', "\\\""));
        let is_left =
            |old: &String| changed.values().any(|text| text.contains(old) || text.contains(&old.replace('\\', "")));
        assert!(old.as_ref().is_none_or(|old| !is_left(old)), "{name}");
    }
    let (ran, folder) = generate(&others());
    assert!(ran.status.success());
    assert!(outputs(folder.path()).values().all(|text| !text.contains("<<")));
    let rules = files(folder.path().join("prometheus/rules").to_str().unwrap(), ".yml");
    let check = ["check", "rules", "--lint=all", "--lint-fatal"];
    let checked = Command::new("promtool").args(check).args(rules).output().expect("promtool must be installed");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// The values of each threshold's steps on a dashboard.
fn steps(value: &Value) -> Vec<Vec<f64>> {
    let own = value["steps"].as_array().map(|steps| steps.iter().filter_map(|step| step["value"].as_f64()).collect());
    let inside: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Object(fields) => Box::new(fields.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new([].iter()),
    };
    own.into_iter().chain(inside.flat_map(steps)).collect()
}

#[test]
#[ignore = "needs python3"]
fn the_colours_of_a_panel_follow_a_low_setting() {
    let files = generated(&json!({ "busy_share": 0.4 }));
    let all = files.iter().filter(|(path, _)| path.ends_with(".json")).flat_map(|(_, text)| steps(&parsed(text)));
    let all: Vec<_> = all.collect();
    assert!(all.iter().all(|steps| steps.is_sorted()), "{all:?}");
    // The colour at 0.5 is left out.
    assert!(all.contains(&vec![0.4]) && !all.iter().any(|steps| steps.contains(&0.5) && steps.contains(&0.4)));
}

#[test]
#[ignore = "needs python3"]
fn wrong_settings_are_refused() {
    for (settings, error) in [
        (json!({ "busy": 0.5 }), "unknown setting busy"),
        (json!({ "busy_share": "0.5" }), "busy_share must be a number"),
        (json!({ "selector": 5 }), "selector must be a string"),
        (json!({ "busy_share": true }), "busy_share must be a number"),
        (json!({ "busy_share": null }), "busy_share must be a number"),
        (json!({ "busy_share": 70 }), "busy_share must be between 0 and 1"),
        (json!({ "selector": "" }), "selector must be label matchers without braces"),
        (json!({ "selector": "chat" }), "selector must be label matchers without braces"),
        (json!({ "selector": "{job=\"chat\"}" }), "selector must be label matchers without braces"),
        (json!([]), "must be an object"),
    ] {
        let (ran, folder) = generate(&settings);
        let printed = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && printed.contains(error) && printed.lines().count() == 1, "{printed}");
        assert!(!folder.path().join("prometheus").exists());
    }
}

/// The settings that the guide lacks, or lists with a wrong default.
fn undocumented(guide: &str) -> Vec<String> {
    let all = defaults();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows = all.as_object().unwrap().iter().map(|(name, value)| format!("| `{name}` | `{}` |", shown(value)));
    rows.filter(|row| !guide.contains(row)).collect()
}

#[test]
fn the_guide_has_each_setting_and_its_default() {
    let guide = read("docs/prometheus.md");
    assert_eq!(undocumented(&guide), [""; 0]);
    assert_eq!(undocumented(&guide.replace("| `0.7` |", "| `0.8` |")), ["| `busy_share` | `0.7` |"]);
}
