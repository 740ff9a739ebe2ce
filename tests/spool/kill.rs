//! A process that appends is killed: everything that it was told is appended is there.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use openim_exporter::spool::{Limits, Spool};

use crate::store::{self, LIMITS, NOW, append, deliver, maintain_until_empty, open, segments};

/// The variable with the directory of the process that is to be killed.
const DIRECTORY: &str = "SPOOL_TEST_DIRECTORY";

const LARGE: Limits = Limits { max_bytes: 1 << 30, ..LIMITS };

/// Runs in a process of its own: four threads append until it is killed, and a number is printed for each append.
#[test]
#[ignore = "only run by the test below"]
fn appends_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let (spool, _reader) = Spool::open(&directory, LARGE).unwrap();
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    append(&spool, [number]);
                    // One system call, not split on a pipe.
                    std::io::stderr().write_all(&number.to_le_bytes()).unwrap();
                }
            });
        }
        loop {
            spool.maintain(NOW).unwrap();
            thread::sleep(Duration::from_millis(3));
        }
    });
}

/// Kills a process that appends, once it has printed this many numbers. Returns all that it printed.
fn killed(directory: &Path, after: usize) -> Vec<u32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "kill::appends_until_it_is_killed", "--nocapture"]);
    let mut child = command.env(DIRECTORY, directory).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut printed = vec![0; 4 * after];
    stderr.read_exact(&mut printed).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    stderr.read_to_end(&mut printed).unwrap();
    printed.chunks_exact(4).map(|number| u32::from_le_bytes(number.try_into().unwrap())).collect()
}

#[test]
fn everything_that_was_appended_is_there_after_a_kill() {
    for round in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let mut acknowledged = killed(directory.path(), 8000 + 1000 * round);
        let (spool, mut reader) = Spool::open(directory.path(), LARGE).unwrap();
        let mut delivered = Vec::new();
        while let Some((position, entry)) = reader.next().unwrap() {
            delivered.push(store::number(&entry.record()));
            reader.delivered(position).unwrap();
        }
        let appended = delivered.len();
        delivered.sort_unstable();
        delivered.dedup();
        assert_eq!(delivered.len(), appended, "a record is there twice");
        acknowledged.retain(|number| delivered.binary_search(number).is_err());
        assert_eq!(acknowledged, [0; 0], "of {appended}");
        // The four in progress were not answered.
        let figures = maintain_until_empty(&spool, directory.path());
        assert_eq!((figures.dropped, figures.damaged_files), ([0; 5], 0));
    }
}

/// A tear that a process leaves, in each of these places, is not counted again by the next one.
#[test]
fn what_was_torn_is_not_counted_by_the_next_process() {
    for torn in [1, 3, 4, 50, 79, 80, 81, 150] {
        for following in [0, 2] {
            let directory = store::in_memory();
            let (spool, reader) = open(directory.path());
            append(&spool, 0..4);
            // As after a kill: the list does not know the file's length.
            std::mem::forget((spool, reader));
            let path = segments(directory.path())[0].clone();
            let bytes = fs::read(&path).unwrap();
            // Each body is one byte longer than the one before.
            let at = |number: usize| (bytes.len() - 6) / 4 * number + number * number.saturating_sub(1) / 2;
            let parts = [&bytes[..at(1)], &bytes[at(1)..at(1) + torn], &bytes[at(2)..at(2 + following)]];
            fs::write(&path, parts.concat()).unwrap();
            let (spool, mut reader) = open(directory.path());
            let expected: Vec<_> = [0, 2, 3].into_iter().take(1 + following).collect();
            assert_eq!(deliver(&mut reader), expected, "{torn} {following}");
            let figures = maintain_until_empty(&spool, directory.path());
            assert_eq!((figures.dropped, figures.damaged_files), ([0; 5], 0), "{torn} {following}");
        }
    }
}
