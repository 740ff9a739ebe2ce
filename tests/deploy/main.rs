//! The files in deploy/, checked by the programs that read them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod demo;
mod kubernetes;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Lets systemd check the units, with the path of the tested program.
fn systemd_analyze(edit: impl Fn(&str) -> String) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let units = ["openim-exporter.service", "openim-exporter.socket"].map(|name| {
        let unit = fs::read_to_string(folder.join(name)).unwrap();
        let unit = unit.replace("/usr/local/bin/openim-exporter", env!("CARGO_BIN_EXE_openim-exporter"));
        let file = directory.path().join(name);
        fs::write(&file, edit(&unit)).unwrap();
        file
    });
    Command::new("systemd-analyze").arg("verify").args(units).output().expect("systemd-analyze must be installed")
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_has_no_complaint_about_the_units() {
    let printed = systemd_analyze(str::to_owned);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    assert_eq!(String::from_utf8_lossy(&printed.stderr), "");
}

#[test]
fn systemd_restarts_the_service_forever_because_giving_up_closes_the_socket() {
    let unit = include_str!("../../deploy/openim-exporter.service");
    let (head, _) = unit.split_once("[Service]").unwrap();
    assert!(head.lines().any(|line| line == "StartLimitIntervalSec=0"), "{head}");
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_rejects_an_unknown_setting() {
    let printed = systemd_analyze(|unit| unit.replace("UMask=", "UMusk="));
    assert!(String::from_utf8_lossy(&printed.stderr).contains("UMusk"));
}

/// The documents of a YAML file, read by Debian's Python.
fn yaml(text: &str) -> Vec<Value> {
    let code = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let mut process = Command::new("/usr/bin/python3")
        .args(["-c", code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 must be installed");
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let read = process.wait_with_output().unwrap();
    assert!(read.status.success(), "not YAML");
    serde_json::from_slice(&read.stdout).unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Whether a proxy accepts its configuration, with this change.
fn is_valid(file: &str, old: &str, new: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = read(file);
    assert!(text.contains(old), "{old}");
    let text = text.replacen(old, new, 1);
    let mut command = if file.ends_with(".conf") {
        let at = folder.path().display();
        // nginx creates the folders of temporary files.
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders: String = kinds.iter().map(|kind| format!("{kind}_temp_path {at}/{kind};\n")).collect();
        fs::write(&path, format!("pid {at}/pid;\nevents {{}}\nhttp {{\n{folders}{text}}}\n")).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-t").arg("-e").arg(folder.path().join("log")).arg("-c");
        nginx
    } else {
        fs::write(&path, text).unwrap();
        let mut haproxy = Command::new("haproxy");
        // A warning is an error too.
        haproxy.args(["-c", "-dW", "-f"]);
        haproxy
    };
    command.arg(path).output().expect("nginx and haproxy must be installed").status.success()
}

#[test]
#[ignore = "needs nginx and haproxy"]
fn nginx_and_haproxy_accept_their_configurations() {
    for (file, old, new) in [
        ("deploy/nginx.conf", "keepalive_timeout 3s", "keepalive_timeout 3x"),
        ("deploy/nginx-mirror.conf", "keepalive_timeout 3s", "keepalive_timeout 3x"),
        ("deploy/haproxy.cfg", "inter 500ms", "inter often"),
    ] {
        assert!(is_valid(file, old, old), "{file}");
        assert!(!is_valid(file, old, new), "{file}");
    }
}

/// Files that the Compose file mounts and that do not exist.
fn missing_mounts(compose: &Value) -> Vec<String> {
    let mounts = compose["services"].as_object().unwrap().values().filter_map(|service| service["volumes"].as_array());
    let sources = mounts.flatten().map(|mount| mount.as_str().unwrap().split(':').next().unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let is_there = |source: &&str| {
        if source.starts_with('.') { folder.join(source).exists() } else { compose["volumes"].get(source).is_some() }
    };
    sources.filter(|source| !is_there(source)).map(str::to_owned).collect()
}

#[test]
#[ignore = "needs python3-yaml"]
fn the_compose_file_mounts_existing_files_and_the_provisioning_is_yaml() {
    let text = read("deploy/compose.yml");
    let compose = yaml(&text).remove(0);
    assert_eq!(missing_mounts(&compose), [""; 0]);
    let spoilt = yaml(&text.replacen("../prometheus/rules:", "../prometheus/rule:", 1)).remove(0);
    assert_eq!(missing_mounts(&spoilt), ["../prometheus/rule"]);
    // The dashboards are mounted where Grafana's provisioning looks for them.
    let provider = yaml(&read("grafana/provisioning/dashboards/openim.yml")).remove(0);
    let folder = provider["providers"][0]["options"]["path"].as_str().unwrap();
    let mounted = compose["services"]["grafana"]["volumes"].as_array().unwrap();
    assert!(mounted.iter().any(|mount| mount == &format!("../grafana/dashboards:{folder}:ro")));
    let source = yaml(&read("grafana/provisioning/datasources/prometheus.yml")).remove(0);
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    assert!(compose["services"].get("prometheus").is_some());
}

/// Mismatches in the configuration that the Prometheus of the Compose file derives from prometheus.yml with its own
/// command.
fn misfits_of_prometheus(compose: &Value) -> Vec<String> {
    let service = &compose["services"]["prometheus"];
    let (edit, _) = service["command"][0].as_str().unwrap().split_once(" > /tmp/prometheus.yml && exec ").unwrap();
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus.yml");
    let edit = edit.replace("/etc/prometheus/original.yml", original.to_str().unwrap());
    let ran = Command::new("/bin/sh").args(["-c", &edit]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let config = yaml(&String::from_utf8(ran.stdout).unwrap()).remove(0);
    let targets = [&config["scrape_configs"][0], &config["alerting"]["alertmanagers"][0]]
        .map(|part| part["static_configs"][0]["targets"][0].as_str().unwrap().to_owned());
    let is_a_service = |target: &&String| compose["services"].get(target.split(':').next().unwrap()).is_some();
    let mounts = service["volumes"].as_array().unwrap();
    let is_mounted = |file: &&String| mounts.contains(&format!("..{}:{file}:ro", file.replace("/etc", "")).into());
    let rules = config["rule_files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
    let folders: Vec<_> = rules.map(|file| file.rsplit_once('/').unwrap().0.to_owned()).collect();
    let wrong = targets.iter().filter(|target| !is_a_service(target));
    wrong.chain(folders.iter().filter(|folder| !is_mounted(folder))).cloned().collect()
}

#[test]
#[ignore = "needs python3-yaml"]
fn the_prometheus_of_the_compose_file_uses_its_other_services_and_the_mounted_rules() {
    let text = read("deploy/compose.yml");
    let misfits = |text: &str| misfits_of_prometheus(&yaml(text)[0]);
    assert_eq!(misfits(&text), [""; 0]);
    for (old, new, found) in [
        ("s/localhost:9093/", "s/localhost:9094/", &["localhost:9093"][..]),
        ("/exporter:10006/", "/openim-exporter:10006/", &["openim-exporter:10006"]),
        ("#- prometheus/rules/#", "#- rules/#", &["prometheus/rules", "prometheus/rules"]),
        ("../prometheus/rules:", "../rules:", &["/etc/prometheus/rules", "/etc/prometheus/rules"]),
    ] {
        assert!(text.contains(old), "{old}");
        assert_eq!(misfits(&text.replacen(old, new, 1)), found, "{old}");
    }
}

#[test]
#[ignore = "needs objcopy, readelf and nm"]
fn a_stripped_program_runs_and_its_debug_information_is_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let [program, debug] = ["openim-exporter", "openim-exporter.debug"].map(|name| folder.path().join(name));
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let strip = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/strip.sh");
    run(Command::new(strip).arg(env!("CARGO_BIN_EXE_openim-exporter")).arg(folder.path()));
    assert!(run(Command::new(&program).arg("--version")).starts_with("openim-exporter "));
    let sections = run(Command::new("readelf").arg("-SW").arg(&program));
    assert!(
        ![".debug_info", ".debug_line"].iter().any(|name| sections.contains(name)) && !sections.contains(".symtab"),
        "{sections}"
    );
    // Debuggers look for a file with this name beside the program.
    let link = run(Command::new("readelf").arg("--string-dump=.gnu_debuglink").arg(&program));
    assert!(link.contains("openim-exporter.debug"), "{link}");
    assert!(run(Command::new("nm").arg(&debug)).lines().any(|line| line.ends_with(" T main")));
}
