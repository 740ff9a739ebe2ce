//! Limits of the system: an error says what could not be obtained, and a process that has started stays up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{mem, thread};

use support::{Client, copy_exporter, eventually, free_port};

/// Runs the exporter with this limit of bash's `ulimit`, as this user if there is one. If it serves, sends scrapes at
/// the same time. Returns how many were answered with 200, and the log.
fn run_limited(limit: &str, user: Option<u32>) -> (usize, String) {
    let directory = tempfile::tempdir().unwrap();
    // Another user may not reach the build directory.
    let program = directory.path().join("openim-exporter");
    copy_exporter(&program);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let become_user =
        user.map_or(String::new(), |user| format!("setpriv --reuid {user} --regid {user} --clear-groups"));
    let script = format!(
        "exec {become_user} bash -c 'ulimit {limit}; exec {} --web.listen-address {address}'",
        program.display()
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).env("OPENIM_EXPORTER_STORAGE_PATH", "").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let (mut stderr, read) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
    let reader = thread::spawn(move || {
        let mut line = String::new();
        while stderr.read_line(&mut line).unwrap() > 0 {
            read.lock().unwrap().push_str(&mem::take(&mut line));
        }
    });
    let serves = || log.lock().unwrap().contains("message=serving ");
    eventually("that it serves, or its end", || serves() || child.try_wait().unwrap().is_some());
    // Its last threads start then.
    thread::sleep(Duration::from_millis(500));
    let scrapes: Vec<_> = (0..8)
        .map(|_| {
            let address = address.parse().unwrap();
            thread::spawn(move || {
                let mut client = Client::connect(address)?;
                client.send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")?;
                client.try_answer()
            })
        })
        .collect();
    let answered = scrapes.into_iter().filter_map(|scrape| scrape.join().unwrap().ok());
    let answered = answered.filter(|answer| answer.status == 200).count();
    // Fails if it has ended already.
    let _ = child.kill();
    child.wait().unwrap();
    reader.join().unwrap();
    (answered, Arc::into_inner(log).unwrap().into_inner().unwrap())
}

fn check((answered, log): (usize, String), advice: &str) -> bool {
    assert!(!log.contains("panic"), "{log}");
    let failure = log.lines().find(|line| line.contains("level=error") || line.starts_with("openim-exporter: "));
    match failure {
        Some(failure) => assert!(failure.contains(advice) && answered == 0, "{failure}"),
        None => assert_eq!(answered, 8, "{log}"),
    }
    failure.is_none()
}

#[test]
fn a_limit_of_the_address_space_that_may_be_too_low_causes_a_warning() {
    for (limit, is_warned) in [("-v 1500000", true), ("-v 4000000", false)] {
        let (answered, log) = run_limited(limit, None);
        assert_eq!(answered, 8, "{log}");
        assert_eq!(log.contains("(ulimit -v, LimitAS) may be too low"), is_warned, "{log}");
    }
}

#[test]
fn with_too_few_open_files_it_does_not_start_and_says_so() {
    let served = [8, 16, 24, 1024].map(|files| check(run_limited(&format!("-n {files}"), None), "open files"));
    assert_eq!((served[0], served[3]), (false, true));
}

#[test]
#[ignore = "needs root"]
fn with_too_few_threads_it_does_not_start_and_otherwise_answers_scrapes() {
    // Two threads for each processor, and a few more.
    let enough = 2 * thread::available_parallelism().unwrap().get() + 8;
    // A user ID of no other process.
    let served = |threads| check(run_limited(&format!("-u {threads}"), Some(54_321)), "ulimit -u");
    let served: Vec<_> = (2..=enough).map(served).collect();
    assert!(!served[0] && *served.last().unwrap(), "{served:?}");
}
