//! The places that name this version, so that a release changes all of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{CHINESE_README, COMPATIBILITY, CONTRIBUTING, INSTALL, README, at};

/// Each file that names the current version, and where.
const NAMED: &[(&str, &str)] = &[
    ("Cargo.toml", "name = \"openim-exporter\"\nversion = \"VERSION\""),
    ("Cargo.lock", "name = \"openim-exporter\"\nversion = \"VERSION\""),
    ("fuzz/Cargo.lock", "name = \"openim-exporter\"\nversion = \"VERSION\""),
    ("CHANGELOG.md", "\n## [VERSION] - "),
    ("Dockerfile", "image.version=\"VERSION\""),
    ("deploy/chart/Chart.yaml", "\nversion: VERSION\nappVersion: VERSION\n"),
    ("deploy/kubernetes.yml", "image: openim-exporter:VERSION"),
    ("docs/api.md", "\"version\": \"VERSION\""),
];

/// Pages that say what is new since a version.
const SINCE: &[&str] = &["docs/compatibility.md"];

/// The text with this version instead of `VERSION`.
fn with_version(text: &str) -> String {
    text.replace("VERSION", env!("CARGO_PKG_VERSION"))
}

/// Whether a text has this version, not as a part of a longer number.
fn names_this_version(text: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|it| it.is_ascii_digit() || it == '.');
    text.match_indices(env!("CARGO_PKG_VERSION")).any(|(start, version)| {
        let mut after = text[start + version.len()..].chars();
        let next = after.next();
        let continues = next.is_some_and(|it| it.is_ascii_digit()) || next == Some('.') && is_part(after.next());
        !is_part(text[..start].chars().next_back()) && !continues
    })
}

/// All text files of the repository except lock files, which name the versions of others.
fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.starts_with('.') && !["target", "node_modules"].contains(&name) && !name.contains("lock")
    };
    let read = |path: PathBuf| match path.is_dir() {
        true => texts(&path),
        false => fs::read_to_string(&path).map(|text| (path, text)).into_iter().collect(),
    };
    entries.filter(is_ours).flat_map(read).collect()
}

#[test]
fn this_version_is_named_where_a_release_changes_it_and_nowhere_else() {
    for (path, place) in NAMED {
        let text = fs::read_to_string(at(path)).unwrap();
        assert!(text.contains(&with_version(place)), "{path} must have: {}", with_version(place));
    }
    let root = at("");
    let is_listed = |path: &Path| {
        let known = NAMED.iter().map(|(path, _)| path).chain(SINCE);
        known.into_iter().any(|known| path.strip_prefix(&root).unwrap() == Path::new(known))
    };
    let others: Vec<_> = texts(&root)
        .into_iter()
        .filter(|(path, text)| names_this_version(text) && !is_listed(path))
        .map(|(path, _)| path)
        .collect();
    assert!(others.is_empty(), "do not name the version there, or list the file in tests/docs/versions.rs: {others:?}");
}

#[test]
fn a_version_is_found_between_other_characters_only() {
    for text in ["VERSION", "v VERSION.", "openim-exporter:VERSION\"", "VERSION.deb", "VERSION-1"] {
        assert!(names_this_version(&with_version(text)), "{text}");
    }
    for text in ["1.VERSION", "VERSION.1", "1VERSION", "VERSION1"] {
        assert!(!names_this_version(&with_version(text)), "{text}");
    }
}

/// Whether a text has numbers after these words, and only this one.
fn names_only(number: &str, words: &[&str], text: &str) -> bool {
    let after = words.iter().flat_map(|words| text.split(*words).skip(1));
    let numbers = after.map(|text| text.split(|it: char| !it.is_ascii_digit() && it != '.').next().unwrap());
    let numbers: Vec<_> = numbers.map(|number| number.trim_end_matches('.')).filter(|it| !it.is_empty()).collect();
    !numbers.is_empty() && numbers.iter().all(|it| *it == number)
}

#[test]
fn the_pages_name_the_oldest_rust_of_the_manifest() {
    let words = ["Rust ", "Rust](https://rustup.rs) ", "Rust, to build it | "];
    let is_right = |text: &str| names_only(env!("CARGO_PKG_RUST_VERSION"), &words, text);
    for page in [README, CHINESE_README, CONTRIBUTING, INSTALL, COMPATIBILITY] {
        assert!(is_right(page.text), "{}", page.path);
    }
    assert!(!is_right(&README.spoilt("with Rust 1.", "with Rust 2.")) && !is_right(""));
}

#[test]
fn the_pages_name_the_oldest_glibc_that_the_packages_may_need() {
    let script = fs::read_to_string(at("deploy/package.sh")).unwrap();
    let oldest = script.split_once("\noldest_glibc=").unwrap().1.lines().next().unwrap();
    let is_right = |text: &str| names_only(oldest, &["glibc "], text);
    for page in [README, CHINESE_README, INSTALL, COMPATIBILITY] {
        assert!(is_right(page.text), "{}", page.path);
    }
    assert!(!is_right(&README.spoilt("glibc 2.", "glibc 3.")));
}
