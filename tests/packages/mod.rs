//! Installs the pinned packages from npm and PyPI that the tests need, below the build directory.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder that outlives the test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(command: &mut Command) -> Output {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?} must be installed: {error}"));
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    ran
}

/// Installs the packages of a folder's package-lock.json, and returns their directory.
pub(crate) fn npm(source: &str, name: &str) -> PathBuf {
    let folder = folder(name);
    let lock = |folder: &Path| fs::read(folder.join("package-lock.json")).ok();
    // npm writes this file last.
    if folder.join("node_modules/.package-lock.json").exists() && lock(&folder) == lock(&at(source)) {
        return folder;
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(at(source).join(file), folder.join(file)).unwrap();
    }
    let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
    run(Command::new("npm").args(install).current_dir(&folder));
    folder
}

/// Installs the packages of a folder's requirements.txt, and returns the directory of their programs.
pub(crate) fn pip(source: &str, name: &str) -> PathBuf {
    let folder = folder(name);
    run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&folder));
    let install = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", "-r"];
    run(Command::new(folder.join("bin/pip")).args(install).arg(at(source).join("requirements.txt")));
    folder.join("bin")
}

/// Runs the TypeScript compiler that npm installed in a folder on files there, and returns its errors.
pub(crate) fn type_errors(folder: &Path, files: impl IntoIterator<Item = String>) -> String {
    let flags = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext"];
    let ran = Command::new("node")
        .arg("node_modules/typescript/bin/tsc")
        .args(flags)
        .args(["--moduleResolution", "node10"])
        .args(files)
        .current_dir(folder)
        .output()
        .expect("node must be installed");
    let printed = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.success(), printed.is_empty(), "{printed}{}", String::from_utf8_lossy(&ran.stderr));
    printed
}
