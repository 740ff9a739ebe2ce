//! `openim-exporter state backup` and `state verify`: with an exporter under load, and with what they must refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod load;
mod refused;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use openim_exporter::arena::Boot;
use openim_exporter::domain::{Chat, UnixMillis};
use openim_exporter::stats::{Source, StateCopy, Stats};
use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use support::terminal::Terminal;
use support::{Exporter, GROUP_MESSAGE_PATH, command, message};

/// So few that the table is full.
const FLAGS: [&str; 4] = ["--groups.max-tracked", "40", "--senders.max-tracked", "1000"];

const BACKUPS: usize = 100;

fn state(arguments: &[&str]) -> Output {
    command(&["state"]).args(arguments).output().unwrap()
}

/// What a command printed to standard output.
fn printed(arguments: &[&str]) -> String {
    let output = state(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn exporter(storage: &Path) -> Exporter {
    Exporter::start(&[&FLAGS[..], &["--storage.path", storage.to_str().unwrap()]].concat())
}

fn read(backup: &Path) -> StateCopy {
    Stats::copy_of(backup, Boot::Unknown, UnixMillis(0)).unwrap()
}

/// The totals of everything that counts messages.
fn totals(stats: &Stats) -> [u64; 4] {
    let folded = [stats.folded_for_capacity(), stats.folded_retired(), stats.folded_dismissed()];
    let by_group = stats.groups().map(|group| group.messages).chain(folded).sum();
    [stats.messages(), by_group, stats.by_status().iter().sum(), stats.content_bytes(Chat::Group).count]
}

fn files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn each_backup_under_load_is_valid_and_its_counts_are_between_two_scrapes() {
    let (storage, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let exporter = exporter(storage.path());
    let (path, backup) = (storage.path().to_str().unwrap(), backups.path().join("backup"));
    let output = backup.to_str().unwrap();
    let (mut before, mut total, mut compared, mut while_counting) = (exporter.scrape(), 0, 0, 0);
    load::while_sending(exporter.address(), || {
        for round in 0..BACKUPS {
            let line = printed(&["backup", "--storage.path", path, "--output", output, "--force"]);
            assert!(line.contains("the exporter was running, so its counters start from 0"), "{line}");
            let after = exporter.scrape();
            let copy = read(&backup);
            let [messages, others @ ..] = totals(&copy.stats);
            assert_eq!((copy.source, others), (Source::Copied, [messages; 3]), "{round}");
            let sums = [&before, &after].map(|samples| samples.sum("openim_group_messages_total"));
            assert!((sums[0]..=sums[1]).contains(&(messages as f64)), "{round}: {sums:?} {messages}");
            assert!(total <= messages, "{round}: {total} and then {messages}");
            while_counting += usize::from(sums[0] < sums[1]);
            for group in copy.stats.groups() {
                let series = format!("openim_group_messages_by_group_total{{group_id=\"{}\"}}", group.name.as_str());
                // Not a group that came or went meanwhile.
                if let (Some(least), Some(most)) = (before.0.get(&series), after.0.get(&series))
                    && least <= most
                {
                    assert!((*least..=*most).contains(&(group.messages as f64)), "{series}: {least} {group:?} {most}");
                    compared += 1;
                }
            }
            (before, total) = (after, messages);
        }
    });
    assert!(while_counting > BACKUPS / 2 && compared > BACKUPS * 10, "{while_counting} {compared}");
    let folded = |reason| before.value(&format!("openim_group_messages_folded_total{{reason=\"{reason}\"}}"));
    let folded = ["capacity", "dismissed"].map(folded);
    assert!(folded.iter().all(|messages| *messages > 0.0), "{folded:?}");
    assert_eq!(files(backups.path()), ["backup"]);
    let metadata = fs::metadata(&backup).unwrap();
    assert_eq!(
        (metadata.mode() & 0o777, metadata.len()),
        (0o600, fs::metadata(storage.path().join("state")).unwrap().len())
    );
    let found = printed(&["verify", output]);
    assert!(found.contains("the state is valid") && found.contains("a backup of a state that was in use"), "{found}");
    let found = printed(&["verify", "--storage.path", path]);
    assert!(found.contains("in use by a running exporter"), "{found}");
}

#[test]
fn a_backup_of_a_stopped_exporter_continues_and_one_of_a_running_exporter_does_not() {
    let (storage, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = storage.path().to_str().unwrap();
    let running = exporter(storage.path());
    running.post(GROUP_MESSAGE_PATH, message("g", "u"));
    let write = |name: &str| {
        let to = backups.path().join(name);
        printed(&["backup", "--storage.path", path, "--output", to.to_str().unwrap()]);
        to
    };
    let of_running = write("running");
    running.signal("TERM");
    running.wait();
    let of_closed = write("closed");
    assert_eq!(fs::read(&of_closed).unwrap(), fs::read(storage.path().join("state")).unwrap());
    let found = printed(&["verify", of_closed.to_str().unwrap()]);
    assert!(found.contains("closed, and its checksum is right") && found.contains("1 in groups"), "{found}");
    for (backup, outcome, messages) in [(of_running, "counters_reset", 0.0), (of_closed, "restored", 1.0)] {
        let directory = tempfile::tempdir().unwrap();
        fs::copy(backup, directory.path().join("state")).unwrap();
        let restored = exporter(directory.path());
        let samples = restored.scrape();
        assert_eq!(samples.value(&format!("openim_exporter_state_start{{outcome=\"{outcome}\"}}")), 1.0);
        assert_eq!(samples.sum("openim_group_messages_total"), messages, "{outcome}");
        assert_eq!(samples.value("openim_exporter_groups_tracked"), 1.0, "{outcome}");
    }
}

#[test]
fn standard_output_gets_the_same_bytes_and_standard_error_the_summary() {
    let (storage, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let running = exporter(storage.path());
    running.post(GROUP_MESSAGE_PATH, message("g", "u"));
    let path = storage.path().to_str().unwrap();
    let output = state(&["backup", "--storage.path", path, "--output", "-"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.starts_with("backup of ") && said.contains("messages: 1 in groups"),
        "{said}"
    );
    let backup = backups.path().join("piped");
    fs::write(&backup, output.stdout).unwrap();
    assert_eq!((read(&backup).source, totals(&read(&backup).stats)), (Source::Copied, [1; 4]));
}

#[test]
#[ignore = "needs script"]
fn a_terminal_gets_no_backup() {
    let storage = tempfile::tempdir().unwrap();
    let _running = exporter(storage.path());
    let arguments = ["state", "backup", "--storage.path", storage.path().to_str().unwrap(), "--output", "-"];
    let terminal = Terminal::run(&command(&arguments));
    terminal.wait_for(&["openim-exporter: --output -: standard output is a terminal; redirect it"]);
    assert_eq!(terminal.end(), 1);
}

#[test]
fn a_reader_that_ends_early_is_an_error() {
    let storage = tempfile::tempdir().unwrap();
    let _running = exporter(storage.path());
    let arguments = ["state", "backup", "--storage.path", storage.path().to_str().unwrap(), "--output", "-"];
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && said.contains("--output -: the backup cannot be written"), "{said}");
}

/// A state that takes a while to copy.
#[test]
fn a_kill_during_a_backup_leaves_no_file_with_its_name_or_a_complete_one() {
    let (storage, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, backup) = (storage.path().to_str().unwrap(), backups.path().join("backup"));
    let running = Exporter::start(&["--groups.max-tracked", "500k", "--storage.path", path]);
    running.post(GROUP_MESSAGE_PATH, message("g", "u"));
    let arguments = ["state", "backup", "--storage.path", path, "--output", backup.to_str().unwrap()];
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let (mut killed, mut interrupted_writes) = (0, 0);
    for round in 0..20 {
        let mut child = command(&arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        // From before the first byte to after the last.
        std::thread::sleep(Duration::from_millis(random.random_range(1..60) * round));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        if backup.exists() {
            assert_eq!(totals(&read(&backup).stats), [1; 4], "{round}");
            fs::remove_file(&backup).unwrap();
        }
        for left in files(backups.path()) {
            assert!(left.starts_with(".backup") && left.ends_with(".incomplete"), "{left}");
            fs::remove_file(backups.path().join(left)).unwrap();
            interrupted_writes += 1;
        }
    }
    assert!(killed > 0, "no backup was killed");
    let _ = interrupted_writes;
    // The state is as it was.
    assert!(printed(&["verify", "--storage.path", path]).contains("1 in groups"));
    assert_eq!(fs::metadata(storage.path().join("state")).unwrap().permissions().mode() & 0o777, 0o600);
}
