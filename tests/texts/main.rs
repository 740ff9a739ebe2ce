//! The man pages and the completions of shells have the whole command line, and the programs that read them accept them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod pages;
mod shells;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "this test calls no `main`")]
#[path = "../../deploy/texts.rs"]
mod texts;

use std::path::Path;

use clap::Command;
use openim_exporter::config;
use tempfile::TempDir;

/// A directory with all texts.
fn written() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    texts::write(directory.path(), "2026-11-30").unwrap();
    directory
}

fn read(directory: &TempDir, path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(directory.path().join(path)).unwrap()
}

/// The whole command line, and each subcommand that a user can call; clap's `help` is not declared.
fn commands() -> Vec<Command> {
    fn add(command: &Command, all: &mut Vec<Command>) {
        all.push(command.clone());
        command.get_subcommands().filter(|one| one.get_name() != "help").for_each(|one| add(one, all));
    }
    let mut program = config::command();
    program.build();
    let mut all = Vec::new();
    add(&program, &mut all);
    assert!(all.len() > 8, "{}", all.len());
    all
}

/// The flags of a command, without hyphens.
fn flags(command: &Command) -> Vec<String> {
    command.get_arguments().filter_map(|flag| flag.get_long()).map(str::to_owned).collect()
}
