//! What deploy/package.sh makes of the tests' program: the contents of the files, and how they run on Debian 12.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod booted;
mod contents;
mod installed;
#[path = "../packages/mod.rs"]
mod packages;
mod platforms;
mod root;
#[path = "../support/mod.rs"]
mod support;
mod unpacked;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::{env, fs};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The packages of this run.
static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| packaged("packages"));

/// Packages the tests' program into an empty directory with this name.
fn packaged(name: &str) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let directory = parent.join(name);
    let _ = fs::remove_dir_all(&directory);
    // Paths that start from another directory than the script's.
    let program = Path::new(env!("CARGO_BIN_EXE_openim-exporter")).strip_prefix(parent.parent().unwrap()).unwrap();
    must(script(Path::new("..").join(program), Path::new(name)).current_dir(parent));
    directory
}

/// The script, which packages a program into a directory.
fn script(program: impl AsRef<OsStr>, directory: &Path) -> Command {
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/package.sh"));
    script.args(["--no-image", "--program"]).arg(program).arg("--output").arg(directory);
    // With the variables that cargo sets for a test, some build scripts would run again, and then everything is compiled
    // again.
    for (variable, _) in
        env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST"))
    {
        script.env_remove(variable);
    }
    script.current_dir(env!("CARGO_MANIFEST_DIR"));
    script
}

/// The one file in the directory whose name ends like this.
fn file(directory: &Path, suffix: &str) -> PathBuf {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    assert_eq!(found.len(), 1, "{suffix}: {found:?}");
    found[0].clone()
}

/// The name of the archive and of its only directory.
fn name() -> String {
    let archive = file(&PACKAGES, "gnu.tar.gz");
    archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz").to_owned()
}

/// Runs a command, which must succeed.
fn must(command: &mut Command) -> Output {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [printed, complained] = [&ran.stdout, &ran.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(ran.status.success(), "{command:?}: {printed}{complained}");
    ran
}

/// What a command prints.
fn printed<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    String::from_utf8(must(Command::new(program).args(arguments)).stdout).unwrap()
}
