//! Backups that cannot be restored: the error says why, and nothing is changed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;

/// The command must fail, and leave the directory as it was.
fn refused(place: &Place, backup: &Path, why: &str) {
    let look = || place.files().into_iter().map(|name| (fs::read(place.at(&name)).unwrap(), name)).collect::<Vec<_>>();
    let before = look();
    let output = place.command(&["restore", text(backup)]).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{printed}");
    assert!(printed.contains(why), "{why}: {printed}");
    assert!(look() == before, "{why}: something changed");
}

#[test]
fn what_is_not_a_whole_backup_is_refused_and_nothing_is_changed() {
    let place = Place::new();
    place.count_and_stop(3);
    let whole = fs::read(place.at("state")).unwrap();
    let changed = |offset: usize| {
        let mut bytes = whole.clone();
        bytes[offset] ^= 1;
        bytes
    };
    let file = place.0.path().join("backup");
    let length = "its length does not match its header";
    for (bytes, why) in [
        (Vec::new(), "it is not a state of openim-exporter"),
        (b"mine".to_vec(), "it is not a state of openim-exporter"),
        (vec![7; 10_000], "it is not a state of openim-exporter"),
        (whole[..200].to_vec(), length),
        (whole[..4096].to_vec(), length),
        (whole[..whole.len() - 1].to_vec(), length),
        ([&whole[..], b"x"].concat(), length),
        (changed(8), "cannot read version"),
        (changed(24), "its header is damaged"),
        (changed(5000), "its contents changed after it was closed"),
        (changed(whole.len() - 100), "its header is damaged"),
    ] {
        fs::write(&file, bytes).unwrap();
        refused(&place, &file, why);
    }
    refused(&place, &place.0.path().join("missing"), "No such file");
    // A pipe, for example, would block.
    for special in [Path::new("/dev/null"), place.0.path()] {
        refused(&place, special, "it is not a regular file");
    }
    let exporter = place.start();
    fs::write(&file, &whole).unwrap();
    for is_locked in [true, false] {
        // The state itself is locked too.
        if !is_locked {
            fs::remove_file(place.at("lock")).unwrap();
        }
        let output = place.command(&["restore", text(&file)]).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && printed.contains("another process uses this state"), "{printed}");
    }
    assert_eq!(outcome(&exporter).1, 3.0);
    end(exporter, "TERM");
}

/// A restore through a shell line that ends in `"$@"` must fail with what this returns for the backup's length and the
/// directory, and change nothing.
fn fails(line: &str, expected: impl FnOnce(u64, &str) -> String) {
    let place = Place::new();
    place.count_and_stop(3);
    let backup = place.copy("backup");
    let restore = place.command(&["restore", text(&backup)]);
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(restore.get_program()).args(restore.get_args());
    let output = shell.output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    let expected = expected(fs::metadata(&backup).unwrap().len(), text(&place.path()));
    assert!(output.status.code() == Some(1) && printed.ends_with(&expected), "{printed}");
    assert_eq!(place.files(), ["lock", "state"]);
}

#[test]
#[ignore = "needs strace"]
fn a_full_disk_is_found_before_anything_is_changed() {
    fails(r#"exec strace -D -f -o /dev/null -e inject=fallocate:error=ENOSPC "$@""#, |bytes, path| {
        format!("not enough space: the state needs {bytes} bytes; {path}/state is unchanged; free up space in {path}\n")
    });
}

#[test]
fn a_file_size_limit_is_found_before_anything_is_changed() {
    fails(r#"ulimit -f 64; exec "$@""#, |bytes, path| {
        let mib = bytes.div_ceil(1 << 20);
        format!(
            "{mib} MiB cannot be reserved: File too large (os error 27); {path}/state is unchanged; the file size limit \
             is too low: raise it (ulimit -f, LimitFSIZE)\n"
        )
    });
}

#[test]
fn without_permission_the_error_says_which_user_must_run_the_command() {
    let place = Place::new();
    place.count_and_stop(1);
    // The command can read the program and the backup, but not the state.
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let [program, backup] = ["openim-exporter", "backup"].map(|name| shared.path().join(name));
    support::copy_exporter(&program);
    fs::copy(place.at("state"), &backup).unwrap();
    fs::set_permissions(&backup, fs::Permissions::from_mode(0o644)).unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o000)).unwrap();
    }
    for arguments in [&["restore", text(&backup)][..], &["info"], &["verify"], &["reset-counters"]] {
        let mut command = Command::new(if is_root { Path::new("setpriv") } else { &program });
        if is_root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        }
        let output = command.args(place.command(arguments).get_args()).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        let advice = "Permission denied (os error 13); run this as the exporter's user or as root\n";
        assert!(output.status.code() == Some(1) && printed.ends_with(advice), "{arguments:?}: {printed}");
    }
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

/// The error of a command that must fail.
fn error_of(place: &Place, arguments: &[&str]) -> String {
    let output = place.command(arguments).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {printed}");
    printed
}

#[test]
fn a_symbolic_link_in_the_way_is_named_and_not_followed() {
    let place = Place::new();
    place.count_and_stop(1);
    let [backup, mine] = [place.copy("backup"), place.0.path().join("mine")];
    fs::write(&mine, "mine").unwrap();
    fs::remove_file(place.at("lock")).unwrap();
    symlink(&mine, place.at("lock")).unwrap();
    let advice = "Too many levels of symbolic links (os error 40); \
                  a symbolic link has this name, or leads to itself: remove it\n";
    for arguments in [&["restore", text(&backup)][..], &["reset-counters"]] {
        let printed = error_of(&place, arguments);
        assert!(printed.contains("lock") && printed.ends_with(advice), "{arguments:?}: {printed}");
    }
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    // A link in place of the directory that leads to itself.
    let lost = Place::new();
    symlink(lost.path(), lost.path()).unwrap();
    for arguments in [&["info"][..], &["verify"], &["export"], &["reset-counters"]] {
        let printed = error_of(&lost, arguments);
        assert!(printed.ends_with(advice), "{arguments:?}: {printed}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_read_only_file_system_can_be_looked_at_and_must_be_mounted_writable_for_the_rest() {
    let place = Place::new();
    place.count_and_stop(1);
    let backup = place.copy("backup");
    let run = |arguments: &[&str]| {
        let command = place.command(arguments);
        let mount = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
        let mut hidden = Command::new("unshare");
        hidden.args(["--mount", "sh", "-c", mount]).arg(place.path()).arg(command.get_program());
        hidden.args(command.get_args()).output().unwrap()
    };
    for arguments in [&["info"][..], &["verify"], &["export"]] {
        printed(&run(arguments));
    }
    for arguments in [&["restore", text(&backup)][..], &["reset-counters"]] {
        let output = run(arguments);
        let printed = String::from_utf8(output.stderr).unwrap();
        let advice = "Read-only file system (os error 30); the file system is read-only: mount it writable\n";
        assert!(output.status.code() == Some(1) && printed.ends_with(advice), "{arguments:?}: {printed}");
    }
}

#[test]
fn a_restore_that_fails_leaves_no_new_directory_and_the_next_one_says_who_must_own_it() {
    let place = Place::new();
    place.count_and_stop(1);
    let [backup, damaged] = [place.copy("backup"), place.copy("damaged")];
    fs::File::options().write(true).open(&damaged).unwrap().set_len(5000).unwrap();
    let top = place.0.path().join("top");
    let restore =
        |backup: &Path| command(&["state", "restore", text(backup), "--storage.path", text(&top.join("data"))]);
    assert_eq!(restore(&damaged).output().unwrap().status.code(), Some(1));
    assert!(!top.exists());
    // The state is larger than the file size limit.
    let limited = restore(&backup);
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -f 64; exec "$@""#, "sh"]).arg(limited.get_program()).args(limited.get_args());
    assert_eq!(shell.output().unwrap().status.code(), Some(1));
    assert!(!top.exists());
    let restored = printed(&restore(&backup).output().unwrap());
    assert!(restored.contains(&format!("is its owner: chown -R USER {}\n", top.display())), "{restored}");
}

#[test]
fn a_wrong_path_creates_no_directory() {
    let place = Place::new();
    let output = place.command(&["restore", "/no/backup"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!place.path().exists());
}
