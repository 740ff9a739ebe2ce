//! What operators install: checked by the programs that will read it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test says so")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Has systemd check the units, with the program where this machine has it.
fn systemd_analyze(edit: impl Fn(&str) -> String) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let units = ["openim-exporter.service", "openim-exporter.socket"].map(|name| {
        let unit = fs::read_to_string(folder.join(name)).unwrap();
        let unit = unit.replace("/usr/local/bin/openim-exporter", env!("CARGO_BIN_EXE_openim-exporter"));
        let file = directory.path().join(name);
        fs::write(&file, edit(&unit)).unwrap();
        file
    });
    Command::new("systemd-analyze").arg("verify").args(units).output().expect("systemd-analyze must be installed")
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_has_no_complaint_about_the_units() {
    let said = systemd_analyze(str::to_owned);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(String::from_utf8_lossy(&said.stderr), "");
}

#[test]
fn systemd_never_gives_the_service_up_and_with_it_the_socket() {
    let unit = include_str!("../deploy/openim-exporter.service");
    let (head, _) = unit.split_once("[Service]").unwrap();
    assert!(head.lines().any(|line| line == "StartLimitIntervalSec=0"), "{head}");
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_would_complain_about_a_setting_that_there_is_not() {
    let said = systemd_analyze(|unit| unit.replace("UMask=", "UMusk="));
    assert!(String::from_utf8_lossy(&said.stderr).contains("UMusk"));
}
