//! The build script, run as cargo runs it, in each kind of source tree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

use support::{Exporter, command};
use tempfile::TempDir;

/// What the build script tells cargo: the revision, the compiler's version, and the files that it depends on.
#[derive(Debug)]
struct Told {
    revision: String,
    rustc: String,
    files: Vec<String>,
}

struct Script(TempDir);

impl Script {
    fn compile() -> Self {
        let directory = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-o"]).arg(directory.path().join("build")).arg(source);
        assert!(rustc.status().unwrap().success());
        Self(directory)
    }

    fn run(&self, tree: &Path, profile: &str, revision: Option<&str>) -> Told {
        let mut command = Command::new(self.0.path().join("build"));
        command.current_dir(tree).env_remove("BUILD_REVISION").env("PROFILE", profile).env("RUSTC", "rustc");
        command.envs(revision.map(|revision| ("BUILD_REVISION", revision)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let of = |key: &str| -> Vec<String> {
            text.lines().filter_map(|l| l.strip_prefix(key)).map(str::to_owned).collect()
        };
        let [revision, rustc] =
            ["BUILD_REVISION", "BUILD_RUSTC"].map(|name| of(&format!("cargo:rustc-env={name}=")).remove(0));
        Told { revision, rustc, files: of("cargo:rerun-if-changed=") }
    }
}

fn git(tree: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"];
    let output = Command::new("git").current_dir(tree).args(identity).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(tree: &Path) -> String {
    git(tree, &["commit", "-q", "--allow-empty", "-m", "m"]);
    git(tree, &["rev-parse", "HEAD"])[..12].to_owned()
}

#[test]
fn the_revision_is_the_given_one_or_the_repository_s_or_unknown() {
    let script = Script::compile();
    let parent = TempDir::new().unwrap();
    let [tree, worktree, archive] = ["tree", "worktree", "tree/archive"].map(|name| parent.path().join(name));
    fs::create_dir_all(&archive).unwrap();
    [&tree, &archive].iter().for_each(|tree| fs::write(tree.join("build.rs"), "").unwrap());
    let revision = |tree: &Path, profile, given| script.run(tree, profile, given).revision;
    assert_eq!(revision(&tree, "release", None), "unknown");
    assert_eq!(revision(&tree, "release", Some("v1.2.3")), "v1.2.3");

    git(&tree, &["init", "-q"]);
    assert_eq!(revision(&tree, "release", None), "unknown", "no commit");
    let first = commit(&tree);
    git(&tree, &["worktree", "add", "-q", "-b", "other", worktree.to_str().unwrap()]);
    for tree in [&tree, &worktree] {
        assert_eq!(revision(tree, "release", None), first);
        assert_eq!(revision(tree, "release", Some("")), first);
        assert_eq!(revision(tree, "release", Some("v1.2.3")), "v1.2.3");
        assert_eq!(revision(tree, "debug", None), "unknown");
    }
    // The repository around an archive is another program's.
    assert_eq!(revision(&archive, "release", None), "unknown");
}

#[test]
fn cargo_builds_again_after_a_commit_and_only_in_releases() {
    let script = Script::compile();
    let parent = TempDir::new().unwrap();
    let tree = parent.path();
    fs::write(tree.join("build.rs"), "").unwrap();
    assert_eq!(script.run(tree, "release", None).files, ["build.rs"]);
    git(tree, &["init", "-q"]);
    commit(tree);
    assert_eq!(script.run(tree, "debug", None).files, ["build.rs"]);
    let told = script.run(tree, "release", None);
    let [_, log] = told.files.as_slice() else { panic!("{told:?}") };
    let before = fs::read(tree.join(log)).unwrap();
    commit(tree);
    assert_ne!(fs::read(tree.join(log)).unwrap(), before);
    // For a file that does not exist, cargo would run the script each time.
    fs::remove_file(tree.join(log)).unwrap();
    assert_eq!(script.run(tree, "release", None).files, ["build.rs"]);
}

#[test]
fn the_metric_has_the_version_the_revision_and_the_compiler() {
    let rustc = Script::compile().run(Path::new("/"), "debug", None).rustc;
    assert!(rustc.split('.').count() == 3 && rustc.starts_with("1."), "{rustc}");
    let samples = Exporter::start(&[]).scrape();
    // Cargo gives the tests the build script's variables, too.
    let [version, revision] = [env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION")];
    let labels = format!(r#"version="{version}",revision="{revision}",rustc="{rustc}""#);
    assert_eq!(samples.value(&format!("openim_exporter_build_info{{{labels}}}")), 1.0);
}

#[test]
fn the_version_is_that_of_the_crate_and_in_the_long_form_has_the_metric_s_labels() {
    let [short, long] = ["-V", "--version"].map(|flag| command(&[flag]).output().unwrap());
    let stdout = |output: Output| String::from_utf8(output.stdout).unwrap();
    let first = format!("openim-exporter {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(short), first);
    let (printed, samples) = (stdout(long), Exporter::start(&[]).scrape());
    let details = printed.strip_prefix(&first).unwrap();
    let names: Vec<_> = details.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(names, ["revision", "rustc", "target", "features"]);
    let (build_info, _) = samples.of("openim_exporter_build_info").next().unwrap();
    for line in details.lines().take(2) {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(build_info.contains(&format!("{name}=\"{value}\"")), "{line}: {build_info}");
    }
    let linking = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    assert!(details.contains("-linux-") && details.contains(&format!(", {linking}\n")), "{details}");
}
