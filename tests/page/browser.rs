//! Chromium, which all scenes share.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::packages;

/// How long a scene waits for a page. The page takes a silent stream for dead after 15 seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of this test.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page")
}

type Waiting = Arc<Mutex<HashMap<u64, Sender<Value>>>>;

/// A browser, and the program that drives it.
pub(crate) struct Browser {
    driver: Child,
    stdin: Mutex<Option<ChildStdin>>,
    /// The commands without an answer yet.
    waiting: Waiting,
    next: AtomicU64,
}

impl Browser {
    pub(crate) fn start() -> Self {
        assert!(Path::new("/usr/bin/chromium").exists(), "chromium must be installed");
        let folder = packages::npm("tests/page", "page-client");
        fs::copy(source().join("drive.mjs"), folder.join("drive.mjs")).unwrap();
        let mut command = Command::new("node");
        command.arg("drive.mjs").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut driver = command.spawn().expect("node must be installed");
        let stdin = Mutex::new(driver.stdin.take());
        let waiting = Waiting::default();
        let (answers, pending) = (BufReader::new(driver.stdout.take().unwrap()), Arc::clone(&waiting));
        thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                let answer: Value = serde_json::from_str(&line).unwrap();
                let waiting = pending.lock().unwrap().remove(&answer["id"].as_u64().unwrap());
                // Nobody waits if the scene has failed.
                let _ = waiting.unwrap().send(answer);
            }
            // Everyone who waits for a driver that has ended fails.
            pending.lock().unwrap().clear();
        });
        Self { driver, stdin, waiting, next: AtomicU64::default() }
    }

    /// Sends a command, and waits for its answer.
    fn ask(&self, mut command: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        self.waiting.lock().unwrap().insert(id, sender);
        command["id"] = id.into();
        self.stdin.lock().unwrap().as_mut().unwrap().write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = answer.recv_timeout(PATIENCE * 2).map_err(|error| error.to_string())?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Opens a page at a URL in its usual size, in English and light.
    pub(crate) fn open(&self, url: &str) -> Page<'_> {
        self.open_as(&View { url, ..View::default() })
    }

    pub(crate) fn open_as(&self, view: &View<'_>) -> Page<'_> {
        let page = Page { browser: self, name: self.next.fetch_add(1, Ordering::Relaxed) };
        self.ask(json!({ "page": page.name, "open": view })).unwrap();
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser at the end of its input.
        self.stdin.get_mut().unwrap().take();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && self.driver.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// How a page is opened.
#[derive(Clone, Serialize)]
pub(crate) struct View<'a> {
    pub(crate) url: &'a str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The browser's only language.
    pub(crate) locale: &'a str,
    /// The system's setting: `light` or `dark`.
    pub(crate) scheme: &'a str,
    /// `reduce` or `no-preference`.
    pub(crate) motion: &'a str,
}

impl Default for View<'_> {
    fn default() -> Self {
        Self { url: "", width: 1280, height: 900, locale: "en-GB", scheme: "light", motion: "no-preference" }
    }
}

/// An open page. It is closed when dropped.
pub(crate) struct Page<'a> {
    browser: &'a Browser,
    name: u64,
}

impl Page<'_> {
    /// Runs code with Playwright's `page`, and returns its result.
    pub(crate) fn run(&self, code: &str) -> Value {
        self.run_with(code, Value::Null)
    }

    /// The same with a `value`.
    pub(crate) fn run_with(&self, code: &str, value: impl Into<Value>) -> Value {
        let command = json!({ "page": self.name, "run": code, "value": value.into() });
        self.browser.ask(command).unwrap_or_else(|error| panic!("{code}: {error}"))
    }

    /// The value of an expression in the page.
    pub(crate) fn eval(&self, expression: &str) -> Value {
        self.run_with("return page.evaluate(value)", expression)
    }

    pub(crate) fn click(&self, selector: &str) {
        self.run_with("await page.click(value)", selector);
    }

    /// The text of an element, as it is shown.
    pub(crate) fn text(&self, selector: &str) -> String {
        self.run_with("return page.innerText(value)", selector).as_str().unwrap().to_owned()
    }

    /// The file that a click downloads: its name, and its text.
    pub(crate) fn download(&self, selector: &str) -> (String, String) {
        let file = self.run_with("return download(page, value)", selector);
        let text = |name: &str| file[name].as_str().unwrap().to_owned();
        (text("name"), text("text"))
    }

    /// Waits until an expression in the page is true.
    pub(crate) fn wait(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(&format!("Boolean({expression})")) != true {
            let state = "document.documentElement.dataset.state + ' ' + document.querySelector('#banner')?.innerText";
            assert!(Instant::now() < deadline, "never true: {expression}; the page is {}", self.eval(state));
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the connection is in this state, and returns the banner's text, which is empty if it is hidden.
    pub(crate) fn wait_for(&self, state: &str) -> String {
        self.wait(&format!("document.documentElement.dataset.state === '{state}'"));
        self.text("#banner").trim().to_owned()
    }

    /// Waits until all that the page asks for is there.
    pub(crate) fn wait_for_data(&self) {
        self.wait(
            "document.documentElement.dataset.state === 'live' && document.querySelector('#heat tbody') \
             && document.querySelector('#groups-table tbody tr') && document.querySelector('#platforms tbody')",
        );
    }

    /// Errors and dialogs so far.
    pub(crate) fn errors(&self) -> Value {
        self.run("return seen.errors")
    }

    /// Checks that no script failed, no dialog opened, and nothing was requested from elsewhere.
    pub(crate) fn assert_quiet(&self, origin: &str) {
        assert_eq!(self.errors(), json!([]));
        let requests = self.run("return seen.requests");
        let own = ["blob:", "data:"].map(str::to_owned).into_iter().chain([origin.to_owned()]).collect::<Vec<_>>();
        let is_own = |url: &str| own.iter().any(|start| url.starts_with(start.as_str()));
        let foreign: Vec<_> =
            requests.as_array().unwrap().iter().filter(|url| !is_own(url.as_str().unwrap())).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
    }

    /// What axe-core finds.
    pub(crate) fn assert_accessible(&self, what: &str) {
        assert_eq!(self.run("return violations(page)"), json!([]), "{what}");
    }

    /// Writes a picture of the whole page.
    pub(crate) fn picture(&self, name: &str) {
        let path = crate::pictures().join(name);
        self.run_with("await page.screenshot({ path: value, fullPage: true })", path.to_str().unwrap());
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let _ = self.browser.ask(json!({ "page": self.name, "close": true }));
    }
}
