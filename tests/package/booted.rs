//! The Debian package in a booted Debian 12: systemd starts, restarts and confines the exporter.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use super::root::Root;
use super::support::{Samples, eventually, message};
use super::{PACKAGES, file, must};

/// A system with a network of its own. It ends when dropped.
struct Booted {
    manager: Child,
    /// The first process of the system.
    first: String,
}

impl Booted {
    fn new(root: &Root) -> Self {
        let mut manager = Command::new("systemd-nspawn");
        manager.args(["--register=no", "--keep-unit", "--private-network", "--boot", "--directory"]);
        manager.arg(root.path("/")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut booted = Self { manager: manager.spawn().unwrap(), first: String::new() };
        let children = format!("/proc/{0}/task/{0}/children", booted.manager.id());
        eventually("systemd", || {
            let running = fs::read_to_string(&children).unwrap_or_default();
            // Another child prepares it, and ends.
            booted.first = running.split_whitespace().last().unwrap_or_default().to_owned();
            let asked = booted.command("systemctl is-system-running").output().unwrap();
            matches!(asked.stdout.trim_ascii(), b"running" | b"degraded")
        });
        booted
    }

    /// Commands of a shell inside.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--uts", "--ipc", "--net", "--pid", "sh", "-ec", script]);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str) -> String {
        String::from_utf8(must(&mut self.command(script)).stdout).unwrap().trim().to_owned()
    }

    /// What the host's curl prints on this network; nothing if it fails.
    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--net", "curl", "-sg", "--max-time", "5"]).args(arguments);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn messages(&self) -> f64 {
        let mut text = String::new();
        eventually("the metrics", || {
            text = self.curl(&["http://127.0.0.1:10006/metrics"]);
            !text.is_empty()
        });
        Samples::parse(&text).sum("openim_group_messages_total")
    }

    fn property(&self, name: &str, unit: &str) -> String {
        self.run(&format!("systemctl show --value --property={name} openim-exporter.{unit}"))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Its end is the end of all processes of the system.
        let _ = Command::new("kill").args(["-KILL", &self.first]).status();
        let _ = self.manager.wait();
    }
}

#[test]
#[ignore = "needs debootstrap, systemd-nspawn, cargo-deb and root"]
fn systemd_runs_the_package_after_units_installed_by_hand_and_after_an_upgrade() {
    let root = Root::with_systemd();
    let units = ["openim-exporter.service", "openim-exporter.socket"];
    for unit in units {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/").to_owned() + unit;
        fs::copy(source, root.path("etc/systemd/system").join(unit)).unwrap();
    }
    must(Command::new("cp").arg(env!("CARGO_BIN_EXE_openim-exporter")).arg(root.path("usr/local/bin")));
    fs::copy(file(&PACKAGES, ".deb"), root.path("opt/package.deb")).unwrap();
    let system = Booted::new(&root);
    system.run("systemctl enable --now openim-exporter.socket openim-exporter.service");
    let json = ["-H", "content-type: application/json", "-d", &message("g", "u")];
    system.curl(&[&json[..], &["http://127.0.0.1:10006/callbackAfterSendGroupMsgCommand"]].concat());
    assert_eq!(system.messages(), 1.0);
    assert_eq!(system.property("NRestarts", "service"), "0");

    // As docs/install.md says.
    system.run("cd /etc/systemd/system && rm openim-exporter.service openim-exporter.socket");
    system.run("dpkg --install /opt/package.deb");
    assert_eq!(system.messages(), 1.0);
    let state = fs::symlink_metadata(root.path("var/lib/openim-exporter")).unwrap();
    let user: u32 = system.run("id --user openim-exporter").parse().unwrap();
    assert_eq!((state.is_dir(), state.uid(), state.mode() & 0o777), (true, user, 0o700));
    let started = |unit| system.property("ActiveEnterTimestampMonotonic", unit);
    let first = [started("service"), started("socket")];
    system.run("systemctl is-enabled openim-exporter.service openim-exporter.socket");
    system.run("systemctl reload openim-exporter.service");

    system.run("dpkg --install /opt/package.deb");
    assert_eq!(system.messages(), 1.0);
    assert_ne!(started("service"), first[0], "the upgrade restarts the exporter");
    assert_eq!(started("socket"), first[1], "the socket stays open");
    assert_eq!(system.property("NRestarts", "service"), "0");

    system.run("systemctl disable --now openim-exporter.service openim-exporter.socket");
    system.run("dpkg --install /opt/package.deb");
    assert_eq!(system.property("ActiveState", "service"), "inactive", "it stays disabled");
    system.run("dpkg --purge openim-exporter");
    assert_eq!(system.run("systemctl list-units --all --plain --no-legend 'openim-exporter*'"), "");
    assert!(!root.path("var/lib/openim-exporter").exists() && !root.path("var/lib/private/openim-exporter").exists());
}
