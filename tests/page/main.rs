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
use std::time::{Duration, SystemTime};
use std::{env, fs, thread};

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

type Scene = (&'static str, fn(&Browser));

/// Each has its own exporter and pages, so all run at once.
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

/// The hour, and so the day in any zone, must not change while the scenes run.
fn avoid_the_end_of_an_hour() {
    let left = || 3600 - SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 3600;
    while left() < 120 {
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
#[ignore = "needs chromium, nginx, and the packages of tests/page from npm"]
fn the_page_shows_what_is_true_and_recovers() {
    avoid_the_end_of_an_hour();
    let browser = Browser::start();
    let selected = env::var("PAGE").unwrap_or_default();
    let failed: Vec<_> = thread::scope(|scope| {
        let start = |(name, scene): &Scene| {
            let (scene, browser) = (*scene, &browser);
            let thread = thread::Builder::new().name((*name).to_owned());
            (*name, thread.spawn_scoped(scope, move || scene(browser)).unwrap())
        };
        let all: Vec<_> = SCENES.iter().filter(|(name, _)| name.contains(&selected)).map(start).collect();
        all.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect()
    });
    assert!(failed.is_empty(), "{failed:?} failed: see above");
}
