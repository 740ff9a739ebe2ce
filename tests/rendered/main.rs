//! The dashboards as an operator sees them: Grafana's own front-end libraries show them in Chromium, with the data of a
//! real Prometheus that scrapes real exporters. Each dashboard is shown in each situation.
//!
//! `RENDERED=NAME` in the environment selects only the situations and dashboards whose names contain NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, reason = "this test needs no clients with certificates")]
#[path = "../secure/authority.rs"]
mod authority;
#[path = "../monitoring/mod.rs"]
mod monitoring;
#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../packages/mod.rs"]
mod packages;
#[path = "../support/mod.rs"]
mod support;

mod faults;
mod history;
mod installation;
mod page;
mod situations;
mod spoilt;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, thread};

use faults::faults;
use history::History;
use installation::{Installation, pasts};
use monitoring::{dashboards, parsed};
use page::{Job, Page};
use situations::{SITUATIONS, Situation};
use spoilt::Spoilt;

/// How long the exporters receive callbacks before the dashboards are shown.
const TRAFFIC: Duration = Duration::from_secs(30);

/// The folder of the screenshots.
fn screenshots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A dashboard in a situation.
fn name(dashboard: &str, situation: &Situation) -> String {
    format!("{dashboard}, {}", situation.name)
}

/// Whether the environment selects it.
fn is_selected(dashboard: &str, situation: &Situation) -> bool {
    name(dashboard, situation).contains(&env::var("RENDERED").unwrap_or_default())
}

/// A job for each selected dashboard in this situation.
fn jobs(situation: &Situation, installation: &Installation) -> Vec<Job> {
    let all = dashboards().into_iter().filter(|(dashboard, _)| is_selected(dashboard, situation));
    all.map(|(dashboard, text)| {
        let screenshot = screenshots().join(name(&dashboard, situation).replace(", ", "-").replace([' ', '\''], "-"));
        Job { dashboard: parsed(&text), prometheus: installation.url(), screenshot }
    })
    .collect()
}

/// The installations of all selected situations, with nine days of history and some traffic now.
fn start() -> Vec<(&'static Situation, Installation)> {
    let has_dashboards =
        |situation: &&Situation| dashboards().iter().any(|(dashboard, _)| is_selected(dashboard, situation));
    let situations: Vec<_> = SITUATIONS.iter().filter(has_dashboards).collect();
    let needed: BTreeSet<_> = situations.iter().flat_map(|situation| pasts(situation)).collect();
    let history = History::record(&needed);
    let installations = situations.into_iter().map(|situation| (situation, Installation::start(situation, &history)));
    let installations = installations.collect();
    thread::sleep(TRAFFIC);
    installations
}

/// What is wrong with the rules of a situation.
fn faults_of_rules(situation: &Situation, installation: &Installation) -> Vec<String> {
    let alerts = installation.alerts();
    let unexpected = (alerts != situation.alerts).then(|| format!("alerts {alerts:?}, not {:?}", situation.alerts));
    installation.unhealthy_rules().into_iter().chain(unexpected).collect()
}

/// The faults of spoilt dashboards that the test does not find.
fn missed(page: &Page, situation: &Situation, installation: &Installation) -> Vec<String> {
    let boards = spoilt::dashboards();
    let job = |board: &Spoilt| {
        let screenshot = screenshots().join(format!("spoilt-{}", board.name));
        Job { dashboard: board.spoilt.clone(), prometheus: installation.url(), screenshot }
    };
    let shown = page.show(&boards.iter().map(job).collect::<Vec<_>>());
    let missed = boards.iter().zip(&shown).flat_map(|(board, shown)| {
        let found = faults(situation, &board.original, shown);
        let missed = board.faults.iter().filter(|part| !found.iter().any(|fault| fault.contains(*part)));
        missed.map(|part| format!("spoilt {}: not found: {part}, but {found:#?}", board.name)).collect::<Vec<_>>()
    });
    missed.collect()
}

#[test]
#[ignore = "needs prometheus, npm, chromium, and the packages of tests/grafana/page"]
fn each_dashboard_shows_what_is_true_in_each_situation() {
    let page = thread::spawn(Page::build);
    let installations = start();
    let page = page.join().unwrap();
    let mut wrong = Vec::new();
    let jobs: Vec<_> = installations.iter().map(|(situation, one)| jobs(situation, one)).collect();
    let mut shown = page.show(&jobs.concat()).into_iter();
    for ((situation, installation), jobs) in installations.iter().zip(&jobs) {
        let rules = faults_of_rules(situation, installation).into_iter();
        let boards = jobs.iter().flat_map(|job| faults(situation, &job.dashboard, &shown.next().unwrap()));
        wrong.extend(rules.chain(boards).map(|fault| format!("{}: {fault}", situation.name)));
    }
    let (situation, installation) = &installations[0];
    wrong.extend(missed(&page, situation, installation));
    assert!(wrong.is_empty(), "see the pictures in {}\n{}", screenshots().display(), wrong.join("\n"));
}
