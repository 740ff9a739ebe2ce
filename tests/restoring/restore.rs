//! Restored backups: what the command prints must be what the next start does.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;

#[allow(dead_code, reason = "this test uses a part of it")]
#[path = "../support/first_version.rs"]
pub(super) mod first_version;

/// Restores a backup, checks that `restore`, `info` and the start agree, and returns the messages and groups after it.
fn restored(place: &Place, backup: &Path, flags: &[&str], expected: &str) -> (f64, f64) {
    let printed = place.run(&[&["restore", text(backup)], flags].concat());
    assert!(printed.contains(&format!("restored {} (", backup.display())), "{printed}");
    assert!(printed.contains(&format!("({expected})")), "{printed}");
    assert_eq!(place.prediction(), expected);
    assert!(!place.at("state.new").exists());
    let exporter = place.start();
    let (outcome, messages, groups) = outcome(&exporter);
    assert_eq!(outcome, expected, "{printed}");
    end(exporter, "TERM");
    (messages, groups)
}

#[test]
fn an_older_backup_in_the_same_directory_resets_the_counters_and_keeps_the_present_state() {
    let place = Place::new();
    place.count_and_stop(3);
    let backup = place.copy("backup");
    place.count_and_stop(5);
    let present = fs::read(place.at("state")).unwrap();
    assert_eq!(restored(&place, &backup, &[], "counters_reset"), (0.0, 3.0));
    let kept = place.files().into_iter().find(|name| name.starts_with("state.replaced-")).unwrap();
    assert!(fs::read(place.at(&kept)).unwrap() == present);
    // As the documentation says, this undoes it. The counters continue if somebody says that they may.
    let kept = place.at(&kept);
    assert_eq!(restored(&place, &kept, &["--counters", "keep"], "restored"), (8.0, 5.0));
    let printed = place.run(&["info"]);
    assert!(printed.contains("state.replaced-") && printed.contains("8 in groups"), "{printed}");
}

#[test]
fn the_latest_backup_of_a_stopped_exporter_continues_unless_a_reset_is_wanted() {
    let place = Place::new();
    place.count_and_stop(4);
    let backup = place.copy("backup");
    assert_eq!(restored(&place, &backup, &[], "restored"), (4.0, 4.0));
    let elsewhere = Place::new();
    assert_eq!(restored(&elsewhere, &backup, &["--counters", "reset"], "counters_reset"), (0.0, 4.0));
    let printed = elsewhere.run(&["restore", text(&backup), "--counters", "keep"]);
    assert!(printed.contains("(restored)") && printed.contains("kept as"), "{printed}");
}

#[test]
fn a_backup_of_a_running_exporter_continues_only_if_it_must() {
    let place = Place::new();
    let exporter = place.count(6);
    let backup = place.0.path().join("backup");
    place.run(&["backup", "--output", text(&backup)]);
    let copy = place.copy("copy");
    end(exporter, "KILL");
    for file in [&backup, &copy] {
        let elsewhere = Place::new();
        assert_eq!(restored(&elsewhere, file, &[], "counters_reset"), (0.0, 6.0), "{}", file.display());
        assert_eq!(restored(&elsewhere, file, &["--counters", "keep"], "restored"), (6.0, 6.0), "{}", file.display());
    }
}

#[test]
fn a_backup_can_come_from_standard_input_and_the_directory_is_created() {
    let place = Place::new();
    place.count_and_stop(2);
    let elsewhere = Place::new();
    let state = || File::open(place.at("state")).unwrap();
    let restored = printed(&elsewhere.command(&["restore", "-"]).stdin(state()).output().unwrap());
    assert!(restored.starts_with("restored standard input ("), "{restored}");
    let advice = |directory: &Path| format!("is its owner: chown -R USER {}\n", directory.display());
    assert!(restored.contains(&advice(&elsewhere.path())), "{restored}");
    // All directories that the command creates belong to its own user.
    let top = elsewhere.0.path().join("top");
    let mut below = command(&["state", "restore", "-", "--storage.path", text(&top.join("middle/data"))]);
    let restored = printed(&below.stdin(state()).output().unwrap());
    assert!(restored.contains(&advice(&top)), "{restored}");
    let modes = ["", "state", "lock"].map(|name| fs::metadata(elsewhere.at(name)).unwrap().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o600, 0o600]);
    assert_eq!(outcome(&elsewhere.start()), ("restored".to_owned(), 2.0, 2.0));
}

#[test]
fn a_symbolic_link_leads_to_the_state_that_is_replaced() {
    let place = Place::new();
    place.count_and_stop(2);
    let backup = place.copy("backup");
    let volume = place.0.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::rename(place.at("state"), volume.join("state")).unwrap();
    symlink(volume.join("state"), place.at("state")).unwrap();
    restored(&place, &backup, &[], "restored");
    assert!(place.at("state").is_symlink());
    assert_eq!(place.files(), ["lock", "state"]);
    assert_eq!(fs::read_dir(&volume).unwrap().count(), 2);
}

#[test]
fn the_files_belong_to_the_exporter_s_user_if_root_restores() {
    let place = Place::new();
    place.count_and_stop(1);
    let backup = place.copy("backup");
    if fs::metadata(&backup).unwrap().uid() != 0 {
        return;
    }
    // Either the directory or the lock file shows who that is.
    for named in ["", "lock"] {
        let elsewhere = Place::new();
        fs::create_dir(elsewhere.path()).unwrap();
        if named == "lock" {
            fs::write(elsewhere.at("lock"), "").unwrap();
        }
        std::os::unix::fs::chown(elsewhere.at(named), Some(65534), Some(65533)).unwrap();
        elsewhere.run(&["restore", text(&backup)]);
        for file in ["lock", "state"] {
            let metadata = fs::metadata(elsewhere.at(file)).unwrap();
            assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (65534, 65533, 0o600), "{file}");
        }
    }
}

#[test]
fn a_state_of_the_first_version_is_restored_too() {
    let [first, second] = [Place::new(), Place::new()];
    let file = first.0.path().join("backup");
    fs::write(&file, first_version::kept()).unwrap();
    let (messages, groups) = restored(&first, &file, &[], "restored");
    assert!(messages > 0.0 && groups > 0.0);
    second.count_and_stop(1);
    assert_eq!(restored(&second, &file, &[], "counters_reset"), (0.0, groups));
}
