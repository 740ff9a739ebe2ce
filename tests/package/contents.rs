//! What is in the files, and that they are the same each time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{PACKAGES, VERSION, file, must, name, packaged, packages, printed};

#[test]
#[ignore = "needs cargo-deb, dpkg and cargo-cyclonedx"]
fn the_files_are_the_same_each_time_and_have_checksums() {
    let first = &*PACKAGES;
    // Afterwards, because both use the build's directory.
    let again = packaged("packages-again");
    assert_eq!(checked_sums(&again), checked_sums(first));
}

/// The checksums, which must be those of all files in the directory.
pub(super) fn checked_sums(directory: &Path) -> BTreeSet<String> {
    must(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(directory));
    let sums = fs::read_to_string(directory.join("SHA256SUMS")).unwrap();
    let listed: BTreeSet<_> = sums.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let files: BTreeSet<_> =
        files.iter().map(|file| file.to_str().unwrap()).filter(|name| *name != "SHA256SUMS").collect();
    assert_eq!(listed, files);
    sums.lines().map(str::to_owned).collect()
}

/// The paths in an archive or a package, without its top directory.
pub(super) fn paths(list: &str, top: &str) -> BTreeSet<String> {
    list.lines()
        .map(|line| line.strip_prefix(top).unwrap_or_else(|| panic!("{line} is outside of {top}")).to_owned())
        .collect()
}

#[test]
#[ignore = "needs cargo-deb and dpkg"]
fn the_archive_and_the_package_have_all_that_belongs_to_the_program() {
    let archive = printed("tar", [Path::new("-tzf"), &file(&PACKAGES, "gnu.tar.gz")]);
    let archive = paths(&archive, &format!("{}/", name()));
    let package = must(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(file(&PACKAGES, ".deb"))).stdout;
    let unpacked = tempfile::tempdir().unwrap();
    let path = unpacked.path().join("package.tar");
    fs::write(&path, package).unwrap();
    let package = paths(&printed("tar", [Path::new("-tf"), &path]), "./");
    let pages = ["openim-exporter.1", "openim-exporter-simulate.1"];
    for (found, expected) in [
        (&archive, "openim-exporter LICENSE README.md CHANGELOG.md docs/install.md docs/metrics.md"),
        (&archive, "deploy/openim-exporter.service deploy/openim-exporter.socket deploy/kubernetes.yml deploy/demo.sh"),
        (&archive, "prometheus.yml completions/openim-exporter.bash completions/_openim-exporter"),
        (&archive, "completions/openim-exporter.fish"),
        (&package, "usr/bin/openim-exporter usr/share/bash-completion/completions/openim-exporter"),
        (&package, "usr/share/openim-exporter/deploy/demo.sh usr/share/openim-exporter/deploy/alertmanager.yml"),
        (&package, "usr/share/zsh/vendor-completions/_openim-exporter usr/share/doc/openim-exporter/docs/flags.md"),
        (&package, "usr/share/fish/vendor_completions.d/openim-exporter.fish usr/share/doc/openim-exporter/copyright"),
    ] {
        for path in expected.split(' ') {
            assert!(found.contains(path), "{path} is missing in {found:#?}");
        }
    }
    for page in pages {
        assert!(archive.contains(&format!("man/{page}")), "{archive:#?}");
        assert!(package.contains(&format!("usr/share/man/man1/{page}.gz")), "{package:#?}");
    }
    for folder in ["prometheus", "grafana/dashboards"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            let is_in = |found: &BTreeSet<String>, top: &str| {
                found.iter().any(|found| found.trim_end_matches('/') == format!("{top}{path}"))
            };
            assert!(is_in(&archive, "") && is_in(&package, "usr/share/openim-exporter/"), "{path}");
        }
    }
}

/// Names and versions of crates, without this one.
fn crates<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeSet<String> {
    let pairs = pairs.into_iter().filter(|(name, _)| *name != "openim-exporter");
    pairs.map(|(name, version)| format!("{name} {version}")).collect()
}

/// An SBOM must list the crates of the program for a platform, and none that Cargo.lock does not have.
pub(super) fn lists_the_crates(sbom: &str, platform: &str) {
    let sbom: Value = serde_json::from_str(sbom).unwrap();
    assert_eq!(sbom["metadata"]["component"]["version"], VERSION);
    let listed = sbom["components"].as_array().unwrap();
    let listed =
        crates(listed.iter().map(|found| (found["name"].as_str().unwrap(), found["version"].as_str().unwrap())));
    // What cargo builds for the program, also macros and build scripts.
    let tree = ["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--target"];
    let tree = printed(env!("CARGO"), tree.iter().chain([&platform]));
    let built = tree.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let built: Vec<_> =
        built.filter(|words| words.len() > 1).map(|words| (words[0], words[1].trim_start_matches('v'))).collect();
    // Cargo's metadata also have the few crates that only a feature for the tests turns on.
    let missing: Vec<_> = crates(built).difference(&listed).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let unknown = |found: &&String| {
        let (name, version) = found.split_once(' ').unwrap();
        !lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"))
    };
    assert_eq!(listed.iter().find(unknown), None);
}

#[test]
#[ignore = "needs cargo-deb, dpkg, cargo-cyclonedx and pip"]
fn the_sbom_is_valid_and_lists_the_crates_of_the_program() {
    let path = file(&PACKAGES, ".cdx.json");
    let text = fs::read_to_string(&path).unwrap();
    lists_the_crates(&text, name().rsplit_once(VERSION).unwrap().1.trim_start_matches('-'));
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "a path of this machine is in {}", path.display());

    let python = packages::pip("tests/package", "package-tools").join("python");
    let validate = "import sys; from cyclonedx.schema import SchemaVersion; \
                    from cyclonedx.validation.json import JsonStrictValidator; \
                    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()); \
                    sys.exit(error and str(error))";
    must(Command::new(python).args(["-c", validate]).arg(path));
}
