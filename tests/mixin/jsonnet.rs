//! The mixin for jsonnet has the same rules and dashboards.

use std::process::Command;

use serde_json::{Value, json};

use super::{Files, PIP, defaults, generated, others, parsed, run};

/// The mixin with these settings.
fn mixin(settings: &Value) -> Value {
    // jsonnet writes 0.7 as 0.69999999999999996, which is the same number.
    let code = "import json, sys, _gojsonnet\n\
                mixin = \"(import 'mixin/mixin.libsonnet') { _config+:: { openim+: %s } }\" % sys.stdin.read()\n\
                hidden = '{ alerts: m.prometheusAlerts, rules: m.prometheusRules, dashboards: m.grafanaDashboards }'\n\
                print(json.dumps(json.loads(_gojsonnet.evaluate_snippet('test', f'local m = {mixin}; {hidden}'))))";
    let mut python = Command::new(PIP.join("python"));
    python.args(["-c", code]).current_dir(env!("CARGO_MANIFEST_DIR"));
    parsed(&run(&mut python, &settings.to_string()))
}

/// A file of rules as JSON.
fn rules(files: &Files, name: &str) -> Value {
    let code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
    parsed(&run(Command::new(PIP.join("python")).args(["-c", code]), &files[&format!("prometheus/rules/{name}.yml")]))
}

/// The settings that the mixin's dashboards follow, too.
fn of_dashboards(settings: &Value) -> Value {
    json!({ "selector": settings["selector"], "docs_url": settings["docs_url"] })
}

#[test]
#[ignore = "needs python3, and the packages of tests/mixin from PyPI"]
fn the_mixin_has_the_rules_and_dashboards_of_the_generator() {
    for settings in [defaults(), others()] {
        let (made, files) = (mixin(&settings), generated(&settings));
        assert_eq!(made["alerts"], rules(&files, "alerts"));
        assert_eq!(made["rules"], rules(&files, "recording"));
        let files = generated(&of_dashboards(&settings));
        let dashboards = made["dashboards"].as_object().unwrap();
        assert_eq!(dashboards.len(), 6);
        for (name, dashboard) in dashboards {
            let path = format!("grafana/dashboards/{}", name.strip_prefix("openim-").unwrap());
            assert_eq!(*dashboard, parsed(&files[&path]), "{name}");
        }
    }
}
