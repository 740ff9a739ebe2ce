//! The README and the pages of docs/ agree with the code. Each test also shows that it detects a wrong page.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod capacity;
mod changelog;
mod commands;
mod examples;
mod forwarded;
mod forwarding;
mod links;
mod names;
#[path = "../support/mod.rs"]
mod support;
mod tables;
#[allow(dead_code, reason = "this test uses a part of it")]
#[path = "../pass_through/target.rs"]
mod target;
mod translation;
mod versions;

use std::path::{Path, PathBuf};

/// A page of the documentation.
struct Page {
    path: &'static str,
    text: &'static str,
}

/// The pages with these paths.
macro_rules! pages {
    ($($name:ident = $path:literal;)+) => {
        $(const $name: Page = Page { path: $path, text: include_str!(concat!("../../", $path)) };)+
        /// All of them.
        const PAGES: &[Page] = &[$($name),+];
    };
}

pages! {
    README = "README.md";
    CHINESE_README = "README.zh-CN.md";
    CHANGELOG = "CHANGELOG.md";
    CONTRIBUTING = "CONTRIBUTING.md";
    SECURITY = "SECURITY.md";
    API = "docs/api.md";
    CALLBACKS = "docs/callbacks.md";
    CAPACITY = "docs/capacity.md";
    COMPATIBILITY = "docs/compatibility.md";
    DEPLOY = "docs/deploy.md";
    ERRORS = "docs/errors.md";
    FLAGS = "docs/flags.md";
    FORWARDING = "docs/forwarding.md";
    INSTALL = "docs/install.md";
    LIMITS = "docs/limits.md";
    METRICS = "docs/metrics.md";
    OPENIM = "docs/openim.md";
    LIVE_PAGE = "docs/page.md";
    PERFORMANCE = "docs/performance.md";
    PRIVACY = "docs/privacy.md";
    PROMETHEUS = "docs/prometheus.md";
    QUESTIONS = "docs/questions.md";
    RECORDS = "docs/records.md";
    REPLICAS = "docs/replicas.md";
    RUNBOOK = "docs/runbook.md";
    STATE = "docs/state.md";
    WEB_CONFIG = "docs/web-config.md";
    FUZZING = "fuzz/README.md";
    FIRST_STATE = "tests/state/0.1.0/README.md";
}

impl Page {
    /// The page's text with one change.
    fn spoilt(&self, old: &str, new: &str) -> String {
        assert!(self.text.contains(old), "{}: {old}", self.path);
        self.text.replacen(old, new, 1)
    }

    /// The first fenced block of this language below a heading.
    fn block(&self, heading: &str, language: &str) -> &'static str {
        block(self.text, heading, language)
    }
}

/// The first fenced block of this language below a heading of a text.
fn block<'a>(text: &'a str, heading: &str, language: &str) -> &'a str {
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("\n```").unwrap().0
}

/// A file of the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
