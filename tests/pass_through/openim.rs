//! The Go program in `openim/`: OpenIM's side of a callback, and a business server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The built program, for all tests of this process.
static PROGRAM: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("openim");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pass_through/openim/main.go");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(source).status().unwrap();
    assert!(built.success());
    (directory, program)
});

/// The program with these arguments.
pub(crate) fn openim(arguments: &[&str]) -> Command {
    let mut command = Command::new(&PROGRAM.1);
    command.args(arguments);
    command
}
