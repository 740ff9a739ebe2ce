//! The man pages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{commands, flags, read, written};

fn pages(directory: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(directory.path().join("man")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// As a reader sees it; troff's hyphens are escaped.
fn plain(page: &str) -> String {
    page.replace("\\-", "-").replace("\\fR", "").replace("\\fB", "").replace("\\fI", "")
}

#[test]
fn each_command_has_a_page_with_its_flags_variables_defaults_and_subcommands() {
    let directory = written();
    let mut names = Vec::new();
    for command in commands().iter().filter(|command| command.get_name() != "serve") {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let page = plain(&read(&directory, format!("man/{name}.1")));
        assert!(page.contains(&format!("\n{name} - {}", command.get_about().unwrap())), "{name}: {page}");
        for flag in flags(command) {
            assert!(page.contains(&format!("--{flag}\n")) || page.contains(&format!("--{flag} ")), "{name}: --{flag}");
        }
        for flag in command.get_arguments() {
            let variable = flag.get_env().map(|variable| format!("Variable: {}.", variable.to_str().unwrap()));
            let defaults: Vec<_> = flag.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
            let has_default = flag.get_action().takes_values() && !defaults.is_empty();
            let default = has_default.then(|| format!("Default: {}.", defaults.join(",")));
            for part in variable.into_iter().chain(default) {
                assert!(page.contains(&part), "{name}: {part}: {page}");
            }
        }
        for subcommand in command.get_subcommands().filter(|one| !["serve", "help"].contains(&one.get_name())) {
            assert!(page.contains(&format!("\n{}(1)", subcommand.get_display_name().unwrap())), "{name}: {page}");
        }
        names.push(directory.path().join(format!("man/{name}.1")));
    }
    let mut found = pages(&directory);
    found.sort();
    names.sort();
    assert_eq!(found, names);
}

#[test]
fn the_first_page_has_each_endpoint_of_the_documentation() {
    let page = plain(&read(&written(), "man/openim-exporter.1"));
    let (_, table) = include_str!("../../docs/api.md").split_once("| Request | Answer |").unwrap();
    let requests = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut found = 0;
    for request in requests.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)) {
        // The paths of callbacks are any others.
        if request.split_once(' ').is_some_and(|(_, path)| path.starts_with('/')) {
            assert!(page.contains(&request.replace("{id}", "ID")), "{request}");
            found += 1;
        }
    }
    assert!(found > 8, "{found}");
}

#[test]
fn the_date_is_the_given_one_and_nothing_else_changes() {
    let directory = written();
    let again = written();
    for page in pages(&directory) {
        let name = page.file_name().unwrap().to_str().unwrap();
        let text = read(&directory, &page);
        assert!(text.starts_with(".TH OPENIM-EXPORTER") && text.contains(" 1 2026-11-30 "), "{name}: {text}");
        assert_eq!(text, read(&again, format!("man/{name}")), "{name}");
    }
}

/// What a checker of pages prints.
fn complaints(program: &str, arguments: &[&str], pages: &[PathBuf]) -> String {
    let checked = Command::new(program).args(arguments).args(pages).output().expect(program);
    String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned()
}

#[test]
#[ignore = "needs mandoc, groff"]
fn mandoc_and_groff_accept_the_pages_without_a_warning() {
    let directory = written();
    let pages = pages(&directory);
    let lint = ["-T", "lint", "-W", "warning"];
    let format = ["-man", "-ww", "-Tutf8", "-z"];
    assert_eq!(complaints("mandoc", &lint, &pages), "");
    assert_eq!(complaints("groff", &format, &pages), "");
    let wrong = directory.path().join("wrong.1");
    fs::write(&wrong, ".TH X 1\n.SH NAME\n.XX\n\n\\fQx\n").unwrap();
    assert!(complaints("mandoc", &lint, std::slice::from_ref(&wrong)).contains("WARNING"));
    assert_ne!(complaints("groff", &format, &[wrong]), "");
}
