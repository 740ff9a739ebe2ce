//! The Debian package: installed, upgraded and purged with dpkg, on a Debian without systemd. The test starts what the
//! unit starts.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::root::Root;
use super::support::{Samples, eventually, signal};
use super::{PACKAGES, file, must, printed};

#[path = "../support/first_version.rs"]
#[allow(dead_code, reason = "the tests of the state use the rest")]
mod first_version;

const STATE: &str = "var/lib/openim-exporter";
const SETTINGS: &str = "etc/default/openim-exporter";
const UNIT: &str = "usr/lib/systemd/system/openim-exporter.service";

fn dpkg(root: &Root, arguments: &[&str]) {
    must(&mut root.command(&[&["dpkg", "--force-confold"], arguments].concat()));
}

fn install(root: &Root, package: &Path) {
    fs::copy(package, root.path("package.deb")).unwrap();
    dpkg(root, &["--install", "/package.deb"]);
    fs::remove_file(root.path("package.deb")).unwrap();
}

/// The user's and the group's numbers.
fn user(root: &Root) -> (u32, u32) {
    let users = root.read("etc/passwd");
    let line = users.lines().find(|line| line.starts_with("openim-exporter:")).expect("the package's user");
    let fields: Vec<_> = line.split(':').collect();
    assert!(fields[6].ends_with("nologin") || fields[6].ends_with("false"), "{line}");
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

fn owner_and_mode(root: &Root, inside: &str) -> (u32, u32, u32) {
    let data = fs::metadata(root.path(inside)).unwrap();
    (data.uid(), data.gid(), data.mode() & 0o7777)
}

/// The only value of a key in the unit.
fn of_unit(root: &Root, key: &str) -> String {
    let unit = root.read(UNIT);
    let values: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix(&format!("{key}="))).collect();
    assert_eq!(values.len(), 1, "{key}: {unit}");
    values[0].to_owned()
}

/// Starts what the units start, and returns it with its metrics.
fn start(root: &Root) -> (Child, Samples) {
    let port = root.read("usr/lib/systemd/system/openim-exporter.socket");
    let port = port.lines().find_map(|line| line.strip_prefix("ListenStream=")).unwrap().to_owned();
    let (user, start) = (of_unit(root, "User"), of_unit(root, "ExecStart"));
    let settings = root.read(of_unit(root, "EnvironmentFile").trim_start_matches('-'));
    let variables = settings.lines().filter(|line| !line.starts_with('#')).map(|line| format!("--setenv={line}"));
    let mut command = root.network.command(&["systemd-socket-activate", "-l", &port]);
    command.args(variables).args(["chroot", &format!("--userspec={user}:{user}")]).arg(root.path("/"));
    command.args(start.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let url = format!("http://127.0.0.1:{port}/metrics");
    let mut text = String::new();
    // It starts the exporter when a client connects.
    eventually("the metrics", || {
        assert!(child.try_wait().unwrap().is_none(), "{start} has ended");
        text = root.network.curl(&[&url]);
        !text.is_empty()
    });
    (child, Samples::parse(&text))
}

fn stop((mut child, samples): (Child, Samples)) -> Samples {
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    samples
}

/// The counters of the statistics that 0.1.0 showed, and what this version shows of them.
fn totals(samples: &Samples) -> [f64; 3] {
    ["openim_group_messages_total", "openim_group_messages_folded_total", "openim_group_message_content_bytes_count"]
        .map(|name| samples.sum(name))
}

/// The next version of a package, whose settings have one line more.
fn next_version(package: &Path) -> PathBuf {
    // Not in the directory whose files another test compares.
    let parent = package.parent().unwrap().with_file_name("next-package");
    let _ = fs::remove_dir_all(&parent);
    let contents = parent.join("contents");
    fs::create_dir_all(&parent).unwrap();
    must(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&contents));
    let change = |name: &str, change: &dyn Fn(&str) -> String| {
        let path = contents.join(name);
        fs::write(&path, change(&fs::read_to_string(&path).unwrap())).unwrap();
    };
    change("DEBIAN/control", &|text| text.replacen("\nVersion: ", "\nVersion: 9.", 1));
    change(SETTINGS, &|text| format!("{text}# A new line.\n"));
    let next = parent.join("next.deb");
    must(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&contents).arg(&next));
    next
}

#[test]
#[ignore = "needs debootstrap, dpkg, cargo-deb and root"]
fn the_package_serves_keeps_state_and_settings_in_an_upgrade_and_leaves_nothing_after_a_purge() {
    let root = Root::new();
    let package = file(&PACKAGES, ".deb");
    let before = root.tree();
    install(&root, &package);
    let (user, group) = user(&root);
    assert_eq!(owner_and_mode(&root, STATE), (user, group, 0o700));
    assert_eq!(owner_and_mode(&root, "etc/openim-exporter"), (0, group, 0o750));
    for wants in ["sockets.target.wants/openim-exporter.socket", "multi-user.target.wants/openim-exporter.service"] {
        let link = root.path("etc/systemd/system").join(wants);
        assert!(link.symlink_metadata().is_ok(), "{wants} is not enabled");
    }

    // The state of 0.1.0.
    let state = root.path(STATE).join("state");
    fs::write(&state, first_version::kept()).unwrap();
    chown(&state, Some(user), Some(group)).unwrap();
    let settings = format!("{}OPENIM_EXPORTER_GROUPS_MAX_EXPORTED=7\n", root.read(SETTINGS));
    root.write(SETTINGS, &settings);
    root.write("etc/openim-exporter/secret", "x");
    let shown = first_version::unzip(include_bytes!("../state/0.1.0/shown.gz"));
    let shown = String::from_utf8(shown).unwrap();
    // The second page has the same totals again.
    let first_page = &shown[..shown.rfind("openim_exporter_message_ids_evicted").unwrap()];
    let expected = totals(&Samples::parse(first_page));
    assert!(expected.iter().all(|total| *total > 0.0), "{expected:?}");
    let converted = stop(start(&root));
    assert_eq!(totals(&converted), expected);
    assert_eq!(converted.of("openim_group_messages_by_group_total").count(), 7);

    install(&root, &next_version(&package));
    assert_eq!(root.read(SETTINGS), settings);
    assert_eq!(root.read(&format!("{SETTINGS}.dpkg-dist")).lines().last(), Some("# A new line."));
    assert_eq!(totals(&stop(start(&root))), expected);

    dpkg(&root, &["--remove", "openim-exporter"]);
    assert!(state.exists() && root.read(SETTINGS) == settings && !root.path("usr/bin/openim-exporter").exists());
    dpkg(&root, &["--purge", "openim-exporter"]);
    let after = root.tree();
    let changed = |path: &&String| before.get(*path) != after.get(*path);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(changed).collect();
    assert!(changed.is_empty(), "the purge leaves {changed:?}");
}

#[test]
#[ignore = "needs dpkg, lintian, systemd-analyze and cargo-deb"]
fn the_package_and_its_units_have_no_errors() {
    let package = file(&PACKAGES, ".deb");
    printed("lintian", ["--allow-root", "--fail-on", "error", "--tag-display-limit", "0", package.to_str().unwrap()]);
    let unpacked = tempfile::tempdir().unwrap();
    must(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(unpacked.path()));
    let unit = unpacked.path().join(UNIT);
    let unit = fs::read_to_string(unit).unwrap();
    assert!(!unit.contains("/usr/local") && !unit.contains("DynamicUser") && unit.starts_with("[Unit]"), "{unit}");
    // What ExecReload runs.
    fs::create_dir(unpacked.path().join("bin")).unwrap();
    fs::copy("/bin/sh", unpacked.path().join("bin/sh")).unwrap();
    let root = format!("--root={}", unpacked.path().display());
    let units = ["openim-exporter.service", "openim-exporter.socket"];
    printed("systemd-analyze", [&["verify", "--recursive-errors=no", &root], &units[..]].concat());
}
