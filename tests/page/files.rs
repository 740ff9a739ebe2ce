//! The files of the page, without a browser.

use std::fs;
use std::path::Path;

use openim_exporter::domain::Reason;
use openim_exporter::domain::codes::{CONTENT_TYPES, PLATFORMS};

use crate::support::Exporter;

/// The sum of all compressed files, in bytes.
const BUDGET: usize = 60 * 1024;

#[test]
fn every_file_is_served_and_together_they_are_small() {
    let exporter = Exporter::start(&[]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.filter(|name| !name.ends_with(".rs")).collect();
    assert!(names.len() > 10, "{names:?}");
    let size = |name: &String| {
        let path = if name == "index.html" { "/".to_owned() } else { format!("/page/{name}") };
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n");
        let file = exporter.ask(request.as_bytes());
        assert_eq!((file.status, file.header("content-encoding")), (200, Some("gzip")), "{path}");
        file.body.len()
    };
    let total: usize = names.iter().map(size).sum();
    assert!(total <= BUDGET, "{total} bytes");
}

#[test]
fn every_type_platform_and_reason_has_words_in_both_languages() {
    let names = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/names.js")).unwrap();
    let all = CONTENT_TYPES.iter().map(|(_, name)| *name).chain(PLATFORMS);
    // Callbacks without words are shown by name.
    let all = all.chain(Reason::ALL.into_iter().map(Reason::name));
    let missing: Vec<_> = all.filter(|name| !names.contains(&format!("\n  {name}: ["))).collect();
    assert_eq!(missing, [""; 0]);
}
