//! Shared by the tests: an exporter that runs as in production, and a client that sends arbitrary bytes to it.

#![allow(dead_code, reason = "each test program uses a part of this")]

mod client;
pub(crate) mod go_client;
pub(crate) mod namespace;
pub(crate) mod python;
mod samples;
pub(crate) mod terminal;
pub(crate) mod totals;

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use client::{Client, Response, post_bytes};
pub(crate) use samples::Samples;

/// The path to which OpenIM 3.4.2 and newer post group messages.
pub(crate) const GROUP_MESSAGE_PATH: &str = "/callbackAfterSendGroupMsgCommand";

/// The exact answer to every accepted callback.
pub(crate) const SUCCESS: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// How long a test waits for anything before it fails. On a busy machine, threads wait for many seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The exporter with these arguments, its state in memory, and no other environment variables of its own.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_openim-exporter")), arguments)
}

/// The same for the program of another build.
pub(crate) fn command_of<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPENIM_EXPORTER_")) {
        command.env_remove(name);
    }
    command.env("OPENIM_EXPORTER_STORAGE_PATH", "");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The callbacks in `tests/callbacks` with this suffix, by name: `*.good.json` must be counted, `*.bad.json` refused.
pub(crate) fn callbacks(suffix: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/callbacks");
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let named = files.iter().map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
    let mut found: Vec<_> = named
        .filter(|(name, _)| name.ends_with(suffix))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no callbacks *{suffix}");
    found
}

/// The smallest group message.
pub(crate) fn message(group: &str, sender: &str) -> String {
    format!(r#"{{"sendID":"{sender}","groupID":"{group}"}}"#)
}

/// A port that is free at the moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until the condition is true.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "timeout while waiting for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A running exporter. It is killed when dropped.
pub(crate) struct Exporter {
    child: Child,
    addresses: Vec<SocketAddr>,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

/// The lines that an exporter has written to its log.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

/// Copies the exporter's program. Not with `fs::copy`: a process that another thread starts meanwhile would hold the file
/// open for writing for a moment, and then it cannot be run.
pub(crate) fn copy_exporter(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_openim-exporter")).arg(to).status();
    assert!(copied.unwrap().success());
}

impl Exporter {
    /// Starts one at a free port, with these additional flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::run(command(&["--web.listen-address", "127.0.0.1:0"]).args(flags))
    }

    /// Runs a command that serves, and waits until it does. It must log at level `info`.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let reader = collect(child.stderr.take().unwrap(), Arc::clone(&log));
        let mut exporter = Self { child, addresses: Vec::new(), log, reader: Some(reader) };
        let is_listener = |argument: &&OsStr| {
            let flag = argument.to_string_lossy();
            flag.starts_with("--web.listen-address") || flag.starts_with("--web.telemetry-address")
        };
        let listeners = command.get_args().filter(is_listener).count().max(1);
        exporter
            .wait_for_log("that it serves", |lines| lines.iter().filter_map(|line| served(line)).count() >= listeners);
        exporter.addresses = exporter.log().iter().filter_map(|line| served(line)).collect();
        exporter
    }

    /// The first address at which it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses at which it serves.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    /// Gets a page over a new connection.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
    }

    /// Posts a body like OpenIM over a new connection.
    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.ask(&post_bytes(path, "connection: close\r\n", body.as_ref()))
    }

    /// Sends these bytes over a new connection, and reads one answer.
    pub(crate) fn ask(&self, bytes: &[u8]) -> Response {
        let mut client = self.connect();
        client.send(bytes).unwrap();
        client.answer()
    }

    /// The metrics.
    pub(crate) fn scrape(&self) -> Samples {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200, "{}", response.text());
        Samples::parse(&response.text())
    }

    /// The log's lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// Waits until the lines of the log meet the condition.
    pub(crate) fn wait_for_log(&self, what: &str, are_so: impl Fn(&[String]) -> bool) {
        let lines = self.log.lines.lock().unwrap();
        let (lines, waited) = self.log.grown.wait_timeout_while(lines, PATIENCE, |lines| !are_so(lines)).unwrap();
        assert!(!waited.timed_out(), "the log does not show {what}: {lines:#?}");
    }

    /// Sends a signal: `TERM`, `INT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Whether it refuses connections. Just before, it ignores them.
    pub(crate) fn refuses(&self) -> bool {
        let connected = TcpStream::connect_timeout(&self.address(), Duration::from_millis(10));
        connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Waits until it ends, and returns its exit status and log.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:#?}", self.log());
            thread::sleep(Duration::from_millis(5));
        };
        self.reader.take().unwrap().join().unwrap();
        (status, self.log())
    }
}

/// Sends a signal to a process. Not with the program `kill`, whose start may take long on a busy machine.
pub(crate) fn signal(pid: u32, name: &str) {
    let signal = match name {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "KILL" => Signal::KILL,
        "ABRT" => Signal::ABORT,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => panic!("add {name}"),
    };
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// A process that runs until it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it without output.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stderr: ChildStderr, log: Arc<Log>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log.lines.lock().unwrap().push(line);
            log.grown.notify_all();
        }
    })
}

/// The address in a line `serving`, in either format of the log.
fn served(line: &str) -> Option<SocketAddr> {
    if !line.contains("message=serving ") && !line.contains(r#""message":"serving""#) {
        return None;
    }
    let (_, after) = line.split_once("address=").or_else(|| line.split_once(r#""address":""#))?;
    after.split(['"', ' ']).next()?.parse().ok()
}

/// The value of a key in a logfmt line, without quotes.
pub(crate) fn logfmt_value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = line.split_once(&format!(" {key}="))?;
    match after.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => after.split(' ').next(),
    }
}
