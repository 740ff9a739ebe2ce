//! The rules of the architecture: which module may import which, no cycles among files, and where certain things may be
//! written. The tests at the end show that each rule can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/rust_source.rs"]
mod rust_source;

use std::collections::{BTreeMap, BTreeSet};

use rust_source::{ModulePath, Source};

/// Longest file and longest function, in lines.
const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

/// Module -> the modules or single items of this crate that it may import. Each module may import from itself. The
/// layers of `http` have a separate table.
#[rustfmt::skip]
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &["named"]),
    ("arena", &[]),
    ("certificates", &[]),
    ("lanes", &[]),
    ("native", &[]),
    ("named", &[]),
    ("spool", &["domain", "named"]),
    ("niceness", &[]),
    ("telemetry", &["domain", "lanes", "named", "native", "spool::Dropped"]),
    ("forward", &["certificates", "config::forward", "domain", "niceness", "spool", "telemetry", "threads", "wire"]),
    ("wire", &["domain"]),
    ("stats", &["domain", "arena", "lanes", "named", "native"]),
    ("exposition", &["domain", "native", "stats", "telemetry"]),
    ("view", &["domain", "stats", "telemetry"]),
    ("page", &[]),
    ("replicas", &[
        "certificates", "config::ReplicasSettings", "config::forward", "config::replicas", "domain", "named", "niceness",
        "stats", "telemetry", "threads",
    ]),
    ("threads", &[]),
    ("record", &[
        "config::RecordContent", "config::RecordSettings", "domain", "niceness", "telemetry", "threads", "wire",
    ]),
    // Only its own settings.
    ("http", &[
        "certificates", "domain", "forward", "lanes", "niceness", "spool", "wire", "stats", "exposition", "view",
        "page", "record", "telemetry", "config::Http", "config::ExternalUrl", "config::ForwardSettings",
        "config::forward", "config::web", "config::FileError", "config::Senders", "config::ListenAddress",
        "config::Networks", "config::PathSecret", "config::Users",
    ]),
    ("client", &["certificates", "config::simulate"]),
    ("simulate", &["client", "domain", "wire", "config::simulate"]),
    ("healthcheck", &["client", "config::healthcheck", "config::simulate"]),
    // Values of settings.
    ("config", &["certificates", "domain", "named", "spool::Position", "telemetry::LogFormat"]),
    (
        "app",
        &[
            "arena",
            "config",
            "domain",
            "exposition",
            "forward",
            "healthcheck",
            "http",
            "record",
            "replicas",
            "simulate",
            "spool",
            "stats",
            "telemetry",
            "view",
        ],
    ),
    ("main", &["app", "config"]),
    ("lib", &[]),
];

/// Layer of `http` -> the layers that it may import from.
const HTTP_LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("access", &["base"]),
    ("site", &["access", "base"]),
    ("service", &["site", "access", "base"]),
    ("transport", &["service", "site", "base"]),
    ("fuzz", &["transport", "site", "base"]),
];

/// Names of fields in OpenIM's callbacks that have no other meaning, and the entry for everyone in a list of mentions.
const FIELDS: &[&str] = &[
    "sendID",
    "callbackCommand",
    "serverMsgID",
    "clientMsgID",
    "operationID",
    "senderPlatformID",
    "senderNickname",
    "sessionType",
    "msgFrom",
    "contentType",
    "sendTime",
    "createTime",
    "atUserList",
    "faceURL",
    "recvID",
    "groupID",
    "AtAllTag",
];

fn forbidden_imports(source: &Source) -> Vec<String> {
    let top = source.top();
    let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| *name == top).unwrap_or_else(|| panic!("no row for {top}"));
    let is_allowed = |path: &ModulePath| {
        let fits = |allowed: &&str| match allowed.split_once("::") {
            None => *allowed == path[0],
            // A path to the module itself is allowed, because its items have separate paths.
            Some((module, item)) => module == path[0] && path.get(1).is_none_or(|found| found == item),
        };
        path[0] == top || allowed.iter().any(fits)
    };
    source.paths().iter().filter(|path| !is_allowed(path)).map(|path| path.join("::")).collect()
}

/// Imports of a file in `http` from a layer that is not below its own. Tests may use the fixtures of any layer.
fn imports_from_higher_layers(source: &Source) -> Vec<String> {
    let module = source.module();
    let [top, layer, ..] = module.as_slice() else { return Vec::new() };
    if top != "http" {
        return Vec::new();
    }
    let (_, below) = HTTP_LAYERS.iter().find(|(name, _)| name == layer).unwrap_or_else(|| panic!("no row for {layer}"));
    let is_allowed = |path: &ModulePath| {
        path[0] != "http" || path.get(1).is_some_and(|found| found == layer || below.contains(&found.as_str()))
    };
    source.paths_outside_tests().iter().filter(|path| !is_allowed(path)).map(|path| path.join("::")).collect()
}

/// The imports among files that are on a cycle.
fn on_cycles(sources: &[Source]) -> Vec<String> {
    let modules: BTreeMap<ModulePath, usize> =
        sources.iter().enumerate().map(|(number, source)| (source.module(), number)).collect();
    // The file of an item: that of the longest prefix of its path that is a module.
    let file = |path: &ModulePath| (1..=path.len()).rev().find_map(|len| modules.get(&path[..len]).copied());
    let imported = |source: &Source| source.paths_outside_tests().iter().filter_map(&file).collect::<BTreeSet<_>>();
    let imports: Vec<_> = sources.iter().map(imported).collect();
    let reached = |from: usize| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(imports[file].iter().filter(|file| reached.insert(**file)));
        }
        reached
    };
    let reached: Vec<_> = (0..sources.len()).map(reached).collect();
    let edges = imports.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to)));
    edges
        .filter(|(from, to)| from != to && reached[*to].contains(from))
        .map(|(from, to)| format!("{} -> {}", sources[from].path, sources[to].path))
        .collect()
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let file = (lines >= MAX_FILE_LINES).then(|| format!("the file has {lines} lines"));
    let functions = source.functions().into_iter().filter(|function| function.lines > MAX_FUNCTION_LINES);
    file.into_iter()
        .chain(functions.map(|function| format!("{} has {} lines", function.name, function.lines)))
        .collect()
}

fn misplaced_unsafe(source: &Source) -> Vec<usize> {
    if source.path.starts_with("src/arena/") { Vec::new() } else { source.lines_of_word("unsafe") }
}

/// Where metrics are declared: those of the statistics, and the exporter's own.
const DECLARATIONS: [&str; 4] =
    ["src/exposition/catalog.rs", "src/telemetry/events.rs", "src/telemetry/forward.rs", "src/telemetry/replicas.rs"];

/// String literals that begin like a metric's name, outside of declarations and tests.
fn misplaced_metric_names(source: &Source) -> Vec<String> {
    if DECLARATIONS.contains(&source.path.as_str()) {
        return Vec::new();
    }
    source.literals().into_iter().filter(|literal| literal.contains("\"openim_")).collect()
}

/// String literals that are the name of a field, or contain one in quotes as in JSON. Error messages name fields
/// without quotes. Also `camelCase`, with which serde would derive such names.
fn misplaced_field_names(source: &Source) -> Vec<String> {
    if source.top() == "wire" {
        return Vec::new();
    }
    let is_name = |literal: &String| {
        let plain = literal.replace('\\', "");
        plain.contains("\"camelCase\"") || FIELDS.iter().any(|field| plain.contains(&format!("\"{field}\"")))
    };
    source.literals().into_iter().filter(is_name).collect()
}

fn assert_clean<T: std::fmt::Debug>(sources: &[Source], violations: impl Fn(&Source) -> Vec<T>) {
    let found: Vec<_> = sources
        .iter()
        .map(|source| (&source.path, violations(source)))
        .filter(|(_, violations)| !violations.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// All Rust source: of the program, the tests, the benchmarks and the fuzz targets.
fn everything() -> Vec<Source> {
    ["src", "tests", "benches", "fuzz/properties", "fuzz/fuzz_targets"].into_iter().flat_map(Source::all_in).collect()
}

#[test]
fn no_module_imports_what_the_table_does_not_allow() {
    let sources = Source::all_in("src");
    assert_clean(&sources, forbidden_imports);
    // The scanner works: each module that may import something does.
    for (module, allowed) in MAY_IMPORT {
        let paths: Vec<_> = sources.iter().filter(|source| source.top() == *module).flat_map(Source::paths).collect();
        for allowed in *allowed {
            let of = allowed.split("::").next().unwrap();
            assert!(
                paths.iter().any(|path| path[0] == of) || *module == "app",
                "{module} does not import {allowed}; remove it from the table"
            );
        }
    }
}

#[test]
fn the_layers_of_http_import_from_lower_layers_only() {
    let sources = Source::all_in("src/http");
    assert_clean(&sources, imports_from_higher_layers);
    for (layer, below) in HTTP_LAYERS {
        let of_layer = sources.iter().filter(|source| source.module().get(1).is_some_and(|name| name == layer));
        let paths: Vec<_> = of_layer.flat_map(Source::paths_outside_tests).collect();
        for below in *below {
            let imports_it =
                paths.iter().any(|path| path[0] == "http" && path.get(1).is_some_and(|name| name == below));
            assert!(imports_it, "{layer} does not import {below}; remove it from the table");
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    assert_eq!(on_cycles(&Source::all_in("src")), [""; 0]);
}

#[test]
fn no_file_and_no_function_is_too_long() {
    assert_clean(&everything(), too_long);
}

#[test]
fn unsafe_is_in_the_arena_only() {
    assert_clean(&everything(), misplaced_unsafe);
    assert!(Source::all_in("src/arena").iter().any(|source| !source.lines_of_word("unsafe").is_empty()));
}

#[test]
fn a_metric_s_name_is_in_its_declaration_only() {
    let sources = Source::all_in("src");
    assert_clean(&sources, misplaced_metric_names);
    let names = ["openim_group_messages_total", "openim_exporter_connections", "openim_exporter_forward_stalls_total"];
    for (path, name) in DECLARATIONS.iter().zip(names) {
        let source = sources.iter().find(|source| source.path == *path).unwrap();
        assert!(source.literals().iter().any(|literal| *literal == format!("\"{name}\"")), "{path}");
    }
}

#[test]
fn a_sender_s_field_name_is_in_wire_only() {
    let sources = Source::all_in("src");
    assert_clean(&sources, misplaced_field_names);
    let wire: Vec<_> = sources.iter().filter(|source| source.top() == "wire").flat_map(Source::literals).collect();
    for field in FIELDS {
        assert!(wire.iter().any(|literal| literal.contains(field)), "{field} is not read by wire either");
    }
}

#[cfg(test)]
mod the_scanners_can_fail {
    use super::*;

    fn forbidden(path: &str, text: &str) -> Vec<String> {
        forbidden_imports(&Source::new(path, text))
    }

    #[test]
    fn an_import_is_found_however_it_is_written() {
        for text in [
            "use crate::http::Site;",
            "use crate::{domain::Message, http};",
            "use crate::{domain, http::{Site, Limits}};",
            "pub(crate) use crate::http as h;",
            "fn f() { let x = crate::http::listen(a); }",
            "fn f(x: Vec<crate::http::Site>) {}",
            "use super::super::http::Site;",
            "use super::{super::http::Site, other};",
            "mod inner { use super::super::super::http::Site; }",
            "macro_rules! m { () => { $crate::http::x() } }",
            "mod tests { use openim_exporter::http; }",
        ] {
            let found = forbidden("src/stats/groups.rs", text);
            assert!(!found.is_empty() && found.iter().all(|import| import.starts_with("http")), "{text}: {found:?}");
        }
        assert!(!forbidden("src/stats/mod.rs", "use super::http;").is_empty());
        assert!(!forbidden("src/main.rs", "use openim_exporter::stats;").is_empty());
    }

    #[test]
    fn what_is_allowed_or_no_import_is_not_found() {
        for text in [
            "use crate::domain::{Message, UnixMillis}; use crate::arena::Arena; use crate::stats::mix;",
            "pub(crate) fn f() {} pub(in crate::stats) fn g() {}",
            "// use crate::http;\n/// See [`crate::http`].\nconst X: &str = \"use crate::http;\";",
            "use super::mix; mod tests { use super::super::mix; use super::*; }",
        ] {
            assert_eq!(forbidden("src/stats/groups.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn only_the_allowed_item_of_a_module_may_be_imported() {
        assert_eq!(forbidden("src/http/site.rs", "use crate::config; fn f(x: config::Http) {}"), [""; 0]);
        assert_eq!(forbidden("src/http/site.rs", "use crate::config; fn f(x: config::Log) {}"), ["config::Log"]);
        assert_eq!(forbidden("src/http/site.rs", "use crate::config::{Http, Log};"), ["config::Log"]);
        assert_eq!(forbidden("src/config/serve.rs", "use crate::telemetry::Telemetry;"), ["telemetry::Telemetry"]);
    }

    #[test]
    fn a_layer_that_imports_from_a_higher_one_is_found() {
        let found = |path: &str, text: &str| imports_from_higher_layers(&Source::new(path, text));
        assert_eq!(found("src/http/site/x.rs", "use crate::http::service::answer;"), ["http::service::answer"]);
        assert_eq!(found("src/http/base/x.rs", "use super::super::site::Site;"), ["http::site::Site"]);
        // The facade of `http` is above all layers.
        assert_eq!(found("src/http/site/x.rs", "use crate::http::Limits;"), ["http::Limits"]);
        assert_eq!(found("src/http/service/x.rs", "use crate::http::site::Site; use super::y::z;"), [""; 0]);
        assert_eq!(found("src/http/base/x.rs", "#[cfg(test)]\nmod tests { use crate::http::site::Site; }"), [""; 0]);
    }

    #[test]
    fn a_cycle_of_files_is_found_however_its_imports_are_written() {
        let cycle = |files: &[(&str, &str)]| {
            on_cycles(&files.iter().map(|(path, text)| Source::new(path, text)).collect::<Vec<_>>())
        };
        let parent = ("src/a/mod.rs", "mod b; mod c; use b::B; pub struct A;");
        for child in ["use super::A;", "fn f() -> super::A {}", "use crate::a::{A, c::C};", "use super::*;"] {
            assert_eq!(cycle(&[parent, ("src/a/b.rs", child), ("src/a/c.rs", "")]).len(), 2, "{child}");
        }
        let (b, c) = (("src/a/b.rs", "use super::c::C;"), ("src/a/c.rs", "fn f(x: super::b::B) {}"));
        assert_eq!(cycle(&[parent, b, c]), ["src/a/b.rs -> src/a/c.rs", "src/a/c.rs -> src/a/b.rs"]);
        assert_eq!(cycle(&[parent, b, ("src/a/c.rs", "mod tests { use super::*; }")]), [""; 0]);
        assert_eq!(cycle(&[parent, b, ("src/a/c.rs", "pub(in crate::a) fn f() {}")]), [""; 0]);
        assert_eq!(cycle(&[parent, b, ("src/a/c.rs", "#[cfg(test)]\nmod tests { use crate::a::A; }")]), [""; 0]);
    }

    #[test]
    fn a_long_function_and_a_long_file_are_found() {
        let body = "    let x = \"}\"; // }\n".repeat(69);
        let fits = format!("impl X {{\nfn f<T>(a: [u8; 3]) -> T {{\n{}}}\n}}", &body[..body.len() - body.len() / 69]);
        assert_eq!(too_long(&Source::new("src/a/b.rs", &fits)), [""; 0]);
        let long = format!("trait X {{ fn declared(); }}\nasync fn f() {{\n{body}}}\n");
        assert_eq!(too_long(&Source::new("src/a/b.rs", &long)), ["f has 71 lines"]);
        let file = "// x\n".repeat(400);
        assert_eq!(too_long(&Source::new("src/a/b.rs", &file)), ["the file has 400 lines"]);
        assert_eq!(too_long(&Source::new("src/a/b.rs", &file[5..])), [""; 0]);
    }

    #[test]
    fn unsafe_is_found_where_it_is_code() {
        let text = "// unsafe\nconst X: &str = \"unsafe\";\nfn f() {\n    unsafe { g() }\n}\n#![deny(unsafe_code)]\n";
        assert_eq!(misplaced_unsafe(&Source::new("tests/x.rs", text)), [4]);
        assert!(misplaced_unsafe(&Source::new("src/arena/mod.rs", text)).is_empty());
    }

    #[test]
    fn a_metric_s_name_is_found_where_it_is_code() {
        let text = "/// openim_x_total\nfn f() { m!(\"openim_x_total\") }\n#[cfg(test)]\nmod tests { const X: &str = \"openim_y\"; }";
        assert_eq!(misplaced_metric_names(&Source::new("src/http/x.rs", text)), ["\"openim_x_total\""]);
    }

    #[test]
    fn a_field_s_name_is_found_where_it_is_code() {
        let text = "/// \"groupID\"\n#[serde(rename = \"sendID\")]\nconst X: &str = r#\"{\"recvID\":1}\"#;\n\
            const Y: &str = \"{\\\"groupID\\\":1}\";\n#[serde(rename_all = \"camelCase\")]\n\
            const HELP: &str = \"Time from createTime to sendTime.\";\n#[cfg(test)]\nconst Z: &str = \"sendID\";\n\
            #[cfg(test)]\nmod tests { const Z: &str = \"sendID\"; }";
        let found = misplaced_field_names(&Source::new("src/http/x.rs", text));
        assert_eq!(found, ["\"sendID\"", "r#\"{\"recvID\":1}\"#", "\"{\\\"groupID\\\":1}\"", "\"camelCase\""]);
        assert!(misplaced_field_names(&Source::new("src/wire/x.rs", text)).is_empty());
    }
}
