//! nginx and HAProxy with the configurations in deploy/, in which only the addresses are changed.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::network::Machine;
use crate::support::{eventually, signal};

/// A balancer that runs until dropped.
pub(crate) struct Balancer {
    process: Child,
    machine: Machine,
    folder: tempfile::TempDir,
}

/// Its name and nginx' log, for the message of a failed test.
impl fmt::Debug for Balancer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match fs::read_to_string(self.folder.path().join("error.log")) {
            Ok(log) => write!(formatter, "nginx, whose log is {log}"),
            Err(_) => formatter.write_str("HAProxy"),
        }
    }
}

impl Balancer {
    pub(crate) fn nginx(machine: Machine, exporters: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders: String = kinds.iter().map(|kind| format!("{kind}_temp_path {at}/{kind};\n")).collect();
        let config = format!(
            "daemon off; worker_processes 2; user root; pid {at}/pid; error_log {at}/error.log;\n\
             events {{}}\nhttp {{\n{folders}{}}}\n",
            adapted("deploy/nginx.conf", exporters)
        );
        let log = folder.path().join("start.log");
        let arguments = ["nginx", "-e", log.to_str().unwrap(), "-c"];
        Self::start(machine, folder, &arguments, &config)
    }

    pub(crate) fn haproxy(machine: Machine, exporters: &[&str]) -> Self {
        let config = adapted("deploy/haproxy.cfg", exporters);
        Self::start(machine, tempfile::tempdir().unwrap(), &["haproxy", "-db", "-q", "-f"], &config)
    }

    fn start(machine: Machine, folder: tempfile::TempDir, arguments: &[&str], config: &str) -> Self {
        let path = folder.path().join("config");
        fs::write(&path, config).unwrap();
        let mut command = machine.command(&[arguments, &[path.to_str().unwrap()]].concat());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let balancer = Self { process, machine, folder };
        eventually("the balancer", || balancer.machine.curl(&[&balancer.url("/-/ready")]).contains("is ready"));
        balancer
    }

    /// A URL for OpenIM.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}:10080{path}", self.machine.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // nginx then ends its worker processes.
        signal(self.process.id(), "TERM");
        let _ = self.process.wait();
    }
}

/// A configuration with these exporters instead of the two in it.
fn adapted(file: &str, exporters: &[&str]) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let [first, second] = ["192.0.2.1", "192.0.2.2"];
    assert!(text.contains(first) && text.contains(second), "{file}");
    let mut config = String::new();
    for line in text.lines().filter(|line| !line.contains(second)) {
        let copies = if line.contains(first) { exporters } else { &exporters[..1] };
        for (number, address) in copies.iter().enumerate() {
            let line = line.replace(first, address).replace("exporter-1", &format!("exporter-{}", number + 1));
            config += &format!("{line}\n");
        }
    }
    config
}
