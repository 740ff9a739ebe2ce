//! Real Redis servers for the tests, as packaged by Debian.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs::File;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis server on the loopback interface. It stores nothing, and is killed when dropped.
pub(crate) struct Redis {
    process: Child,
    pub(crate) port: u16,
    /// Arguments of `redis-cli`, for the password and TLS.
    pub(crate) cli: Vec<String>,
    pub(crate) directory: TempDir,
}

impl Redis {
    /// A server with these arguments in addition to its own. `--port` is a free one, unless the arguments have it.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(free_port(), arguments)
    }

    pub(crate) fn start_at(port: u16, arguments: &[&str]) -> Self {
        let plain = ["--port".to_owned(), port.to_string()];
        Self::run(port, &plain, arguments)
    }

    /// The same with TLS instead of plain connections.
    pub(crate) fn start_with_tls(arguments: &[&str]) -> Self {
        let port = free_port();
        Self::run(port, &["--port".to_owned(), "0".to_owned(), "--tls-port".to_owned(), port.to_string()], arguments)
    }

    fn run(port: u16, ports: &[String], arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        // A Sentinel needs a file that it can write to.
        let configuration = directory.path().join("redis.conf");
        File::create(&configuration).unwrap();
        let process = Command::new("redis-server")
            .arg(&configuration)
            .args(arguments.iter().filter(|argument| **argument == "--sentinel"))
            .args(ports)
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--repl-diskless-sync-delay",
                "0",
                "--dir",
            ])
            .arg(directory.path())
            .args(arguments.iter().filter(|argument| **argument != "--sentinel"))
            .stdout(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("redis-server must be installed");
        let redis = Self { process, port, cli: Vec::new(), directory };
        let give_up = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(redis.directory.path().join("log"));
            assert!(Instant::now() < give_up, "redis-server does not listen: {:?}", log());
            sleep(Duration::from_millis(10));
        }
        redis
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` prints for a command.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(&self.cli)
            .args(arguments)
            .output()
            .expect("redis-cli must be installed");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim_end().to_owned()
    }

    /// Sends a signal: STOP freezes it, and CONT ends that.
    pub(crate) fn signal(&self, name: &str) {
        let signal = match name {
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            _ => panic!("add {name}"),
        };
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until the condition is true.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "timeout while waiting for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// A port that is free at the moment, and whose number plus 10,000 is valid, for a Cluster's bus. No system assigns it
/// to a client: clients get higher ports. So two tests at the same time get different ports as long as their processes
/// differ.
pub(crate) fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 200).unwrap() * 50;
    loop {
        let port = 11_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
