//! The rules of the house: who may import whom, and where certain things may stand. Each rule is shown to be able to
//! fail at the end of this file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/rust_source.rs"]
mod rust_source;

use std::collections::BTreeSet;

use rust_source::{Import, Source};

/// Longest file and longest function, in lines.
const MOST_FILE_LINES: usize = 400;
const MOST_FUNCTION_LINES: usize = 70;

/// Room -> what it may import of ours: a room, or one item of it. Each room may import itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("arena", &[]),
    ("telemetry", &[]),
    // A body is refused for a reason that the exporter counts.
    ("wire", &["domain", "telemetry::Reason"]),
    ("stats", &["domain", "arena"]),
    ("exposition", &["domain", "stats", "telemetry"]),
    // Its part of the settings, and no other.
    (
        "http",
        &[
            "domain",
            "wire",
            "stats",
            "exposition",
            "telemetry",
            "config::Http",
            "config::Access",
            "config::web",
            "config::FileError",
            "config::PathSecret",
            "config::Users",
        ],
    ),
    ("simulate", &["domain", "wire", "config::simulate"]),
    // The form of the log's lines is a setting.
    ("config", &["telemetry::LogFormat"]),
    ("app", &["arena", "config", "domain", "exposition", "http", "simulate", "stats", "telemetry", "wire"]),
    ("main", &["app", "config"]),
    ("lib", &[]),
];

/// Names of fields in OpenIM's callbacks that are no words of another meaning, and its mark in a list of mentions.
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

fn is_allowed(room: &str, import: &Import) -> bool {
    let (_, allowed) =
        MAY_IMPORT.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("say whom {room} may import"));
    let fits = |allowed: &&str| match allowed.split_once("::") {
        None => *allowed == import.room,
        // A room that is imported for one item may be named by itself: what is taken from it is checked below.
        Some((of, item)) => {
            of == import.room && import.item.as_deref().is_none_or(|found| [item, "self"].contains(&found))
        }
    };
    room == import.room || allowed.iter().any(fits)
}

/// Where a room is named by itself, `room::item` may follow anywhere in the file.
fn takes_more_than_allowed(source: &Source) -> Vec<String> {
    let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| *name == source.room()).unwrap();
    let items: Vec<_> = allowed.iter().filter_map(|allowed| allowed.split_once("::")).collect();
    let rooms: BTreeSet<_> = items.iter().map(|(room, _)| *room).collect();
    let taken = rooms.into_iter().flat_map(|room| source.items_of(room).into_iter().map(move |item| (room, item)));
    taken.filter(|(room, item)| !items.contains(&(*room, item))).map(|(_, item)| item).collect()
}

fn forbidden_imports(source: &Source) -> Vec<String> {
    let imports = source.imports();
    let forbidden = imports.iter().filter(|import| !is_allowed(source.room(), import));
    let named = forbidden.map(|import| format!("{}::{}", import.room, import.item.as_deref().unwrap_or("")));
    named.chain(takes_more_than_allowed(source)).collect()
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let file = (lines >= MOST_FILE_LINES).then(|| format!("the file has {lines} lines"));
    let functions = source.functions().into_iter().filter(|function| function.lines > MOST_FUNCTION_LINES);
    file.into_iter()
        .chain(functions.map(|function| format!("{} has {} lines", function.name, function.lines)))
        .collect()
}

fn misplaced_unsafe(source: &Source) -> Vec<usize> {
    if source.path.starts_with("src/arena/") { Vec::new() } else { source.lines_of_word("unsafe") }
}

/// String literals that begin like a metric's name, outside the catalogue and the tests.
fn misplaced_metric_names(source: &Source) -> Vec<String> {
    if source.path == "src/exposition/catalog.rs" {
        return Vec::new();
    }
    source.literals().into_iter().filter(|literal| literal.contains("\"openim_")).collect()
}

/// String literals that are the name of a field, or hold one in quotes, as JSON would: not those of messages to people,
/// which name fields without. Also a rule that makes such names of Rust's.
fn misplaced_field_names(source: &Source) -> Vec<String> {
    if source.room() == "wire" {
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

/// All Rust source: the program's, the tests', the benchmarks', the fuzzer's.
fn everything() -> Vec<Source> {
    ["src", "tests", "benches", "fuzz/properties", "fuzz/fuzz_targets"].into_iter().flat_map(Source::all_in).collect()
}

#[test]
fn no_room_imports_what_the_table_does_not_allow() {
    let sources = Source::all_in("src");
    assert_clean(&sources, forbidden_imports);
    // The scanner sees what it is to see: each room that may import something does.
    for (room, allowed) in MAY_IMPORT {
        let imports: Vec<_> =
            sources.iter().filter(|source| source.room() == *room).flat_map(Source::imports).collect();
        for allowed in *allowed {
            let of = allowed.split("::").next().unwrap();
            assert!(
                imports.iter().any(|import| import.room == of) || *room == "app",
                "{room} does not import {allowed}; strike it from the table"
            );
        }
    }
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
fn a_metric_s_name_is_in_the_catalogue_only() {
    let sources = Source::all_in("src");
    assert_clean(&sources, misplaced_metric_names);
    let catalogue = sources.iter().find(|source| source.path == "src/exposition/catalog.rs").unwrap();
    assert!(catalogue.literals().iter().any(|literal| literal == "\"openim_group_messages_total\""));
}

#[test]
fn a_sender_s_field_name_is_in_wire_only() {
    let sources = Source::all_in("src");
    assert_clean(&sources, misplaced_field_names);
    let wire: Vec<_> = sources.iter().filter(|source| source.room() == "wire").flat_map(Source::literals).collect();
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
            assert!(!found.is_empty() && found.iter().all(|import| import.starts_with("http::")), "{text}: {found:?}");
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
    fn only_the_allowed_item_of_a_room_may_be_taken() {
        assert_eq!(forbidden("src/http/site.rs", "use crate::config; fn f(x: config::Http) {}"), [""; 0]);
        assert_eq!(forbidden("src/http/site.rs", "use crate::config; fn f(x: config::Log) {}"), ["Log"]);
        assert_eq!(forbidden("src/http/site.rs", "use crate::config::{Http, Log};"), ["config::Log"]);
        assert_eq!(forbidden("src/config/serve.rs", "use crate::telemetry::Telemetry;"), ["telemetry::Telemetry"]);
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
