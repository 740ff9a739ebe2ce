//! Completions in real shells.

use std::process::Command;

use crate::support::terminal::Terminal;
use crate::{commands, flags, read, written};

const SCRIPTS: [&str; 3] = ["openim-exporter.bash", "_openim-exporter", "openim-exporter.fish"];

#[test]
fn each_completion_has_all_flags_and_subcommands() {
    let directory = written();
    for script in SCRIPTS {
        let text = read(&directory, format!("completions/{script}"));
        for command in commands() {
            assert!(text.contains(command.get_name()), "{script}: {}", command.get_name());
            for flag in flags(&command) {
                // fish has flags without hyphens.
                let found = text.contains(&format!("--{flag}")) || text.contains(&format!("-l {flag}"));
                assert!(found, "{script}: --{flag}");
            }
        }
    }
}

/// What is typed before the tab, and what must appear then.
const TYPED: [(&str, &[&str]); 9] = [
    ("--web.li", &["--web.listen-address"]),
    ("--log.format ", &["logfmt", "json"]),
    ("--log.level d", &["debug"]),
    ("heal", &["healthcheck"]),
    ("healthcheck --re", &["--ready"]),
    ("spool re", &["replay"]),
    ("state ba", &["backup"]),
    ("--web.config.file web-c", &["web-config.yml"]),
    ("spool list --storage.path state-d", &["state-directory"]),
];

/// Types each line into an interactive shell that these lines have prepared.
fn completes_in(mut shell: Command, prepare: &[&str]) {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("web-config.yml"), "").unwrap();
    std::fs::create_dir(files.path().join("state-directory")).unwrap();
    shell.env("HOME", files.path()).env("HISTFILE", "/dev/null");
    let mut terminal = Terminal::run(&shell);
    terminal.press(&format!("cd {}\n{}\necho is-'ready'\n", files.path().display(), prepare.join("\n")));
    terminal.wait_for(&["is-ready"]);
    for (number, (typed, expected)) in TYPED.iter().enumerate() {
        let before = terminal.shown().len();
        terminal.press(&format!("openim-exporter {typed}\t"));
        crate::support::eventually(&format!("the completion of {typed}: {}", terminal.shown()), || {
            let shown = terminal.shown();
            expected.iter().all(|text| shown[before..].contains(text))
        });
        // Ctrl-U deletes the line.
        terminal.press(&format!("\x15echo line-'{number}'\n"));
        terminal.wait_for(&[&format!("line-{number}")]);
    }
}

#[test]
#[ignore = "needs bash, script"]
fn bash_completes() {
    let directory = written();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]);
    let source = format!("source {}", directory.path().join("completions/openim-exporter.bash").display());
    completes_in(bash, &["bind 'set show-all-if-ambiguous on'", "bind 'set enable-bracketed-paste off'", &source]);
}

#[test]
#[ignore = "needs zsh, script"]
fn zsh_completes() {
    let directory = written();
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-i"]);
    let path = format!("fpath=({} $fpath)", directory.path().join("completions").display());
    completes_in(zsh, &[&path, "autoload -U compinit", "compinit -u -D", "setopt no_list_ambiguous"]);
}

#[test]
#[ignore = "needs fish"]
fn fish_completes() {
    let directory = written();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("web-config.yml"), "").unwrap();
    std::fs::create_dir(files.path().join("state-directory")).unwrap();
    let script = directory.path().join("completions/openim-exporter.fish");
    for (typed, expected) in TYPED {
        let ask = format!("source {}; complete -C 'openim-exporter {typed}'", script.display());
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", &ask]).current_dir(&files).env("HOME", files.path());
        let printed = String::from_utf8(fish.output().unwrap().stdout).unwrap();
        for text in expected {
            assert!(printed.lines().any(|line| line.starts_with(text)), "{typed}: {printed}");
        }
    }
}
