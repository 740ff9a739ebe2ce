//! Writes the man pages and the completions of shells, made from the declarations of the command line, to DIR/man and
//! DIR/completions:
//!
//!   cargo run --example texts -- DIR
//!
//! `SOURCE_DATE_EPOCH` is the date of the pages; without it they have none.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use clap::{Arg, Command};
use clap_complete::{Shell, generate_to};
use jiff::Timestamp;
use openim_exporter::config::command;
use roff::{Inline, Roff, bold, italic, roman};

/// The sections of the first page that no declaration has, in troff's language.
const SECTIONS: &str = include_str!("sections.man");

/// The default subcommand, whose flags the first page has, and clap's own.
const WITHOUT_PAGE: [&str; 2] = ["serve", "help"];

/// clap_complete writes a program's name with a hyphen in two ways, so no subcommand's flags would be found.
const BASH: &[(&str, &str)] = &[("openim__subcmd__exporter", "openim__exporter")];

/// In a placeholder, zsh takes a colon for the end.
const ZSH: &[(&str, &str)] = &[(":HOST:PORT:", ":HOST\\:PORT:")];

/// fish's `argparse` accepts no dots in names of flags. Flags and subcommands exclude each other, so a subcommand can only
/// be the first word.
const FISH: &[(&str, &str)] = &[
    ("    argparse -s (__fish_openim_exporter_global_optspecs) -- $cmd 2>/dev/null\n    or return\n", ""),
    ("    if set -q argv[1]\n", "    if set -q cmd[1]; and not string match -q -- '-*' $cmd[1]\n"),
    ("        echo $argv[1]\n", "        echo $cmd[1]\n"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args_os().nth(1).ok_or("give the directory to write to: cargo run --example texts -- DIR")?;
    let date = match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => Timestamp::from_second(seconds.parse()?)?.strftime("%Y-%m-%d").to_string(),
        Err(_) => String::new(),
    };
    write(Path::new(&directory), &date)
}

/// Writes the man pages, with this date, and the completions.
pub(crate) fn write(directory: &Path, date: &str) -> Result<(), Box<dyn Error>> {
    let mut program = command();
    let completions = directory.join("completions");
    fs::create_dir_all(&completions)?;
    for (shell, repairs) in [(Shell::Bash, BASH), (Shell::Zsh, ZSH), (Shell::Fish, FISH)] {
        let path = generate_to(shell, &mut program, "openim-exporter", &completions)?;
        let mut script = fs::read_to_string(&path)?;
        for (wrong, right) in repairs {
            if !script.contains(wrong) {
                return Err(
                    format!("{}: there is no {wrong:?} any more; look at deploy/texts.rs", path.display()).into()
                );
            }
            script = script.replace(wrong, right);
        }
        fs::write(path, script)?;
    }
    let pages = directory.join("man");
    fs::create_dir_all(&pages)?;
    program.build();
    write_pages(&program, &program, date, &pages)
}

/// Writes the page of a command, and those of its subcommands.
fn write_pages(command: &Command, program: &Command, date: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let name = page_name(command);
    fs::write(directory.join(format!("{name}.1")), page(command, program, date))?;
    with_page(command).try_for_each(|subcommand| write_pages(subcommand, program, date, directory))
}

fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

/// The subcommands that have a page.
fn with_page(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|subcommand| !WITHOUT_PAGE.contains(&subcommand.get_name()))
}

fn page(command: &Command, program: &Command, date: &str) -> String {
    let name = page_name(command);
    let version = format!("{} {}", program.get_name(), program.get_version().unwrap_or_default());
    let mut page = Roff::new();
    page.control("TH", [&name.to_uppercase(), "1", date, &version, "User Commands"]);
    // Flags are not hyphenated, and lines not stretched.
    page.control("nh", []).control("ad", ["l"]);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    page.control("SH", ["SYNOPSIS"]);
    synopsis(command, &mut page);
    page.control("SH", ["DESCRIPTION"]);
    let description = command.get_long_about().map(ToString::to_string).unwrap_or(about);
    paragraphs(&description, "PP", &mut page);
    if with_page(command).next().is_some() {
        page.control("SH", ["COMMANDS"]);
    }
    for subcommand in with_page(command) {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        page.control("TP", []).text([bold(page_name(subcommand)), roman("(1)")]);
        paragraphs(&about, "IP", &mut page);
    }
    page.control("SH", ["OPTIONS"]);
    command.get_arguments().for_each(|argument| option(argument, &mut page));
    examples(command, &mut page);
    if page_name(command) == program.get_name() {
        return page.to_roff() + SECTIONS;
    }
    page.control("SH", ["SEE ALSO"]).text([bold(program.get_name()), roman("(1)")]);
    page.to_roff()
}

/// How the command is called, each way on a line of its own.
fn synopsis(command: &Command, page: &mut Roff) {
    let usage = command.clone().render_usage().to_string();
    for (number, line) in usage.trim_start_matches("Usage:").lines().enumerate() {
        if number > 0 {
            page.control("br", []);
        }
        page.text([roman(line.trim())]);
    }
}

/// A flag, or an argument without one.
fn option(argument: &Arg, page: &mut Roff) {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let names: Vec<_> = short.into_iter().chain(argument.get_long().map(|long| format!("--{long}"))).collect();
    let mut head = vec![bold(names.join(", "))];
    let takes_values = argument.get_action().takes_values();
    if takes_values {
        let placeholders = argument.get_value_names().unwrap_or_default().join(" ");
        head.extend([roman(if names.is_empty() { "" } else { " " }), italic(placeholders)]);
    }
    page.control("TP", []).text(head);
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    paragraphs(&help, "IP", page);
    let mut facts = Vec::new();
    if takes_values {
        let possible = argument.get_possible_values();
        let possible: Vec<_> = possible.iter().map(|value| value.get_name()).collect();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        facts.extend((!possible.is_empty()).then(|| format!("Possible values: {}.", possible.join(", "))));
        facts.extend((!defaults.is_empty()).then(|| format!("Default: {}.", defaults.join(","))));
    }
    facts.extend(argument.get_env().map(|variable| format!("Variable: {}.", variable.to_string_lossy())));
    if !facts.is_empty() {
        page.control("IP", []).text([roman(facts.join(" "))]);
    }
}

/// Paragraphs, with this macro between two of them.
fn paragraphs(text: &str, between: &str, page: &mut Roff) {
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            page.control(between, []);
        }
        for line in paragraph.lines() {
            page.text(with_bold_code(line.trim()));
        }
    }
}

/// What is between backticks becomes bold.
fn with_bold_code(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

/// The examples at the end of the help, line by line.
fn examples(command: &Command, page: &mut Roff) {
    let Some(text) = command.get_after_help().map(ToString::to_string) else { return };
    page.control("SH", ["EXAMPLES"]).control("EX", []);
    for line in text.lines().skip(1) {
        page.text([roman(line.trim())]);
    }
    page.control("EE", []);
}
