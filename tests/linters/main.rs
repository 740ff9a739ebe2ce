//! A cluster cannot run here: its files are checked with published schemas and linters, and so are those of containers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod chart;
#[path = "../packages/mod.rs"]
mod packages;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

const PACKAGES: &str = "tests/deploy";

static NPM: LazyLock<PathBuf> = LazyLock::new(|| packages::npm(PACKAGES, "deploy-schemas"));
static PIP: LazyLock<PathBuf> = LazyLock::new(|| packages::pip(PACKAGES, "deploy-linters"));

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap()
}

/// A file's text with one thing in it changed.
fn spoilt(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old}");
    text.replacen(old, new, 1)
}

/// Runs a linter on a text. Returns whether it accepts the text, and its output.
fn lint(program: &str, arguments: &[&str], text: &str) -> (bool, String) {
    let mut process = Command::new(PIP.join(program))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ran = process.wait_with_output().unwrap();
    (ran.status.success(), String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap())
}

/// The same for a linter that needs a file.
fn lint_file(program: &str, arguments: &[&str], text: &str) -> (bool, String) {
    let mut file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    lint(program, &[arguments, &[file.path().to_str().unwrap()]].concat(), "")
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI"]
fn hadolint_accepts_the_dockerfile() {
    let text = read("Dockerfile");
    let hadolint = |text: &str| lint("hadolint", &["--no-color", "-"], text);
    assert_eq!(hadolint(&text), (true, String::new()));
    for (old, new, rule) in [
        ("USER 65532:65532", "USER root", "DL3002"),
        ("rust:1.91-bookworm", "rust", "DL3006"),
        ("WORKDIR /build", "WORKDIR build", "DL3000"),
        ("ENTRYPOINT [", "ENTRYPOINT x [", "DL3025"),
    ] {
        let (is_content, printed) = hadolint(&spoilt(&text, old, new));
        assert!(!is_content && printed.contains(rule), "{old}: {printed}");
    }
}

/// Where a Compose file does not match the published schema.
fn compose_schema_errors(text: &str) -> String {
    let code = "import json, sys, yaml, jsonschema\n\
                schema = json.load(open(sys.argv[1]))\n\
                jsonschema.Draft7Validator.check_schema(schema)\n\
                for error in jsonschema.Draft7Validator(schema).iter_errors(yaml.safe_load(sys.stdin)): print(error.message)";
    let schema = NPM.join("node_modules/dclint/schemas/compose.schema.json");
    let (_, printed) = lint("python", &["-c", code, schema.to_str().unwrap()], text);
    printed
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI and npm"]
fn the_compose_file_matches_the_published_schema_and_has_no_serious_vulnerability() {
    let text = read("deploy/compose.yml");
    assert_eq!(compose_schema_errors(&text), "");
    for (old, new, printed) in [
        ("stop_grace_period", "stop_grace_periods", "'stop_grace_periods'"),
        ("read_only: true", "read_only: [true]", "is not of type"),
        ("image: prom/", "images: prom/", "'images'"),
        ("\nvolumes:", "\nvolume:", "'volume'"),
    ] {
        let found = compose_schema_errors(&spoilt(&text, old, new));
        assert!(found.contains(printed), "{old}: {found}");
    }
    let (is_content, printed) = lint_file("compose-lint", &["check", "--fail-on", "high"], &text);
    assert!(is_content, "{printed}");
    for (old, new, rule) in [
        ("cap_drop: [ALL]", "privileged: true", "CL-0002"),
        ("\"state:/data\"", "\"/var/run/docker.sock:/var/run/docker.sock\"", "CL-0001"),
    ] {
        let (is_content, printed) =
            lint_file("compose-lint", &["check", "--fail-on", "high"], &spoilt(&text, old, new));
        assert!(!is_content && printed.contains(rule), "{old}: {printed}");
    }
}

/// The oldest and the newest version of Kubernetes that the validator supports.
const KUBERNETES: [&str; 2] = ["1.25", "1.37"];

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI"]
fn the_kubernetes_objects_match_the_published_schema() {
    let text = read("deploy/kubernetes.yml");
    for version in KUBERNETES {
        let validate = |text: &str| lint_file("kubernetes-validate", &["-k", version, "--strict"], text);
        let (is_content, printed) = validate(&text);
        assert!(is_content, "{version}: {printed}");
        // The fourth object, the ServiceMonitor, is not part of Kubernetes.
        assert_eq!(
            (printed.matches("INFO").count(), printed.matches("passed for").count()),
            (3, 3),
            "{version}: {printed}"
        );
        for (old, new, found) in [
            ("replicas: 2", "replicas: two", "'two' is not of type 'integer'"),
            ("readOnlyRootFilesystem", "readonlyRootFilesystem", "'readonlyRootFilesystem' was unexpected"),
            ("containerPort: 10006", "port: 10006", "'containerPort' is a required property"),
            ("maxUnavailable", "unavailable", "'unavailable' was unexpected"),
        ] {
            let (is_content, printed) = validate(&spoilt(&text, old, new));
            assert!(!is_content && printed.contains(found), "{version}: {old}: {printed}");
        }
    }
}

/// The compiler's errors for the objects of a kind, assigned to the type that is generated from the Prometheus Operator's
/// schema.
fn type_errors_of(kind: &str, manifest: &str) -> String {
    let code = "import json, sys, yaml\n\
                print(json.dumps([one for one in yaml.safe_load_all(sys.stdin) if one and one['kind'] == sys.argv[1]]))";
    let (is_content, objects) = lint("python", &["-c", code, kind], manifest);
    assert!(is_content && objects.trim() != "[]", "{objects}");
    let path = format!("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/{kind}");
    let code = format!("import type {{ I{kind} }} from '{path}';\nexport const objects: I{kind}[] = {objects};\n");
    // Tests may run at the same time.
    let file = tempfile::Builder::new().suffix(".ts").tempfile_in(&*NPM).unwrap();
    fs::write(file.path(), code).unwrap();
    packages::type_errors(&NPM, [file.path().file_name().unwrap().to_str().unwrap().to_owned()])
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI and npm"]
fn the_service_monitor_matches_the_operator_s_published_type() {
    let text = read("deploy/kubernetes.yml");
    assert_eq!(type_errors_of("ServiceMonitor", &text), "");
    for (old, new, found) in [
        ("jobLabel:", "jobLabels:", "'\"jobLabels\"' does not exist"),
        ("path: /metrics", "pfad: /metrics", "'\"pfad\"' does not exist"),
        ("targetLabel", "targetLabels", "'\"targetLabels\"' does not exist"),
        ("targetLabel: instance", "action: copy", "'\"copy\"' is not assignable"),
        ("interval: 15s", "interval: 15", "Type 'number' is not assignable to type 'string'"),
        ("monitoring.coreos.com/v1", "monitoring.coreos.com/v2", "v2"),
    ] {
        let printed = type_errors_of("ServiceMonitor", &spoilt(&text, old, new));
        assert!(printed.contains("error TS") && printed.contains(found), "{old}: {printed}");
    }
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI"]
fn yamllint_accepts_all_files() {
    let config = at("tests/deploy/yamllint.yml");
    let arguments = ["--strict", "-c", config.to_str().unwrap()];
    let files = ["prometheus.yml", "prometheus", "deploy", "grafana", "tests/rules"].map(at);
    let ran = Command::new(PIP.join("yamllint")).args(arguments).args(files).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    // The YAML parsers here accept a duplicate key.
    let text = read("deploy/kubernetes.yml");
    for (old, new, rule) in [
        ("  replicas: 2\n", "  replicas: 2\n  replicas: 3\n", "key-duplicates"),
        ("  replicas: 2\n", "   replicas: 2\n", "syntax"),
    ] {
        let (is_content, printed) = lint("yamllint", &[&arguments[..], &["-"]].concat(), &spoilt(&text, old, new));
        assert!(!is_content && printed.contains(rule), "{printed}");
    }
}
