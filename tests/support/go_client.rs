//! A sender like OpenIM, in Go.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);

/// The program. It is built on the first call.
pub(crate) fn built() -> &'static Path {
    &PROGRAM
}

/// It has no dependencies, so nothing is fetched. What Go compiles is kept for the next build.
fn build() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join("go-client");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go-client/main.go");
    let mut go = Command::new("go");
    go.arg("build").arg("-o").arg(&program).arg(source).env("GOCACHE", folder.join("go-cache")).env("GOFLAGS", "");
    let built = go.output().expect("go must be installed");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}
