//! A million groups, and more senders than the tables can hold: memory, ticks, counting and latency.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod answers;
mod counting;
mod memory;
#[path = "../support/mod.rs"]
mod support;

use std::io::Stdout;

use support::Failure;

/// Measures, and prints a table.
type Part = fn(&mut Stdout) -> Result<(), Failure>;

fn main() -> Result<(), Failure> {
    let args: Vec<_> = std::env::args().collect();
    if let [_, mode, groups, pairs] = args.as_slice()
        && mode == memory::FILL
    {
        return memory::fill(groups.parse()?, pairs.parse()?);
    }
    let mut out = std::io::stdout();
    // All parts, or the named ones: `cargo bench --bench scale -- answers`.
    let parts: [(&str, Part); 4] = [
        ("memory", memory::per_group),
        ("ticks", counting::ticks),
        ("pressure", counting::under_pressure),
        ("answers", answers::all),
    ];
    let is_named = |name: &str| args.iter().any(|arg| arg == name);
    let names_none = !parts.iter().any(|(name, _)| is_named(name));
    parts.iter().filter(|(name, _)| names_none || is_named(name)).try_for_each(|(_, part)| part(&mut out))
}
