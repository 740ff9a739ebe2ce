//! The files in deploy/, checked by the programs that read them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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
    let unit = include_str!("../deploy/openim-exporter.service");
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

/// Parts of the manifest that do not match.
fn misfits(documents: &[Value]) -> Vec<&'static str> {
    let of = |kind: &str| documents.iter().find(|found| found["kind"] == kind).unwrap_or(&Value::Null);
    let (deployment, service, monitor) = (of("Deployment"), of("Service"), of("ServiceMonitor"));
    let pod = &deployment["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let selected = |selector: &Value, labels: &Value| selector.is_object() && selector == labels;
    let mut misfits = Vec::new();
    let mut need = |fits: bool, what| {
        if !fits {
            misfits.push(what)
        }
    };
    need(documents.len() == 4, "four objects");
    need(deployment["spec"]["replicas"] == 1 && deployment["spec"]["strategy"]["type"] == "Recreate", "one process");
    need(selected(&deployment["spec"]["selector"]["matchLabels"], &pod["metadata"]["labels"]), "the deployment's pods");
    need(selected(&service["spec"]["selector"], &pod["metadata"]["labels"]), "the service's pods");
    need(
        selected(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]),
        "the monitor's service",
    );
    need(monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][1]["name"], "the monitor's port");
    need(
        [0, 1].iter().all(|port| service["spec"]["ports"][port]["targetPort"] == container["ports"][port]["name"]),
        "the service's ports",
    );
    let variable = |name: &str| {
        let variables = container["env"].as_array()?;
        variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
    };
    need(
        variable("OPENIM_EXPORTER_STORAGE_PATH").is_some_and(|path| container["volumeMounts"][0]["mountPath"] == path),
        "the state's place",
    );
    // Otherwise callbacks could use up the connections for probes and scrapes.
    let port = format!(":{}", container["ports"][1]["containerPort"]);
    need(variable("OPENIM_EXPORTER_WEB_TELEMETRY_ADDRESS") == Some(&port), "the telemetry's address");
    // Memory per connection and request over HTTP/2 from docs/limits.md, and 256 MiB for everything else.
    let connections = variable("OPENIM_EXPORTER_WEB_MAX_CONNECTIONS").and_then(|most| most.parse::<usize>().ok());
    need(connections.is_some_and(|most| most * (80 + 85) / 1024 + 256 <= 512), "what connections can take");
    need(container["resources"]["limits"]["memory"] == "512Mi", "the memory");
    need(
        ["readinessProbe", "livenessProbe"]
            .iter()
            .all(|probe| container[probe]["httpGet"]["port"] == container["ports"][1]["name"]),
        "the probes' port",
    );
    need(
        pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
            == of("PersistentVolumeClaim")["metadata"]["name"],
        "the claim",
    );
    need(pod["spec"]["securityContext"]["runAsNonRoot"] == true, "not root");
    let relabelings = &monitor["spec"]["endpoints"][0]["relabelings"];
    let relabels = |wanted: Value| relabelings.as_array().is_some_and(|all| all.contains(&wanted));
    need(
        relabels(json!({"targetLabel": "instance", "replacement": "openim-exporter"}))
            && relabels(json!({"action": "labeldrop", "regex": "pod"})),
        "the same series after a rollout",
    );
    misfits
}

#[test]
#[ignore = "needs python3-yaml"]
fn the_parts_of_the_kubernetes_manifest_match() {
    let text = read("deploy/kubernetes.yml");
    assert_eq!(misfits(&yaml(&text)), [""; 0]);
    for (old, new, what) in [
        ("replicas: 1", "replicas: 2", "one process"),
        ("- port: metrics", "- port: http", "the monitor's port"),
        ("targetPort: metrics", "targetPort: http", "the service's ports"),
        ("value: \":10007\"", "value: \"0.0.0.0:10007\"", "the telemetry's address"),
        ("value: \"1000\"", "value: \"10000\"", "what connections can take"),
        ("memory: 512Mi", "memory: 256Mi", "the memory"),
        ("/-/healthy, port: metrics", "/-/healthy, port: http", "the probes' port"),
        ("targetLabel: instance", "targetLabel: node", "the same series after a rollout"),
        ("regex: pod}", "regex: container}", "the same series after a rollout"),
        ("mountPath: /data", "mountPath: /state", "the state's place"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "not root"),
    ] {
        assert_eq!(misfits(&yaml(&text.replacen(old, new, 1))), [what]);
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

/// Ports that are free now.
fn free_ports() -> [String; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port().to_string())
}

/// The demo, with these ports for the exporter, Prometheus and Alertmanager.
fn demo(ports: &[String; 3]) -> Command {
    demo_in(Path::new(env!("CARGO_MANIFEST_DIR")), ports)
}

/// The same in another clone.
fn demo_in(clone: &Path, ports: &[String; 3]) -> Command {
    let mut command = Command::new(clone.join("deploy/demo.sh"));
    command.env("OPENIM_EXPORTER", env!("CARGO_BIN_EXE_openim-exporter")).envs(PORTS.into_iter().zip(ports));
    command.stdin(Stdio::null());
    command
}

const PORTS: [&str; 3] = ["EXPORTER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"];

/// Answers every request with success, and returns what it received.
fn somebody_else(listener: TcpListener) -> mpsc::Receiver<String> {
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut buffer = [0; 1000];
            let size = stream.read(&mut buffer).unwrap_or(0);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if size > 0 && sender.send(String::from_utf8_lossy(&buffer[..size]).into_owned()).is_err() {
                return;
            }
        }
    });
    received
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

#[test]
fn the_demo_explains_its_options() {
    let usage = "usage: deploy/demo.sh [--rate N] [--for SECONDS]\n";
    let mistakes = [
        (&["--rate"][..], "--rate needs a whole number of at least 1\n"),
        (&["--for", "5m"], "--for needs a whole number of at least 1\n"),
        (&["--fast"], "unknown argument --fast\n"),
    ];
    for (arguments, problem) in mistakes {
        let output = demo(&free_ports()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("{problem}{usage}"), "{arguments:?}");
    }
    let output = demo(&free_ports()).arg("--help").output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"Runs the exporter"), "{output:?}");
    assert!(output.stdout.ends_with(usage.as_bytes()), "{output:?}");
}

#[test]
#[ignore = "needs prometheus, prometheus-alertmanager and curl"]
fn the_demo_does_not_disturb_programs_that_use_its_ports() {
    for (position, variable) in PORTS.into_iter().enumerate() {
        let mut ports = free_ports();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        ports[position] = listener.local_addr().unwrap().port().to_string();
        let received = somebody_else(listener);
        let ran = demo(&ports).args(["--rate", "100", "--for", "1"]).output().unwrap();
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [""; 0], "{variable}");
        let printed = String::from_utf8_lossy(&ran.stderr);
        assert_eq!((ran.status.code(), &*String::from_utf8_lossy(&ran.stdout)), (Some(1), ""), "{variable}: {printed}");
        let begin = format!("port {} is taken", ports[position]);
        assert!(printed.starts_with(&begin), "{printed}");
        for (name, port) in PORTS.into_iter().zip(&ports) {
            assert_eq!(
                printed.contains(&format!(" {name}={port} ")),
                name != variable,
                "{variable}: {name}: {printed}"
            );
        }
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
    // Two of its own programs must not have the same port.
    let [port, other, _] = free_ports();
    let ran = demo(&[port.clone(), other, port.clone()]).args(["--for", "1"]).output().unwrap();
    let printed = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && printed.contains(&port) && printed.contains(" ALERTMANAGER_PORT="), "{printed}");
}

#[test]
fn the_demo_reports_a_missing_program() {
    for missing in ["prometheus", "curl"] {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, to: &str| symlink(to, folder.path().join(name)).unwrap();
        // The programs that the script needs, and links for those that it only looks for.
        for name in ["bash", "dirname"] {
            link(name, &format!("/usr/bin/{name}"));
        }
        for name in ["prometheus", "curl"].into_iter().filter(|name| *name != missing) {
            link(name, "/usr/bin/false");
        }
        let ran = demo(&free_ports()).env("PATH", folder.path()).output().unwrap();
        let printed = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(
            (&*printed, ran.status.code()),
            (&*format!("{missing} is missing: apt-get install {missing}\n"), Some(1))
        );
    }
}

#[test]
#[ignore = "needs prometheus, prometheus-alertmanager and curl"]
fn the_demo_reports_why_its_sender_failed() {
    let ran = demo(&free_ports()).args(["--rate", "20000000"]).output().unwrap();
    let printed = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{printed}");
    assert!(printed.starts_with("simulate has ended:\n") && printed.contains("20000000"), "{printed}");
}

#[test]
#[ignore = "needs prometheus, prometheus-alertmanager and curl"]
fn the_demo_starts_everything_prints_the_urls_and_stops_everything() {
    let ports = free_ports();
    // A folder may have any name, and the demo must not use a proxy.
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("R&D #1: openim");
    symlink(env!("CARGO_MANIFEST_DIR"), &clone).unwrap();
    let mut demo = demo_in(&clone, &ports);
    demo.args(["--rate", "100", "--for", "60"]).env("http_proxy", "http://127.0.0.1:1").stdout(Stdio::piped());
    let mut demo = demo.spawn().unwrap();
    let [exporter, prometheus, alertmanager] = ports;
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let printed: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let get = |port: &str, path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        assert!(printed.iter().any(|line| line.contains(&format!("http://127.0.0.1:{port}"))), "{port}: {printed:#?}");
        let ran = Command::new("curl").args(["-sfG", &url]).output().unwrap();
        ran.status.success().then(|| String::from_utf8(ran.stdout).unwrap())
    };
    let messages = || {
        let found = get(&prometheus, "/api/v1/query?query=sum(openim_group_messages_total)")?;
        let found: Value = serde_json::from_str(&found).unwrap();
        found["data"]["result"][0]["value"][1].as_str()?.parse::<f64>().ok()
    };
    let begin = Instant::now();
    while messages().is_none_or(|messages| messages < 100.0) {
        assert!(begin.elapsed() < Duration::from_secs(50), "{:?}", messages());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(get(&prometheus, "/api/v1/rules").unwrap().contains("OpenimExporterDown"));
    assert!(get(&alertmanager, "/-/ready").is_some() && get(&exporter, "/-/ready").is_some());
    assert!(Command::new("kill").arg(demo.id().to_string()).status().unwrap().success());
    assert!(demo.wait().unwrap().success());
    assert_eq!(get(&exporter, "/-/ready").or_else(|| get(&prometheus, "/-/ready")), None);
}
