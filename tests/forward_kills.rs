//! Killing the exporter and its target repeatedly under load, and a long outage of the target: every answered callback
//! is delivered, in order within its group.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Client, Exporter, GROUP_MESSAGE_PATH, command, eventually, free_port, post_bytes};

const KILLS: usize = 20;
/// Callbacks that are answered between two kills: design.md, section 4.
const ANSWERED_PER_KILL: u64 = 10_000;
const CONNECTIONS: usize = 8;
const GROUPS_PER_CONNECTION: usize = 5;

/// The backlog of an outage of ten minutes at 500 callbacks a second. `cargo bench --bench outage` measures how long its
/// delivery takes.
const BACKLOG: u64 = 300_000;

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// The number of the last message of each group that was sent, and the numbers of those that were answered.
type Sent = BTreeMap<String, Vec<u64>>;

/// A business server: a process that is killed when dropped.
struct Target {
    program: PathBuf,
    address: SocketAddr,
    kept: PathBuf,
    child: Option<Child>,
}

impl Target {
    fn build(directory: &Path) -> Self {
        let program = directory.join("go-target");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go-target/main.go");
        let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(source).status();
        assert!(built.expect("Go is installed").success());
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self { program, address, kept: directory.join("kept"), child: None }
    }

    fn start(&mut self) {
        let started = Command::new(&self.program).arg(self.address.to_string()).arg(&self.kept).spawn();
        self.child = Some(started.unwrap());
        eventually("the target", || TcpStream::connect(self.address).is_ok());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// The IDs of the messages that it took, in order.
    fn kept(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.kept).unwrap_or_default();
        let prefix = format!("{}_", GROUP_MESSAGE_PATH.trim_start_matches('/'));
        text.lines().map(|line| line.strip_prefix(&prefix).unwrap_or_else(|| panic!("{line}")).to_owned()).collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.kill();
    }
}

fn message(group: &str, number: u64) -> String {
    let content = "c".repeat(500);
    format!(r#"{{"sendID":"u","groupID":"{group}","serverMsgID":"{group}-{number}","content":"{content}"}}"#)
}

/// Sends without pause until the end, and never anything twice.
fn load(address: SocketAddr, connection: usize, done: &AtomicBool, answered: &AtomicU64) -> Sent {
    let groups: Vec<_> = (0..GROUPS_PER_CONNECTION).map(|group| format!("g{connection}x{group}")).collect();
    let mut messages = (1..).zip(groups.iter().cycle());
    let mut sent = Sent::new();
    while !done.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(address) else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        while let Some((number, group)) = messages.next().filter(|_| !done.load(Ordering::Relaxed)) {
            let request = post_bytes(GROUP_MESSAGE_PATH, "", message(group, number).as_bytes());
            let is_answered =
                client.send(request).is_ok() && client.try_answer().is_ok_and(|answer| answer.status == 200);
            if !is_answered {
                break;
            }
            sent.entry(group.clone()).or_default().push(number);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    sent
}

/// Ends the load when dropped, also after a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until this many callbacks have been answered.
fn wait_for_answers(answered: &AtomicU64, goal: u64) {
    let deadline = Instant::now() + PATIENCE;
    while answered.load(Ordering::Relaxed) < goal {
        assert!(Instant::now() < deadline, "{} of {goal} answers", answered.load(Ordering::Relaxed));
        thread::sleep(Duration::from_millis(20));
    }
}

fn start(address: SocketAddr, directory: &str, target: &Target) -> Exporter {
    let (address, url) = (address.to_string(), target.url());
    Exporter::run(&mut command(&["--web.listen-address", &address, "--storage.path", directory, "--forward.url", &url]))
}

fn pending(exporter: &Exporter) -> f64 {
    exporter.scrape().value(r#"openim_exporter_forward_pending_callbacks{target="default"}"#)
}

/// Waits until the target has taken everything. Returns how long that took.
fn drained(exporter: &Exporter, patience: Duration) -> Duration {
    let (begin, mut pending_at) = (Instant::now(), Instant::now());
    // The gauge is set once a second.
    while pending_at.elapsed() < Duration::from_secs(3) {
        if pending(exporter) > 0.0 {
            pending_at = Instant::now();
        }
        assert!(begin.elapsed() < patience, "{} callbacks are pending: {:#?}", pending(exporter), exporter.log());
        thread::sleep(Duration::from_millis(100));
    }
    pending_at.duration_since(begin)
}

/// Checks that every answered message was delivered, and in order. Returns how many were delivered again.
fn assert_delivered(kept: &[String], sent: &Sent) -> usize {
    let mut seen = HashSet::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut repeated = 0;
    for id in kept {
        if !seen.insert(id.as_str()) {
            repeated += 1;
            continue;
        }
        let (group, number) = id.rsplit_once('-').unwrap();
        let number = number.parse().unwrap();
        let before = last.insert(group, number).unwrap_or_default();
        assert!(before < number, "group {group}: {number} came after {before}");
    }
    for (group, numbers) in sent {
        let missing: Vec<_> =
            numbers.iter().filter(|number| !seen.contains(format!("{group}-{number}").as_str())).collect();
        assert!(
            missing.is_empty(),
            "group {group}: {} of {} are missing: {:?}",
            missing.len(),
            numbers.len(),
            missing.iter().take(5)
        );
    }
    repeated
}

fn assert_nothing_dropped(exporter: &Exporter) {
    assert_eq!(exporter.scrape().sum("openim_exporter_forward_dropped_total"), 0.0, "{:#?}", exporter.log());
}

#[test]
#[ignore = "needs Go"]
fn twenty_kills_of_exporter_and_target_lose_nothing_that_was_answered_and_keep_the_order() {
    let directory = tempfile::tempdir().unwrap();
    let storage = directory.path().join("storage");
    let storage = storage.to_str().unwrap();
    let mut target = Target::build(directory.path());
    target.start();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let exporter = start(address, storage, &target);
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let (exporter, sent) = thread::scope(|scope| {
        let (done, answered, target, mut exporter) = (&done, &answered, &mut target, exporter);
        let ended = Ended(done);
        let loads: Vec<_> =
            (0..CONNECTIONS).map(|number| scope.spawn(move || load(address, number, done, answered))).collect();
        for kill in 0..KILLS {
            let goal = answered.load(Ordering::Relaxed) + ANSWERED_PER_KILL;
            wait_for_answers(answered, goal);
            if kill % 2 == 0 {
                exporter.signal("KILL");
                assert!(!exporter.wait().0.success());
                exporter = start(address, storage, target);
            } else {
                target.kill();
                thread::sleep(Duration::from_millis(200));
                target.start();
            }
        }
        drop(ended);
        (exporter, loads.into_iter().flat_map(|load| load.join().unwrap()).collect::<Sent>())
    });
    let waited = drained(&exporter, PATIENCE);
    let repeated = assert_delivered(&target.kept(), &sent);
    let answered = answered.load(Ordering::Relaxed);
    println!("{answered} answered, {repeated} delivered again, the rest after {waited:?}");
    assert_nothing_dropped(&exporter);
}

#[test]
#[ignore = "needs Go"]
fn the_backlog_of_ten_minutes_is_delivered_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let storage = directory.path().join("storage");
    let mut target = Target::build(directory.path());
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let exporter = start(address, storage.to_str().unwrap(), &target);
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let sent = thread::scope(|scope| {
        let (done, answered) = (&done, &answered);
        let ended = Ended(done);
        let loads: Vec<_> =
            (0..CONNECTIONS).map(|number| scope.spawn(move || load(address, number, done, answered))).collect();
        wait_for_answers(answered, BACKLOG);
        drop(ended);
        loads.into_iter().flat_map(|load| load.join().unwrap()).collect::<Sent>()
    });
    eventually("the backlog", || pending(&exporter) >= BACKLOG as f64);
    target.start();
    println!("delivered within {:?}", drained(&exporter, PATIENCE));
    assert_eq!(assert_delivered(&target.kept(), &sent), 0);
    assert_nothing_dropped(&exporter);
}
