//! The page that shows a dashboard with Grafana's own libraries, and Chromium, which opens it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, thread};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::monitoring::at;
use super::packages;

/// The folder with the page's source.
const SOURCE: &str = "tests/grafana/page";

/// A dashboard to show.
#[derive(Clone, Serialize)]
pub(crate) struct Job {
    pub(crate) dashboard: Value,
    /// The URL of Prometheus.
    pub(crate) prometheus: String,
    /// The path of the screenshot without its suffix.
    pub(crate) screenshot: PathBuf,
}

/// What the page shows.
#[derive(Deserialize)]
pub(crate) struct Shown {
    /// Errors of scripts and requests.
    pub(crate) errors: Vec<String>,
    /// The number of events of each annotation.
    pub(crate) events: BTreeMap<String, usize>,
    pub(crate) panels: Vec<Panel>,
}

/// A panel on the page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Panel {
    pub(crate) title: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) is_on_page: bool,
    /// Whether it has a graph.
    pub(crate) is_drawn: bool,
    /// The error of its queries.
    pub(crate) error: String,
    /// Its words instead of data, if it has no data.
    pub(crate) no_data: Option<String>,
    /// The text below its title.
    pub(crate) lines: Vec<String>,
    /// The cells of a table, with its head.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The built page.
pub(crate) struct Page {
    folder: PathBuf,
}

impl Page {
    pub(crate) fn build() -> Self {
        assert!(Path::new("/usr/bin/chromium").exists(), "chromium must be installed");
        let folder = packages::npm(SOURCE, "grafana-page");
        for entry in fs::read_dir(at(SOURCE)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        let page = Self { folder };
        page.node(&["node_modules/vite/bin/vite.js", "build", "--logLevel", "error"], Vec::new());
        page
    }

    /// Shows the dashboards, and returns what they show, in the same order.
    pub(crate) fn show(&self, jobs: &[Job]) -> Vec<Shown> {
        let printed = self.node(&["drive.mjs", "dist"], serde_json::to_vec(jobs).unwrap());
        serde_json::from_slice(&printed.stdout).unwrap()
    }

    fn node(&self, arguments: &[&str], input: Vec<u8>) -> Output {
        let mut command = Command::new("node");
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::piped()).spawn().expect("node must be installed");
        let mut stdin = process.stdin.take().unwrap();
        // A program that fails need not read its input.
        let writer = thread::spawn(move || stdin.write_all(&input));
        let ran = process.wait_with_output().unwrap();
        let printed = [&ran.stdout, &ran.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(ran.status.success(), "node {arguments:?}: {}{}", printed[0], printed[1]);
        let _ = writer.join().unwrap();
        ran
    }
}
