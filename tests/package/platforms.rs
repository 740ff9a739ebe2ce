//! Files for a second platform beside those for this machine, and programs that their platform cannot run. A C compiler
//! makes the programs, because Rust's library for another platform may not be installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::contents::{checked_sums, lists_the_crates, paths};
use super::{PACKAGES, VERSION, must, name, printed, script};

const MUSL: &str = "x86_64-unknown-linux-musl";

/// A program that ends at once.
const NOTHING: &str = "int main(void) { return 0; }";

/// Compiles a program in C.
fn compiled(folder: &Path, source: &str, flags: &[&str]) -> PathBuf {
    let (text, program) = (folder.join("main.c"), folder.join("openim-exporter"));
    fs::write(&text, source).unwrap();
    must(Command::new("cc").arg("-o").arg(&program).arg(text).args(flags));
    program
}

#[test]
#[ignore = "needs cc, cargo-deb, dpkg and cargo-cyclonedx"]
fn the_files_of_a_second_platform_join_those_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("both");
    fs::create_dir(&both).unwrap();
    for entry in fs::read_dir(&*PACKAGES).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), both.join(entry.file_name())).unwrap();
    }
    // Someone has unpacked the archive there.
    fs::create_dir(both.join(name())).unwrap();
    let program = compiled(folder.path(), NOTHING, &["-static"]);
    must(script(program, &both).args(["--target", MUSL]));
    fs::remove_dir(both.join(name())).unwrap();

    let (sums, before) = (checked_sums(&both), checked_sums(&PACKAGES));
    assert!(sums.is_superset(&before), "{sums:#?}");
    let added: Vec<_> = sums.difference(&before).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    let top = format!("openim-exporter-{VERSION}-{MUSL}");
    let expected = ["-debug.tar.gz", ".cdx.json", ".tar.gz"].map(|ending| format!("{top}{ending}"));
    assert_eq!(added.len(), expected.len(), "{added:?}");
    assert!(expected.iter().all(|file| added.contains(&file.as_str())), "{added:?}");

    let archive = |directory: &Path, top: &str| {
        let archive = directory.join(format!("{top}.tar.gz"));
        paths(&printed("tar", [Path::new("-tzf"), &archive]), &format!("{top}/"))
    };
    assert_eq!(archive(&both, &top), archive(&PACKAGES, &name()));
    lists_the_crates(&fs::read_to_string(both.join(&expected[1])).unwrap(), MUSL);
}

#[test]
#[ignore = "needs cc, cargo-deb, dpkg and cargo-cyclonedx"]
fn a_program_that_the_platform_cannot_run_is_refused() {
    // Make the packages first, because the script may install what it needs.
    LazyLock::force(&PACKAGES);
    // glibc has this function since 2.36.
    let newer = "#include <stdlib.h>\nint main(void) { return arc4random() == 0; }";
    for (source, target, complaint) in [
        (newer, &[][..], "the program needs glibc 2.36, newer than 2."),
        (NOTHING, &["--target", MUSL], "the program is not static"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let program = compiled(folder.path(), source, &[]);
        let output = folder.path().join("output");
        let mut script = script(program, &output);
        // A build directory of its own, because another test may package for this platform. If the script goes on, it
        // fails when it compiles.
        script.args(target).env("CARGO_TARGET_DIR", folder.path()).env("RUSTC_WRAPPER", "false");
        let ran = script.output().unwrap();
        let complained = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && complained.contains(complaint), "{complained}");
        assert_eq!(fs::read_dir(output).unwrap().count(), 0);
    }
}
