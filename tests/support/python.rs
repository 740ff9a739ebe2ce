//! Debian's Python and its libraries, as readers of scrapes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;

/// Runs a script of the tests with a scrape as its input, and reads the JSON that it prints. Uses `/usr/bin/python3`,
/// because only Debian's own Python has Debian's libraries.
pub(crate) fn read_with<T: DeserializeOwned>(script: &str, argument: &str, scrape: &[u8]) -> T {
    let mut process = Command::new("/usr/bin/python3")
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 must be installed");
    // The pipe is dropped, which ends the input.
    process.stdin.take().unwrap().write_all(scrape).unwrap();
    let read = process.wait_with_output().unwrap();
    assert!(read.status.success(), "Python's parser refuses the scrape: {}", read.status);
    serde_json::from_slice(&read.stdout).unwrap()
}
