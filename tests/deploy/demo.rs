//! The script that starts everything on one machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Ports that are free now.
fn free_ports() -> [String; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port().to_string())
}

/// The demo, with these ports for the exporter, Prometheus and Alertmanager.
fn demo(ports: &[String; 3]) -> Command {
    demo_in(Path::new(env!("CARGO_MANIFEST_DIR")), ports)
}

/// The same in another folder.
fn demo_in(folder: &Path, ports: &[String; 3]) -> Command {
    let mut command = Command::new(folder.join("deploy/demo.sh"));
    command.env("OPENIM_EXPORTER", env!("CARGO_BIN_EXE_openim-exporter")).envs(PORTS.into_iter().zip(ports));
    command.stdin(Stdio::null());
    command
}

/// Links the files of the archive that the demo needs, except the program, into a folder.
fn unpack(folder: &Path) {
    for name in ["deploy", "prometheus", "prometheus.yml"] {
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), folder.join(name)).unwrap();
    }
}

/// Links programs into a folder, under these names.
fn link_programs(folder: &Path, programs: &[(&str, &str)]) {
    for (name, program) in programs {
        symlink(Path::new("/usr/bin").join(program), folder.join(name)).unwrap();
    }
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
        // The programs that the script needs, and links for those that it only looks for.
        link_programs(folder.path(), &[("bash", "bash"), ("dirname", "dirname")]);
        let others = ["prometheus", "curl"].into_iter().filter(|name| *name != missing);
        link_programs(folder.path(), &others.map(|name| (name, "false")).collect::<Vec<_>>());
        let ran = demo(&free_ports()).env("PATH", folder.path()).output().unwrap();
        let printed = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(
            (&*printed, ran.status.code()),
            (&*format!("{missing} is missing: apt-get install {missing}\n"), Some(1))
        );
    }
}

#[test]
fn the_demo_uses_the_exporter_beside_it_or_else_the_one_on_the_path() {
    let folder = tempfile::tempdir().unwrap();
    unpack(folder.path());
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let needed = ["bash", "dirname", "mktemp", "rm", "seq", "sleep", "tail"].map(|name| (name, name));
    link_programs(&programs, &[&needed[..], &[("prometheus", "false"), ("curl", "false")]].concat());
    let fails_with = |error: &str| {
        let mut demo = demo_in(folder.path(), &free_ports());
        let ran = demo.env_remove("OPENIM_EXPORTER").env("PATH", &programs).output().unwrap();
        let printed = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(1) && printed.starts_with(error), "{printed}");
    };
    fails_with("openim-exporter is missing: ");
    // Instead of the exporter, programs that end at once.
    link_programs(&programs, &[("openim-exporter", "echo")]);
    fails_with("exporter does not start:\n--web.listen-address=");
    link_programs(folder.path(), &[("openim-exporter", "pwd")]);
    fails_with("exporter does not start:\n./openim-exporter: unrecognized option '--web.listen-address=");
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
    let unpacked = folder.path().join("R&D #1: openim");
    std::fs::create_dir(&unpacked).unwrap();
    unpack(&unpacked);
    symlink(env!("CARGO_BIN_EXE_openim-exporter"), unpacked.join("openim-exporter")).unwrap();
    let mut demo = demo_in(&unpacked, &ports);
    demo.env_remove("OPENIM_EXPORTER")
        .args(["--rate", "100", "--for", "60"])
        .env("http_proxy", "http://127.0.0.1:1")
        .stdout(Stdio::piped());
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
