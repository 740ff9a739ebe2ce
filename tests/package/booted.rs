//! The Debian package in a booted Debian 12: systemd starts, restarts and confines the exporter.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::root::Root;
use super::support::{Samples, eventually, message};
use super::{PACKAGES, file, must};

const UNITS: [&str; 2] = ["openim-exporter.service", "openim-exporter.socket"];

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

    /// Sends a callback, which must be answered, however long the exporter needs to start.
    fn send(&self) {
        let body = message("g", "u");
        let url = "http://127.0.0.1:10006/callbackAfterSendGroupMsgCommand";
        let answer = self.curl(&["--max-time", "60", "-H", "content-type: application/json", "-d", &body, url]);
        assert!(answer.contains(r#""errCode":0"#), "{answer:?}");
    }

    /// Runs commands while callbacks arrive one after the other. Returns their number.
    fn run_under_load(&self, script: &str) -> f64 {
        let has_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0;
                while !has_ended.load(Ordering::Relaxed) {
                    self.send();
                    sent += 1;
                }
                f64::from(sent)
            });
            let ran = self.command(script).output().unwrap();
            has_ended.store(true, Ordering::Relaxed);
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            sender.join().unwrap()
        })
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

/// A system on which the archive's units run and have counted a message. It has the package in /opt.
fn with_units_of_the_archive(root: &Root) -> Booted {
    for unit in UNITS {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/").to_owned() + unit;
        fs::copy(source, root.path("etc/systemd/system").join(unit)).unwrap();
    }
    must(Command::new("cp").arg(env!("CARGO_BIN_EXE_openim-exporter")).arg(root.path("usr/local/bin")));
    fs::copy(file(&PACKAGES, ".deb"), root.path("opt/package.deb")).unwrap();
    let system = Booted::new(root);
    system.run("systemctl enable --now openim-exporter.socket openim-exporter.service");
    system.send();
    assert_eq!(system.messages(), 1.0);
    assert_eq!(system.property("NRestarts", "service"), "0");
    // adduser refuses a name that belongs to a user of DynamicUser=yes.
    let user: u32 = system.run("id --user openim-exporter").parse().unwrap();
    assert!((61_184..=65_519).contains(&user), "{user}");
    system
}

#[test]
#[ignore = "needs debootstrap, systemd-nspawn, cargo-deb and root"]
fn systemd_runs_the_package_after_units_installed_by_hand_and_after_an_upgrade() {
    let root = Root::with_systemd();
    let system = with_units_of_the_archive(&root);
    let started = |unit| system.property("ActiveEnterTimestampMonotonic", unit);
    let opened = started("socket");
    // As docs/install.md says.
    system.run("cd /etc/systemd/system && rm openim-exporter.service openim-exporter.socket");
    let sent = 1.0 + system.run_under_load("dpkg --install /opt/package.deb");
    system.run("rm /usr/local/bin/openim-exporter");
    assert_eq!(system.messages(), sent);
    assert_eq!(started("socket"), opened, "the socket stays open");
    let state = fs::symlink_metadata(root.path("var/lib/openim-exporter")).unwrap();
    let user: u32 = system.run("id --user openim-exporter").parse().unwrap();
    assert_eq!((state.is_dir(), state.uid(), state.mode() & 0o777), (true, user, 0o700));
    assert!(root.read("etc/passwd").contains(&format!("\nopenim-exporter:x:{user}:")));
    let first = started("service");
    system.run("systemctl is-enabled openim-exporter.service openim-exporter.socket");
    system.run("systemctl reload openim-exporter.service");

    let sent = sent + system.run_under_load("dpkg --install /opt/package.deb");
    assert_eq!(system.messages(), sent);
    assert_ne!(started("service"), first, "the upgrade restarts the exporter");
    assert_eq!(started("socket"), opened, "the socket stays open");
    assert_eq!(system.property("NRestarts", "service"), "0");

    system.run("systemctl disable --now openim-exporter.service openim-exporter.socket");
    system.run("dpkg --install /opt/package.deb");
    assert_eq!(system.property("ActiveState", "service"), "inactive", "it stays disabled");
    system.run("dpkg --purge openim-exporter");
    assert_eq!(system.run("systemctl list-units --all --plain --no-legend 'openim-exporter*'"), "");
    assert!(!root.path("var/lib/openim-exporter").exists() && !root.path("var/lib/private/openim-exporter").exists());
}

#[test]
#[ignore = "needs debootstrap, systemd-nspawn, cargo-deb and root"]
fn the_package_stops_units_whose_user_it_cannot_hide_and_a_purge_empties_a_volume() {
    let root = Root::with_systemd();
    let system = with_units_of_the_archive(&root);
    // As with nscd, which does not know the variable. The units stay.
    system.run("dpkg --unpack /opt/package.deb");
    system.run("sed -i s/SYSTEMD_NSS_DYNAMIC_BYPASS/UNKNOWN/ /var/lib/dpkg/info/openim-exporter.postinst");
    let printed = system.run("dpkg --configure openim-exporter 2>&1");
    for unit in UNITS {
        assert!(printed.contains(&format!("/etc/systemd/system/{unit} takes precedence")), "{printed}");
    }
    assert_eq!(system.messages(), 1.0);
    system.send();
    assert_eq!(system.messages(), 2.0);
    assert_eq!(system.property("DynamicUser", "service"), "yes");

    // The state's directory is a link, because of DynamicUser.
    system.run("systemctl stop openim-exporter.socket openim-exporter.service");
    let volume = "/var/lib/private/openim-exporter";
    system.run(&format!("mount -t tmpfs none {volume}; mkdir {volume}/forward; touch {volume}/forward/1 {volume}/.2"));
    system.run("dpkg --purge openim-exporter");
    assert_eq!(system.run(&format!("mountpoint -q {volume}; ls -A {volume}; ! dpkg --status openim-exporter")), "");
    assert!(!root.read("etc/passwd").contains("openim-exporter"));
    assert!(!root.path("var/lib/openim-exporter").is_symlink() && !root.path("etc/openim-exporter").exists());
}
