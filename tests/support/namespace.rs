//! Network namespaces.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use super::eventually;

/// A network namespace. It ends when dropped.
pub(crate) struct Namespace(Child);

impl Namespace {
    /// An empty one, in which these commands are then run.
    pub(crate) fn new(commands: &str) -> Self {
        let holder = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
        let namespace = Self(holder);
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let its = format!("/proc/{}/ns/net", namespace.0.id());
        eventually("the namespace", || fs::read_link(&its).is_ok_and(|found| found != own));
        namespace.must_run(commands);
        namespace
    }

    /// Runs commands of a shell, which must succeed. Returns what they print.
    pub(crate) fn must_run(&self, commands: &str) -> String {
        let ran = self.run(&["bash", "-ec", commands]);
        assert!(ran.status.success(), "{commands}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// The ID of a process in it.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// A command inside.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.0.id().to_string()]).args(arguments);
        command.stdin(Stdio::null()).env("OPENIM_EXPORTER_STORAGE_PATH", "");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The exporter with these flags.
    pub(crate) fn exporter(&self, flags: &[&str]) -> Command {
        self.command(&[&[env!("CARGO_BIN_EXE_openim-exporter")], flags].concat())
    }

    /// What curl prints; nothing if it fails.
    pub(crate) fn curl(&self, arguments: &[&str]) -> String {
        let ran = self.run(&[&["curl", "-sg", "--max-time", "5"], arguments].concat());
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
