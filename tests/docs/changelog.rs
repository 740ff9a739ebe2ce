//! CHANGELOG.md has the form of Keep a Changelog, and an entry for this version.

use jiff::civil::Date;

use crate::CHANGELOG;

/// The kinds of changes, in this order.
const KINDS: [&str; 6] = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

/// The versions with their dates, newest first.
fn releases(text: &str) -> Vec<([u32; 3], Date)> {
    let headings = text.lines().filter_map(|line| line.strip_prefix("## ["));
    let release = |heading: &str| {
        let (version, date) = heading.split_once("] - ").unwrap();
        let numbers: Vec<_> = version.split('.').map(|number| number.parse().unwrap()).collect();
        (numbers.try_into().unwrap(), date.parse().unwrap())
    };
    headings.map(release).collect()
}

/// What is wrong with the changelog.
fn wrong(text: &str) -> Vec<String> {
    let releases = releases(text);
    let mut wrong = Vec::new();
    let version = |version: &[u32; 3]| version.map(|number| number.to_string()).join(".");
    if releases.first().map(|(newest, _)| version(newest)).as_deref() != Some(env!("CARGO_PKG_VERSION")) {
        wrong.push("the first version must be Cargo.toml's".to_owned());
    }
    if !releases.is_sorted_by(|newer, older| newer.0 > older.0 && newer.1 >= older.1) {
        wrong.push("the newest version must be the first".to_owned());
    }
    for (number, _) in &releases {
        let number = version(number);
        let reference = format!("\n[{number}]: {}/", env!("CARGO_PKG_REPOSITORY"));
        if text.matches(&reference).count() != 1 {
            wrong.push(format!("{number} needs one link"));
        }
        let section = text.split("\n## [").find(|section| section.starts_with(&number)).unwrap();
        let kinds = section.lines().filter_map(|line| line.strip_prefix("### "));
        let places: Vec<_> = kinds
            .filter(|kind| !kind.starts_with("Upgrade from "))
            .map(|kind| KINDS.iter().position(|known| *known == kind))
            .collect();
        if places.is_empty() || places.contains(&None) || !places.is_sorted() {
            wrong.push(format!("{number}: the sections must be some of {KINDS:?}"));
        }
    }
    wrong
}

#[test]
fn the_changelog_has_this_version_and_its_usual_form() {
    assert_eq!(wrong(CHANGELOG.text), [""; 0]);
    for (old, new) in [
        (concat!("## [", env!("CARGO_PKG_VERSION"), "]"), "## [9.9.9]"),
        ("## [0.1.0] - 2026-11-28", "## [0.1.0] - 2036-11-28"),
        ("\n[0.1.0]: ", "\n[0.0.1]: "),
        ("### Fixed", "### Repaired"),
        ("### Added", "### Security"),
    ] {
        assert!(!wrong(&CHANGELOG.spoilt(old, new)).is_empty(), "{old}");
    }
}
