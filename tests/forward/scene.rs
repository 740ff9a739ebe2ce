//! An exporter with targets that get copies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, Samples, eventually};
use crate::target::Got;

/// A forwarding exporter.
pub(crate) struct Scene {
    exporter: Option<Exporter>,
    pub(crate) directory: tempfile::TempDir,
}

impl Scene {
    /// One target at this URL, called `copy`, with these lines in its settings.
    pub(crate) fn start(url: &str, settings: &[&str]) -> Self {
        Self::with_targets(&target("copy", url, settings))
    }

    /// These targets.
    pub(crate) fn with_targets(targets: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut scene = Self { exporter: None, directory };
        scene.write(targets);
        scene.start_again();
        scene
    }

    /// Writes the file of targets.
    pub(crate) fn write(&self, targets: &str) {
        std::fs::write(self.path("forward.yml"), format!("targets:\n{targets}")).unwrap();
    }

    /// Starts the exporter with the state and the spools that exist.
    pub(crate) fn start_again(&mut self) {
        let [settings, state] = ["forward.yml", "state"].map(|name| self.path(name).to_str().unwrap().to_owned());
        let flags = ["--forward.config.file", &settings, "--storage.path", &state, "--callback.dedup-window", "0s"];
        self.exporter = Some(Exporter::start(&flags));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn exporter(&self) -> &Exporter {
        self.exporter.as_ref().unwrap()
    }

    /// Kills the exporter.
    pub(crate) fn kill(&mut self) {
        drop(self.exporter.take());
    }

    /// Ends the exporter with a signal. Returns its log.
    pub(crate) fn terminate(&mut self) -> Vec<String> {
        self.exporter().signal("TERM");
        let (status, log) = self.exporter.take().unwrap().wait();
        assert!(status.success(), "{log:#?}");
        log
    }

    /// Reloads the file of targets.
    pub(crate) fn reload(&self, targets: &str) {
        self.write(targets);
        let reloaded = |lines: &[String]| lines.iter().filter(|line| line.contains("settings files reloaded")).count();
        let before = reloaded(&self.exporter().log());
        self.exporter().signal("HUP");
        self.exporter().wait_for_log("the reload", |lines| reloaded(lines) > before);
    }

    /// Posts a message of a group with this number.
    pub(crate) fn post(&self, group: &str, number: usize) {
        post(&mut self.exporter().connect(), group, number);
    }

    pub(crate) fn samples(&self) -> Samples {
        self.exporter().scrape()
    }

    /// The value of a metric of the only target.
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.samples().sum(&format!("openim_exporter_forward_{name}"))
    }

    /// How many attempts ended so.
    pub(crate) fn attempts(&self, outcome: &str) -> f64 {
        self.samples().sum_of("openim_exporter_forward_attempts_total", "outcome", outcome)
    }

    /// Waits until nothing is pending.
    pub(crate) fn wait_until_delivered(&self) {
        let samples = || {
            let samples = self.samples();
            ["received", "delivered", "dead_letters"]
                .map(|name| samples.sum(&format!("openim_exporter_forward_{name}_total")))
        };
        eventually("all deliveries", || {
            let [received, delivered, dead] = samples();
            received == delivered + dead
        });
    }
}

/// A target in the file of targets.
pub(crate) fn target(name: &str, url: &str, settings: &[&str]) -> String {
    let lines: String = settings.iter().map(|line| format!("    {line}\n")).collect();
    format!("  - name: {name}\n    url: {url}\n    answers: false\n{lines}")
}

/// Posts a message of a group with this number.
pub(crate) fn post(client: &mut Client, group: &str, number: usize) {
    let answer = client.post(GROUP_MESSAGE_PATH, message(group, number));
    assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS));
}

pub(crate) fn message(group: &str, number: usize) -> String {
    format!(
        "{{\"sendID\":\"u{}\",\"groupID\":\"{group}\",\"serverMsgID\":\"{group}-{number}\",\"ex\":\"{number}\"}}\n",
        number % 7
    )
}

/// The numbers that arrived in each group, in their order. `again`: whether a number may arrive once more.
pub(crate) fn by_group(got: &[Got], again: bool) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for request in got {
        let numbers = groups.entry(request.text("groupID")).or_default();
        let number = request.text("ex").parse().unwrap();
        if !again || !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    groups
}

/// Checks that each group has the numbers from 0 to this one, in order.
pub(crate) fn assert_in_order(got: &[Got], again: bool, groups: usize, count: usize) {
    let found = by_group(got, again);
    assert_eq!(found.len(), groups);
    for (group, numbers) in found {
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "{group}");
    }
}
