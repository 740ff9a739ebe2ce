//! Several exporters: answers while Redis works, hangs or is dead, and a hundred exporters with a hundred million people.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, dead_code, reason = "a benchmark may panic")]

mod answers;
mod hundred;
mod redis;
#[path = "../support/mod.rs"]
mod support;

use std::io::Stdout;

use support::Failure;

/// Measures, and prints a table.
type Part = fn(&mut Stdout) -> Result<(), Failure>;

fn main() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    // All parts, or the named ones: `cargo bench --bench replicas -- answers`.
    let parts: [(&str, Part); 2] = [("answers", answers::all), ("hundred", hundred::all)];
    let is_named = |name: &str| std::env::args().any(|arg| arg == name);
    let names_none = !parts.iter().any(|(name, _)| is_named(name));
    parts.iter().filter(|(name, _)| names_none || is_named(name)).try_for_each(|(_, part)| part(&mut out))
}
