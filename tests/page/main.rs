//! The live page in a real Chromium, with real exporters.
//!
//! `PAGE=NAME` in the environment selects only the scenes whose names contain NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../packages/mod.rs"]
mod packages;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "this test uses a part of it")]
#[path = "../pass_through/target.rs"]
mod target;
#[path = "../support/typical.rs"]
mod typical;

mod answers;
mod browser;
mod connection;
mod controls;
mod files;
mod hostile;
mod languages;
mod numbers;
mod past;
mod proxies;
mod targets;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use std::{env, fs, iter, thread};

use browser::Browser;
use support::{Exporter, Running, command};

/// The folder of the screenshots.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The address of a page, with its slash.
fn url(exporter: &Exporter) -> String {
    format!("http://{}/", exporter.address())
}

/// Sends made-up callbacks of all kinds, as many as this.
fn simulate(exporter: &Exporter, count: u32) {
    let (target, count) = (url(exporter), count.to_string());
    let arguments = ["simulate", "--target", target.trim_end_matches('/'), "--callbacks", "all", "--count", &count];
    let sent = command(&arguments).args(["--yes", "--groups", "60", "--senders", "400"]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

/// Sends as many made-up callbacks of all kinds in each second, until dropped.
fn simulate_at(exporter: &Exporter, rate: u32) -> Running {
    let (target, rate) = (url(exporter), rate.to_string());
    let arguments = ["simulate", "--target", target.trim_end_matches('/'), "--callbacks", "all", "--rate", &rate];
    Running::start(command(&arguments).args(["--yes", "--groups", "60", "--senders", "400", "--duration", "5m"]))
}

/// More at once would only wait for the processor.
const AT_ONCE: usize = 6;

type Scene = (&'static str, fn(&Browser));

/// Each has its own exporter and pages, so several run at once.
const SCENES: &[Scene] = &[
    ("numbers", numbers::every_number_is_true),
    ("questions", answers::a_newcomer_finds_the_answers),
    ("settings", answers::the_settings_have_the_port_for_callbacks_and_the_secret),
    ("zone", answers::days_and_hours_are_those_of_the_zone),
    ("cut", connection::a_cut_stream_resumes),
    ("silent", connection::a_silent_stream_is_noticed),
    ("restart", connection::a_killed_exporter_comes_back),
    ("viewers", connection::one_viewer_too_many_polls),
    ("held", connection::a_stream_that_a_proxy_holds_back_is_replaced),
    ("pause", connection::a_page_that_nobody_sees_is_not_connected),
    ("hostile", hostile::hostile_names_are_text),
    ("keyboard", controls::everything_works_by_keyboard),
    ("files", controls::the_files_to_save_are_right),
    ("languages", languages::both_languages_are_complete),
    ("looks", languages::each_look_is_accessible),
    ("targets", targets::each_target_has_a_line),
    ("nginx", proxies::the_page_works_below_a_path_behind_nginx),
];

/// The hour, and so the day in any zone, must not change while a scene runs.
fn avoid_the_end_of_an_hour() {
    let left = || 3600 - SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 3600;
    while left() < 120 {
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
#[ignore = "needs chromium, nginx, and the packages of tests/page from npm"]
fn the_page_shows_what_is_true_and_recovers() {
    let browser = Browser::start();
    let selected = env::var("PAGE").unwrap_or_default();
    let scenes = Mutex::new(SCENES.iter().filter(|(name, _)| name.contains(&selected)));
    let next = || scenes.lock().unwrap().next();
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let run = |(name, scene): &Scene| {
            avoid_the_end_of_an_hour();
            let (scene, browser) = (*scene, &browser);
            let thread = thread::Builder::new().name((*name).to_owned());
            if thread.spawn_scoped(scope, move || scene(browser)).unwrap().join().is_err() {
                failed.lock().unwrap().push(*name);
            }
        };
        for _ in 0..AT_ONCE {
            scope.spawn(move || iter::from_fn(next).for_each(run));
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?} failed: see above");
}
