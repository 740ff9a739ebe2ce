//! Files of cases for promtool. Each has only the rules that its alerts need: promtool evaluates every rule in each case,
//! so this takes a fraction of the time.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::backfill::file_of;
use crate::missed::metrics_of;
use crate::monitoring::Rule;

/// Files of cases that promtool runs.
pub(crate) struct CaseFiles {
    directory: TempDir,
    files: Vec<PathBuf>,
}

impl CaseFiles {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), files: Vec::new() }
    }

    /// Adds a file of cases for these alerts, whose rules are evaluated at this interval.
    pub(crate) fn add(&mut self, alerts: &[&str], all: &[Rule], interval: &str, cases: &str) {
        let path = self.directory.path().join(format!("{}.yml", self.files.len()));
        let rules = path.with_extension("rules");
        fs::write(&rules, rules_for(alerts, all)).unwrap();
        let head = format!("rule_files: [{}]\nevaluation_interval: {interval}\ntests:\n", rules.display());
        fs::write(&path, head + cases).unwrap();
        self.files.push(path);
    }

    /// Runs the cases. Returns what promtool prints if one fails, otherwise nothing.
    pub(crate) fn failures(&self) -> String {
        // Collecting garbage less often than by default saves a fifth of promtool's time.
        let mut promtool = Command::new("promtool");
        promtool.env("GOGC", "400").args(["test", "rules"]).args(&self.files);
        let ran = promtool.output().expect("promtool must be installed");
        let printed = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        if ran.status.success() { String::new() } else { format!("{}\n{printed}", ran.status) }
    }
}

/// These alerts and the recording rules that they need, in one group, so that each alert finds what was just recorded.
fn rules_for(alerts: &[&str], all: &[Rule]) -> String {
    assert!(alerts.iter().all(|name| all.iter().any(|rule| rule.name == *name)), "{alerts:?}");
    let alerts: Vec<_> = all.iter().filter(|rule| alerts.contains(&rule.name.as_str())).collect();
    let metrics: BTreeSet<_> = alerts.iter().flat_map(|alert| metrics_of(alert, all)).collect();
    let recording = all.iter().filter(|rule| !rule.is_alert && metrics.contains(&rule.name));
    file_of(&recording.chain(alerts).cloned().collect::<Vec<_>>())
}
