//! Copies of a state, backups that are put back, and files that disappear.

use super::*;

/// A state with some messages, closed or not, and the bytes of its file.
fn create_state(closed: bool) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let directory = filled(500, closed);
    let state = directory.path().join("state");
    let bytes = fs::read(&state).unwrap();
    (directory, state, bytes)
}

const LATER: UnixMillis = UnixMillis(NOW.0 + 1000);

#[test]
fn a_copy_that_was_made_while_the_exporter_ran_starts_from_0() {
    let (directory, _, bytes) = create_state(false);
    for boot in [BOOT, NEXT_BOOT] {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("state"), &bytes).unwrap();
        let (stats, steps) = open(copy.path(), boot);
        let doubt = if boot == BOOT { Doubt::Copied } else { Doubt::OtherBoot };
        assert_eq!(steps[steps.len() - 1..], [Step::CountersReset(doubt)]);
        assert_eq!((stats.state_start(), stats.messages()), (StateStart::CountersReset, 0));
    }
    // The same with its lock file. The original is unchanged.
    let copy = tempfile::tempdir().unwrap();
    for name in ["lock", "state"] {
        fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    assert_eq!(open(copy.path(), BOOT).0.state_start(), StateStart::CountersReset);
    assert_eq!(open(directory.path(), BOOT).0.messages(), 500);
}

#[test]
fn a_copy_of_a_closed_state_continues_with_its_start_time() {
    let (directory, state, bytes) = create_state(true);
    // The same numbers in a different file, as after a move to another volume.
    fs::remove_file(&state).unwrap();
    fs::write(directory.path().join("another"), "").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("state"), &bytes).unwrap();
    let (stats, steps) = try_open(elsewhere.path(), CAPACITIES, NEXT_BOOT, LATER).unwrap();
    assert!(steps.contains(&Step::Restored), "{steps:?}");
    assert_eq!((stats.state_start(), stats.messages(), stats.started()), (StateStart::Restored, 500, NOW));
    assert!(stats.groups().all(|group| group.created < LATER && group.messages > 0));
    drop(stats);
    // The copy is the original from now on.
    let (stats, steps) = try_open(elsewhere.path(), CAPACITIES, NEXT_BOOT, later(5000)).unwrap();
    assert_eq!((stats.state_start(), stats.started(), steps), (StateStart::Continued, NOW, vec![]));
}

#[test]
fn a_backup_that_is_older_than_the_state_of_its_directory_starts_from_0() {
    let (directory, state, bytes) = create_state(true);
    for replace in [false, true] {
        count_in(directory.path(), 500, true);
        if replace {
            fs::remove_file(&state).unwrap();
            // So that the inode is not reused immediately.
            fs::write(directory.path().join("another"), "").unwrap();
        }
        fs::write(&state, &bytes).unwrap();
        let (stats, steps) = try_open(directory.path(), CAPACITIES, NEXT_BOOT, LATER).unwrap();
        assert_eq!(steps.last(), Some(&Step::CountersReset(Doubt::Older)));
        // Prometheus saw 1,000: with 500, increase() would add 500 again.
        assert_eq!((stats.state_start(), stats.messages()), (StateStart::CountersReset, 0));
        assert!(stats.groups_tracked() > 0 && stats.active_senders(Chat::Group, LATER)[4] > 0);
        drop(stats);
        let (stats, steps) = try_open(directory.path(), CAPACITIES, NEXT_BOOT, later(5000)).unwrap();
        assert_eq!((stats.state_start(), steps), (StateStart::Continued, vec![]));
        close(&stats);
    }
}

#[test]
fn a_restored_copy_from_a_running_exporter_starts_from_0() {
    let (directory, state, bytes) = create_state(false);
    count_in(directory.path(), 500, true);
    fs::write(&state, &bytes).unwrap();
    let (stats, steps) = open(directory.path(), BOOT);
    assert_eq!((stats.state_start(), steps), (StateStart::CountersReset, vec![Step::CountersReset(Doubt::Older)]));
}

#[test]
fn a_restored_state_is_still_restored_after_a_conversion() {
    let (_directory, _, bytes) = create_state(true);
    let copy = tempfile::tempdir().unwrap();
    fs::write(copy.path().join("state"), &bytes).unwrap();
    let larger = Capacities { groups: 200, ..CAPACITIES };
    let (stats, _) = try_open(copy.path(), larger, BOOT, LATER).unwrap();
    assert_eq!((stats.state_start(), stats.messages(), stats.started()), (StateStart::Restored, 500, NOW));
}

/// Closes a state whose file is missing, and returns the result and the steps.
fn closed_without_file(stats: &Stats) -> (Result<(), Error>, Vec<Step>) {
    let steps = RefCell::new(Vec::new());
    let closed = stats.close(LATER, &|step| steps.borrow_mut().push(step));
    (closed, steps.into_inner())
}

#[test]
fn a_removed_file_or_directory_is_written_again_at_the_end() {
    for whole_directory in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        let (stats, _) = open(&directory, BOOT);
        fill(&stats, 500);
        if whole_directory { fs::remove_dir_all(&directory) } else { fs::remove_file(directory.join("state")) }
            .unwrap();
        assert!(!stats.check_state_file());
        let before = numbers(&stats);
        let (closed, steps) = closed_without_file(&stats);
        assert!(closed.is_ok() && steps.contains(&Step::WrittenAgain(directory.join("state"))), "{closed:?} {steps:?}");
        drop(stats);
        let (stats, steps) = open(&directory, NEXT_BOOT);
        assert_eq!((stats.state_start(), numbers(&stats), steps), (StateStart::Continued, before, vec![]));
    }
}

#[test]
fn a_file_that_replaced_the_state_is_not_changed() {
    let (directory, state, bytes) = create_state(true);
    let (stats, _) = open(directory.path(), BOOT);
    fill(&stats, 200);
    fs::remove_file(&state).unwrap();
    fs::write(&state, &bytes).unwrap();
    assert!(!stats.check_state_file());
    let (closed, _) = closed_without_file(&stats);
    let Err(Error::Replaced { path, saved }) = closed else { panic!("{closed:?}") };
    assert_eq!(path, state);
    assert!(fs::read(&state).unwrap() == bytes);
    drop(stats);
    // What the error recommends.
    fs::rename(saved, &state).unwrap();
    let (stats, _) = open(directory.path(), NEXT_BOOT);
    assert_eq!((stats.state_start(), stats.messages()), (StateStart::Continued, 700));
}
