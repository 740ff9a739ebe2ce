//! The commands in the pages, and the length of the README.

use std::iter;
use std::os::unix::fs::PermissionsExt;

use openim_exporter::config::from_args;

use crate::{CHINESE_README, CONTRIBUTING, PAGES, README, STATE, at};

const CI: &str = include_str!("../../.ci/run");

/// Maximum number of lines, which an operator can read in five minutes.
const MOST_LINES: usize = 200;

#[test]
fn the_readme_is_short() {
    assert!(README.text.lines().count() <= MOST_LINES);
}

/// Whether the lines before the first section say what OpenIM comes with and what to set.
fn begins_with_openim_s_setting(readme: &str) -> bool {
    let first = readme.split("\n## ").next().unwrap();
    ["`enable: true`", "`url: http://127.0.0.1:10006/callbackExample`"].iter().all(|code| first.contains(code))
}

#[test]
fn the_first_lines_of_the_readme_say_what_to_set_on_a_single_host() {
    assert!(begins_with_openim_s_setting(README.text) && begins_with_openim_s_setting(CHINESE_README.text));
    assert!(!begins_with_openim_s_setting(&README.text.replacen("`enable: true`", "that", 1)));
}

#[test]
fn ci_runs_the_test_command_and_nothing_else() {
    let command = CONTRIBUTING.block("## Build and test", "sh");
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

/// How the program is called in examples.
const PROGRAMS: [&str; 4] = [
    "openim-exporter ",
    "openim-exporter-*/openim-exporter ",
    "docker exec openim-exporter openim-exporter ",
    "cargo run --release -- ",
];

/// The command lines of the program in the examples of a page.
fn calls(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    blocks.flat_map(str::lines).filter_map(|line| {
        let rest = PROGRAMS.iter().find_map(|program| line.trim().strip_prefix(program))?;
        let words = rest.split_whitespace().take_while(|word| !word.starts_with(['#', '|', '&', '>']));
        Some(iter::once("openim-exporter").chain(words).collect())
    })
}

/// Those that the program does not accept.
fn wrong_calls(text: &str) -> Vec<String> {
    calls(text).filter_map(|call| from_args(&call).err().map(|error| format!("{call:?}: {error}"))).collect()
}

#[test]
fn the_program_accepts_the_command_lines_of_all_pages() {
    for page in PAGES {
        assert_eq!(wrong_calls(page.text), [""; 0], "{}", page.path);
    }
    assert!(PAGES.iter().flat_map(|page| calls(page.text)).count() > 10);
    assert_eq!(
        wrong_calls(&STATE.spoilt("exporter state reset-counters --", "exporter state reset-counter --")).len(),
        1
    );
}
