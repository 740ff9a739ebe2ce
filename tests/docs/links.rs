//! Links to pages, files of the repository and headings are valid.

use std::path::{Component, Path, PathBuf};

use crate::{DEPLOY, FLAGS, PAGES, README, at};

/// The targets of a page's links and images, except other sites.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2).flat_map(|prose| prose.split("](").skip(1));
    prose.filter_map(|rest| rest.split(')').next()).filter(|target| !target.starts_with("http"))
}

/// The anchors that GitHub generates for the headings of a page.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.split("```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    headings.map(|heading| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
        kept.map(|character| if character == ' ' { '-' } else { character }).collect()
    })
}

/// The path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(normal.pop(), "{path:?} leaves the repository"),
            other => normal.push(other),
        }
    }
    normal
}

/// Targets of a page's links that do not exist.
fn dead_links(path: &str, text: &str) -> Vec<String> {
    let is_dead = |target: &&str| {
        let (file, anchor) = target.split_once('#').map_or((*target, None), |(file, anchor)| (file, Some(anchor)));
        let linked = if file.is_empty() { path.into() } else { normal(&Path::new(path).with_file_name(file)) };
        let page = PAGES.iter().find(|page| Path::new(page.path) == linked);
        let has = |anchor: &str| page.is_some_and(|page| anchors(page.text).any(|found| found == anchor));
        !at(linked.to_str().unwrap()).exists() || anchor.is_some_and(|anchor| !has(anchor))
    };
    targets(text).filter(is_dead).map(str::to_owned).collect()
}

#[test]
fn every_link_is_valid() {
    for page in PAGES {
        assert_eq!(dead_links(page.path, page.text), [""; 0], "{}", page.path);
    }
    for (page, old, new) in [
        (README, "](docs/page.png)", "](docs/pages.png)"),
        (README, "](docs/deploy.md#protect-it)", "](docs/deploy.md#protect)"),
        (DEPLOY, "](../SECURITY.md)", "](SECURITY.md)"),
        (FLAGS, "](web-config.md)", "](web-config.md#tls)"),
    ] {
        let wrong = new.trim_start_matches("](").trim_end_matches(')');
        assert_eq!(dead_links(page.path, &page.spoilt(old, new)), [wrong]);
    }
}

/// Pages of docs/ that the README does not link to.
fn not_in_the_readme(readme: &str) -> Vec<&'static str> {
    let pages = PAGES.iter().map(|page| page.path).filter(|path| path.starts_with("docs/"));
    pages.filter(|path| !targets(readme).any(|target| target == *path)).collect()
}

#[test]
fn the_readme_links_to_every_page_and_every_page_is_tested() {
    assert_eq!(not_in_the_readme(README.text), [""; 0]);
    assert_eq!(not_in_the_readme(&README.text.replace("(docs/flags.md)", "()")), ["docs/flags.md"]);
    let files = std::fs::read_dir(at("docs")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let pages = files.filter(|file| file.ends_with(".md"));
    let untested = |file: &String| !PAGES.iter().any(|page| page.path == format!("docs/{file}"));
    assert_eq!(pages.filter(untested).collect::<Vec<_>>(), [""; 0]);
}
