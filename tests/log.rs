//! The log: nothing waits for its reader, and lines that cannot be written are counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small")]

mod support;

use std::fs::{OpenOptions, Permissions};
use std::io::{BufRead, BufReader, PipeReader, Write, pipe};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use support::{Client, GROUP_MESSAGE_PATH, Response, Samples, command_of, eventually, free_port, logfmt_value};

/// Lines that do not fit into a pipe and the queue of 1 MiB: each has more than 150 bytes.
const MANY: usize = 12_000;

/// Longest time from the signal to the exit.
const LONGEST_END: Duration = Duration::from_secs(4);

/// An exporter that logs to this file or pipe.
struct Logging {
    child: Child,
    client: Client,
}

impl Logging {
    fn start(flags: &[&str], stderr: impl Into<Stdio>) -> Self {
        Self::run(Path::new(env!("CARGO_BIN_EXE_openim-exporter")), flags, stderr)
    }

    fn run(program: &Path, flags: &[&str], stderr: impl Into<Stdio>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = command_of(program, &["--web.listen-address", &address.to_string(), "--log.level", "debug"]);
        let child = command.args(flags).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut client = None;
        eventually("a connection", || {
            client = Client::connect(address).ok();
            client.is_some()
        });
        Self { child, client: client.unwrap() }
    }

    /// Sends this many callbacks that are refused, each of which logs a line, and then one that is accepted.
    fn refuse(&mut self, count: usize) {
        for _ in 0..count {
            self.client.post(GROUP_MESSAGE_PATH, "{").refusal(400);
        }
        assert_eq!(self.client.post(GROUP_MESSAGE_PATH, support::message("g", "u")).status, 200);
        assert_eq!(self.get("/-/healthy").status, 200);
    }

    fn get(&mut self, path: &str) -> Response {
        self.client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).unwrap();
        self.client.answer()
    }

    /// The metric.
    fn dropped_lines(&mut self) -> usize {
        let samples = Samples::parse(&self.get("/metrics").text());
        samples.value("openim_exporter_log_lines_dropped_total") as usize
    }

    /// Ends it, and returns its exit status and how long it took.
    fn end(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)
            .unwrap();
        let mut status = None;
        eventually("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap(), begin.elapsed())
    }

    /// The same for one that must end regularly and in time.
    fn end_in_time(&mut self) {
        let (status, took) = self.end();
        assert!(status.success() && took < LONGEST_END, "{status} after {took:?}");
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a log, on a thread of its own.
struct Reading {
    lines: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<()>,
}

impl Reading {
    fn start(log: PipeReader) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (mut log, read) = (BufReader::new(log), Arc::clone(&lines));
        let thread = spawn(move || {
            let mut line = String::new();
            while log.read_line(&mut line).unwrap() > 0 {
                let whole = line.strip_suffix('\n').expect("the last line is cut off");
                read.lock().unwrap().push(whole.to_owned());
                line.clear();
            }
        });
        Self { lines, thread }
    }

    /// How many lines have this text so far.
    fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// All lines, to the end.
    fn end(self) -> Vec<String> {
        self.thread.join().unwrap();
        Arc::into_inner(self.lines).unwrap().into_inner().unwrap()
    }
}

/// In the line of a callback that is refused.
const REFUSED: &str = "malformed_json";

#[test]
fn answers_and_the_end_do_not_wait_for_a_stuck_reader() {
    let (reader, writer) = pipe().unwrap();
    let mut exporter = Logging::start(&[], writer);
    exporter.refuse(MANY);
    assert!(exporter.dropped_lines() > 0);
    exporter.end_in_time();
    drop(reader);
}

#[test]
fn every_line_is_written_or_counted_and_the_gap_is_reported() {
    let (reader, writer) = pipe().unwrap();
    let mut exporter = Logging::start(&[], writer);
    exporter.refuse(MANY);
    let reading = Reading::start(reader);
    // It is queued behind all other lines, so then the queue is empty.
    eventually("the report", || reading.count("log lines were dropped") > 0);
    let (dropped, before) = (exporter.dropped_lines(), reading.count(REFUSED));
    exporter.refuse(5);
    eventually("the last lines", || reading.count(REFUSED) >= before + 5);
    exporter.end_in_time();
    let lines = reading.end();
    let refused = lines.iter().filter(|line| line.contains("level=debug") && line.contains("malformed_json")).count();
    let reports = lines.iter().filter(|line| line.contains("log lines were dropped"));
    let reported: usize = reports.map(|line| logfmt_value(line, "dropped").unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(reported, dropped, "{:#?}", lines.last());
    assert!(dropped > 0 && refused + dropped >= MANY + 5, "{refused} {dropped}");
    assert!(lines.last().is_some_and(|line| line.contains("message=stopped")), "{:?}", lines.last());
}

#[test]
fn a_reader_that_is_gone_does_no_harm() {
    let (reader, writer) = pipe().unwrap();
    let mut exporter = Logging::start(&[], writer);
    drop(reader);
    exporter.refuse(20);
    eventually("the dropped lines", || exporter.dropped_lines() >= 20);
    exporter.end_in_time();
}

#[test]
fn a_full_disk_does_no_harm() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut exporter = Logging::start(&[], full);
    exporter.refuse(20);
    eventually("the dropped lines", || exporter.dropped_lines() >= 20);
    exporter.end_in_time();
}

#[test]
fn a_closed_standard_error_does_no_harm() {
    let mut shell = tempfile::NamedTempFile::new().unwrap();
    let program = env!("CARGO_BIN_EXE_openim-exporter");
    write!(shell, "#!/bin/sh\nexec {program} \"$@\" 2>&-\n").unwrap();
    let script = shell.into_temp_path();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let mut exporter = Logging::run(&script, &[], Stdio::null());
    exporter.refuse(20);
    exporter.end_in_time();
}

#[test]
fn a_non_blocking_standard_error_gets_whole_lines() {
    let (reader, writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK | OFlags::WRONLY).unwrap();
    let mut exporter = Logging::start(&["--log.format", "json"], writer);
    // More than a pipe, and less than the queue.
    exporter.refuse(2000);
    let reading = Reading::start(reader);
    eventually("all lines", || reading.count(REFUSED) >= 2000);
    // The end also writes what is still in the queue.
    exporter.refuse(20);
    exporter.end_in_time();
    let lines = reading.end();
    let objects: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        objects.iter().filter(|line| line["reason"] == "malformed_json" && line["level"] == "debug").count(),
        2020
    );
}
