//! The README's commands, and its length.

use std::os::unix::fs::PermissionsExt;

use crate::{README, at};

const CI: &str = include_str!("../../.ci/run");

/// Maximum number of lines, which an operator can read in five minutes.
const MOST_LINES: usize = 200;

#[test]
fn the_readme_is_short() {
    assert!(README.text.lines().count() <= MOST_LINES);
}

#[test]
fn ci_runs_the_test_command_and_nothing_else() {
    let command = README.block("## Test", "sh");
    for script in [command, ".ci/run"] {
        let mode = std::fs::metadata(at(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} must be executable");
    }
    let runs = |script: &str| -> Vec<String> {
        let lines = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .filter(|line| !line.starts_with("set ") && *line != r#"cd "$(dirname "$0")/..""#)
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(runs(CI), [format!("exec {command}")]);
    assert_ne!(runs(&CI.replace("exec", "true; exec")), [format!("exec {command}")]);
}
