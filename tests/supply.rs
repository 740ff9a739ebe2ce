//! Each dependency has a comment with its reason. `cargo deny` checks the rules in deny.toml.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;

/// The dependencies of a manifest, and whether each has a comment on the line before it.
fn dependencies(manifest: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut in_dependencies = false;
    let mut above = "";
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            in_dependencies = section.ends_with("dependencies");
            // `[dependencies.name]`
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.push((name, is_reason(above)));
            }
        } else if in_dependencies && let Some((name, _)) = line.split_once('=') {
            found.push((name.trim(), is_reason(above)));
        }
        above = line;
    }
    found
}

fn is_reason(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|reason| reason.split_whitespace().count() >= 2)
}

fn without_reason(manifest: &str) -> Vec<&str> {
    dependencies(manifest).into_iter().filter(|(_, has_reason)| !has_reason).map(|(name, _)| name).collect()
}

#[test]
fn every_dependency_has_a_reason() {
    for (manifest, at_least) in [("Cargo.toml", 40), ("fuzz/Cargo.toml", 5)] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest)).unwrap();
        assert!(dependencies(&text).len() >= at_least, "{manifest}: {:?}", dependencies(&text));
        assert_eq!(without_reason(&text), [""; 0], "{manifest}: give the reason in a comment on the line before");
    }
}

#[test]
fn a_dependency_without_a_reason_is_found_however_it_is_written() {
    for manifest in [
        "[dependencies]\n# Why it is there.\na = \"1\"\nb = \"1\"",
        "[dev-dependencies]\nb = { version = \"1\" }",
        "[target.'cfg(unix)'.build-dependencies]\n\nb.workspace = true",
        "# Why not.\n\n[dependencies.b]\nversion = \"1\"",
        "[dependencies]\n#\nb=\"1\"",
    ] {
        let found = without_reason(manifest);
        assert!(found.len() == 1 && found[0].starts_with('b'), "{manifest}: {found:?}");
    }
    let manifest =
        "[package]\nname = \"x\"\n[dependencies]\n# Why it\n# is there.\nb = \"1\"\n# So is this.\n[dependencies.c]";
    assert_eq!(without_reason(manifest), [""; 0]);
}
