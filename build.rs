//! Finds how the program is built, for `openim_exporter_build_info` and `--version`.

use std::path::Path;
use std::process::Command;
use std::{env, str};

/// Gives the revision if the source has no repository, as in a container or an archive. It takes precedence over the
/// repository's.
const REVISION: &str = "BUILD_REVISION";

const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={REVISION}");
    let given = env::var(REVISION).ok().filter(|revision| !revision.is_empty());
    let revision = given.or_else(of_repository).unwrap_or_else(|| UNKNOWN.to_owned());
    println!("cargo:rustc-env={REVISION}={revision}");
    let rustc = env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    let version = rustc.as_deref().and_then(|line| line.split(' ').nth(1)).unwrap_or(UNKNOWN);
    println!("cargo:rustc-env=BUILD_RUSTC={version}");
    println!("cargo:rustc-env=BUILD_TARGET={}", env::var("TARGET").as_deref().unwrap_or(UNKNOWN));
    // Dynamic means that the system must have a C library that is new enough.
    let is_static = env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|all| all.split(',').any(|one| one == "crt-static"));
    println!("cargo:rustc-env=BUILD_LINKING={}", if is_static { "static" } else { "dynamic" });
    let fuzzing = if env::var_os("CARGO_FEATURE_FUZZING").is_some() { ", fuzzing" } else { "" };
    println!("cargo:rustc-env=BUILD_FEATURES=TLS 1.2 and 1.3 (rustls with ring), HTTP/2, Redis{fuzzing}");
}

/// The revision of the repository that this directory is the root of. Only in releases: each commit changes it, and
/// then everything must be compiled again.
fn of_repository() -> Option<String> {
    // Otherwise git would find the repository of a directory above.
    if env::var("PROFILE").ok()? != "release" || !Path::new(".git").exists() {
        return None;
    }
    // The file with a line for each commit and checkout. If it did not exist, cargo would run this script each time.
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    output("git", &["rev-parse", "--short=12", "HEAD"])
}

/// The line that a program prints; `None` if it fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    str::from_utf8(&output.stdout).ok().map(|line| line.trim().to_owned())
}
